"""IBM's JSON, read with care: a field may be missing, null, of another kind, or a word that nobody here knows.

`SHAPES` is the one table of the fields that are read: what IBM's specification promises of each, and the words that are
known. Nothing else is read. A word that is not known is kept as it came; a value that cannot be used counts as unknown
and is named in `problems`.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, TypeVar
from urllib.parse import parse_qs, urlsplit

import urllib3

from ..errors import ServiceError, WrongAnswerError

Json = dict[str, Any]


def seconds(stamp: object) -> float | None:
    """The service's ISO time as seconds since the epoch; None where it has none."""
    if not isinstance(stamp, str):
        return None
    try:
        found = datetime.fromisoformat(stamp)
        return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def number(value: object) -> float | int | None:
    """A finite number as it is; None for anything else."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # a whole number beyond every float
        return None


def as_dict(value: object) -> Json:
    """A JSON object as it is; an empty one for anything else: the service may leave it out."""
    return value if isinstance(value, dict) else {}


def text(value: object) -> str | None:
    """As text; None stays None."""
    return None if value is None else str(value)


class Answer(Protocol):
    """What an HTTP client gives."""

    @property
    def status_code(self) -> int:
        """HTTP's."""
        ...

    @property
    def reason(self) -> str:
        """HTTP's word for it."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """By names in any case."""
        ...

    @property
    def text(self) -> str:
        """The body."""
        ...

    def json(self) -> Any:
        """The body's JSON."""
        ...


def error_of(answer: Answer) -> ServiceError:
    """The service's code, message and solution from an error body; `code` may be a string."""
    code: int | str | None = None
    message, solution = "", None
    try:
        first = answer.json()["errors"][0]
        code, message, solution = first.get("code"), text(first.get("message")) or "", text(first.get("solution"))
        if isinstance(code, str) and code.isascii() and code.isdigit():
            code = int(code)
        elif code is not None and (not isinstance(code, int) or isinstance(code, bool)):
            code = str(code)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        message = _page_title(answer.text) or answer.text.strip()[:300]
    return ServiceError(
        message or str(answer.reason),
        status=answer.status_code,
        code=code,
        solution=solution,
        retry_after=_retry_after(answer.headers.get("Retry-After")),
    )


def _page_title(text: str) -> str | None:
    """Of a proxy's or gateway's page its title, for nobody reads its markup; None where it is no page."""
    if not text.lstrip()[:100].lower().startswith(("<!doctype", "<html", "<head", "<?xml")):
        return None
    found = re.search(r"<title[^>]*>(.*?)</title>", text[:20_000], re.IGNORECASE | re.DOTALL)
    title = "" if found is None else " ".join(html.unescape(found[1]).split())[:300]
    return title or "a web page without a title, instead of an answer"


LONGEST_WAIT = 60.0  # seconds: asking once a minute is no burden, and caps must not be blind for a day


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait, from either form of the header, a minute at most; None where it is missing or unreadable."""
    if value is None:
        return None
    try:
        return float(min(LONGEST_WAIT, urllib3.Retry().parse_retry_after(value)))
    except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
        return None


# --- what IBM promises ------------------------------------------------------------------------------------------

Kind = Literal["id", "text", "word", "flag", "seconds", "time", "code", "object", "list"]
Promise = Literal["required", "nullable", "optional"]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of IBM's JSON that is read here.

    Args:
        path: where it is in its object; steps are separated by dots.
        kind: how it is read. A "word" is one of a few texts, an "id" a text without which the object cannot be used.
        promise: in its object "required": always there and not null; "nullable": there, perhaps null; "optional": may
            be left out, and was also seen as null. Source: IBM's OpenAPI document 0.45.3 for `IBM-API-Version:
            2026-04-15`.
        words: those that are known of a "word": the specification's first, then those seen elsewhere.
        instead: the field that replaces this one, which is deprecated.
    """

    path: str
    kind: Kind
    promise: Promise = "optional"
    words: tuple[str, ...] = ()
    instead: str | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """An object of IBM's JSON.

    Args:
        answers: which answers hold it: the method and path of the endpoint, and the list in the answer whose entries
            they are; "" where the answer itself is the object.
        fields: all that is read of it.
        others: what else the specification has at its top, and nobody reads.
    """

    answers: tuple[tuple[str, str], ...]
    fields: tuple[Field, ...]
    others: tuple[str, ...] = ()


