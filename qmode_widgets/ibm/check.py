"""What is read of an account before anyone trusts this package with money: GET requests only, nothing costs anything.

Each thing that is looked at becomes a `Row`; a row that is not in order says what to do, and what does not work until
then. Answers are compared with the table of fields in `wire.SHAPES`.
"""

from __future__ import annotations

import re
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import requests
from qiskit_ibm_runtime import QiskitRuntimeService

from ..errors import QmodeError, ServiceError, UnreachableError, WrongAnswerError, printable
from .client import adoption_test, origin_of, self_test
from .link import API_VERSION, Link, ask, link_of
from .wire import SHAPES, Field, InstanceUsage, Json, number, seconds

State = Literal["ok", "warning", "failed", "not checked"]
MARKS = {"ok": "ok", "warning": "WARN", "failed": "FAIL", "not checked": "–"}
WIDTH = 100  # of the page, in columns
CLOCK = 5.0  # seconds that the clocks may differ
SLOW = 5.0  # seconds in which an answer should be there
MOST = 6  # deviations that a row names


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was looked at.

    Args:
        section: the heading it belongs under.
        name: what was looked at.
        state: "failed": something of this package will not work; "warning": it may not.
        found: what was found.
        remedy: what to do about it.
        consequence: what does not work until then.
    """

    section: str
    name: str
    state: State
    found: str
    remedy: str | None = None
    consequence: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """All rows. Its text is a page that holds no id, name, CRN or token, and can be pasted into an issue."""

    rows: tuple[Row, ...]
    made: datetime

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not any(row.state == "failed" for row in self.rows)

    @property
    def text(self) -> str:
        """The page."""
        count = Counter(row.state for row in self.rows)
        told = ", ".join(
            f"{count[state]} {state}" for state in ("ok", "warning", "failed", "not checked") if count[state]
        )
        lines = [
            f"qmode_widgets check, {self.made:%Y-%m-%d %H:%M} UTC: {told}",
            "Read-only: nothing was submitted, changed or billed. Ids, names, CRNs and tokens are replaced.",
        ]
        section = ""
        for row in self.rows:
            if row.section != section:
                section = row.section
                lines += ["", section]
            lines += _lines(row)
        broken = list(dict.fromkeys(row.consequence for row in self.rows if row.consequence))
        lines += ["", "What will not work until then" if broken else "All that was checked will work."]
        for consequence in broken:
            lines += textwrap.wrap(consequence, WIDTH, initial_indent="  - ", subsequent_indent="    ")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__  # a notebook shows the page


def _lines(row: Row) -> list[str]:
    head = f"  {MARKS[row.state]:<5}{row.name:<32} "
    lines = textwrap.wrap(row.found, WIDTH, initial_indent=head, subsequent_indent=" " * 40)
    if row.remedy:
        lines += textwrap.wrap(row.remedy, WIDTH, initial_indent=" " * 7 + "→ ", subsequent_indent=" " * 9)
    return lines


# --- what must not leave the machine ------------------------------------------------------------------------------

_PATTERNS = [
    (re.compile(r"crn:[\w:/.+-]+"), "<CRN>"),
    (re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*"), "<token>"),
    (re.compile(r"Bearer\s+\S+"), "Bearer <token>"),
    (re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+"), "<e-mail>"),
    (re.compile(r"IBMid-\w+|iam-\w+"), "<user>"),
    (re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"), "<id>"),
    (re.compile(r"\bd[0-9a-v]{19}\b|\bc[0-9a-z]{19}\b"), "<job>"),
    (re.compile(r"\b[0-9a-f]{24,}\b"), "<id>"),
    (re.compile(r"//[^/@\s]+:[^/@\s]+@"), "//<user>:<password>@"),
    (re.compile(r"\b[\w-]{40,}\b"), "<token>"),
]
_KEYS = {  # a key of the service's JSON: what its value is
    "id": "id",
    "session_id": "id",
    "instance": "instance",
    "instance_id": "instance",
    "plan_id": "id",
    "user_id": "user",
    "backend": "backend",
    "backend_name": "backend",
    "tags": "tag",
    "name": "name",
}
SHORTEST = 3  # characters: a shorter name cannot be told from a word


@dataclass(slots=True)
class Redactor:
    """Replaces what belongs to a person or an account: ids, names, CRNs, keys, folders."""

    _names: dict[str, str] = field(default_factory=dict)
    _count: Counter[str] = field(default_factory=Counter)

    def hide(self, kind: str, value: object) -> None:
        """Replace a value by `<kind n>` from now on."""
        if isinstance(value, str) and len(value) >= SHORTEST and value not in self._names:
            self._count[kind] += 1
            self._names[value] = f"<{kind} {self._count[kind]}>"

    def learn(self, data: object) -> None:
        """Hide the ids and names that an answer holds."""
        if isinstance(data, dict):
            for key, value in data.items():
                for one in value if isinstance(value, list) else [value]:
                    if key in _KEYS and isinstance(one, str):
                        self.hide(_KEYS[key], one)
                    self.learn(one)
        elif isinstance(data, list):
            for one in data:
                self.learn(one)

    def __call__(self, text: object) -> str:
        """A text from outside as it may be shown: printable, in one line, without what was hidden."""
        shown = str(text)
        for name in sorted(self._names, key=len, reverse=True):
            shown = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", self._names[name], shown)
        for pattern, instead in _PATTERNS:
            shown = pattern.sub(instead, shown)
        return printable(shown.replace(str(Path.home()), "~"))


# --- the client -----------------------------------------------------------------------------------------------------


def requirements() -> list[str] | None:
    """What the package needs, as pip knows it; None for a checkout on the path that is not installed."""
    try:
        return metadata.requires("qmode_widgets") or []
    except metadata.PackageNotFoundError:
        return None


def of_client() -> Iterator[Row]:
    """IBM's client: its version, and its private parts that this package relies on."""
    section = "IBM's client"
    wanted = next((f" ({r} is needed)" for r in requirements() or () if r.startswith("qiskit-ibm-runtime")), "")
    yield Row(section, "qiskit-ibm-runtime", "ok", metadata.version("qiskit-ibm-runtime") + wanted)
    update = "Install the newest qmode_widgets, or the version of qiskit-ibm-runtime that it was made for."
    for name, problem, consequence in (
        ("private parts", self_test(), "Controllers show workloads, but submit, cancel and close nothing."),
        ("taking over submissions", adoption_test(), "watch() does not follow what your own code submits."),
    ):
        if problem is None:
            yield Row(section, name, "ok", "where they are expected" if name == "private parts" else "possible")
        else:
            yield Row(section, name, "failed", problem, update, consequence)


