"""From an id in a fresh process back to a controller."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from qiskit_ibm_runtime import QiskitRuntimeService

from ..errors import ArgumentError, QmodeError, ServiceError, UnreachableError, WrongAnswerError
from ..ibm.client import backend_named, instances_of, job_object
from ..ibm.link import Link, ask, link_of, patiently
from ..ibm.wire import Job, Session
from ..model import tags
from ..portal import portal
from .controller import Controller
from .engine.look import pages
from .job import JobController
from .modes import BatchController, SessionController
from .registry import registry
from .state.merge import merge

_ID = re.compile(r"[\w.-]{1,100}", re.ASCII)  # it becomes part of a path
_GONE = (400, 404)  # what the service answers to an id it does not know or that is malformed
MISSING_SHOWN = 20
T = TypeVar("T")


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


def attach(id_: str, service: QiskitRuntimeService | None = None) -> Controller:
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
        raise ArgumentError(f"{id_!r} is no id: pass the id of a session, batch, job or run as text")
    if (existing := registry.find(id_)) is not None:
        known = cast("Controller", existing)
        if service is not None:
            known._take_over(service)
        return known
    service = find_service(service)
    asked: list[str] = []
    for instance in instances_of(service):
        link = link_of(service, instance)
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


def _attach_in(link: Link, id_: str) -> Controller | None:
    session = _ask(link.session, id_)
    if session is not None:
        return _attach_mode(link, session)
    job = _ask(link.job, id_)
    if job is None:
        tagged = _tagged(link, id_) if tags.is_run(id_) else ()
        if not tagged:
            return None
        job = tagged[0]
    if job.session_id is not None:
        session = _ask(link.session, job.session_id)
        if session is not None:
            return registry.find(session.id) or _attach_mode(link, session)
    backend = _backend(link, job.backend, f"job {job.id}")
    key = tags.read(job.tags).key
    if key is not None:
        controller = registry.find(key.run) or JobController._of_run(backend, key.run, fresh=False)
    else:
        controller = JobController(job_object(link.service, job.id))
    patiently(controller._workload.refresh)
    return controller


def _tagged(link: Link, run: str) -> tuple[Job, ...]:
    return ask(link.jobs, tags=[tags.run_tag(run)], limit=1).jobs


def _backend(link: Link, name: str | None, what: str) -> Any:
    if name is None:
        raise WrongAnswerError(f"{what} does not say on which backend it runs")
    return backend_named(link.service, name, link.instance)


def _attach_mode(link: Link, session: Session) -> Controller:
    """The controller of a session or batch, with the workloads it continues, or that continue it."""
    if session.mode not in ("batch", "dedicated"):
        raise WrongAnswerError(f"the workload {session.id} has mode {session.mode!r}: neither batch nor dedicated")
    kind = BatchController if session.mode == "batch" else SessionController
    family, jobs = _family(link, session.id)
    newest = session if family[-1] == session.id else patiently(link.session, family[-1])
    if (existing := registry.find(family[-1])) is not None:
        return cast("Controller", existing)
    name = newest.backend or next((job.backend for job in jobs if job.backend), None)  # IBM may leave it out
    backend = _backend(link, name, f"the workload {newest.id}")
    controller = kind._attach(family[-1], backend, accepting=bool(newest.accepting_jobs))
    ledger = controller._ledger

    def take() -> None:
        ledger.continues(family[:-1])
        for job in jobs:
            if (key := tags.read(job.tags).key) is not None:
                ledger.add_run(key.run)
        merge(ledger, jobs, scope=ledger.workload_id)

    portal().call(take)
    patiently(controller._workload.refresh)
    return controller


def _family(link: Link, id_: str) -> tuple[list[str], list[Job]]:
    """The workloads tied together by resubmissions, oldest first, and what was listed of their jobs.

    Work that failed in a closed workload is resubmitted into a new one under the same run tag. So a run of which
    something is missing here, or failed, may go on elsewhere: its jobs are listed by its tag.
    """
    jobs: dict[str, Job] = {}
    found, asked = [id_], set[str]()
    for home in found:  # it grows while it is read
        for pending in (True, False):
            for job in patiently(pages, link, session_id=home, pending=pending):
                jobs[job.id] = job
        for run in _unfinished_runs([j for j in jobs.values() if (j.session_id or home) == home]) - asked:
            asked.add(run)
            for job in patiently(pages, link, tags=[tags.run_tag(run)]):
                jobs[job.id] = job
                if job.session_id is not None and job.session_id not in found:
                    found.append(job.session_id)
    if len(found) == 1:
        return found, list(jobs.values())
    sessions = [session for home in found if (session := _ask(link.session, home)) is not None]
    return [s.id for s in sorted(sessions, key=lambda s: s.opened_at or 0.0)], list(jobs.values())


def _unfinished_runs(jobs: list[Job]) -> set[str]:
    """Runs of which these jobs do not show every partition completed."""
    done: dict[str, set[int]] = {}
    of: dict[str, int] = {}
    for job in jobs:
        key = tags.read(job.tags).key
        if key is None:
            continue
        of[key.run] = max(key.of, of.get(key.run, 0))
        if job.status == "Completed":
            done.setdefault(key.run, set()).add(key.partition)
    return {run for run, n in of.items() if len(done.get(run, ())) < n}


def _ask(method: Callable[[str], Awaitable[T]], id_: str) -> T | None:
    try:
        return patiently(method, id_)
    except ServiceError as error:
        if error.status in _GONE:
            return None
        raise


def _report_missing(controller: Controller) -> None:
    ledger = controller._ledger

    def report() -> None:
        for run in ledger.runs:
            rows = ledger.latest(run)
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

    portal().call(report)
