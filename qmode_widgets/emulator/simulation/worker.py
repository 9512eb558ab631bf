"""A worker process: reads tasks from standard input, runs them, writes the answers to standard output.

A frame is two 4-byte lengths, a JSON header and a body. Nothing is pickled. The process ends when its input does,
so it cannot outlive the server.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import struct
import sys
import threading
import traceback
from typing import Any, BinaryIO

LENGTHS = struct.Struct("<II")


def pack(header: dict[str, Any], body: bytes = b"") -> bytes:
    """Return one frame."""
    head = json.dumps(header).encode()
    return LENGTHS.pack(len(head), len(body)) + head + body


def _read(source: BinaryIO, tasks: queue.SimpleQueue[tuple[dict[str, Any], bytes]]) -> None:
    while lengths := source.read(LENGTHS.size):
        head, body = LENGTHS.unpack(lengths)
        tasks.put((json.loads(source.read(head)), source.read(body)))
    os._exit(0)  # the server has ended


def _bound_memory() -> None:
    """Limit our memory on Linux: a huge job fails with a MemoryError before the machine runs out."""
    if sys.platform != "linux":
        return
    import resource

    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    # Libraries reserve address space for their threads that they never use; 4 GiB on top are for it.
    limit = physical * 3 // 4 + 4 * 2**30
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def main() -> None:
    """Serve until the input ends."""
    # The libraries may print. Descriptor 1 becomes the error stream, and the answers get a descriptor of their own.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with contextlib.suppress(OSError, AttributeError):
        os.nice(10)  # the server has priority, however heavy a circuit is
    _bound_memory()
    tasks: queue.SimpleQueue[tuple[dict[str, Any], bytes]] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin.buffer, tasks), daemon=True).start()

    from .programs import perform, warm_up

    warm_up(sys.argv[1:])
    answers.write(pack({"ready": True}))
    answers.flush()
    while True:
        header, body = tasks.get()
        try:
            answer, result = perform(header, body)
        except MemoryError:
            answer, result = {"failed": {"code": 9998, "reason": "The job ran out of memory.", "solution": ""}}, b""
        except Exception:  # noqa: BLE001 - an error of a library fails its job, not the worker
            print(traceback.format_exc(), file=sys.stderr, flush=True)  # noqa: T201
            answer = {"failed": {"code": 9999, "reason": "Internal error.", "solution": "", "system": True}}
            result = b""
        answers.write(pack(answer, result))
        answers.flush()


if __name__ == "__main__":
    main()