# --- the account ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Deviation:
    """Where an answer is not what `SHAPES` says."""

    path: str
    what: str  # in words

    def __str__(self) -> str:
        return f"{self.path} {self.what}"


def deviations(shape: str, data: Json) -> Iterator[Deviation]:
    """Where an object differs from the table: fields that are missing, null or of another kind, and unknown words."""
    for told in SHAPES[shape].fields:
        *way, last = told.path.split(".")
        inner: object = data
        for step in way:
            inner = inner.get(step) if isinstance(inner, dict) else None
        if isinstance(inner, dict):
            yield from _of_field(told, inner, last)


def new_fields(shape: str, data: Json) -> Iterator[str]:
    """The names at the top of an object that neither the table nor IBM's specification has."""
    known = {told.path.partition(".")[0] for told in SHAPES[shape].fields} | set(SHAPES[shape].others)
    yield from (name for name in data if name not in known)


def _of_field(told: Field, inner: Json, name: str) -> Iterator[Deviation]:
    value = inner.get(name)
    if name not in inner:
        if told.promise != "optional":
            yield Deviation(told.path, "is missing")
    elif value is None:
        if told.promise == "required":
            yield Deviation(told.path, "is null")
    elif not _FITS[told.kind](value):
        yield Deviation(told.path, f"is {_kind(value)}, not {_SAID[told.kind]}")
    elif told.words and value not in told.words:
        yield Deviation(told.path, f"has the unknown word {str(value)[:60]!r}")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


_FITS: dict[str, Callable[[Any], bool]] = {
    "id": _is_text,
    "text": lambda value: isinstance(value, str),
    "word": _is_text,
    "flag": lambda value: isinstance(value, bool),
    "seconds": lambda value: (found := number(value)) is not None and found >= 0,
    "time": lambda value: seconds(value) is not None,
    "code": lambda value: type(value) is int or (isinstance(value, str) and value.isdigit()),
    "object": lambda value: isinstance(value, dict),
    "list": lambda value: isinstance(value, list),
}
_SAID = {
    "id": "a text",
    "text": "a text",
    "word": "a text",
    "flag": "true or false",
    "seconds": "a number of seconds",
    "time": "a time",
    "code": "a whole number",
    "object": "an object",
    "list": "a list",
}


