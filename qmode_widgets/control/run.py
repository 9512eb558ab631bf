"""A handle on the jobs of one `submit` call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..model.snapshot import JobSnapshot, JobState
from .results import latest

if TYPE_CHECKING:
    from .workload import Workload


class Run:
    """The jobs of one `submit` call."""

    def __init__(self, controller: Workload, id_: str) -> None:
        self._controller = controller
        self.id = id_

    @property
    def jobs(self) -> tuple[JobSnapshot, ...]:
        """The last attempt at each partition, in PUB order."""
        rows = latest(self._controller._ledger, self.id)
        return tuple(rows[i].snapshot() for i in sorted(rows))

    def wait(self, timeout: float | None = None, *, progress: bool = False) -> bool:
        """Until every partition has ended; False when the time (seconds) ran out first."""
        return self._controller.wait(timeout, run=self.id, progress=progress)

    def result(self, timeout: float | None = None) -> Any:
        """The merged result in PUB order; waits for it."""
        return self._controller.result(timeout, run=self.id)

    def partial_result(self) -> Any:
        """What there is of it, and what is missing."""
        return self._controller.partial_result(run=self.id)

    def __repr__(self) -> str:
        done = sum(j.state is JobState.DONE for j in self.jobs)
        return f"<Run {self.id}: {done} of {len(self.jobs)} partitions done>"
