"""The handle of one `submit` call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeVar
from weakref import WeakKeyDictionary

from ..errors import QmodeError
from ..model.snapshot import JobSnapshot, JobState, Usage
from ..planning.content import PlanContent
from ..portal import Portal
from .engine.workload import Workload
from .runs.archive import save
from .runs.provenance import Provenance, provenance, run_usage
from .runs.report import report

T = TypeVar("T")


class Owner(Protocol):
    """What a run needs of its controller."""

    _workload: Workload
    _portal: Portal
    _run_options: dict[str, dict[str, Any]]
    _plans: dict[str, PlanContent]

    @property
    def id(self) -> str:
        """The workload's."""
        ...

    def wait(self, timeout: float | None = None, *, run: Run | str | None = None, progress: bool | None = None) -> bool:
        """Until its jobs have ended."""
        ...

    def result(
        self, timeout: float | None = None, *, run: Run | str | None = None, progress: bool | None = None
    ) -> Any:
        """Its result."""
        ...

    def partial_result(self, *, run: Run | str | None = None) -> Any:
        """What there is of it."""
        ...

    def on_done(self, callback: Callable[[JobSnapshot], object], *, run: Run | str | None = None) -> Callable[[], None]:
        """Call back for each job that has ended."""
        ...

    def _ask(self, function: Callable[[], T]) -> T:
        """Read on the loop."""
        ...


class Run(Coroutine[Any, Any, Any]):
    """The jobs of one `submit` call. `await run`, or `asyncio.create_task(run)`, is its merged result.

    `sent` holds the keys of the jobs that were sent by the call that returned this handle.
    """

    def __init__(self, controller: Owner, id_: str, sent: tuple[str, ...] = ()) -> None:
        self._controller = controller
        self.id = id_
        self.sent = sent
        self._tasks: WeakKeyDictionary[asyncio.Task[Any], Coroutine[Any, Any, Any]] = WeakKeyDictionary()

    @property
    def jobs(self) -> tuple[JobSnapshot, ...]:
        """The last attempt at each partition, in PUB order."""

        def rows() -> tuple[JobSnapshot, ...]:
            found = self._controller._workload.ledger.latest(self.id)
            return tuple(found[i].snapshot() for i in sorted(found))

        return self._controller._ask(rows)

    def wait(self, timeout: float | None = None, *, progress: bool | None = None) -> bool:
        """Until every partition has ended; False when the time (seconds) ran out first."""
        return self._controller.wait(timeout, run=self.id, progress=progress)

    def result(self, timeout: float | None = None, *, progress: bool | None = None) -> Any:
        """The merged result in PUB order; waits for it, with a bar on a terminal."""
        return self._controller.result(timeout, run=self.id, progress=progress)

    def partial_result(self) -> Any:
        """What there is of it, and what is missing."""
        return self._controller.partial_result(run=self.id)

    def on_done(self, callback: Callable[[JobSnapshot], object]) -> Callable[[], None]:
        """Call back once for each of its jobs that has ended and is not run again; returns what ends it."""
        return self._controller.on_done(callback, run=self.id)

    def __await__(self) -> Generator[Any, None, Any]:
        """`await run` is its merged result; cancelling the await cancels no job."""
        return self._awaited().__await__()

    def _step(self) -> Coroutine[Any, Any, Any]:
        """What a task that was made of this run itself waits for: each task of its own, so that several can wait."""
        task = asyncio.current_task()
        if task is None:
            raise QmodeError("a run is awaited in an event loop: `await run`; without one, run.result()")
        if task not in self._tasks:
            self._tasks[task] = self._awaited()
        return self._tasks[task]

    def send(self, value: Any) -> Any:
        """For event loops: the next step of a task that was made of this run."""
        return self._step().send(value)

    def throw(self, *error: Any) -> Any:
        """For event loops: end such a task's waiting."""
        return self._step().throw(*error)

    def close(self) -> None:
        """For event loops; cancels no job and closes no workload: the controller does."""

    async def _awaited(self) -> Any:
        workload = self._controller._workload
        await self._controller._portal.acall(workload.until_ended, self.id, waits=True)
        return await asyncio.to_thread(self.result)

    @property
    def label(self) -> str | None:
        """The name it was given."""
        return self._controller._ask(lambda: self._controller._workload.ledger.label(self.id))

    @property
    def plan(self) -> PlanContent | None:
        """The plan it was submitted by, if `plan.run()` did it or it was set here; reports show it."""
        return self._controller._plans.get(self.id)

    @plan.setter
    def plan(self, plan: PlanContent) -> None:
        self._controller._plans[self.id] = plan

    @property
    def usage(self) -> Usage:
        """QPU usage of the run's jobs in seconds: reported, expected, and which."""
        return run_usage(self._controller._workload.ledger, self.id)

    def provenance(self) -> Provenance:
        """Where its result comes from: jobs, options, plan, bill, calibration, versions. Asks the service for some."""
        return provenance(
            self._controller._workload.ledger,
            self.id,
            options=self._controller._run_options.get(self.id),
            plan=self.plan,
        )

    def report(self, path: str | Path) -> Path:
        """Write a report of the run as one HTML file that needs nothing else; it holds no token.

        Raises:
            OSError: the file cannot be written.
        """
        return report(path, self.provenance())

    def save(self, path: str | Path) -> Path:
        """Write the results there are, and what is known of the run, into one file: `qmode_widgets.load(path)`.

        It needs neither the service nor an account to be read. A file of that name is replaced.

        Raises:
            QmodeError: a result cannot be fetched; nothing is written.
            OSError: the file cannot be written.
        """
        return save(path, self.provenance(), self._controller._workload.ledger, self._controller._workload.results)

    def __reduce__(self) -> NoReturn:
        raise QmodeError(
            "a run lives in its process and cannot be pickled or copied: pickle run.result(), or write run.save(path) "
            f"and read that with load(path), or pickle its id and attach({self.id!r}, service)"
        )

    def __repr__(self) -> str:
        done = sum(j.state is JobState.DONE for j in self.jobs)
        named = f" {self.label!r}" if self.label else ""
        return f"<Run {self.id}{named}: {done} of {len(self.jobs)} partitions done>"
