"""The messages between a kernel and its screens, once. `js/core/protocol.ts` is the mirror: read them side by side.

Kernel to screen (`Message`, JSON objects with a `kind`):

    hello     protocol, version, process, busy, workloads, problem
    snapshot  workload, epoch, seq, now, state, common, jobs             the whole WorkloadSnapshot
    patch     workload, epoch, seq, now, set, jobs, after?, gone?, order?, events?    what changed since message seq - 1
    gone      workload                                                   no longer watched in this kernel
    ack       id, status, message                                        an Ack: `accepted`, `done` or `failed`

Screen to kernel (`Request`):

    attach    protocol, workload?  say hello, then send snapshots: of one workload, or of all
    command   id, workload, action, target?
    detach                         the page goes: it no longer counts as one that draws outputs

Times in `state` are service time, and its `clock_offset` turns them into this machine's; `now` is the service's clock
when the message left, from which a screen learns where its own clock is wrong. `epoch` is new when a workload comes
anew in the same kernel, and grows: a screen that missed `gone` takes the numbers of the later epoch. A field that is
unknown is null. A screen ignores fields it does not know and refuses another protocol number.

Fields that have their default are left out. A snapshot's `common` holds the value that most jobs have in each field,
and its `jobs` only what differs from it: 1,000 jobs take about 200 kB instead of 600.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Literal, TypeAlias

from ..model.command import Ack, Action, Command
from ..model.snapshot import Event, JobSnapshot, Usage, WorkloadSnapshot

PROTOCOL = 2

Json: TypeAlias = Any
Message: TypeAlias = dict[str, Json]
Request: TypeAlias = Command | Literal["all"] | str | None

_MAX_ID = 200  # longer than any id we or the service make; a bound for what a page may send


def encode(value: object) -> Json:
    """Snapshots as JSON: dataclasses become objects, enums their word, tuples arrays, what is not finite null.

    Numbers are rounded to milliseconds.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: encode(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (tuple, list)):
        return [encode(v) for v in value]
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else None  # JSON has no NaN; unknown is null
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


def snapshot(state: WorkloadSnapshot, *, epoch: int = 0, seq: int, now: float) -> Message:
    """The whole state of one workload; `now` is service time."""
    common, jobs = compact(state.jobs)
    return {
        "kind": "snapshot",
        "workload": state.id,
        "epoch": epoch,
        "seq": seq,
        "now": round(now, 3),
        "state": _sparse(state, leave=("jobs",)),
        "common": common,
        "jobs": jobs,
    }


def whole(state: WorkloadSnapshot) -> dict[str, Json]:
    """For documents: as in a snapshot, with every field, so that nothing depends on the defaults of who reads it."""
    common, jobs = compact(state.jobs)
    usage = _defaults(Usage) | common.get("usage", {})
    required = ("key", "state")  # of each job, its own
    return {
        "state": {f.name: encode(getattr(state, f.name)) for f in fields(state) if f.name != "jobs"},
        "common": {k: v for k, v in _defaults(JobSnapshot).items() if k not in required} | common | {"usage": usage},
        "jobs": jobs,
    }


def spoken(message: object) -> int | None:
    """The protocol number of a page that asks; None where it gives none."""
    found = message.get("protocol") if isinstance(message, Mapping) else None
    return found if type(found) is int else None


def compact(jobs: Sequence[JobSnapshot]) -> tuple[dict[str, Json], list[dict[str, Json]]]:
    """What most jobs have in each field, and of each job what differs from that."""
    rows = [encode(job) for job in jobs]
    common, defaults = _shared(rows, _defaults(JobSnapshot)), _defaults(Usage)
    usage = _shared([row["usage"] for row in rows], defaults)
    shared = {**_defaults(JobSnapshot), **common, "usage": {**defaults, **usage}}
    if usage:
        common["usage"] = usage
    return common, [_difference(shared, row) for row in rows]


def _shared(rows: Sequence[dict[str, Json]], defaults: dict[str, Json]) -> dict[str, Json]:
    """The most frequent value of each field, where that is not the default."""
    found: dict[str, Json] = {}
    for name in rows[0] if rows else ():
        if name == "usage":
            continue
        text, count = Counter(json.dumps(row[name]) for row in rows).most_common(1)[0]
        value = json.loads(text)
        if count > 1 and value != defaults.get(name, MISSING):
            found[name] = value
    return found


def _difference(old: dict[str, Json], new: dict[str, Json]) -> dict[str, Json]:
    """The fields of `new` that differ; of the usage only those of its fields."""
    changed = {name: value for name, value in new.items() if value != old.get(name, MISSING)}
    if "usage" in changed and isinstance(old.get("usage"), dict):
        changed["usage"] = _difference(old["usage"], new["usage"])
    return changed