RAN_TOO_LONG = "Cancelled - Ran too long"
LIVE_SESSION = ("open", "active", "inactive", "pending_inactive", "pending_closed")
OVER_SESSION = ("closed", "canceled", "cancelled")
JOB_WORDS = ("Queued", "Running", "Completed", "Cancelled", RAN_TOO_LONG, "Failed")
BILLING = ("pending", "complete")
_JOB_USAGE = (
    Field("usage", "object"),
    Field("usage.status", "word", words=BILLING),
    Field("usage.qpu_charge_time_seconds", "seconds"),
)

SHAPES = {
    "session": Shape(
        (("GET /sessions/{id}", ""), ("POST /sessions", "")),
        (
            Field("id", "id", "required"),
            Field("mode", "word", "required", ("batch", "dedicated")),
            Field("backend_name", "text", "nullable"),
            Field("state", "word", words=(*LIVE_SESSION[:3], "closed", *LIVE_SESSION[3:], *OVER_SESSION[1:])),
            Field("state_reason", "text"),
            Field("accepting_jobs", "flag"),
            Field("interactive_ttl", "seconds"),
            Field("max_ttl", "seconds"),
            Field("active_ttl", "seconds"),
            Field("started_at", "time"),
            Field("activated_at", "time"),
            Field("closed_at", "time"),
            Field("last_job_completed", "time"),
            Field("elapsed_time", "seconds"),
            Field("timestamps", "list"),
            Field("user_id", "text"),
        ),
        ("last_job_started",),
    ),
    "transition": Shape(
        (("GET /sessions/{id}", "timestamps"),),
        (
            Field("status", "id", "required", words=(*LIVE_SESSION, *OVER_SESSION)),
            Field("timestamp", "time", "required"),
        ),
    ),
    "job": Shape(
        (("GET /jobs", "jobs"), ("GET /jobs/{id}", "")),
        (
            Field("id", "id", "required"),
            Field("status", "word", "required", JOB_WORDS),
            Field("state", "object", "required"),
            Field("state.status", "word", "required", JOB_WORDS),
            Field("state.reason", "text"),
            Field("state.reason_code", "code"),
            Field("state.reasonCode", "code", instead="state.reason_code"),
            Field("state.reason_solution", "text"),
            Field("state.reasonSolution", "text", instead="state.reason_solution"),
            Field("backend", "text"),
            Field("program", "object", "required"),
            Field("program.id", "text", "required"),
            Field("session_id", "text"),
            Field("created", "time", "required"),
            Field("ended", "time"),  # not in the specification; seen
            Field(
                "simulation", "object"
            ),  # of the embedded service alone, where it did not simulate the circuit exactly
            Field("simulation.description", "text"),
            Field("tags", "list"),
            Field("private", "flag"),
            Field("estimated_running_time_seconds", "seconds"),
            *_JOB_USAGE,
            Field("user_id", "text"),
        ),
        ("params", "runtime", "cost", "remote_storage", "calibration_id"),
    ),
    "jobs": Shape(
        (("GET /jobs", ""),), (Field("jobs", "list", "required"), Field("count", "code")), ("offset", "limit")
    ),
    "metrics": Shape(
        (("GET /jobs/{id}/metrics", ""),),
        (
            Field("timestamps", "object"),
            Field("timestamps.created", "time"),
            Field("timestamps.running", "time"),
            Field("timestamps.finished", "time"),
            *_JOB_USAGE,
        ),
        ("caller", "circuits_execution_time_ns", "qiskit_version"),
    ),
    "workload": Shape(
        (("GET /workloads", "workloads"),),
        (
            Field("id", "id", "required"),
            Field("mode", "word", "required", ("job", "session", "batch")),
            Field(
                "status", "word", "required", ("completed", "canceled", "failed", "pending", "in_progress", "unknown")
            ),
            Field("backend", "text", "required"),
            Field("created", "time", "required"),
            Field("ended", "time"),
            Field("usage", "object"),
            Field("usage.qpu_charge_time_seconds", "seconds", "required"),
            Field("usage_seconds", "seconds", instead="usage.qpu_charge_time_seconds"),
            Field("accepting_jobs", "flag"),
            Field("tags", "list"),
            Field("user_id", "text", "required"),
        ),
        ("instance", "status_reason", "estimated_running_time_seconds"),
    ),
    "workloads": Shape(
        (("GET /workloads", ""),),
        (Field("workloads", "list", "required"), Field("next", "object"), Field("next.href", "text")),
        ("total_count", "limit", "previous"),
    ),
    "instance usage": Shape(
        (("GET /instances/usage", ""),),
        (
            Field("usage_consumed_seconds", "seconds", "required"),
            Field("usage_allocation_seconds", "seconds"),
            Field("usage_limit_seconds", "seconds"),
            Field("usage_limit_reached", "flag"),
            Field("usage_period", "object"),
            Field("usage_period.start_time", "time"),
            Field("usage_period.end_time", "time"),
        ),
        ("instance_id", "plan_id"),
    ),
}
UNKNOWN = "unknown"  # a status or mode that the service did not tell