def _kind(value: object) -> str:
    kinds = {str: "a text", bool: "true or false", dict: "an object", list: "a list", type(None): "null"}
    return kinds.get(type(value), "a number")


ODD = (
    "The service says things that this version does not expect. They are shown as they came or as unknown, and never "
    "taken for zero or for finished."
)
# An endpoint that this package reads: what does not work without it.
NEEDED_FOR = {
    "GET /instances/usage": "What the instance may still use is not known: plans and screens leave it out.",
    "GET /workloads": "Open workloads are not listed: the account's view is empty, and orphans are not found.",
    "GET /jobs": "Controllers cannot follow jobs. Submit nothing with this package until this works.",
    "GET /jobs/{id}": "A job that left the listing cannot be looked up: attach() with its id does not work.",
    "GET /jobs/{id}/metrics": "Final usage stays unknown: usage caps work with what the listing tells.",
    "GET /sessions/{id}": "Controllers do not know whether a batch or session is open. Open none with this package.",
    "GET /backends/{name}/properties": "Plans do not know when the backend was last calibrated.",
}


def of_service(service: QiskitRuntimeService, hide: Redactor) -> Iterator[Row]:
    """The account's active instance: the way to it, its plan and allowance, and the endpoints that are relied on."""
    instance = str(service.active_instance())
    account = service.active_account() or {}
    hide.hide("key", account.get("token"))
    for about in service.instances():
        hide.hide("instance", about.get("name"))
        hide.hide("CRN", about.get("crn"))
    try:
        link = link_of(service, instance)
        origin = origin_of(service, instance)
    except QmodeError as error:
        remedy = "Make the service with instance=…, or with instance='auto'."
        yield Row("Account", "instance", "failed", hide(error), remedy, "Nothing works with this service object.")
        return
    yield from _way(origin.base_url, origin.transport.proxies, origin.transport.verify)
    yield from _Account(link, hide).rows(len(service.instances()))


def _way(url: str, proxies: dict[str, str], verify: bool | str) -> Iterator[Row]:
    section = "Network"
    around = requests.utils.get_environ_proxies(url)
    used = [name for name, given in (("the account's proxies", proxies), ("the environment", around)) if given]
    yield Row(section, "proxy", "ok", f"by {' and '.join(used)}" if used else "none")
    if verify is False:
        remedy = "Save the account with verify=True; behind a proxy with its own certificate set REQUESTS_CA_BUNDLE."
        said = "Whoever is on the way can read your key and change answers."
        yield Row(section, "certificate", "warning", "is not checked (verify=False)", remedy, said)
    else:
        yield Row(section, "certificate", "ok", "is checked" if url.startswith("https:") else "loopback, without TLS")


