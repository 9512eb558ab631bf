"""The service itself, without HTTP: what the REST surface asks of instances, workloads and jobs."""

from __future__ import annotations

import asyncio
import math
import random
import re
import secrets
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...model.scheduling import Happened, Scheduler, Stage, What
from ...model.snapshot import WorkloadState
from ..backends import Device
from ..options import Options
from ..simulation.pool import Engine, Task
from . import rules
from .account import PERIOD, Instance
from .clock import Clock
from .errors import ServiceError, bad_request, not_found
from .faults import Faults, JobFault
from .store import Row, Store

_MARK = re.compile(rb"%%QPU\+(\d\.\d{9})%%")


@dataclass(slots=True)
class Live:
    """What a job that has not ended needs beyond its row."""

    task: Task | None = None
    result: bytes = b""
    notes: tuple[str, ...] = ()
    failure: tuple[int, str, str] | None = None


_ALPHABET = "0123456789abcdefghijklmnopqrstuv"


class Service:
    """Everything the REST surface asks. Times are the clock's, unskewed."""

    def __init__(
        self, options: Options, devices: dict[str, Device], engine: Engine, store: Store, clock: Clock, faults: Faults
    ) -> None:
        self.options = options
        self.devices = devices
        self.engine = engine
        self.store = store
        self.clock = clock
        self.faults = faults
        self.used_elsewhere: dict[str, float] = {}
        self._random = random.Random(options.seed)  # noqa: S311 - jitter, no secret
        self._submissions: deque[float] = deque()
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

    # -- workloads -----------------------------------------------------------------------------------------------

    def open_session(self, instance: Instance, mode: str, backend: str, max_ttl: float | None) -> Row:
        """Create a session ("dedicated") or batch."""
        if mode not in ("dedicated", "batch"):
            raise bad_request(f"mode must be dedicated or batch, not {mode!r}")
        device = self.device(backend)
        if mode == "dedicated" and not instance.sessions:
            raise ServiceError(
                400, 1352, "You are not authorized to run a session when using the open plan.", "Use job or batch mode."
            )
        longest = self.options.max_ttl if instance.batch_ttl is None else min(self.options.max_ttl, instance.batch_ttl)
        if max_ttl is not None and not 0 < max_ttl <= longest:
            raise bad_request(f"max_ttl must be above 0 and at most {longest:g} seconds, not {max_ttl!r}")
        scheduler, id_, now = self.schedulers[device.name], str(uuid.uuid4()), self.clock.now()
        ttl = longest if max_ttl is None else max_ttl
        w = scheduler.open(self._at(scheduler, now), id_, "batch" if mode == "batch" else "session", max_ttl=ttl)
        self.store.add(
            "workloads",
            {
                "id": id_, "instance": instance.crn, "backend": device.name, "mode": mode, "created": now,
                "state": "open", "reason": rules.STATE_REASONS["created"], "accepting": 1, "max_ttl": ttl,
                "interactive_ttl": w.interactive_ttl, "active_ttl": w.active_ttl or ttl, "usage": 0.0,
                "timestamps": [["open", now]],
            },
        )  # fmt: skip
        self.tick()
        return self.session(instance, id_)

    def session(self, instance: Instance, id: str) -> Row:
        """A session or batch of this instance, up to date."""
        self.tick()
        row = self.store.workload(id)
        if row is None or row["instance"] != instance.crn:
            raise not_found("Session", id)
        return self._fresh(row)

    def _fresh(self, row: Row) -> Row:
        """A workload's usage runs on while it is active, without any event."""
        w = self.schedulers[row["backend"]].workloads.get(row["id"])
        if w is not None and w.state is not WorkloadState.CLOSED:
            row["usage"] = w.usage(self.clock.now())
        return row

    def close_session(self, instance: Instance, id: str) -> None:
        """No further jobs."""
        row = self.session(instance, id)
        if row["state"] != "closed" and row["accepting"]:
            self._command(row["backend"], lambda s, at: s.close(at, id))

    def cancel_session(self, instance: Instance, id: str) -> None:
        """No further jobs, and the queued ones are cancelled."""
        row = self.session(instance, id)
        if row["state"] != "closed":
            self._command(row["backend"], lambda s, at: s.cancel_workload(at, id))

    # -- jobs ----------------------------------------------------------------------------------------------------

    async def submit(self, instance: Instance, asked: dict[str, Any], params: bytes) -> Row:
        """Create a job from a submission; `params` is its params' JSON as it came."""
        program, backend = rules.program(asked.get("program_id")), asked.get("backend")
        session_id, row = asked.get("session_id"), None
        if session_id is not None:
            row = self._accepting(instance, session_id)
            backend = row["backend"] if backend is None else backend
        device = self.device(backend)
        if row is not None and device.name != row["backend"] and not device.mock:
            raise bad_request(f"the session runs on {row['backend']}, not on {device.name}")
        tags, cost = rules.tags(asked.get("tags")), rules.cost(asked.get("cost"))
        self._pace()
        if instance.limit_seconds is not None and self.used(instance) >= instance.limit_seconds:
            said = "The instance has reached its usage limit."
            raise ServiceError(409, 4317, said, "Wait until time is available, or use another plan.")
        read = await self.engine.read(program, device.name, params)
        if "invalid" in read:
            raise bad_request(read["invalid"], code=1210)
        if "failed" in read:
            raise bad_request(read["failed"]["reason"], read["failed"]["solution"], read["failed"]["code"])
        if session_id is not None:
            self._accepting(instance, session_id)  # it may have closed meanwhile
        fault = self.faults.next_job(tags)
        return self._add_job(instance, asked, params, device, tags, read, fault, row, cost)

    def _accepting(self, instance: Instance, session_id: Any) -> Row:
        if not isinstance(session_id, str):
            raise bad_request("session_id must be a string")
        row = self.session(instance, session_id)
        if row["state"] == "closed" or not row["accepting"]:
            raise ServiceError(400, 1217, "Session has been closed.", "Create a new session or batch.")
        return row

    def _add_job(
        self, instance: Instance, asked: dict[str, Any], params: bytes, device: Device, tags: list[str],
        read: dict[str, Any], fault: JobFault | None, session: Row | None, cost: int | None,
    ) -> Row:  # fmt: skip
        session_id = None if session is None else session["id"]
        now, id_ = self.clock.now(), "d" + "".join(secrets.choice(_ALPHABET) for _ in range(19))
        qpu, prep = self._jittered(read["qpu"]), self._jittered(read["prep"])
        self.store.add(
            "jobs",
            {
                "id": id_, "instance": instance.crn, "backend": device.name, "mock": int(device.mock),
                "program": asked["program_id"], "session_id": session_id, "created": now, "status": "Queued",
                "counts": int(not device.mock and (session is None or session["mode"] == "batch")),
                "pending": 1, "tags": tags, "private": int(bool(asked.get("private"))), "cost": cost,
                "estimate": read["estimate"], "usage": 0.0, "qpu": qpu, "prep": prep, "bill": float(max(1, round(qpu))),
                "execution": max(0.0, qpu - 2.0), "params": params, "read": 0,
            },
        )  # fmt: skip
        failure = (fault.code, fault.reason, fault.solution) if fault else None
        self._schedule(id_, device, session_id, qpu, prep, cost, failure, fault.system if fault else False)
        self.tick()
        row = self.store.job(id_)
        assert row is not None
        return row

    def job(self, instance: Instance, id: str) -> Row:
        """A job of this instance, up to date."""
        self.tick()
        row = self.store.job(id)
        if row is None or row["instance"] != instance.crn:
            raise not_found("Job", id)
        return self.with_usage(row)

    def with_usage(self, row: Row) -> Row:
        """A job's usage runs on while it is on the QPU, without any event."""
        if row["pending"] and (live := self.schedulers[row["backend"]].jobs.get(row["id"])) is not None:
            row["usage"] = math.floor(live.usage(self.clock.now()))
        return row

    def cancel_job(self, instance: Instance, id: str) -> None:
        """Cancel a job that has not ended."""
        row = self.job(instance, id)
        if not row["pending"]:
            raise ServiceError(409, 1280, f"Job {id} cannot be cancelled: it is {row['status'].lower()}.", "")
        self._command(row["backend"], lambda s, at: s.cancel(at, id))

    def delete_job(self, instance: Instance, id: str) -> None:
        """Forget a job that has ended."""
        row = self.job(instance, id)
        if row["pending"]:
            said = f"Job {id} cannot be deleted: it is {row['status'].lower()}."
            raise ServiceError(409, 1281, said, "Cancel it first.")
        self.store.delete_job(id)

    def set_tags(self, instance: Instance, id: str, tags: Any) -> None:
        """Replace a job's tags."""
        self.job(instance, id)
        self.store.update("jobs", id, tags=rules.tags(tags))

    def result(self, instance: Instance, id: str) -> bytes | None:
        """A completed job's result, a failed one's message; a private job's only once."""
        row = self.job(instance, id)
        if row["status"] == "Failed":
            return str(row["reason"] or "").encode()
        if row["status"] != "Completed" or (row["private"] and row["read"]):
            return None
        result = self.store.blob(id, "result")
        if row["private"]:
            self.store.update("jobs", id, read=1, result=None)
        return result if isinstance(result, bytes) else None

    def _jittered(self, seconds: float) -> float:
        return seconds * math.exp(self._random.gauss(0, self.options.jitter)) if self.options.jitter else seconds

    def _pace(self) -> None:
        """Five submissions a minute, the minute being the emulator's own."""
        window = 60.0 / self.options.speed
        if not self.options.rate_limit or window == 0:
            return
        now = self.clock.now()
        while self._submissions and self._submissions[0] <= now - window:
            self._submissions.popleft()
        if len(self._submissions) >= rules.SUBMISSIONS_A_MINUTE:
            wait = math.ceil(self._submissions[0] + window - now)
            raise ServiceError(429, 1202, "Too many requests.", "Wait and submit again.", Retry_After=str(max(1, wait)))
        self._submissions.append(now)

    # -- instances and backends ----------------------------------------------------------------------------------

    def device(self, name: Any) -> Device:
        """A backend."""
        if not isinstance(name, str) or name not in self.devices:
            raise not_found("Backend", str(name)[:60])
        return self.devices[name]

    def used(self, instance: Instance) -> float:
        """Usage of the instance in the current period, what runs included."""
        now = self.clock.now()
        active = self.store.all_workloads("instance = ? AND mode = 'dedicated' AND state = 'active'", [instance.crn])
        running = sum(self._fresh(dict(row))["usage"] - row["usage"] for row in active)
        return self.store.used(instance.crn, now - PERIOD) + float(running) + self.used_elsewhere.get(instance.crn, 0.0)

    def queue_length(self, device: Device) -> int:
        """Jobs waiting or running on a backend."""
        return self.schedulers[device.name].queue_length


_TASKS: set[asyncio.Task[None]] = set()


def _keep(task: asyncio.Task[None]) -> None:
    """Hold a reference until it is done, as asyncio asks."""
    _TASKS.add(task)
    task.add_done_callback(_TASKS.discard)
