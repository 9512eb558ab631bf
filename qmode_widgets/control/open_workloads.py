"""The open workloads of the account, with those marked that no controller of this kernel watches."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape

from qiskit_ibm_runtime import QiskitRuntimeService

from ..errors import ServiceError, UnreachableError, printable
from ..ibm.client import instances_of
from ..ibm.link import Link, ask, link_of, patiently
from ..ibm.wire import Workload
from ..model.outcome import Cancelled, CancelOutcome, Closed, CloseOutcome
from ..model.snapshot import Mode
from ..model.text import state_word, usage_seconds
from .attach import attach, find_service
from .controller import Controller
from .engine.workload import CLOSED
from .registry import registry

PAGE = 50
OPEN = ["pending", "in_progress"]
WORDS = {"pending": "open", "in_progress": "in progress"}  # the service's, as a reader knows them
HEAD = ("Workload", "Label", "Id", "Opened", "State", "Usage", "Instance", "Watched by")


@dataclass(frozen=True, slots=True)
class OpenWorkload:
    """One open workload of the account. `controller`: what looks after it in this kernel, if anything does."""

    id: str
    mode: Mode
    backend: str
    instance: str
    status: str
    created: float | None
    usage_seconds: float | None
    controller: Controller | None = field(repr=False)
    link: Link = field(repr=False)

    @property
    def watched(self) -> bool:
        """Whether a controller of this kernel looks after it."""
        return self.controller is not None

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
        """In the panel's words and order of columns: what it is, its state, what it used, who looks after it."""
        rows = []
        for w in self:
            shot = None if w.controller is None else w.controller.snapshot()
            names = dict.fromkeys(job.label for job in shot.jobs if job.label) if shot else {}
            used = w.usage_seconds if shot is None or shot.usage.reported is None else shot.usage.reported
            rows.append(
                [
                    f"{w.mode.capitalize()} · {w.backend}",
                    ", ".join(names) or "–",
                    w.id,
                    "–" if w.created is None else _moment(w.created),
                    WORDS.get(w.status, w.status) if shot is None or w.mode == "job" else state_word(shot),
                    "–" if used is None else f"{usage_seconds(used)} used",
                    w.instance,
                    "this kernel" if w.watched else "not watched here",
                ]
            )
        return rows

    def __repr__(self) -> str:
        if not self:
            return "\n".join(["no open workloads", *self._notes(printable)])
        rows = [list(HEAD), *([printable(cell) for cell in row] for row in self._rows())]
        widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([*lines, *self._notes(printable)])

    def _notes(self, safe: Callable[[str], str]) -> list[str]:
        return [f"not seen: {safe(text)}" for text in self.unseen]

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{h}</th>" for h in HEAD)
        body = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in self._rows())
        notes = "".join(f"<div>{note}</div>" for note in self._notes(escape))
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


def _moment(at: float) -> str:
    here = datetime.fromtimestamp(at, UTC).astimezone()
    return f"{here:%b} {here.day}, {here:%H:%M:%S}"


def _used(link: Link, w: Workload) -> float | None:
    """A session is billed by the clock, idle included, and only the session itself tells that figure."""
    if w.mode != "session":
        return w.usage
    try:
        elapsed = ask(link.session, w.id).elapsed_time
    except (ServiceError, UnreachableError):
        return w.usage
    return w.usage if elapsed is None else max(elapsed, w.usage or 0.0)


def _open(link: Link, w: Workload) -> OpenWorkload:
    controllers = (c for c in registry.all() if w.id in c.workload_ids or any(j.job_id == w.id for j in c.jobs))
    controller = next(controllers, None)
    return OpenWorkload(
        id=w.id,
        mode="session" if w.mode == "session" else "batch" if w.mode == "batch" else "job",
        backend=w.backend or "?",
        instance=link.instance_label,
        status=w.status,
        created=w.created,
        usage_seconds=_used(link, w) if controller is None else w.usage,
        controller=controller,
        link=link,
    )