@dataclass(slots=True)
class _Account:
    """One instance through its link. After two requests in a row without an answer nothing more is asked."""

    link: Link
    hide: Redactor
    _silent: int = 0
    _asked: int = 0
    _slowest: float = 0.0

    def rows(self, instances: int) -> Iterator[Row]:
        usage = yield from self._read("GET /instances/usage", "/instances/usage", _whole)
        yield from self._plan(usage, instances)
        yield from self._version()
        name = yield from self._backend()
        if name is not None:
            yield from self._read("GET /backends/{name}/properties", f"/backends/{name}/properties", _calibrated)
        workloads = yield from self._read(
            "GET /workloads", "/workloads", _listed("workloads"), limit=50, sort="-createdAt"
        )
        jobs = yield from self._read("GET /jobs", "/jobs", _listed("jobs"), limit=20, exclude_params="true")
        job = _first_id(jobs, "jobs")
        for endpoint, path in (("GET /jobs/{id}", ""), ("GET /jobs/{id}/metrics", "/metrics")):
            if job is None:
                yield _nothing(endpoint, "GET /jobs", jobs)
            else:
                yield from self._read(endpoint, f"/jobs/{job}{path}", _whole, exclude_params="true")
        session = _first_id(workloads, "workloads", lambda entry: entry.get("mode") not in ("job", None))
        if session is None:
            yield _nothing("GET /sessions/{id}", "GET /workloads", workloads)
        else:
            yield from self._read("GET /sessions/{id}", f"/sessions/{session}", _whole)
        yield from self._clock()

    def _read(
        self, endpoint: str, path: str, told: Callable[[Json], str], **params: Any
    ) -> Generator[Row, None, Json | None]:
        """Ask, compare the answer with the table; the answer, or None."""
        answer, row = self._ask(endpoint, path, params)
        if answer is None:
            assert row is not None
            yield row
            return None
        found, new = self._compared(endpoint, answer)
        if found:
            yield self._deviating(endpoint, found)
        else:
            names = f"; new fields: {', '.join(sorted(new)[:MOST])}" if new else ""
            yield Row("Endpoints", endpoint, "ok", self.hide(told(answer) + names))
        return answer

    def _ask(self, endpoint: str, path: str, params: Json) -> tuple[Json | None, Row | None]:
        consequence = NEEDED_FOR.get(endpoint)
        if self._silent >= 2:
            return None, Row("Endpoints", endpoint, "not checked", "the service does not answer", None, consequence)
        before = time.monotonic()
        self._asked += 1
        try:
            answer = ask(self.link.read, path, **params)
        except QmodeError as error:
            self._silent = self._silent + 1 if isinstance(error, UnreachableError) else 0
            return None, Row("Endpoints", endpoint, "failed", self.hide(error), remedy(error), consequence)
        self._silent = 0
        self._slowest = max(self._slowest, time.monotonic() - before)
        if not path.endswith("/properties"):  # its names are those of gates
            self.hide.learn(answer)
        return answer, None

    def _compared(self, endpoint: str, answer: Json) -> tuple[list[str], set[str]]:
        """How an answer deviates from the table, and the names of fields that nobody knows."""
        found: list[str] = []
        new: set[str] = set()
        for shape, known in SHAPES.items():
            for where, inside in known.answers:
                entries = (answer.get(inside) if inside else [answer]) if where == endpoint else []
                for entry in entries if isinstance(entries, list) else ():
                    if isinstance(entry, dict):
                        found += [f"{inside + ': ' if inside else ''}{one}" for one in deviations(shape, entry)]
                        new |= set(new_fields(shape, entry))
                    else:
                        found.append(f"{inside} has an entry that is {_kind(entry)}")
        return found, new

    def _deviating(self, endpoint: str, found: list[str]) -> Row:
        count = Counter(found)
        said = [f"{what}{f' (×{n})' if n > 1 else ''}" for what, n in count.most_common(MOST)]
        more = f", and {len(count) - MOST} more" if len(count) > MOST else ""
        advice = "Update qmode_widgets. If it is the newest version, report this page as an issue."
        return Row("Endpoints", endpoint, "warning", self.hide("; ".join(said) + more), advice, ODD)

    def _plan(self, answer: Json | None, instances: int) -> Iterator[Row]:
        section = "Account"
        several = f", one of {instances}" if instances > 1 else ""
        plan = self.link.plan
        yield Row(section, "instance", "ok", f"the active one{several}; plan {self.hide(plan or 'not told')}")
        if answer is None:
            return
        usage = InstanceUsage.of(answer)
        if usage.consumed is None:
            yield Row(
                section, "allowance", "warning", "what was used is not told", None, NEEDED_FOR["GET /instances/usage"]
            )
            return
        limit = "no limit" if usage.limit is None else f"a limit of {usage.limit:.0f} s"
        share = "" if usage.allocation is None else f", a share of {usage.allocation:.0f} s"
        said = f"{usage.consumed:.0f} s used in this period, {limit}{share}"
        if usage.limit_reached or usage.left == 0:
            advice = "Wait until time comes back, have the limit raised, or use another instance."
            consequence = "The service refuses submissions on this instance (409) until time is available."
            yield Row(section, "allowance", "warning", said, advice, consequence)
        else:
            yield Row(section, "allowance", "ok", said)

    def _version(self) -> Iterator[Row]:
        endpoint = "GET /versions"
        answer, row = self._ask(endpoint, "/versions", {})
        if answer is None:
            assert row is not None
            yield row
            return
        listed = answer.get("versions")
        known = [v for v in listed if isinstance(v, dict)] if isinstance(listed, list) else []
        mine = next((v for v in known if v.get("version") == API_VERSION), None)
        newer = sorted(str(v.get("version")) for v in known if str(v.get("version")) > API_VERSION)
        said = f"{API_VERSION} is used" + (f"; newer: {', '.join(newer)}" if newer else "")
        update = "Update qmode_widgets and qiskit-ibm-runtime."
        if mine is None:
            consequence = (
                f"IBM's service does not list the version {API_VERSION} of its API: answers may be read wrongly."
            )
            yield Row("Endpoints", endpoint, "warning", f"{said}, which is not listed", update, consequence)
        elif mine.get("status") == "deprecated":
            until = str(mine.get("sunset_date"))
            consequence = f"Nothing works after {self.hide(until)}, when IBM ends this version of its API."
            state: State = "failed" if until <= datetime.now(UTC).date().isoformat() else "warning"
            yield Row("Endpoints", endpoint, state, f"{said}, which ends on {self.hide(until)}", update, consequence)
        else:
            yield Row("Endpoints", endpoint, "ok", self.hide(said))

    def _backend(self) -> Generator[Row, None, str | None]:
        """A backend's name, of one that is online where there is one."""
        answer, row = self._ask("GET /backends", "/backends", {})
        if answer is None:
            assert row is not None
            yield row
            return None
        devices = answer.get("devices")
        found = (
            [d for d in devices if isinstance(d, dict) and _is_text(d.get("name"))] if isinstance(devices, list) else []
        )
        online = [d for d in found if isinstance(d.get("status"), dict) and d["status"].get("name") == "online"]
        said = f"{len(online)} of {len(found)} online"
        if not online:
            advice = "Use an instance with backends, or wait until one is back."
            yield Row("Endpoints", "GET /backends", "warning", said, advice, "There is no QPU to submit to.")
        else:
            yield Row("Endpoints", "GET /backends", "ok", said)
        return str((online or found)[0]["name"]) if found else None

    def _clock(self) -> Iterator[Row]:
        if self._slowest == 0.0:
            return
        offset = self.link.clock_offset
        said = f"differs from the service's by {abs(offset):.0f} s"
        if abs(offset) > CLOCK:
            advice = "Set the clock of this machine (NTP). Countdowns are corrected by the difference."
            consequence = "Tokens may be refused as not valid yet or no longer." if abs(offset) > 60 else None
            yield Row("Network", "clock", "warning", said, advice, consequence)
        else:
            yield Row("Network", "clock", "ok", said)
        state: State = "warning" if self._slowest > SLOW else "ok"
        slow = "Run the check again; a proxy or a VPN may be slow." if state == "warning" else None
        said = f"{self._asked} requests, the slowest took {self._slowest:.1f} s"
        yield Row("Network", "answers", state, said, slow)


