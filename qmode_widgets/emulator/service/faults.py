"""Faults on demand: jobs that fail and requests that go wrong, by count or, for a soak test, by chance."""

from __future__ import annotations

import json
import math
import random
import re
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE")
Action = Literal["status", "drop", "truncate", "delay", "hang", "trickle", "html", "rewrite"]
LONGEST = 3600.0


@dataclass(slots=True)
class JobFault:
    """The next `count` submitted jobs fail.

    Args:
        count: how many jobs fail.
        code: the reason code.
        reason: the reason.
        solution: what to do about it.
        system: a system error is billed nothing, a user's error what the job consumed.
        tag: only jobs with this tag fail.
        skip: this many jobs pass first.
    """

    count: int = 1
    code: int = 9707
    reason: str = "A transient error occurred on the QPU."
    solution: str = "Submit the job again."
    system: bool = False
    tag: str | None = None
    skip: int = 0


@dataclass(slots=True)
class RequestFault:
    """What happens to the next `count` matching requests.

    Args:
        action: "status" answers with `status` (and `retry_after`); "drop" closes the connection without an answer;
            "truncate" closes it in the middle of the answer's body; "hang" gives no answer for `seconds`, then closes
            the connection; "trickle" sends the body a byte every `seconds`; "html" answers with `status` and an HTML
            page; "rewrite" changes the answer's JSON; "delay" only waits.
        method: only requests with this method.
        path: a regular expression for the path below the API's base. The token endpoint `/identity/token` is matched
            only by an expression that begins with `/identity`.
        when: before or after the request is carried out.
        count: how many requests.
        skip: this many matching requests pass first.
        status: the HTTP status of the answer.
        retry_after: the `Retry-After` header, in seconds.
        delay: this many seconds pass before anything else happens.
        seconds: the length of a "hang", or the time between the bytes of a "trickle".
        replace: for "rewrite", the new value at each path into the JSON. Steps of a path are separated by dots, `*`
            stands for every element of a list.
        remove: for "rewrite", the paths that are removed.
    """

    action: Action = "status"
    method: str | None = None
    path: str = ".*"
    when: Literal["before", "after"] = "before"
    count: int = 1
    skip: int = 0
    status: int = 503
    retry_after: float | None = None
    delay: float = 0.0
    seconds: float = 0.0
    replace: dict[str, Any] = field(default_factory=dict)
    remove: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.action not in get_args(Action):
            raise ValueError(f"action={self.action!r}: use one of {', '.join(get_args(Action))}")
        if self.method is not None and self.method not in METHODS:
            raise ValueError(f"method={self.method!r}: use one of {', '.join(METHODS)}, or None for all")
        if self.when not in ("before", "after"):
            raise ValueError(f"when={self.when!r}: use before or after")
        if self.action == "html":
            if not 200 <= self.status <= 599:
                raise ValueError(f"status={self.status!r}: use a status between 200 and 599")
        elif not 400 <= self.status <= 599:
            raise ValueError(f"status={self.status!r}: use an error status, 400 to 599")
        for name in ("delay", "seconds"):
            if not 0 <= getattr(self, name) <= LONGEST:
                raise ValueError(f"{name}={getattr(self, name)!r}: use seconds, 0 to {LONGEST:g}")
        if self.retry_after is not None and not 0 <= self.retry_after < math.inf:
            raise ValueError(f"retry_after={self.retry_after!r}: use seconds, 0 or more")
        if self.action == "rewrite" and not (self.replace or self.remove):
            raise ValueError("a rewrite needs paths to replace or to remove")
        try:
            re.compile(self.path)
        except re.error as error:
            raise ValueError(f"path={self.path!r} is not a regular expression: {error}") from None

    def matches(self, method: str, path: str) -> bool:
        """Return whether this fault is meant for a request."""
        if self.count <= 0 or self.method not in (None, method):
            return False
        if path.startswith("/identity/") and not self.path.startswith("/identity"):
            return False
        return re.fullmatch(self.path, path) is not None

    def rewritten(self, body: bytes) -> bytes:
        """Return a JSON body with its values replaced and removed; another body comes back as it is."""
        try:
            value = json.loads(body)
        except ValueError:
            return body
        for path, new in self.replace.items():
            for node, key in _places(value, path.split(".")):
                node[key] = new
        for path in self.remove:
            for node, key in _places(value, path.split(".")):
                node.pop(key, None)
        return json.dumps(value).encode()


def _places(node: Any, steps: list[str]) -> list[tuple[Any, Any]]:
    """Return the containers and keys that a path leads to."""
    step, *rest = steps
    keys: list[Any] = []
    if isinstance(node, list):
        keys = (
            list(range(len(node))) if step == "*" else [int(step)] if step.isdigit() and int(step) < len(node) else []
        )
    elif isinstance(node, dict):
        keys = [step] if not rest or step in node else []
    if not rest:
        return [(node, key) for key in keys]
    return [place for key in keys for place in _places(node[key], rest)]


# What an answer is about: the paths of its endpoints, and where its objects are in the JSON.
SUBJECTS: dict[str, tuple[tuple[str, str], ...]] = {
    "jobs": (("/jobs", "jobs.*."), (r"/jobs/[^/]+", "")),
    "metrics": ((r"/jobs/[^/]+/metrics", ""),),
    "sessions": (("/sessions", ""), (r"/sessions/[^/]+", "")),
    "workloads": (("/workloads", "workloads.*."),),
    "usage": (("/instances/usage", ""),),
    "backends": (("/backends", "devices.*."),),
}


