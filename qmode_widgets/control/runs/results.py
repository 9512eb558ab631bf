"""Results of a run: fetched once, decoded by the client's own decoders, merged in PUB order."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from ...errors import IncompleteResultError, QmodeError, ServiceError, UnreachableError, WrongAnswerError
from ...ibm.client import decode
from ...ibm.link import again
from ...model.merge import Partial, merge, merge_partial
from ...model.partition import Partition
from ...model.snapshot import JobState
from ...portal import call, portal
from ..state.ledger import Ledger
from ..state.record import Record

NOT_NOW = (401, 403)  # a token that was refused, and what may not be read now: the result is there
BYTES_KEPT = 32 * 2**20  # bytes of raw results, of all workloads together, whose decoded form is kept


class _Kept:
    """The decoded results that were asked for last, of all workloads: what is not kept is fetched again."""

    def __init__(self, most: int = BYTES_KEPT) -> None:
        self._most, self._size = most, 0
        self._lock = threading.RLock()  # of user threads, around dictionary operations; a finalizer may come in
        self._held: OrderedDict[tuple[int, str], tuple[Any, int]] = OrderedDict()

    def get(self, owner: Results, row: str) -> Any:
        with self._lock:
            held = self._held.get((id(owner), row))
            if held is None:
                return None
            self._held.move_to_end((id(owner), row))
            return held[0]

    def put(self, owner: Results, row: str, result: Any, size: int) -> None:
        with self._lock:
            self._held[id(owner), row] = result, size
            self._size += size
            while self._size > self._most and len(self._held) > 1:
                self._size -= self._held.popitem(last=False)[1][1]

    def drop(self, owner: int, row: str | None = None) -> None:
        with self._lock:
            for key in [k for k in self._held if k[0] == owner and row in (None, k[1])]:
                self._size -= self._held.pop(key)[1]


_kept = _Kept()


class Results:
    """The results of one workload, by row: fetched once, kept while there is room, fetched again where there is not.

    A private job's result can be read once, so it is kept until it is dropped.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._private: dict[str, Any] = {}  # decoded
        self._once: dict[str, tuple[str, str]] = {}  # what private jobs sent, which they send once
        self._fetching: dict[str, asyncio.Task[tuple[str, str]]] = {}
        weakref.finalize(self, _kept.drop, id(self))

    def of(self, record: Record) -> Any:
        """One job's result, decoded on the caller's thread.

        Raises:
            QmodeError: it has none: not ended well, or no longer on the service.
        """
        if record.row in self._private:
            return self._private[record.row]
        found = _kept.get(self, record.row)
        return self.decoded(record, call(self.fetch, record, waits=True)) if found is None else found

    def raw(self, record: Record) -> tuple[str, str]:
        """The program of a job, and its result as the service sent it.

        Raises:
            QmodeError: as `of` does.
        """
        return call(self.fetch, record, waits=True)

    async def fetch(self, record: Record) -> tuple[str, str]:
        """The program of a job, and its result as the service sent it; one request, however many ask. On the loop.

        Raises:
            QmodeError: as `of` does.
        """
        if record.row in self._once:
            return self._once[record.row]
        task = self._fetching.get(record.row)
        if task is None or task.done():
            task = self._fetching[record.row] = portal().spawn(self._fetch(record))
            task.add_done_callback(lambda _: self._fetching.pop(record.row, None))
        return await asyncio.shield(task)

    async def _fetch(self, record: Record) -> tuple[str, str]:
        if record.state is not JobState.DONE or record.job_id is None:
            raise QmodeError(f"row {record.row} is {record.state}: it has no result")
        text = await again(self.ledger.link.results, record.job_id)
        if not text:
            raise QmodeError(f"the service has no result for job {record.job_id}: a private one can be read once")
        program = record.program or (await again(self.ledger.link.job, record.job_id)).program
        if program is None:
            raise WrongAnswerError(
                f"job {record.job_id} has no program, so nobody can tell how its result is to be read"
            )
        if record.private:
            self._once[record.row] = program, text
        return program, text

    def decoded(self, record: Record, raw: tuple[str, str]) -> Any:
        """Decode a result, which takes long and so is never done on the loop, and keep it.

        Raises:
            QmodeError: it cannot be decoded.
        """
        program, text = raw
        try:
            found = decode(program, text)
        except Exception as error:
            raise QmodeError(
                f"the result of job {record.job_id} cannot be decoded ({error!r}): service.job({record.job_id!r}) of a "
                "newer qiskit-ibm-runtime may read it"
            ) from error
        if spans := _spans(found):
            portal().send(self._took, record, spans)
        if record.private:
            self._private[record.row] = found
        else:
            _kept.put(self, record.row, found, len(text))
        return found

    def _took(self, record: Record, spans: tuple[tuple[float, float], ...]) -> None:
        record.spans = spans
        record.touch()
        self.ledger.changed()

    def drop(self, row: str | None = None) -> None:
        """Let the decoded results go, or that of one row; a private one is lost with it."""
        _kept.drop(id(self), row)
        for key in list(self._once) if row is None else [row]:
            self._private.pop(key, None)
            self._once.pop(key, None)

    def run(self, run: str, *, partial: bool = False) -> Any:
        """The merged result of a run, or what there is of it.

        Raises:
            IncompleteResultError: not all partitions are done; it says why for each.
        """
        rows = portal().call(self.ledger.latest, run)
        of = max((r.key.of for r in rows.values() if r.key), default=0)
        if of == 1 and 0 in rows and not rows[0].cut and rows[0].state is JobState.DONE:
            return self.of(rows[0])  # somebody's own job: what it gives, whatever that is
        done = {i: r for i, r in rows.items() if r.state is JobState.DONE}
        missing = {i: why_missing(rows.get(i)) for i in range(of) if i not in done}
        found: dict[int, Any] = {}
        if partial or not missing:
            for i, record in done.items():
                try:
                    found[i] = self.of(record)
                except UnreachableError:
                    raise
                except QmodeError as error:  # one that is lost does not take the others with it
                    if isinstance(error, ServiceError) and (error.passing or error.status in NOT_NOW):
                        raise  # running it again would be paid for nothing
                    missing[i] = f"is done, but its result is lost: {error}"
        if missing and not partial:
            raise incomplete(missing, of, advice([rows.get(i) for i in sorted(missing)]))
        whole = put_together({i: r.partition for i, r in rows.items()}, of, found, partial=partial)
        return replace(whole, why=dict(sorted(missing.items()))) if partial else whole


