"""Faults on demand, server side: jobs that fail, requests that go wrong, by count or, for a soak, by chance."""

from __future__ import annotations

import random
import re
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE")
ACTIONS = ("status", "drop", "truncate", "delay")


@dataclass(slots=True)
class JobFault:
    """The next `count` submissions (that carry `tag`, if given; after the first `skip`) end as failed jobs."""

    count: int = 1
    code: int = 9707
    reason: str = "A transient error occurred on the QPU."
    solution: str = "Submit the job again."
    system: bool = False  # a system error is billed nothing
    tag: str | None = None
    skip: int = 0


@dataclass(slots=True)
class HttpFault:
    """What happens to the next `count` matching requests, before or after they are carried out.

    `action`: "status" answers `status` (with `retry_after`), "drop" closes the connection without an answer,
    "truncate" closes it in the middle of the answer's body, "delay" only waits. `delay` seconds pass first in any case.
    """

    action: Literal["status", "drop", "truncate", "delay"] = "status"
    method: str | None = None
    path: str = ".*"  # a regular expression for the path below the API's base
    when: Literal["before", "after"] = "before"
    count: int = 1
    status: int = 503
    retry_after: float | None = None
    delay: float = 0.0

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise ValueError(f"action={self.action!r}: use one of {', '.join(ACTIONS)}")
        if self.method is not None and self.method not in METHODS:
            raise ValueError(f"method={self.method!r}: use one of {', '.join(METHODS)}, or None for all")
        if self.when not in ("before", "after"):
            raise ValueError(f"when={self.when!r}: use before or after")
        if not 400 <= self.status <= 599:
            raise ValueError(f"status={self.status!r}: use an error status, 400 to 599")
        if not 0 <= self.delay <= 600:
            raise ValueError(f"delay={self.delay!r}: use seconds, 0 to 600")
        try:
            re.compile(self.path)
        except re.error as error:
            raise ValueError(f"path={self.path!r} is no regular expression: {error}") from None

    def matches(self, method: str, path: str) -> bool:
        """Whether a request is one of those meant."""
        return self.count > 0 and self.method in (None, method) and re.fullmatch(self.path, path) is not None


@dataclass(slots=True)
class Faults:
    """What is to go wrong. One object a server; changed by the control endpoint."""

    seed: int = 0
    jobs: list[JobFault] = field(default_factory=list)
    requests: list[HttpFault] = field(default_factory=list)
    listing_lag: float = 0.0  # seconds by which listings lag behind
    soak: float = 0.0  # probability of a fault at every request and every job
    _random: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - reproducible faults, no secret

    def next_job(self, tags: list[str]) -> JobFault | None:
        """The fault of the job being submitted, if any."""
        for fault in self.jobs:
            if fault.count > 0 and (fault.tag is None or fault.tag in tags):
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.count -= 1
                return fault
        if self.soak and self._random.random() < self.soak:
            return JobFault(system=True)
        return None

    def next_request(self, method: str, path: str) -> HttpFault | None:
        """The fault of a request, if any."""
        for fault in self.requests:
            if fault.matches(method, path):
                fault.count -= 1
                return fault
        if self.soak and self._random.random() < self.soak:
            return self._by_chance()
        return None

    def _by_chance(self) -> HttpFault:
        when: Literal["before", "after"] = self._random.choice(("before", "after"))
        kind = self._random.choice(("429", "429+", "500", "503", "504", "drop", "truncate", "delay"))
        if kind.startswith("429"):
            return HttpFault(status=429, retry_after=1.0 if kind == "429+" else None)
        if kind == "drop":
            return HttpFault(action="drop", when=when)
        if kind == "truncate":
            return HttpFault(action="truncate", when="after")
        if kind == "delay":
            return HttpFault(action="delay", delay=self._random.uniform(0, 0.3))
        return HttpFault(status=int(kind), when=when)

    def add(self, kind: str, values: dict[str, Any]) -> None:
        """Add a fault from the control endpoint's JSON.

        Raises:
            ValueError: an unknown kind, field or value.
        """
        if kind not in ("job", "request"):
            raise ValueError(f"kind={kind!r}: use job or request")
        known = {f.name for f in fields(JobFault if kind == "job" else HttpFault)}
        if unknown := sorted(set(values) - set(known)):
            raise ValueError(f"a {kind} fault has no {unknown[0]!r}; it has {', '.join(sorted(known))}")
        for name in ("count", "code", "skip", "status"):
            if name in values and type(values[name]) is not int:
                raise ValueError(f"{name}={values[name]!r}: must be a whole number")
        if kind == "job":
            self.jobs.append(JobFault(**values))
        else:
            self.requests.append(HttpFault(**values))

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        self.jobs.clear()
        self.requests.clear()
        self.listing_lag = self.soak = 0.0

    def to_dict(self) -> dict[str, Any]:
        """What is still to come."""
        return {
            "jobs": [asdict(f) for f in self.jobs if f.count > 0],
            "requests": [asdict(f) for f in self.requests if f.count > 0],
            "listing_lag": self.listing_lag,
            "soak": self.soak,
        }
