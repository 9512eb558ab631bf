"""What a worker answers to a task: a header and a body, whatever goes wrong."""

from __future__ import annotations

import traceback
from functools import cache
from typing import Any

from ..backends import Device, devices
from ..options import names_in
from ..twin import Twin

Answer = tuple[dict[str, Any], bytes]

DIED = {
    "failed": {
        "code": 9998,
        "reason": "The job's process ended unexpectedly: it was killed or ran out of memory.",
        "solution": "Reduce the circuits or the shots, or submit the job again.",
        "system": True,
    }
}


def answer(header: dict[str, Any], body: bytes, known: dict[str, Device]) -> Answer:
    """Do one task; `known` are the backends."""
    try:
        from .programs import perform, warm_up

        if header["task"] == "warm up":
            warm_up()
            return {}, b""
        return perform(header, body, known)
    except MemoryError:
        return {"failed": {"code": 9998, "reason": "The job ran out of memory.", "solution": ""}}, b""
    except Exception:  # noqa: BLE001 - an error of a library fails its job, not the worker
        failed = {"code": 9999, "reason": "Internal error.", "solution": "", "system": True}
        return {"failed": failed, "traceback": traceback.format_exc()}, b""


def work(header: dict[str, Any], body: bytes) -> Answer:
    """Do one task in a worker process of our own."""
    return answer(header, body, _devices(header["backends"], header["twin"]))


@cache
def _devices(backends: str, twin: str | None) -> dict[str, Device]:
    return devices(names_in(backends), None if twin is None else Twin.load(twin))