# --- parsed once --------------------------------------------------------------------------------------------------


def _kinds(shape: Shape) -> dict[str, dict[str, Kind]]:
    """By the object that they are in ("" or "state."), the kind of each field; a word is read as a text."""
    found: dict[str, dict[str, Kind]] = {}
    for told in shape.fields:
        inside, dot, name = told.path.rpartition(".")
        found.setdefault(inside + dot, {})[name] = "text" if told.kind == "word" else told.kind
    return found


_KINDS = {name: _kinds(shape) for name, shape in SHAPES.items()}


class _Reader:
    """Reads the fields of one JSON object by the kinds that `SHAPES` says, and keeps what does not fit.

    A field that is missing or null is unknown. One of another kind is unknown as well, and named in `problems`: an
    entry with a nonsensical usage has still ended, but nobody may take its usage for known.
    """

    __slots__ = ("_data", "_inside", "_kinds", "_shape", "problems", "what")  # thousands are made in a second

    def __init__(
        self, data: object, what: str, shape: str, problems: list[str] | None = None, inside: str = ""
    ) -> None:
        if not isinstance(data, dict):
            raise WrongAnswerError(f"{what} is {_brief(data)}, not an object")
        self._data: Json = data
        self._shape, self._inside = shape, inside
        self._kinds = _KINDS[shape][inside]
        self.what = what
        self.problems: list[str] = [] if problems is None else problems

    def _told(self, name: str, kind: Kind) -> object:
        if self._kinds[name] != kind:
            raise KeyError(f"{self._inside}{name} is not read as {kind} in the table of fields")
        return self._data.get(name)

    def wrong(self, name: str, why: str) -> None:
        self.problems.append(f"{self.what} has {name} {_brief(self._data.get(name))}: {why}")

    def id(self, name: str = "id") -> str:
        """A text that must be there.

        Raises:
            WrongAnswerError: it is not.
        """
        found = self._told(name, "id")
        if not isinstance(found, str) or not found:
            raise WrongAnswerError(f"{self.what} has {name} {_brief(found)}: not a text")
        return found

    def text(self, name: str) -> str | None:
        """A text, or a word as it came, known or not."""
        found = self._told(name, "text")
        if found is not None and not isinstance(found, str):
            self.wrong(name, "not a text")
            return None
        return found or None

    def flag(self, name: str) -> bool | None:
        found = self._told(name, "flag")
        if found is not None and not isinstance(found, bool):
            self.wrong(name, "neither true nor false")
            return None
        return found

    def seconds(self, name: str) -> float | None:
        """A length of time: a finite number, not negative."""
        found = self._told(name, "seconds")
        if found is None:
            return None
        if (good := number(found)) is None or good < 0:
            self.wrong(name, "not a number of seconds")
            return None
        return good

    def time(self, name: str) -> float | None:
        """A point in time, as seconds since the epoch."""
        found = self._told(name, "time")
        if found is not None and (at := seconds(found)) is not None:
            return at
        if found is not None:
            self.wrong(name, "not a time")
        return None

    def code(self, *names: str) -> int | None:
        """A code: a whole number, or a text of digits; the first that is told."""
        for name in names:
            found = self._told(name, "code")
            if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) < 10:
                return int(found)
            if isinstance(found, int) and not isinstance(found, bool):
                return found
            if found is not None:
                self.wrong(name, "not a code")
        return None

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        found = self.items(name)
        good = tuple(entry for entry in found if isinstance(entry, str))
        if len(good) != len(found):
            self.wrong(name, "not all are texts")
        return good

    def inner(self, name: str) -> _Reader:
        """An object inside this one; where it is missing, one without fields."""
        found = self._told(name, "object")
        if found is not None and not isinstance(found, dict):
            self.wrong(name, "not an object")
            found = None
        return _Reader(found or {}, self.what, self._shape, self.problems, f"{self._inside}{name}.")

    def items(self, name: str) -> list[object]:
        """A list; where it is missing, an empty one."""
        found = self._told(name, "list")
        if found is not None and not isinstance(found, list):
            self.wrong(name, "not a list")
            return []
        return found or []

    def entries(self, name: str) -> list[object]:
        """A list that must be there.

        Raises:
            WrongAnswerError: it is not.
        """
        found = self._told(name, "list")
        if not isinstance(found, list):
            raise WrongAnswerError(f"{self.what} has {name} {_brief(found)}: not a list")
        return found