@dataclass(slots=True)
class AnswerFault:
    """Answers say something else, until all faults end.

    Args:
        of: what the answers are about, one of `SUBJECTS`.
        fields: their fields: steps are separated by dots, `*` stands for every element of a list.
        words: the new value for each old one; another value stays.
        value: the new value, where `words` is empty.
        leave_out: whether the fields are left out instead.
    """

    of: str
    fields: list[str]
    words: dict[str, Any] = field(default_factory=dict)
    value: Any = None
    leave_out: bool = False

    def __post_init__(self) -> None:
        if self.of not in SUBJECTS:
            raise ValueError(f"of={self.of!r}: use one of {', '.join(SUBJECTS)}")

    def change(self, path: str, body: Any) -> None:
        """Change an answer's JSON."""
        for pattern, inside in SUBJECTS[self.of]:
            if re.fullmatch(pattern, path):
                for name in self.fields:
                    for node, key in _places(body, (inside + name).split(".")):
                        self._change(node, key)

    def _change(self, node: Any, key: Any) -> None:
        if self.leave_out:
            node.pop(key, None)
        elif not self.words:
            node[key] = self.value
        elif isinstance(node, dict) and isinstance(old := node.get(key), str) and old in self.words:
            node[key] = self.words[old]


@dataclass(slots=True)
class FaultPlan:
    """What is to go wrong. There is one for each server, changed through the admin endpoint."""

    seed: int = 0
    jobs: list[JobFault] = field(default_factory=list)
    requests: list[RequestFault] = field(default_factory=list)
    answers: list[AnswerFault] = field(default_factory=list)
    listing_lag: float = 0.0  # seconds by which listings lag behind
    soak: float = 0.0  # probability of a fault at every request and every job
    _random: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - reproducible faults, no secret

    def next_job(self, tags: list[str]) -> JobFault | None:
        """Return the fault of the job being submitted, if any."""
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

    def next_request(self, method: str, path: str) -> RequestFault | None:
        """Return the fault of a request, if any."""
        for fault in self.requests:
            if fault.matches(method, path):
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.count -= 1
                return fault
        if self.soak and not path.startswith("/identity/") and self._random.random() < self.soak:
            return self._by_chance()
        return None

    def _by_chance(self) -> RequestFault:
        when: Literal["before", "after"] = self._random.choice(("before", "after"))
        kind = self._random.choice(("429", "429+", "500", "503", "504", "drop", "truncate", "delay"))
        if kind.startswith("429"):
            return RequestFault(status=429, retry_after=1.0 if kind == "429+" else None)
        if kind == "drop":
            return RequestFault(action="drop", when=when)
        if kind == "truncate":
            return RequestFault(action="truncate", when="after")
        if kind == "delay":
            return RequestFault(action="delay", delay=self._random.uniform(0, 0.3))
        return RequestFault(status=int(kind), when=when)

    def altered(self, path: str, body: bytes) -> bytes:
        """Return an answer's JSON as it is to be sent."""
        if not any(re.fullmatch(pattern, path) for f in self.answers for pattern, _ in SUBJECTS[f.of]):
            return body
        value = json.loads(body)
        for fault in self.answers:
            fault.change(path, value)
        return json.dumps(value).encode()

    def add(self, kind: str, values: dict[str, Any]) -> None:
        """Add a fault from the admin endpoint's JSON.

        Raises:
            ValueError: the kind, a field or a value is unknown or of the wrong type.
        """
        kinds: dict[str, Any] = {"job": JobFault, "request": RequestFault, "answer": AnswerFault}
        if kind not in kinds:
            raise ValueError(f"kind={kind!r}: use one of {', '.join(kinds)}")
        known = {f.name for f in fields(kinds[kind])}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"a {kind} fault has no {name!r}; it has {', '.join(sorted(known))}")
            _check_type(name, value)
        if kind == "answer" and not {"of", "fields"} <= set(values):
            raise ValueError("an answer fault needs of and fields")
        plans: dict[str, list[Any]] = {"job": self.jobs, "request": self.requests, "answer": self.answers}
        plans[kind].append(kinds[kind](**values))

    def clear(self) -> None:
        """End all faults."""
        self.jobs.clear()
        self.requests.clear()
        self.answers.clear()
        self.listing_lag = self.soak = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the faults that are still to come."""
        return {
            "jobs": [asdict(f) for f in self.jobs if f.count > 0],
            "requests": [asdict(f) for f in self.requests if f.count > 0],
            "answers": [asdict(f) for f in self.answers],
            "listing_lag": self.listing_lag,
            "soak": self.soak,
        }


def _check_type(name: str, value: Any) -> None:
    if name in ("count", "code", "skip", "status"):
        good, kind = type(value) is int, "a whole number"
    elif name in ("delay", "seconds", "retry_after"):
        good, kind = type(value) in (int, float) or (name == "retry_after" and value is None), "a number of seconds"
    elif name == "value":
        return
    elif name in ("system", "leave_out"):
        good, kind = isinstance(value, bool), "true or false"
    elif name in ("replace", "words"):
        good, kind = isinstance(value, dict), "an object"
    elif name in ("remove", "fields"):
        good, kind = isinstance(value, list) and all(isinstance(v, str) for v in value), "a list of strings"
    else:
        good, kind = isinstance(value, str) or (name in ("tag", "method") and value is None), "a string"
    if not good:
        raise ValueError(f"{name}={value!r}: must be {kind}")
