"""Results of a run: fetched once, decoded by the client's own decoders, merged in PUB order."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any

from ..errors import IncompleteResultError, QmodeError
from ..ibm.client import decode
from ..ibm.link import patiently
from ..ibm.wire import as_dict
from ..model.merge import Partial, merge, merge_partial
from ..model.partition import Partition
from ..model.snapshot import JobState
from .ledger import Ledger, latest
from .record import Record


class Results:
    """The decoded results of one workload, by row. A private job's result can be read once, so each is kept."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._decoded: dict[str, Any] = {}
        self._lock = threading.RLock()  # the watcher and a cell may want the same one

    def of(self, record: Record) -> Any:
        """One job's result.

        Raises:
            QmodeError: it has none: not ended well, or no longer on the service.
        """
        with self._lock:
            if record.row not in self._decoded:
                self._decoded[record.row] = self._fetch(record)
            return self._decoded[record.row]

    def _fetch(self, record: Record) -> Any:
        if record.state is not JobState.DONE or record.job_id is None:
            raise QmodeError(f"row {record.row} is {record.state}: it has no result")
        text = patiently(self.ledger.link.results, record.job_id)
        if not text:
            raise QmodeError(f"the service has no result for job {record.job_id}: a private one can be read once")
        program = as_dict(record.data.get("program")).get("id") or "sampler"
        try:
            found = decode(str(program), text)
        except Exception as error:
            raise QmodeError(
                f"the result of job {record.job_id} cannot be decoded ({error!r}): service.job({record.job_id!r}) of a "
                "newer qiskit-ibm-runtime may read it"
            ) from error
        if spans := _spans(found):
            with self.ledger.lock:
                record.spans = spans
                record.touch()
            self.ledger.changed()
        return found

    def run(self, run: str, *, partial: bool = False) -> Any:
        """The merged result of a run, or what there is of it.

        Raises:
            IncompleteResultError: not all partitions are done; it says why for each.
        """
        rows = latest(self.ledger, run)
        of = max((r.key.of for r in rows.values() if r.key), default=0)
        done = {i: r for i, r in rows.items() if r.state is JobState.DONE}
        missing = {i: _why(rows.get(i)) for i in range(of) if i not in done}
        if missing and not partial:
            shown = "; ".join(f"partition {i + 1} {why}" for i, why in list(missing.items())[:5])
            more = f"; and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise IncompleteResultError(
                f"{len(missing)} of {of} partitions have no result: {shown}{more}. resubmit_failed() runs them again, "
                "partial_result() gives what there is",
                missing,
            )
        found = {i: self.of(r) for i, r in done.items()}
        partitions = layout(rows, of, found)
        if partial:
            return merge_partial(partitions, found) if _mergeable(found) else Partial(dict(found))
        return merge(partitions, found)


def _mergeable(found: dict[int, Any]) -> bool:
    from qiskit.primitives import PrimitiveResult

    return all(isinstance(r, PrimitiveResult) for r in found.values())


def layout(rows: dict[int, Record], of: int, found: dict[int, Any]) -> list[Partition]:
    """The partitions of a run; a job without a layout tag carries whole PUBs, as many as its result has, in order."""
    from ..model.partition import Piece

    partitions: list[Partition] = []
    for i in range(of):
        known = rows[i].partition if i in rows else None
        if known is None or not known.pieces:
            before = max((p.pub for part in partitions for p in part.pieces), default=-1)
            size = len(found[i]) if i in found and hasattr(found[i], "__len__") else 0
            known = Partition(tuple(Piece(before + 1 + k) for k in range(size)))
        partitions.append(known)
    return partitions


def _why(record: Record | None) -> str:
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