def _brief(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}…"


@dataclass(frozen=True, slots=True)
class Transition:
    """A workload came to be in `state` at this time (seconds since the epoch); None where the service does not say."""

    state: str
    at: float | None
    problems: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: object) -> Transition:
        """Parse an entry of a session's `timestamps`.

        Raises:
            WrongAnswerError: it is no object, or without a status.
        """
        r = _Reader(data, "a transition", "transition")
        return cls(r.id("status"), r.time("timestamp"), tuple(r.problems))


@dataclass(frozen=True, slots=True)
class Session:
    """A session or batch, by `GET /sessions/{id}`. Lengths in seconds, times since the epoch; None: unknown."""

    id: str
    mode: str | None = None  # "dedicated" or "batch"
    backend: str | None = None
    state: str | None = None
    state_reason: str | None = None
    accepting_jobs: bool | None = None
    interactive_ttl: float | None = None
    max_ttl: float | None = None
    active_ttl: float | None = None
    started_at: float | None = None
    activated_at: float | None = None
    closed_at: float | None = None
    last_job_completed: float | None = None
    elapsed_time: float | None = None
    transitions: tuple[Transition, ...] = ()
    problems: tuple[str, ...] = ()
    user: str | None = None  # the id of who opened it

    @property
    def closed(self) -> bool:
        """It has ended: it never reopens.

        A word that says so, or a closing time beside a word that is missing or unknown. A time beside a live state is
        not believed: a workload that is taken for closed goes on being billed unseen.
        """
        return self.state in OVER_SESSION or (self.state not in LIVE_SESSION and self.closed_at is not None)

    @property
    def opened_at(self) -> float | None:
        """When it was opened."""
        return self.transitions[0].at if self.transitions else None

    def active_deadline(self, seen: float, *, falls: bool | None = None) -> float | None:
        """When the service will end the active stretch, in seconds since the epoch; never too early.

        IBM's specification calls `active_ttl` the remaining time, the client's documentation the maximum. `falls` is
        what `active_ttl_falls` found of it; as long as that is not known the later of both times counts.

        Args:
            seen: when the service gave this answer.
            falls: whether `active_ttl` is what remains.
        """
        if self.state != "active" or self.active_ttl is None:
            return None
        if falls is False:
            return None if self.activated_at is None else self.activated_at + self.active_ttl
        return max(seen, self.activated_at or seen) + self.active_ttl

    @classmethod
    def of(cls, data: object) -> Session:
        """Parse the session object.

        Raises:
            WrongAnswerError: it is no object, or without an id.
        """
        r = _Reader(data, "the session object", "session")
        id_ = r.id()
        r.what = f"the session {id_}"
        moves, unread = _parsed(r.items("timestamps"), Transition.of)
        r.problems += unread
        return cls(
            id=id_,
            mode=r.text("mode"),
            backend=r.text("backend_name"),
            state=r.text("state"),
            state_reason=r.text("state_reason"),
            accepting_jobs=r.flag("accepting_jobs"),
            interactive_ttl=r.seconds("interactive_ttl"),
            max_ttl=r.seconds("max_ttl"),
            active_ttl=r.seconds("active_ttl"),
            started_at=r.time("started_at"),
            activated_at=r.time("activated_at"),
            closed_at=r.time("closed_at"),
            last_job_completed=r.time("last_job_completed"),
            elapsed_time=r.seconds("elapsed_time"),
            transitions=tuple(moves),
            user=r.text("user_id"),
            problems=(*r.problems, *_all_problems(moves)),
        )


FALLS_AFTER = 4.0  # seconds: the service may count in whole ones


def active_ttl_falls(earlier: Session, later: Session, apart: float) -> bool | None:
    """Whether `active_ttl` falls while a workload is active: True: it is what remains; False: it is the maximum.

    None: these two answers do not tell. They must be of one active stretch and some seconds apart.

    Args:
        earlier: an answer about a workload.
        later: a later one about the same workload.
        apart: seconds between them.
    """
    same = earlier.id == later.id and earlier.activated_at == later.activated_at
    if not same or not earlier.state == later.state == "active" or apart < FALLS_AFTER:
        return None
    if earlier.active_ttl is None or later.active_ttl is None or later.active_ttl > earlier.active_ttl:
        return None
    return earlier.active_ttl - later.active_ttl > apart / 2


