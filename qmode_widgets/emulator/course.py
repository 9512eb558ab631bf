"""How things take their course: the schedulers on the wall clock, and what each event does to rows and workers.

Lives in one thread, the loop's.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..model.scheduling import Happened, Scheduler, Stage, What
from ..model.snapshot import WorkloadState
from . import rules
from .backends import Device
from .clock import Clock
from .engine import Engine, Task
from .options import Options
from .store import Store

_MARK = re.compile(rb"%%QPU\+(\d\.\d{9})%%")


@dataclass(slots=True)
class Live:
    """What a job that has not ended needs beyond its row."""

    task: Task | None = None
    result: bytes = b""
    notes: tuple[str, ...] = ()
    failure: tuple[int, str, str] | None = None


class Course:
    """One scheduler a backend. Times are the clock's, unskewed."""

    def __init__(
        self, options: Options, devices: dict[str, Device], engine: Engine, store: Store, clock: Clock
    ) -> None:
        self.options = options
        self.devices = devices
        self.engine = engine
        self.store = store
        self.clock = clock
        self.changed = asyncio.Condition()
        self._live: dict[str, Live] = {}
        self._wake: asyncio.TimerHandle | None = None
        self._due = 0.0
        now = clock.now()
        self.schedulers = {
            name: Scheduler(rules.scheduling(options, number), now) for number, name in enumerate(devices)
        }

    def start(self) -> None:
        """Begin to let time pass; the loop runs and the engine can take jobs."""
        self._restore()
        self.tick()

    @property
    def busy(self) -> bool:
        """Whether a job has not ended or a workload is not closed."""
        return bool(self._live) or any(
            w.state is not WorkloadState.CLOSED for s in self.schedulers.values() for w in s.workloads.values()
        )

    # -- time ----------------------------------------------------------------------------------------------------

    def pause(self, *, queue: bool = False) -> None:
        """Hold the QPUs; with `queue`, nothing leaves the queue either."""
        for name in self.schedulers:
            self._command(name, lambda s, at: s.pause(at, queue=queue))

    def resume(self) -> None:
        """End a pause."""
        for name in self.schedulers:
            self._command(name, lambda s, at: s.resume(at))

    def tick(self) -> None:
        """Let everything happen that is due, and wake up for what comes next."""
        for name, scheduler in self.schedulers.items():
            # What is done about an event may be a command that is due at once.
            while happened := scheduler.advance(self._at(scheduler, self.clock.now())):
                for h in happened:
                    self._on(name, h)
        self._arm()

    def _arm(self) -> None:
        due = [t for s in self.schedulers.values() if (t := s.next_event_time()) is not None]
        if self._wake and due and self._due == min(due):
            return
        if self._wake:
            self._wake.cancel()
            self._wake = None
        if due:
            self._due = min(due)
            loop = asyncio.get_running_loop()
            # A timer that fires a hair early finds nothing due: 1 ms later it does.
            self._wake = loop.call_later(max(0.0, min(due) - self.clock.now()) + 0.001, self._woken)

    def _woken(self) -> None:
        self._wake = None
        self.tick()

    @staticmethod
    def _at(scheduler: Scheduler, now: float) -> float:
        return max(now, scheduler.now)

    def _command(self, backend: str, act: Callable[[Scheduler, float], None]) -> None:
        scheduler = self.schedulers[backend]
        act(scheduler, self._at(scheduler, self.clock.now()))
        self.tick()

    def _schedule(
        self, id_: str, device: Device, session_id: str | None, qpu: float, prep: float, cost: int | None,
        failure: tuple[int, str, str] | None, system: bool,
    ) -> None:  # fmt: skip
        speed, scheduler = self.options.speed, self.schedulers[device.name]
        self._live[id_] = Live(failure=failure)
        fails: Any = None if failure is None else "system" if system else "user"
        # A dry run goes to the mock, whatever workload it was submitted in, and is billed nothing.
        workload = None if device.mock else session_id
        bill = 0.0 if device.mock else float(max(1, round(qpu)))
        scheduler.submit(
            self._at(scheduler, self.clock.now()), id_, workload, prep=prep / speed, qpu=qpu / speed, bill=bill,
            limit=cost, fails=fails, held=True,
        )  # fmt: skip

    # -- what happens --------------------------------------------------------------------------------------------

    def _on(self, backend: str, h: Happened) -> None:
        scheduler = self.schedulers[backend]
        if h.id in scheduler.workloads:
            self._workload_changed(scheduler, h)
        elif (live := self._live.get(h.id)) is not None:
            if h.what is What.PREPARING:
                self.store.update("jobs", h.id, status="Running", running=h.time)
                self._simulate(h.id, backend, live)
            elif Stage(h.what.value).final:
                self._job_ended(scheduler, h, live)
            job = scheduler.jobs.get(h.id)
            if job is not None and job.workload is not None:
                self._sync_workload(scheduler, job.workload.id)
            if Stage(h.what.value).final:
                scheduler.forget(h.id)
        self._announce()

    def _announce(self) -> None:
        async def notify() -> None:
            async with self.changed:
                self.changed.notify_all()

        _keep(asyncio.get_running_loop().create_task(notify()))

    def _simulate(self, id_: str, backend: str, live: Live) -> None:
        row = self.store.job(id_)
        assert row is not None
        live.task = self.engine.run(row["program"], backend, self.store.blob(id_, "params"))
        live.task.answer.add_done_callback(lambda answer: self._simulated(id_, backend, live, answer))

    def _simulated(
        self, id_: str, backend: str, live: Live, answer: asyncio.Future[tuple[dict[str, Any], bytes]]
    ) -> None:
        if answer.cancelled() or id_ not in self._live:
            return
        header, live.result = answer.result()
        if failed := header.get("failed") or (header.get("invalid") and {"code": 1603, "reason": header["invalid"]}):
            live.failure = (failed["code"], failed["reason"], failed.get("solution", ""))
            system = bool(failed.get("system"))
            self._command(backend, lambda s, at: s.fail(at, id_, "failed", system=system))
        else:
            live.notes = tuple(header["notes"])
            self._command(backend, lambda s, at: s.ready(at, id_))

    def _job_ended(self, scheduler: Scheduler, h: Happened, live: Live) -> None:
        job = scheduler.jobs[h.id]
        if live.task is not None:
            self.engine.cancel(live.task)
        del self._live[h.id]
        values: dict[str, Any] = {"pending": 0, "finished": h.time, "usage": job.billed}
        if h.what is What.COMPLETED:
            values |= {"status": "Completed", "result": self._timed(live.result, job.qpu_start, job.qpu_end)}
        else:
            values["status"] = "Cancelled" if h.what is What.CANCELLED else "Failed"
            known = live.failure if h.why in ("user", "system", "failed") else rules.JOB_ENDS.get(h.why)
            if known:
                values |= dict(zip(("reason_code", "reason", "reason_solution"), known, strict=True))
        values["logs"] = "".join(f"{line}\n" for line in live.notes)
        self.store.update("jobs", h.id, **values)
        if not self.options.state:
            self.store.prune(self.options.keep)

    def _timed(self, result: bytes, start: float | None, end: float | None) -> bytes:
        """A result with the moments on the QPU filled in."""
        begin, length = start or 0.0, (end or 0.0) - (start or 0.0)
        return _MARK.sub(lambda m: str(self.clock.shown(begin + float(m[1]) * length)).encode(), result)

    def _workload_changed(self, scheduler: Scheduler, h: Happened) -> None:
        if h.what in (What.ACTIVATED, What.INACTIVATED, What.CLOSED):
            row = self.store.workload(h.id)
            assert row is not None
            state = {What.ACTIVATED: "active", What.INACTIVATED: "inactive", What.CLOSED: "closed"}[h.what]
            why = rules.STATE_REASONS.get("activated" if h.what is What.ACTIVATED else h.why, h.why)
            self.store.update("workloads", h.id, reason=why, timestamps=[*row["timestamps"], [state, h.time]])
        self._sync_workload(scheduler, h.id)
        if h.what is What.CLOSED:
            scheduler.forget(h.id)

    def _sync_workload(self, scheduler: Scheduler, id_: str) -> None:
        if (w := scheduler.workloads.get(id_)) is None:
            return
        self.store.update(
            "workloads", id_, state=w.state.value, accepting=int(w.accepting), started=w.started, activated=w.activated,
            closed=w.closed, last_job_started=w.last_job_started, last_job_completed=w.last_job_completed,
            usage=w.usage(scheduler.now),
        )  # fmt: skip

    # -- after a restart -----------------------------------------------------------------------------------------

    def _restore(self) -> None:
        """Take up what a state file holds: open workloads and unfinished jobs, which go through the queue again."""
        workloads = self.store.all_workloads("state != 'closed'")
        for row in workloads:
            if (scheduler := self.schedulers.get(row["backend"])) is None:
                self.store.update("workloads", row["id"], state="closed", accepting=0, closed=self.clock.now())
                continue
            scheduler.open(
                self._at(scheduler, self.clock.now()), row["id"], "batch" if row["mode"] == "batch" else "session",
                max_ttl=row["max_ttl"], interactive_ttl=row["interactive_ttl"], active_ttl=row["active_ttl"],
                created=row["created"], started=row["started"], usage=row["usage"],
            )  # fmt: skip
        for row in self.store.unfinished():
            scheduler_ = self.schedulers.get(row["backend"])
            if scheduler_ is None or (row["session_id"] and row["session_id"] not in scheduler_.workloads):
                reason = f"The backend {row['backend']} is retired."
                self.store.update("jobs", row["id"], status="Failed", pending=0, reason=reason, reason_code=1216)
                continue
            self.store.update("jobs", row["id"], status="Queued", running=None)
            device = self.devices[row["backend"]]
            self._schedule(row["id"], device, row["session_id"], row["qpu"], row["prep"], row["cost"], None, False)
        for row in workloads:
            if not row["accepting"] and (scheduler := self.schedulers.get(row["backend"])) is not None:
                scheduler.close(self._at(scheduler, self.clock.now()), row["id"])


_TASKS: set[asyncio.Task[None]] = set()


def _keep(task: asyncio.Task[None]) -> None:
    """Hold a reference until it is done, as asyncio asks."""
    _TASKS.add(task)
    task.add_done_callback(_TASKS.discard)
