"""Session mode: exclusive use of the QPU, billed by the wall clock, idle time included."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from qiskit_ibm_runtime import Session

from ..model.snapshot import JobState
from .errors import QmodeError
from .modes import ModeController, OnExit
from .record import Record, as_dict, seconds
from .sending import Kind
from .service import noise_model_of

LONGEST_LABEL = 30


@dataclass(frozen=True, slots=True)
class Iteration:
    """The jobs of one `with session.iteration(label)`. Seconds, by the service's clock; None while not known."""

    label: str
    jobs: int
    started: float | None
    ended: float | None
    idle_before: float | None  # since the end of the iteration before: billed while waiting


@dataclass(frozen=True, slots=True)
class NoiseModel:
    """What a noise learner's job learned; `learned` on the service's clock, `age` in seconds."""

    job_id: str
    learned: float
    age: float


class SessionController(ModeController):
    """Wraps a `Session`: `SessionController(Session(backend))`, or `SessionController.open(backend)`.

    Args:
        mode: the session.
        usage_cap: QPU seconds after which nothing more is sent, the queue is cancelled and the session closed.
        retries: how often a partition that failed for a transient or system reason is run again by itself.
        on_exit: `"close"` (default: an idle session is billed) or `"leave"` when the kernel exits.

    Raises:
        QmodeError: not a session, local mode, or an id the service does not know.
    """

    _mode = "session"
    _kind = Session

    @classmethod
    def _default_on_exit(cls) -> OnExit:
        return "close"

    def close_when_idle(self, seconds: float) -> None:
        """Close after so many seconds without a queued or running job; kept by this kernel."""
        self._guards.close_when_idle(seconds)
        self._wake()

    @contextmanager
    def iteration(self, label: str) -> Iterator[None]:
        """Group the jobs submitted inside: one step of a loop the user runs.

        Raises:
            QmodeError: a label of more than 30 characters (it becomes a job tag), or one iteration inside another.
        """
        if not label or len(label) > LONGEST_LABEL:
            raise QmodeError(f"the label {label!r} has {len(label)} characters: use 1 to {LONGEST_LABEL}")
        ledger = self._ledger
        if ledger.group is not None:
            raise QmodeError(f"the iteration {ledger.group!r} is still under way: leave it first")
        ledger.group = label
        ledger.changed()
        try:
            yield
        finally:
            ledger.group = None
            self._wake()
            ledger.changed()

    def _submitting(self, kind: Kind, primitive: Any, records: list[Record]) -> None:
        """A noise model learned in this session is worth reusing; how old it is says how far to trust it (guide)."""
        ledger = self._ledger
        for r in records:
            r.learns = kind == "noise-learner"
        if noise_model_of(primitive) is None:
            return
        models = self.noise_models
        if not models:
            ledger.event("warning", "the jobs use a noise model that was not learned in this session: it may be stale")
            return
        ledger.event("info", f"the jobs reuse the noise model of job {models[-1].job_id}, {models[-1].age:.0f} s old")

    @property
    def noise_models(self) -> list[NoiseModel]:
        """The noise models learned in this session, oldest first, with their age in seconds now."""
        now = self._ledger.link.now()
        with self._ledger.lock:
            learned = [
                (end, str(r.job_id))
                for r in self._ledger.records.values()
                if r.state is JobState.DONE
                and (r.learns or as_dict(r.data.get("program")).get("id") == "noise-learner")
                and (end := seconds(as_dict(r.metrics.get("timestamps")).get("finished"))) is not None
            ]
        return [NoiseModel(job_id, end, now - end) for end, job_id in sorted(learned)]

    @property
    def iterations(self) -> list[Iteration]:
        """Each iteration's jobs and times, and the idle time before it, which a session bills."""
        groups: dict[str, list[tuple[float | None, float | None]]] = {}
        with self._ledger.lock:
            for r in self._ledger.records.values():
                if r.group is not None:
                    told = as_dict(r.metrics.get("timestamps"))
                    span = (seconds(told.get("running")), seconds(told.get("finished")))
                    groups.setdefault(r.group, []).append(span)
        found: list[Iteration] = []
        for label, times in groups.items():
            starts = [a for a, _ in times if a is not None]
            ends = [b for _, b in times if b is not None]
            started = min(starts, default=None)
            ended = max(ends) if len(ends) == len(times) else None
            before = found[-1].ended if found else None
            idle = None if started is None or before is None else max(0.0, started - before)
            found.append(Iteration(label, len(times), started, ended, idle))
        return found
