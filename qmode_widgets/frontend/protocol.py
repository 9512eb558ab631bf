"""The messages between a kernel and its screens, once. `js/core/protocol.ts` is the mirror: read them side by side.

Kernel to screen (`Message`, JSON objects with a `kind`):

    hello     protocol, version, process, busy, workloads, problem
    snapshot  workload, seq, now, state                                  the whole WorkloadSnapshot
    patch     workload, seq, now, set, jobs, order?, events?             what changed since the message numbered seq - 1
    gone      workload                                                   no longer watched in this kernel
    ack       id, status, message                                        an Outcome

Screen to kernel (`Request`):

    attach    workload?            say hello, then send snapshots: of one workload, or of all
    command   id, workload, action, target?

Times in `state` are service time; `now` is the service's clock when the message left, from which a screen learns how
far its own clock is off. A field that is unknown is null. A screen ignores fields it does not know and refuses
another protocol number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Literal, TypeAlias

from ..model.command import Action, Command, Outcome
from ..model.snapshot import Event, JobSnapshot, WorkloadSnapshot

PROTOCOL = 1

Json: TypeAlias = Any
Message: TypeAlias = dict[str, Json]
Request: TypeAlias = Command | Literal["all"] | str

_MAX_ID = 200        # longer than any id we or the service make; a bound for what a page may send


def encode(value: object) -> Json:
    """Snapshots as JSON: dataclasses become objects, enums their word, tuples arrays, what is not finite null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: encode(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (tuple, list)):
        return [encode(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None       # JSON has no NaN; unknown is null
    return value


def hello(*, version: str, process: str, busy: bool, workloads: Iterable[str], problem: str | None) -> Message:
    """The greeting.

    `process` is new with every start of the kernel; `busy`: it runs a cell; `problem` says why buttons are off.
    """
    return {
        "kind": "hello",
        "protocol": PROTOCOL,
        "version": version,
        "process": process,
        "busy": busy,
        "workloads": list(workloads),
        "problem": problem,
    }


def snapshot(state: WorkloadSnapshot, *, seq: int, now: float) -> Message:
    """The whole state of one workload; `now` is service time."""
    return {"kind": "snapshot", "workload": state.id, "seq": seq, "now": now, "state": encode(state)}


def patch(old: WorkloadSnapshot, new: WorkloadSnapshot, *, seq: int, now: float) -> Message | None:
    """What a screen that shows `old` needs to show `new`; None if nothing differs.

    `set` holds the workload's changed fields, `jobs` the changed fields by job key (all fields of a new job), `order`
    the keys where jobs came, went or moved, and `events` the new ones.
    """
    before = {job.key: job for job in old.jobs}
    jobs: dict[str, Json] = {}
    for job in new.jobs:
        was = before.get(job.key)
        if was is not job and (was is None or was != job):
            jobs[job.key] = encode(job) if was is None else _changed(was, job)
    message: Message = {
        "kind": "patch",
        "workload": new.id,
        "seq": seq,
        "now": now,
        "set": _changed(old, new, leave=("jobs", "events")),
        "jobs": jobs,
    }
    if [job.key for job in old.jobs] != (order := [job.key for job in new.jobs]):
        message["order"] = order
    if events := _newer(old.events, new.events):
        message["events"] = encode(events)
    return message if message["set"] or jobs or "order" in message or "events" in message else None


def gone(workload: str) -> Message:
    """The workload is no longer watched in this kernel."""
    return {"kind": "gone", "workload": workload}


def ack(outcome: Outcome) -> Message:
    """The answer to a command, by the command's id."""
    return {"kind": "ack", "id": outcome.id, "status": outcome.status, "message": outcome.message}


def read(message: object) -> Request:
    """A screen's request: a Command, or the workload to attach to ("all" for every one).

    Raises:
        ValueError: it is none of ours; the text names what is wrong with it.
    """
    if not isinstance(message, Mapping):
        raise ValueError(f"a request is a JSON object, not {type(message).__name__}")
    kind = message.get("kind")
    if kind == "attach":
        return _text(message, "workload") if message.get("workload") is not None else "all"
    if kind == "command":
        action = _text(message, "action")
        if action not in list(Action):       # a list: Python 3.11 refuses `in` with a text on the enum itself
            raise ValueError(f"unknown action {action!r}: this kernel knows {', '.join(Action)}")
        target = _text(message, "target") if message.get("target") is not None else None
        return Command(_text(message, "id"), _text(message, "workload"), Action(action), target)
    raise ValueError(f"unknown request {kind!r}: this kernel knows attach and command (protocol {PROTOCOL})")


def _text(message: Mapping[Any, Any], name: str) -> str:
    value = message.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_ID:
        raise ValueError(f"the request's {name!r} must be a text of 1 to {_MAX_ID} characters")
    return value


def _changed(
    old: WorkloadSnapshot | JobSnapshot, new: WorkloadSnapshot | JobSnapshot, leave: tuple[str, ...] = ()
) -> dict[str, Json]:
    return {
        f.name: encode(value)
        for f in fields(new)
        if f.name not in leave and (value := getattr(new, f.name)) != getattr(old, f.name)
    }


def _newer(old: tuple[Event, ...], new: tuple[Event, ...]) -> tuple[Event, ...]:
    last = old[-1].id if old else -1
    return tuple(event for event in new if event.id > last)
