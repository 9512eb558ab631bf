"""What the process imports that workers are forked from.

Frozen: the collector of a worker would touch, and so copy, every object of the libraries. A worker that waits has 20 MB
of its own, not 59, and starts with a quarter of the CPU time (`make bench` measures the memory of all processes).
"""

from __future__ import annotations

import gc


def _import() -> None:
    from .programs import warm_up

    warm_up()


gc.disable()  # nothing of what is imported is garbage
_import()
gc.collect()
gc.freeze()
gc.enable()
