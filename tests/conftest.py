"""What all tests need of their process."""

from __future__ import annotations

import gc
import os
import signal
from typing import Any

import pytest

# A shell lets what runs in its background (`make test &`) ignore Ctrl-C; tests that interrupt would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)

# IBM's client names its callers in a header of each request, and searches the stack for them, which took a tenth
# (Python 3.11) to a quarter (3.12) of the CPU of a test process. This is its own switch against it.
os.environ.setdefault("USAGE_DATA_OPT_OUT", "True")

# Each process that imports numpy and scipy starts two pools of OpenBLAS, whose threads spin until they have work: a
# seventh of the CPU of importing IBM's client, which some two hundred processes of a run do, and none of them computes.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# The collector looks at all objects of the imported libraries again and again: a fifth of the CPU of a test process.
gc.disable()


def pytest_collection_finish() -> None:
    """What is imported by now is no garbage."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """The scheduler of `--dist loadfile`; of others xdist has its own."""
    from tests.files import Files

    return Files(config, log) if config.getoption("dist") == "loadfile" else None
