"""From an id in a fresh process back to a controller, and which workloads of the account are open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from typing import Any

from qiskit_ibm_runtime import QiskitRuntimeService

from ..model import tags
from ..model.snapshot import Mode
from .batch import BatchController
from .errors import QmodeError, ServiceError, UnreachableError
from .job import JobController
from .patience import patiently
from .record import seconds
from .results import latest
from .runtime import runtime
from .service import Json, Link, backend_named, instances_of, job_object
from .session import SessionController
from .workload import Workload, registry

_GONE = (400, 404)                  # what the service answers to an id it does not know or that is malformed
PAGE = 50


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
    if not str(id_).strip():
        raise QmodeError(f"{id_!r} is no id: pass the id of a session, batch, job or run as text")
    id_ = id_.strip().removeprefix(tags.PREFIX)
    if (existing := registry.find(id_)) is not None:
        return existing
    service = find_service(service)
    asked: list[str] = []
    for instance in instances_of(service):
        link = runtime(service, instance).link
        asked.append(link.instance_label)
        controller = _attach_in(link, id_)
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
    controller.refresh()
    return controller


def _attach_mode(link: Link, session: Json) -> Workload:
    kind = BatchController if session.get("mode") == "batch" else SessionController
    backend = backend_named(link.service, str(session["backend_name"]), link.instance)
    controller = kind._attach(str(session["id"]), backend, accepting=bool(session.get("accepting_jobs")))
    controller.refresh()
    return controller


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
            ledger.event("warning", f"run {run}: partitions {', '.join(missing)} of {of} were never sent")
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
        self.link.close(self.id)
        return "closed"

    def cancel(self) -> str:
        """Cancel what is queued and close; in job mode cancel the job."""
        if self.mode == "job":
            self.link.cancel_job(self.id)
        else:
            self.link.cancel_workload(self.id)
        return "cancelled"


class OpenWorkloads(list[OpenWorkload]):
    """A list that shows itself as a table and says what it cannot see."""

    def __init__(self, found: Iterator[OpenWorkload] | list[OpenWorkload], unseen: list[str]) -> None:
        super().__init__(found)
        self.unseen = unseen

    def _rows(self) -> list[list[str]]:
        return [
            [w.mode, w.backend, w.id, w.status, "–" if w.usage_seconds is None else f"{w.usage_seconds:.1f} s",
             w.instance, "this kernel" if w.watched else "nobody here"]
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
    while True:
        page = link.workloads(limit=PAGE, sort="-createdAt", status=["pending", "in_progress"], **cursor)
        yield from page.get("workloads", [])
        following = page.get("next")
        if not following or not page.get("workloads"):
            return
        cursor = {"next": str(following["href"] if isinstance(following, dict) else following)}


def _open(link: Link, w: Json) -> OpenWorkload:
    usage = w.get("usage_seconds")
    id_ = str(w["id"])
    return OpenWorkload(
        id=id_,
        mode=w.get("mode", "job"),
        backend=str(w.get("backend") or "?"),
        instance=link.instance_label,
        status=str(w.get("status") or "?"),
        created=seconds(w.get("created")),
        usage_seconds=None if usage is None else float(usage),
        watched=any(id_ == c.workload_id or any(j.job_id == id_ for j in c.jobs) for c in registry.all()),
        link=link,
    )