@cache
def _defaults(kind: type[Usage] | type[JobSnapshot] | type[WorkloadSnapshot]) -> dict[str, Json]:
    return {f.name: encode(f.default) for f in fields(kind) if f.default is not MISSING}


def _sparse(value: WorkloadSnapshot | JobSnapshot, leave: tuple[str, ...] = ()) -> dict[str, Json]:
    """Its fields that do not have their default."""
    defaults = _defaults(WorkloadSnapshot if isinstance(value, WorkloadSnapshot) else JobSnapshot)
    shown = {f.name: encode(getattr(value, f.name)) for f in fields(value) if f.name not in leave}
    return _difference(defaults, shown)


def patch(old: WorkloadSnapshot, new: WorkloadSnapshot, *, epoch: int = 0, seq: int, now: float) -> Message | None:
    """What a screen that shows `old` needs to show `new`; None if nothing differs.

    `set` holds the workload's changed fields, `jobs` the changed fields by job key (of a new job those without their
    default), `after` each new job's key and the one it follows (null: it is the first), `gone` the keys of jobs that
    left, and `events` the new ones. `order` holds all keys, only where jobs that stayed changed places. So a patch is
    as long as what changed, whatever the number of jobs.
    """
    jobs: dict[str, Json] = {}
    message: Message = {"kind": "patch", "workload": new.id, "epoch": epoch, "seq": seq, "now": round(now, 3)}
    message["set"] = _changed(old, new, leave=("jobs", "events"))
    message["jobs"] = jobs
    if old.jobs is not new.jobs:
        before = {job.key: job for job in old.jobs}
        for job in new.jobs:
            was = before.get(job.key)
            if was is None:
                jobs[job.key] = _sparse(job)
            elif was is not job and was != job:
                jobs[job.key] = _changed(was, job)
        message |= _places(before, [job.key for job in new.jobs])
    if events := _newer(old.events, new.events):
        message["events"] = encode(events)
    return message if any(message.get(part) for part in ("set", "jobs", "after", "gone", "order", "events")) else None


def _places(before: Mapping[str, object], keys: list[str]) -> Message:
    """Where jobs came, went or moved."""
    there = set(keys)
    stayed = [key for key in before if key in there]
    found: Message = {}
    if stayed != [key for key in keys if key in before]:
        return {"order": keys}
    if len(stayed) < len(before):
        found["gone"] = [key for key in before if key not in there]
    if len(stayed) < len(keys):
        found["after"] = [[key, keys[i - 1] if i else None] for i, key in enumerate(keys) if key not in before]
    return found


def gone(workload: str) -> Message:
    """The workload is no longer watched in this kernel."""
    return {"kind": "gone", "workload": workload}


def ack(outcome: Ack) -> Message:
    """The answer to a command, by the command's id."""
    return {"kind": "ack", "id": outcome.id, "status": outcome.status, "message": outcome.message}


def read(message: object) -> Request:
    """A screen's request: a Command, the workload to attach to ("all" for every one), or None: the page goes.

    Raises:
        ValueError: it is none of ours; the text names what is wrong with it.
    """
    if not isinstance(message, Mapping):
        raise ValueError(f"a request is a JSON object, not {type(message).__name__}")
    kind = message.get("kind")
    if kind == "attach":
        return _text(message, "workload") if message.get("workload") is not None else "all"
    if kind == "detach":
        return None
    if kind == "command":
        action = _text(message, "action")
        if action not in list(Action):  # a list: Python 3.11 refuses `in` with a text on the enum itself
            raise ValueError(f"unknown action {action!r}: this kernel knows {', '.join(Action)}")
        target = _text(message, "target") if message.get("target") is not None else None
        return Command(_text(message, "id"), _text(message, "workload"), Action(action), target)
    raise ValueError(f"unknown request {kind!r}: this kernel knows attach, command and detach (protocol {PROTOCOL})")


def _text(message: Mapping[Any, Any], name: str) -> str:
    value = message.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_ID:
        raise ValueError(f"the request's {name!r} must be a text of 1 to {_MAX_ID} characters")
    return value


def _changed(
    old: WorkloadSnapshot | JobSnapshot, new: WorkloadSnapshot | JobSnapshot, leave: tuple[str, ...] = ()
) -> dict[str, Json]:
    found = {
        f.name: encode(value)
        for f in fields(new)
        if f.name not in leave and (value := getattr(new, f.name)) is not (was := getattr(old, f.name)) and value != was
    }
    if "usage" in found:
        found["usage"] = _difference(encode(old.usage), found["usage"])
    return found


def _newer(old: tuple[Event, ...], new: tuple[Event, ...]) -> tuple[Event, ...]:
    last = old[-1].id if old else -1
    return tuple(event for event in new if event.id > last)
