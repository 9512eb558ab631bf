"""The embedded service: reached over HTTP only, exactly as IBM's is.

emulator = qmode_widgets.emulator.start()
emulator.service            # a real QiskitRuntimeService
emulator.faults             # what is to go wrong
emulator.stop()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from qiskit_ibm_runtime import QiskitRuntimeService

    from .client.launch import Emulator


def start(*, shared: bool = True, like: QiskitRuntimeService | str | Path | None = None, **options: Any) -> Emulator:
    """Find the embedded service of this user, or start one, and connect to it. It could run a job at once.

    Args:
        shared: one service for all kernels of this user; it outlives this process and ends after 60 idle minutes
            without an open workload. False: a private one that ends with this process.
        like: makes it the twin of a real service: it serves backends of the same names with the same gates and
            calibration, and an instance with the same plan, limits and TTLs. A `QiskitRuntimeService` is read, by GET
            only; `backends=["ibm_…"]` says which of its backends, all by default. The path of a file that
            `Emulator.save` wrote needs no account.
        **options: as on the command line, with underscores: `speed`, `max_ttl`, `interactive_ttl`, `queue_wait`,
            `lanes`, `other_users`, `noise`, `jitter`, `state`, `rate_limit` and so on. Without any, a shared service
            is taken as it runs; a new one gets `speed=2`, so that a small job takes about two seconds and can be
            watched, and no rate limit. A shared service that runs with other options than those given is refused:
            stop it first, or ask for a private one.

    Returns:
        The connection: `.service`, `.faults`, `.url`, `.stop()`.

    Raises:
        TypeError: an unknown option.
        ValueError: an option out of range, or other options than those of the shared service that runs.
        RuntimeError: the service could not be started; the message holds what it wrote.
    """
    from .client.launch import start as launch

    return launch(shared=shared, like=like, **options)


__all__ = ["start"]