def _nothing(endpoint: str, listing: str, listed: Json | None) -> Row:
    """There is no id to ask for: of a new account, or because the listing failed."""
    advice = "Run `python -m qmode_widgets.check --rehearse` to see it with the embedded service."
    said = "there is none on this account yet" if listed is not None else f"its id would come from {listing}"
    return Row("Endpoints", endpoint, "not checked", said, advice if listed is not None else None)


def _whole(answer: Json) -> str:
    return "as expected"


def _calibrated(answer: Json) -> str:
    at = seconds(answer.get("last_update_date"))
    return "no calibration time" if at is None else f"calibrated {datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def _listed(name: str) -> Callable[[Json], str]:
    def told(answer: Json) -> str:
        count = len(answer.get(name) or ())
        return f"{count} {'entry' if count == 1 else 'entries'}, as expected"

    return told


def _first_id(answer: Json | None, name: str, wanted: Callable[[Json], bool] = lambda entry: True) -> str | None:
    entries = (answer or {}).get(name)
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and _is_text(entry.get("id")) and wanted(entry):
            return str(entry["id"])
    return None


def remedy(error: QmodeError) -> str:
    """What to do about a request that failed."""
    if isinstance(error, ServiceError):
        by_status = {
            401: "The key is refused. Make a new API key and save it with QiskitRuntimeService.save_account(…).",
            403: "Your role does not allow it. Ask the instance's administrator for the role Writer on the service.",
            404: "The service does not know it. Update qmode_widgets; if it is the newest version, report this page.",
            429: "Too many requests. Wait a minute; another program of yours may be asking often.",
        }
        if error.status in by_status:
            return by_status[error.status]
        if error.status >= 500:
            return (
                "The service has an error of its own. Look at IBM Quantum's status page, and run the check again later."
            )
        return "Report this page as an issue."
    if isinstance(error, WrongAnswerError):
        return "This is not the service's JSON. A proxy may answer in its place; else report this page as an issue."
    if isinstance(error, UnreachableError) and error.sent:
        return "The service did not answer in full. Run the check again; a proxy or a VPN may cut connections."
    return (
        "Check the network, HTTPS_PROXY and the account's proxies, and that a firewall lets the service's host through."
    )


def report(rows: Iterable[Row]) -> Report:
    """The report of all rows, in the order of their sections' first appearance."""
    found = list(rows)
    order = list(dict.fromkeys(row.section for row in found))
    return Report(tuple(sorted(found, key=lambda row: order.index(row.section))), datetime.now(UTC))