@dataclass(frozen=True, slots=True)
class JobUsage:
    """QPU seconds of a job; None: not told, or not told so that it could be understood."""

    seconds: float | None = None
    final: bool = False  # the service says that it will not change

    @classmethod
    def _of(cls, r: _Reader) -> JobUsage:
        status = r.text("status")
        used = r.seconds("qpu_charge_time_seconds")
        if status == "complete" and used is None:
            r.problems.append(f"{r.what} has its complete usage, and does not say how much")
        return cls(used, status == "complete" and used is not None)


@dataclass(frozen=True, slots=True)
class Job:
    """A job without its inputs, by listings and `GET /jobs/{id}`. Lengths in seconds, times since the epoch."""

    id: str
    status: str  # the service's word as it came, of the two that it gives the one that says more
    backend: str | None = None
    program: str | None = None
    session_id: str | None = None
    reason: str | None = None
    reason_code: int | None = None
    reason_solution: str | None = None
    created: float | None = None
    ended: float | None = None
    tags: tuple[str, ...] = ()
    private: bool = False
    estimated: float | None = None  # the service's own estimate of its running time
    usage: JobUsage = JobUsage()
    problems: tuple[str, ...] = ()
    user: str | None = None  # the id of who submitted it
    simulation: str | None = None  # how the embedded service simulated it, where not exactly

    @property
    def ran_too_long(self) -> bool:
        """The service ended it because it ran longer than its cost.

        The service said so by the code 1305, and in the issues 989 and 2673 of qiskit-ibm-runtime by words alone.
        """
        words = f"{self.status} {self.reason or ''}".casefold()
        return self.reason_code == 1305 or (self.status.startswith("Cancelled") and "ran too long" in words)

    @classmethod
    def of(cls, data: object) -> Job:
        """Parse a job object.

        Raises:
            WrongAnswerError: it is no object, or without an id.
        """
        r = _Reader(data, "a job", "job")
        id_ = r.id()
        r.what = f"job {id_}"
        state = r.inner("state")
        short, long = state.text("status"), r.text("status")
        if short is None or (long is not None and long.startswith(short)):
            short = long  # "Cancelled - Ran too long" says more than "Cancelled"
        if short is None:
            r.problems.append(f"{r.what} has no status")
        return cls(
            id=id_,
            status=short or UNKNOWN,
            backend=r.text("backend"),
            program=r.inner("program").text("id"),
            session_id=r.text("session_id"),
            reason=state.text("reason"),
            reason_code=state.code("reason_code", "reasonCode"),
            reason_solution=state.text("reason_solution") or state.text("reasonSolution"),
            created=r.time("created"),
            ended=r.time("ended"),
            tags=r.texts("tags"),
            private=bool(r.flag("private")),
            estimated=r.seconds("estimated_running_time_seconds"),
            usage=JobUsage._of(r.inner("usage")),
            user=r.text("user_id"),
            simulation=r.inner("simulation").text("description"),
            problems=tuple(r.problems),
        )


@dataclass(frozen=True, slots=True)
class JobPage:
    """One page of jobs. An entry that is no job is left out and named in `problems`; `listed` counts it too."""

    jobs: tuple[Job, ...]
    listed: int
    count: int | None
    problems: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: object) -> JobPage:
        """Parse the answer to `GET /jobs`.

        Raises:
            WrongAnswerError: it has no list of jobs.
        """
        r = _Reader(data, "the list of jobs", "jobs")
        found, problems = _parsed(r.entries("jobs"), Job.of)
        return cls(
            tuple(found), len(r.entries("jobs")), r.code("count"), (*r.problems, *problems, *_all_problems(found))
        )


@dataclass(frozen=True, slots=True)
class Metrics:
    """A job's times (seconds since the epoch) and its usage."""

    created: float | None = None
    running: float | None = None
    finished: float | None = None
    usage: JobUsage = JobUsage()
    problems: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: object, job_id: str = "?") -> Metrics:
        """Parse the answer to `GET /jobs/{id}/metrics`.

        Raises:
            WrongAnswerError: it is no object.
        """
        r = _Reader(data, f"the metrics of job {job_id}", "metrics")
        times = r.inner("timestamps")
        return cls(
            created=times.time("created"),
            running=times.time("running"),
            finished=times.time("finished"),
            usage=JobUsage._of(r.inner("usage")),
            problems=tuple(r.problems),
        )


