"""Job mode: one job, or the jobs of one run, which only their tags tie together."""

from __future__ import annotations

from typing import Any, Self, cast

from qiskit_ibm_runtime import RuntimeJobV2

from ..errors import ArgumentError, QmodeError
from ..ibm.client import backend_named, instance_of, tags_of
from ..ibm.link import link_of
from ..model import tags
from ..model.snapshot import JobState
from .controller import Controller
from .modes import refuse_local
from .registry import registry
from .state.ledger import Ledger
from .state.record import Record


class JobController(Controller):
    """Watch and control jobs that were submitted in job mode, or submit a run in job mode.

    Args:
        jobs: one or more `RuntimeJobV2` of one backend.
        usage_cap: QPU seconds after which no further job is sent and the queue is cancelled.
        retries: how often a partition that failed for a transient or system reason is run again by itself.

    Raises:
        QmodeError: no job, jobs of different backends, or a local job.
    """

    _mode = "job"

    def __init__(self, *jobs: RuntimeJobV2, usage_cap: float | None = None, retries: int = 0) -> None:
        there = _watching({j.job_id() for j in jobs}) if jobs else None
        if there is not None:  # what the cell says now counts
            self._one = there
            there._set_limits(usage_cap, retries or None)
            there._take_over(jobs[0].backend().service)
            return
        if not jobs:
            raise ArgumentError("pass at least one job, or use JobController.open(backend) and submit()")
        backends = [j.backend() for j in jobs]
        refuse_local(backends[0])
        if len({b.name for b in backends}) > 1:
            raise ArgumentError(f"the jobs ran on different backends ({', '.join(sorted({b.name for b in backends}))})")
        for job in jobs:
            if getattr(job, "session_id", None):
                raise ArgumentError(
                    f"the job {job.job_id()} belongs to the workload {job.session_id}: control that one with "
                    f"attach({job.session_id!r}, service)"
                )
        self._backend = backends[0]
        ledger = self._make_ledger(backends[0], jobs[0].job_id())
        for job in {j.job_id(): j for j in jobs}.values():
            said = tags.read(tags_of(job))
            record = Record(JobState.QUEUED, key=said.key, partition=said.partition, job_id=job.job_id())
            record.own_tags, record.group = said.own, said.group
            ledger.add([record], None if said.key is None else said.key.run, said.label)
        super().__init__(ledger, usage_cap=usage_cap, retries=retries)

    @classmethod
    def open(cls, backend: Any, *, usage_cap: float | None = None, retries: int = 0) -> Self:
        """A controller without jobs; `submit` sends each partition as a job of its own, which queues alone."""
        return cls._of_run(backend, tags.new_run(), fresh=True, usage_cap=usage_cap, retries=retries)

    @classmethod
    def _of_run(cls, backend: Any, run: str, *, fresh: bool, usage_cap: float | None = None, retries: int = 0) -> Self:
        refuse_local(backend)
        self = cls.__new__(cls)
        self._backend = backend
        ledger = cls._make_ledger(backend, run)
        if not fresh:
            ledger.add_run(run)
        Controller.__init__(self, ledger, usage_cap=usage_cap, retries=retries)
        return cast("Self", self._one)

    @staticmethod
    def _make_ledger(backend: Any, id_: str) -> Ledger:
        if (existing := registry.find(id_)) is not None:
            raise QmodeError(f"{id_} is watched already: use {existing!r}, one controller a workload")
        link = link_of(backend.service, str(instance_of(backend)))
        return Ledger(link, id_, "job", str(backend.name))

    @property
    def backend(self) -> Any:
        """The backend object it runs on."""
        return self._backend

    @property
    def primitive_mode(self) -> Any:
        """What a primitive of this run takes as its mode: the backend."""
        return self._backend

    @property
    def workload_ids(self) -> tuple[str, ...]:
        """The controller's own id, and the ids of its runs."""
        return self._ask(lambda: tuple(dict.fromkeys((self.id, *self._ledger.runs))))

    def _rebind(self, service: Any) -> None:
        self._backend = backend_named(service, self._ledger.backend, self._ledger.link.instance)


def _watching(job_ids: set[str]) -> Any:
    """The controller in job mode that has all these jobs; None without one."""
    for controller in registry.all():
        if isinstance(controller, JobController) and job_ids <= {j.job_id for j in controller.jobs}:
            return controller
    return None
