"""IBM's JSON, read with care: a field may be missing, null or of another kind."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar
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
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if good else None  # type: ignore[return-value]


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
        code, message, solution = first.get("code"), str(first.get("message", "")), text(first.get("solution"))
        if isinstance(code, str) and code.isdigit():
            code = int(code)
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


# --- parsed once --------------------------------------------------------------------------------------------------


class _Reader:
    """Reads the fields of one JSON object by their kinds, and keeps what does not fit.

    A field that is missing or null is unknown. One of another kind is unknown as well, and named in `problems`: an
    entry with a nonsensical usage has still ended, but nobody may take its usage for known.
    """

    def __init__(self, data: object, what: str, problems: list[str] | None = None) -> None:
        if not isinstance(data, dict):
            raise WrongAnswerError(f"{what} is {_brief(data)}, not an object")
        self._data: Json = data
        self.what = what
        self.problems: list[str] = [] if problems is None else problems

    def __contains__(self, name: str) -> bool:
        return self._data.get(name) is not None

    def wrong(self, name: str, why: str) -> None:
        self.problems.append(f"{self.what} has {name} {_brief(self._data.get(name))}: {why}")

    def id(self, name: str = "id") -> str:
        """A text that must be there.

        Raises:
            WrongAnswerError: it is not.
        """
        found = self._data.get(name)
        if not isinstance(found, str) or not found:
            raise WrongAnswerError(f"{self.what} has {name} {_brief(found)}: not a text")
        return found

    def text(self, name: str) -> str | None:
        found = self._data.get(name)
        if found is not None and not isinstance(found, str):
            self.wrong(name, "not a text")
            return None
        return found

    def flag(self, name: str) -> bool | None:
        found = self._data.get(name)
        if found is not None and not isinstance(found, bool):
            self.wrong(name, "neither true nor false")
            return None
        return found

    def seconds(self, name: str) -> float | None:
        """A length of time: a finite number, not negative."""
        found = self._data.get(name)
        if found is None:
            return None
        if (good := number(found)) is None or good < 0:
            self.wrong(name, "not a number of seconds")
            return None
        return good

    def time(self, name: str) -> float | None:
        """A point in time, as seconds since the epoch."""
        found = self._data.get(name)
        if found is not None and (at := seconds(found)) is not None:
            return at
        if found is not None:
            self.wrong(name, "not a time")
        return None

    def code(self, *names: str) -> int | None:
        """A code: a whole number, or a text of digits."""
        for name in names:
            found = self._data.get(name)
            if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) < 10:
                return int(found)
            if isinstance(found, int) and not isinstance(found, bool):
                return found
            if found is not None:
                self.wrong(name, "not a code")
        return None

    def inner(self, name: str) -> _Reader:
        """An object inside this one; where it is missing, one without fields."""
        found = self._data.get(name)
        if found is not None and not isinstance(found, dict):
            self.wrong(name, "not an object")
            found = None
        return _Reader(found or {}, self.what, self.problems)

    def items(self, name: str) -> list[object]:
        """A list; where it is missing, an empty one."""
        found = self._data.get(name)
        if found is not None and not isinstance(found, list):
            self.wrong(name, "not a list")
            return []
        return found or []

    def entries(self, name: str) -> list[object]:
        """A list that must be there.

        Raises:
            WrongAnswerError: it is not.
        """
        found = self._data.get(name)
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
        r = _Reader(data, "a transition")
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

    @property
    def closed(self) -> bool:
        """It has ended: it never reopens."""
        return self.state == "closed"

    @property
    def opened_at(self) -> float | None:
        """When it was opened."""
        return self.transitions[0].at if self.transitions else None

    @classmethod
    def of(cls, data: object) -> Session:
        """Parse the session object.

        Raises:
            WrongAnswerError: it is no object, or without an id or a state.
        """
        r = _Reader(data, "the session object")
        id_ = r.id()
        r.what = f"the session {id_}"
        moves, unread = _parsed(r.items("timestamps"), Transition.of)
        r.problems += unread
        return cls(
            id=id_,
            mode=r.text("mode"),
            backend=r.text("backend_name"),
            state=r.id("state"),
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
            problems=(*r.problems, *_all_problems(moves)),
        )


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
    status: str  # the service's word
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

    @classmethod
    def of(cls, data: object) -> Job:
        """Parse a job object.

        Raises:
            WrongAnswerError: it is no object, or without an id or a status.
        """
        r = _Reader(data, "a job")
        id_ = r.id()
        r.what = f"job {id_}"
        state = r.inner("state")
        tags = tuple(t for t in r.items("tags") if isinstance(t, str))
        if len(tags) != len(r.items("tags")):
            r.wrong("tags", "not all are texts")
        return cls(
            id=id_,
            status=(state if "status" in state else r).id("status"),
            backend=r.text("backend"),
            program=r.inner("program").text("id"),
            session_id=r.text("session_id"),
            reason=state.text("reason"),
            reason_code=state.code("reason_code", "reasonCode"),
            reason_solution=state.text("reason_solution") or state.text("reasonSolution"),
            created=r.time("created"),
            ended=r.time("ended"),
            tags=tags,
            private=bool(r.flag("private")),
            estimated=r.seconds("estimated_running_time_seconds"),
            usage=JobUsage._of(r.inner("usage")),
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
        r = _Reader(data, "the list of jobs")
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
        r = _Reader(data, f"the metrics of job {job_id}")
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
    """An entry of `GET /workloads`: a job in job mode, a session or a batch."""

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

    @classmethod
    def of(cls, data: object) -> Workload:
        """Parse one entry.

        Raises:
            WrongAnswerError: it is no object, or without an id, a mode or a status.
        """
        r = _Reader(data, "a workload")
        id_ = r.id()
        r.what = f"workload {id_}"
        return cls(
            id=id_,
            mode=r.id("mode"),
            status=r.id("status"),
            backend=r.text("backend"),
            created=r.time("created"),
            ended=r.time("ended"),
            usage=r.seconds("usage_seconds"),
            accepting_jobs=r.flag("accepting_jobs"),
            tags=tuple(t for t in r.items("tags") if isinstance(t, str)),
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
        r = _Reader(data, "the list of workloads")
        found, problems = _parsed(r.entries("workloads"), Workload.of)
        following = as_dict(data).get("next")
        cursor = as_dict(following).get("href") if isinstance(following, dict) else following
        if cursor is not None and not isinstance(cursor, str):
            r.wrong("next", "not a cursor")
            cursor = None
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
        r = _Reader(data, "the instance's usage")
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
