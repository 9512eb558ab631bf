"""The open workloads of the account, with those marked that no controller of this kernel watches."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from html import escape

from qiskit_ibm_runtime import QiskitRuntimeService

from ..errors import ServiceError, UnreachableError, printable
from ..ibm.client import instances_of
from ..ibm.link import Link, ask, link_of, patiently
from ..ibm.wire import Workload
from ..model.outcome import Cancelled, CancelOutcome, Closed, CloseOutcome
from ..model.snapshot import Mode
from .attach import attach, find_service
from .controller import Controller
from .engine.workload import CLOSED
from .registry import registry

PAGE = 50
OPEN = ["pending", "in_progress"]


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

    def attach(self) -> Controller:
        """Its controller."""
        return attach(self.id, self.link.service)

    def close(self) -> CloseOutcome:
        """No further jobs; queued ones still run. A job needs no closing.

        Raises:
            ServiceError, UnreachableError: the service refuses, or does not answer.
        """
        if self.mode == "job":
            return CloseOutcome(Closed.NOT_NEEDED)
        return CloseOutcome(Closed.CLOSED if self._taken(self.link.close) else Closed.ALREADY)

    def cancel(self) -> CancelOutcome | CloseOutcome:
        """Cancel what is queued and close; in job mode cancel the job.

        Raises:
            ServiceError, UnreachableError: the service refuses, or does not answer.
        """
        if self.mode == "job":
            return CancelOutcome(Cancelled.CANCELLED if self._taken(self.link.cancel_job) else Cancelled.ENDED)
        return CloseOutcome(Closed.QUEUE_CANCELLED if self._taken(self.link.cancel_workload) else Closed.ALREADY)

    def _taken(self, how: Callable[[str], Awaitable[None]]) -> bool:
        """False: it had ended."""
        try:
            patiently(how, self.id)
        except ServiceError as error:
            if error.status not in (404, 409) and error.code != CLOSED:
                raise
            return False
        return True


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
        lines = ["  ".join(printable(cell) for cell in row) for row in self._rows()] or ["no open workloads"]
        return "\n".join([*lines, *(f"not seen: {printable(text)}" for text in self.unseen)])

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
        link = link_of(service, instance)
        try:
            found += [_open(link, w) for w in _pages(link, unseen)]
        except (ServiceError, UnreachableError) as error:
            unseen.append(f"the instance {link.instance_label}: {error}")
    return OpenWorkloads(sorted(found, key=lambda w: w.created or 0.0, reverse=True), unseen)


def _pages(link: Link, unseen: list[str]) -> Iterator[Workload]:
    cursor: dict[str, str] = {}
    seen: set[str] = set()
    while True:
        # user=me: a member of an instance may see other people's workloads, and could cancel them.
        page = ask(link.workloads, limit=PAGE, sort="-createdAt", user="me", status=OPEN, **cursor)
        unseen += page.problems
        fresh = [w for w in page.workloads if w.id not in seen]
        seen.update(w.id for w in fresh)
        yield from fresh
        if page.next is None or not fresh:
            return
        cursor = {"next": page.next}


def _open(link: Link, w: Workload) -> OpenWorkload:
    watched = any(w.id in c.workload_ids or any(j.job_id == w.id for j in c.jobs) for c in registry.all())
    return OpenWorkload(
        id=w.id,
        mode="session" if w.mode == "session" else "batch" if w.mode == "batch" else "job",
        backend=w.backend or "?",
        instance=link.instance_label,
        status=w.status,
        created=w.created,
        usage_seconds=w.usage,
        watched=watched,
        link=link,
    )