@dataclass(frozen=True, slots=True)
class Workload:
    """An entry of `GET /workloads`: a job in job mode, a session or a batch.

    `mode` and `status` are the service's words as they came, "unknown" where it gives none.
    """

    id: str
    mode: str
    status: str
    backend: str | None = None
    created: float | None = None
    ended: float | None = None
    usage: float | None = None  # seconds
    accepting_jobs: bool | None = None
    tags: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    user: str | None = None  # the id of who opened it

    @classmethod
    def of(cls, data: object) -> Workload:
        """Parse one entry.

        Raises:
            WrongAnswerError: it is no object, or without an id.
        """
        r = _Reader(data, "a workload", "workload")
        id_ = r.id()
        r.what = f"workload {id_}"
        mode, status = r.text("mode"), r.text("status")
        r.problems += [f"{r.what} has no {name}" for name, word in (("mode", mode), ("status", status)) if word is None]
        used, before = r.inner("usage").seconds("qpu_charge_time_seconds"), r.seconds("usage_seconds")
        return cls(
            id=id_,
            mode=mode or UNKNOWN,
            status=status or UNKNOWN,
            backend=r.text("backend"),
            created=r.time("created"),
            ended=r.time("ended"),
            usage=before if used is None else used,
            accepting_jobs=r.flag("accepting_jobs"),
            tags=r.texts("tags"),
            user=r.text("user_id"),
            problems=tuple(r.problems),
        )


@dataclass(frozen=True, slots=True)
class WorkloadPage:
    """One page of workloads, and the cursor of the next one."""

    workloads: tuple[Workload, ...]
    next: str | None
    problems: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: object) -> WorkloadPage:
        """Parse the answer to `GET /workloads`.

        Raises:
            WrongAnswerError: it has no list of workloads.
        """
        r = _Reader(data, "the list of workloads", "workloads")
        found, problems = _parsed(r.entries("workloads"), Workload.of)
        following = as_dict(data).get("next")
        cursor = following if isinstance(following, str) else r.inner("next").text("href")
        if cursor is not None:  # the service gives it by itself, or in the query of the next page's address
            cursor = parse_qs(urlsplit(cursor).query).get("next", [cursor])[0]
        return cls(tuple(found), cursor or None, (*r.problems, *problems, *_all_problems(found)))


@dataclass(frozen=True, slots=True)
class InstanceUsage:
    """What an instance used and may use, in seconds. An allocation is a share, only a limit stops."""

    consumed: float | None = None
    allocation: float | None = None
    limit: float | None = None
    limit_reached: bool = False
    period_start: float | None = None
    period_end: float | None = None
    problems: tuple[str, ...] = ()

    @property
    def left(self) -> float | None:
        """Seconds that may still be used; None where no limit is told, or what was consumed is not known."""
        if self.limit_reached:
            return 0.0
        if self.limit is None or self.consumed is None:
            return None
        return max(0.0, self.limit - self.consumed)

    @classmethod
    def of(cls, data: object) -> InstanceUsage:
        """Parse the answer to `GET /instances/usage`.

        Raises:
            WrongAnswerError: it is no object.
        """
        r = _Reader(data, "the instance's usage", "instance usage")
        period = r.inner("usage_period")
        return cls(
            consumed=r.seconds("usage_consumed_seconds"),
            allocation=r.seconds("usage_allocation_seconds"),
            limit=r.seconds("usage_limit_seconds"),
            limit_reached=bool(r.flag("usage_limit_reached")),
            period_start=period.time("start_time"),
            period_end=period.time("end_time"),
            problems=tuple(r.problems),
        )


class _Parsed(Protocol):
    @property
    def problems(self) -> tuple[str, ...]: ...


_P = TypeVar("_P", bound=_Parsed)


def _parsed(entries: Sequence[object], parse: Callable[[object], _P]) -> tuple[list[_P], list[str]]:
    """One entry that cannot be read must not keep the others from view."""
    found: list[_P] = []
    problems: list[str] = []
    for entry in entries:
        try:
            found.append(parse(entry))
        except WrongAnswerError as error:
            problems.append(str(error))
    return found, problems


def _all_problems(found: Sequence[_Parsed]) -> list[str]:
    return [text for entry in found for text in entry.problems]
