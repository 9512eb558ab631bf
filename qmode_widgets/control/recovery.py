"""From an id in a fresh process back to a controller, and which workloads of the account are open."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html import escape
from typing import Any

from qiskit_ibm_runtime import QiskitRuntimeService

from ..model import tags
from ..model.snapshot import Mode
from .batch import BatchController
from .errors import QmodeError, ServiceError, UnreachableError
from .job import JobController
from .link import Json, Link
from .patience import patiently
from .record import as_dict, number, seconds
from .refresh import merge, pages
from .registry import registry
from .results import latest
from .runtime import runtime
from .service import backend_named, instances_of, job_object
from .session import SessionController
from .sessions import session_json
from .workload import Workload

_ID = re.compile(r"[\w.-]{1,100}", re.ASCII)  # it becomes part of a path
_GONE = (400, 404)  # what the service answers to an id it does not know or that is malformed
PAGE = 50
MISSING_SHOWN = 20


def find_service(service: QiskitRuntimeService | None = None) -> QiskitRuntimeService:
    """The given service, or that of the saved account.

    Raises:
        QmodeError: there is no account; it names both ways out.
    """
    if service is not None:
        return service
    from qiskit_ibm_runtime.accounts import AccountNotFoundError

    try:
        return QiskitRuntimeService()
    except AccountNotFoundError as error:
        raise QmodeError(
            "there is no saved IBM Quantum account and no service was passed. Either save an account once with "
            "QiskitRuntimeService.save_account(token=…, instance=…), or work without one on the embedded service: "
            "service = qmode_widgets.emulator.start().service"
        ) from error


def attach(id_: str, service: QiskitRuntimeService | None = None) -> Workload:
    """The controller of a workload that exists: by the id of a session, a batch, a job, or a run.

    Everything comes from the service: jobs, partitions, attempts, iterations and the order of the results stand in the
    jobs' tags. Partitions that were never sent are named in the events.

    Args:
        id_: the id of a session, batch, job, or of a run (`controller.runs[0].id`).
        service: the account's service; the saved account's if not given.

    Raises:
        QmodeError: no instance of this service knows the id, or it cannot be asked.
    """
    id_ = str(id_).strip().removeprefix(tags.PREFIX)
    if not _ID.fullmatch(id_):
        raise QmodeError(f"{id_!r} is no id: pass the id of a session, batch, job or run as text")
    if (existing := registry.find(id_)) is not None:
        return existing
    service = find_service(service)
    asked: list[str] = []
    for instance in instances_of(service):
        link = runtime(service, instance).link
        asked.append(link.instance_label)
        try:
            controller = _attach_in(link, id_)
        except (ServiceError, UnreachableError) as error:  # another instance may know it
            asked[-1] += f" (which could not be asked: {error})"
            continue
        if controller is not None:
            _report_missing(controller)
            return controller
    raise QmodeError(
        f"no session, batch, job or run {id_!r} in {', '.join(asked) or 'any instance'}: check the id, or pass the "
        "service of the account it belongs to"
    )


def _attach_in(link: Link, id_: str) -> Workload | None:
    session = _ask(link.workload, id_)
    if session is not None:
        return _attach_mode(link, session)
    job = _ask(link.job, id_)
    if job is None:
        tagged = link.jobs(tags=[tags.run_tag(id_)], limit=1)["jobs"] if tags.is_run(id_) else []
        if not tagged:
            return None
        job = tagged[0]
    if job.get("session_id"):
        session = _ask(link.workload, str(job["session_id"]))
        if session is not None:
            return registry.find(str(session["id"])) or _attach_mode(link, session)
    backend = backend_named(link.service, str(job["backend"]), link.instance)
    key = tags.read(job.get("tags") or []).key
    if key is not None:
        controller = registry.find(key.run) or JobController._of_run(backend, key.run, fresh=False)
    else:
        controller = JobController(job_object(link.service, str(job["id"])))
    patiently(controller.refresh)
    return controller


def _attach_mode(link: Link, session: Json) -> Workload:
    """The controller of a session or batch, with the workloads it continues, or that continue it."""
    kind = BatchController if session.get("mode") == "batch" else SessionController
    family, jobs = _family(link, str(session["id"]))
    newest = session if family[-1] == session["id"] else patiently(link.workload, family[-1])
    if (existing := registry.find(family[-1])) is not None:
        return existing
    backend = backend_named(link.service, str(newest["backend_name"]), link.instance)
    controller = kind._attach(family[-1], backend, accepting=bool(newest.get("accepting_jobs")))
    ledger = controller._ledger
    with ledger.lock:
        ledger.lineage, ledger.past = tuple(family[:-1]), {id_: {} for id_ in family[:-1]}
    merge(ledger, jobs)
    patiently(controller.refresh)
    return controller


def _family(link: Link, id_: str) -> tuple[list[str], list[Json]]:
    """The workloads tied together by resubmissions, oldest first, and what was listed of their jobs.

    Work that failed in a closed workload is resubmitted into a new one under the same run tag. So a run of which
    something is missing here, or failed, may go on elsewhere: its jobs are listed by its tag.
    """
    jobs: dict[str, Json] = {}
    found, asked = [id_], set[str]()
    for home in found:  # it grows while it is read
        for pending in (True, False):
            for job in patiently(pages, link, session_id=home, pending=pending):
                jobs[str(job["id"])] = job
        for run in _unfinished_runs([j for j in jobs.values() if j.get("session_id", home) == home]) - asked:
            asked.add(run)
            for job in patiently(pages, link, tags=[tags.run_tag(run)]):
                jobs[str(job["id"])] = job
                other = job.get("session_id")
                if isinstance(other, str) and other not in found:
                    found.append(other)
    if len(found) == 1:
        return found, list(jobs.values())
    opened = {home: _opened(link, home) for home in found}
    since = {home: seconds(move.get("timestamp")) or 0.0 for home, move in opened.items() if move is not None}
    return sorted(since, key=since.__getitem__), list(jobs.values())


def _opened(link: Link, id_: str) -> Json | None:
    """The first transition of a workload; None where the service does not know it any more."""
    session = _ask(link.workload, id_)
    moves = None if session is None else session_json(session)["timestamps"]
    return None if moves is None else (moves or [{}])[0]


def _unfinished_runs(jobs: list[Json]) -> set[str]:
    """Runs of which these jobs do not show every partition completed."""
    done: dict[str, set[int]] = {}
    of: dict[str, int] = {}
    for job in jobs:
        written = job.get("tags")
        key = tags.read([t for t in written if isinstance(t, str)] if isinstance(written, list) else []).key
        if key is None:
            continue
        of[key.run] = max(key.of, of.get(key.run, 0))
        if str(as_dict(job.get("state")).get("status") or job.get("status")) == "Completed":
            done.setdefault(key.run, set()).add(key.partition)
    return {run for run, n in of.items() if len(done.get(run, ())) < n}


def _ask(method: Any, id_: str) -> Json | None:
    try:
        found: Json = patiently(method, id_)
    except ServiceError as error:
        if error.status in _GONE:
            return None
        raise
    return found


def _report_missing(controller: Workload) -> None:
    ledger = controller._ledger
    for run in ledger.runs:
        rows = latest(ledger, run)
        of = max((r.key.of for r in rows.values() if r.key), default=0)
        missing = [str(i + 1) for i in range(of) if i not in rows]
        if missing:
            more = f" and {len(missing) - MISSING_SHOWN} more" if len(missing) > MISSING_SHOWN else ""
            ledger.event(
                "warning",
                f"run {run}: partitions {', '.join(missing[:MISSING_SHOWN])}{more} of {of} were never sent, "
                "or still wait in the kernel that submitted them",
            )
    ledger.event("info", f"attached: {len(ledger.records)} jobs found on the service")
    ledger.changed()


@dataclass(frozen=True, slots=True)
class OpenWorkload:
    """One open workload of the account. `watched`: a controller of this kernel looks after it."""

    id: str
    mode: Mode
    backend: str
    instance: str
    status: str
    created: float | None
    usage_seconds: float | None
    watched: bool
    link: Link = field(repr=False)

    def attach(self) -> Workload:
        """Its controller."""
        return attach(self.id, self.link.service)

    def close(self) -> str:
        """No further jobs; queued ones still run."""
        if self.mode == "job":
            return "a job needs no closing; cancel() ends it"
        return self._end(self.link.close, "closed")

    def cancel(self) -> str:
        """Cancel what is queued and close; in job mode cancel the job."""
        return self._end(self.link.cancel_job if self.mode == "job" else self.link.cancel_workload, "cancelled")

    def _end(self, how: Callable[[str], None], done: str) -> str:
        try:
            patiently(how, self.id)
        except ServiceError as error:
            if error.status not in (404, 409) and error.code != 1217:
                raise
            return "had already ended"
        return done


class OpenWorkloads(list[OpenWorkload]):
    """A list that shows itself as a table and says what it cannot see."""

    def __init__(self, found: Iterator[OpenWorkload] | list[OpenWorkload], unseen: list[str]) -> None:
        super().__init__(found)
        self.unseen = unseen

    def _rows(self) -> list[list[str]]:
        return [
            [
                w.mode,
                w.backend,
                w.id,
                w.status,
                "–" if w.usage_seconds is None else f"{w.usage_seconds:.1f} s",
                w.instance,
                "this kernel" if w.watched else "nobody here",
            ]
            for w in self
        ]

    def __repr__(self) -> str:
        lines = ["  ".join(row) for row in self._rows()] or ["no open workloads"]
        return "\n".join([*lines, *(f"not seen: {text}" for text in self.unseen)])

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{h}</th>" for h in ("Mode", "Backend", "Id", "Status", "Usage", "Instance", "Watched by"))
        body = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in self._rows())
        notes = "".join(f"<div>Not seen: {escape(text)}</div>" for text in self.unseen)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"


def workloads(service: QiskitRuntimeService | None = None) -> OpenWorkloads:
    """The account's open workloads, those marked that no controller of this kernel watches.

    Raises:
        QmodeError: there is no account.
    """
    service = find_service(service)
    found: list[OpenWorkload] = []
    unseen = ["what other users of the account run", "controllers of other kernels: the sidebar shows those"]
    for instance in instances_of(service):
        link = runtime(service, instance).link
        try:
            found += [_open(link, w) for w in _pages(link)]
        except (ServiceError, UnreachableError) as error:
            unseen.append(f"the instance {link.instance_label}: {error}")
    return OpenWorkloads(sorted(found, key=lambda w: w.created or 0.0, reverse=True), unseen)


def _pages(link: Link) -> Iterator[Json]:
    cursor: dict[str, str] = {}
    seen: set[str] = set()
    while True:
        page = link.workloads(limit=PAGE, sort="-createdAt", status=["pending", "in_progress"], **cursor)
        fresh = [w for w in page.get("workloads") or [] if isinstance(w.get("id"), str) and w["id"] not in seen]
        seen.update(w["id"] for w in fresh)
        yield from fresh
        following = page.get("next")
        if not following or not fresh:
            return
        cursor = {"next": str(following["href"] if isinstance(following, dict) else following)}


def _open(link: Link, w: Json) -> OpenWorkload:
    id_ = str(w["id"])
    watched = any(
        id_ in (c.workload_id, *c._ledger.lineage) or any(j.job_id == id_ for j in c.jobs) for c in registry.all()
    )
    return OpenWorkload(
        id=id_,
        mode=w["mode"] if w.get("mode") in ("session", "batch") else "job",
        backend=str(w.get("backend") or "?"),
        instance=link.instance_label,
        status=str(w.get("status") or "?"),
        created=seconds(w.get("created")),
        usage_seconds=number(w.get("usage_seconds")),
        watched=watched,
        link=link,
    )
