"""Starting our own processes, and asking whether a process still runs."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import psutil


def command(module: str, *args: str) -> list[str]:
    """Return the command line that runs a module of this package with the same interpreter.

    `-P` keeps the working directory off `sys.path`, where a user's `random.py` would replace the standard library's.
    """
    return [sys.executable, "-P", "-m", module, *args]


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a child process: ours, with a source tree that is not installed on PYTHONPATH."""
    root = Path(__file__).parents[2]
    given = os.environ.get("PYTHONPATH", "")
    if root.name in ("site-packages", "dist-packages"):
        return os.environ | more  # on PYTHONPATH, packages would come before the standard library
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(root), given]))} | more


def find(pid: int, started: float | None = None) -> psutil.Process | None:
    """Return the process with this id, or None if it has ended.

    Args:
        pid: the process id.
        started: when the process was created, in seconds since the epoch. Ids are reused: a process that was created
            at another time is not the one that was meant.
    """
    try:
        process = psutil.Process(pid)
        if started is not None and abs(process.create_time() - started) > 1.0:
            return None
    except psutil.Error:
        return None
    return process if alive(process) else None


def alive(process: psutil.Process) -> bool:
    """Return whether a process runs; a zombie has ended."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def memory() -> int:
    """Return the bytes of memory of this machine or, on Linux, of the container that we run in."""
    total = int(psutil.virtual_memory().total)
    with contextlib.suppress(OSError, ValueError):  # "max": no limit
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return total


def settle_worker(memory: int) -> None:
    """Make this process a good worker: the server goes first, and memory is bounded.

    On Linux a huge job then fails with a `MemoryError` before the machine runs out.

    Args:
        memory: bytes that a job may use.
    """
    with contextlib.suppress(OSError, AttributeError):
        os.nice(10)
    if sys.platform != "linux":
        return
    import resource

    # Libraries reserve address space for their threads that they never use; 4 GiB on top are for it.
    limit = memory + 4 * 2**30
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