def advice(records: Sequence[Record | None]) -> str:
    """What can be done about partitions without a result, by what became of them."""
    told: list[str] = []
    there = [r for r in records if r is not None]
    if any(r.state in (JobState.FAILED, JobState.REFUSED) for r in there):
        told.append("resubmit_failed() runs the failed ones again")
    ended = [r for r in there if r.state in (JobState.CANCELLED, JobState.DROPPED, JobState.DONE) or r.held]
    if ended:
        states = " or ".join(dict.fromkeys("lost" if r.state is JobState.DONE else str(r.state) for r in ended))
        told.append(f"resubmit({ended[0].row!r}) runs a {states} one again")
    if any(not r.over for r in there):
        told.append("wait() waits for those that have not ended")
    if len(there) < len(records):
        told.append("what was never sent has to be submitted again")
    return ", ".join([*told, "partial_result() gives what there is"])


def incomplete(missing: dict[int, str], of: int, advice: str) -> IncompleteResultError:
    """The error that says which partitions of a run have no result, why, and what to do."""
    shown = "; ".join(f"partition {i + 1} {why}" for i, why in list(missing.items())[:5])
    more = f"; and {len(missing) - 5} more" if len(missing) > 5 else ""
    return IncompleteResultError(f"{len(missing)} of {of} partitions have no result: {shown}{more}. {advice}", missing)


def put_together(rows: Mapping[int, Partition | None], of: int, found: dict[int, Any], *, partial: bool) -> Any:
    """The results of a run's jobs, by partition, as one in PUB order; with `partial`, what there is of it."""
    partitions = layout(rows, of, found)
    found = {i: r for i, r in found.items() if partitions[i].pieces or not _size(r)}
    if not partial:
        return merge(partitions, found)
    unknown = [i for i, part in enumerate(partitions) if not part.pieces and i not in found]
    if not _mergeable(found):
        lost = tuple(p for i, part in enumerate(partitions) if i not in found for p in part.pieces)
        return Partial(dict(found), lost, unknown=tuple(unknown))
    return merge_partial(partitions, found, unknown)


def _mergeable(found: dict[int, Any]) -> bool:
    from qiskit.primitives import PrimitiveResult

    return all(isinstance(r, PrimitiveResult) for r in found.values())


def layout(rows: Mapping[int, Partition | None], of: int, found: dict[int, Any]) -> list[Partition]:
    """The partitions of a run; a job without a layout tag carries whole PUBs, as many as its result has, in order.

    One without pieces is not known: it was never sent, or has no tag and comes after one that is not known.
    """
    from ...model.partition import Piece

    partitions: list[Partition] = []
    lost = False
    for i in range(of):
        known = rows.get(i)
        if known is None or not known.pieces:
            lost |= i not in found
            before = max((p.pub for part in partitions for p in part.pieces), default=-1)
            size = 0 if lost else _size(found[i])
            known = Partition(tuple(Piece(before + 1 + k) for k in range(size)))
        partitions.append(known)
    return partitions


def _size(result: Any) -> int:
    return len(result) if hasattr(result, "__len__") else 0


def why_missing(record: Record | None) -> str:
    """Why a partition has no result."""
    if record is None:
        return "was never sent"
    shot = record.snapshot()
    reason = f" ({shot.reason_code or ''} {shot.reason or shot.note or ''})".replace("( ", "(")
    return f"is {record.state}" + (reason if shot.reason or shot.note else "")


def _spans(result: Any) -> tuple[tuple[float, float], ...]:
    """When the QPU really ran: chunk timing of client-side primitives and programs, execution spans of legacy ones."""
    metadata = getattr(result, "metadata", None)
    if isinstance(metadata, dict):
        spans = (metadata.get("execution") or {}).get("execution_spans") or getattr(
            metadata.get("executor"), "chunk_timing", None
        )
    else:
        spans = getattr(metadata, "chunk_timing", None)
    out = []
    for span in spans or []:
        a, b = getattr(span, "start", None), getattr(span, "stop", None)
        if isinstance(a, datetime) and isinstance(b, datetime):
            out.append((a.timestamp(), b.timestamp()))
    return tuple(sorted(out))
