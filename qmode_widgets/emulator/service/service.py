"""The service without HTTP: instances, workloads and jobs, and what happens to them as time passes.

Everything runs in one thread, the event loop's. Times are the clock's, in seconds since the epoch, without skew.
"""

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

from ...model.scheduler import Happened, Scheduler, Stage, What
from ...model.snapshot import WorkloadState
from ...model.timing import OVERHEAD, whole_seconds
from ..backends import Device
from ..options import Options
from ..simulation.answer import Answer
from ..simulation.engine import Engine
from . import rules, shapes
from .account import INSTANCES, PERIOD, Instance
from .clock import Clock
from .errors import ApiError, bad_request, not_found
from .faults import FaultPlan
from .store import JobFilter, Row, Store, UsageFilter, WorkloadFilter

_ALPHABET = "0123456789abcdefghijklmnopqrstuv"
_TIME_ON_QPU = re.compile(rb"%%QPU\+(\d\.\d{9})%%")  # what `simulation.program.at` writes


@dataclass(slots=True)
class UnfinishedJob:
    """What a job that has not ended needs beyond its row."""

    instance: str
    task: asyncio.Task[Answer] | None = None
    result: bytes = b""
    notes: tuple[str, ...] = ()
    simulation: dict[str, Any] | None = None  # how it was simulated, unless exactly
    failure: tuple[int, str, str] | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """A job as it is submitted: the fields of `POST /jobs`, the params' JSON as it came, and who sent it."""

    fields: dict[str, Any]
    params: bytes
    user: str
    caller: str | None = None


class Service:
    """One scheduler for each backend, and the rows of everything that ran or runs on it."""

    def __init__(
        self,
        options: Options,
        devices: dict[str, Device],
        engine: Engine,
        store: Store,
        clock: Clock,
        faults: FaultPlan,
    ) -> None:
        self.options = options
        self.devices = devices
        self.engine = engine
        self.store = store
        self.clock = clock
        self.faults = faults
        self.used_elsewhere: dict[str, float] = {}
        self._limits = {crn: self._kept_limit(instance) for crn, instance in INSTANCES.items()}
        self.changed = asyncio.Condition()  # notified whenever something happened
        self._random = random.Random(options.seed)  # noqa: S311 - jitter, no secret
        self._submissions: dict[str, deque[float]] = {}
        self._unfinished: dict[str, UnfinishedJob] = {}
        self._suspended: set[str] = set()  # instances whose pending jobs wait because of the usage limit
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake: asyncio.TimerHandle | None = None
        self._due = 0.0
        now = clock.now()
        self.schedulers = {
            name: Scheduler(rules.scheduling(options, number), now) for number, name in enumerate(devices)
        }

    def start(self) -> None:
        """Begin to let time pass. The event loop runs, and the engine can take jobs."""
        self._restore()
        self.tick()

    @property
    def busy(self) -> bool:
        """Whether a job has not ended or a workload is not closed."""
        return bool(self._unfinished) or any(
            w.state is not WorkloadState.CLOSED for s in self.schedulers.values() for w in s.workloads.values()
        )

    async def simulated(self) -> None:
        """Return when no simulation runs: in the seconds that are about to pass at once they would have ended."""
        while tasks := [j.task for j in self._unfinished.values() if j.task and not j.task.done()]:
            await asyncio.wait(tasks)

    # -- instances and backends ---------------------------------------------------------------------------------

    def device(self, name: Any, calibration: str | None = None) -> Device:
        """Return a backend, with an alternative calibration if one is asked for."""
        if not isinstance(name, str) or name not in self.devices:
            raise not_found("Backend", str(name)[:60])
        device = self.devices[name]
        if calibration is not None and calibration not in device.calibrations:
            known = ", ".join(device.calibrations) or "none"
            said = f"The backend {name} has no calibration {str(calibration)[:60]!r}."
            raise ApiError(404, 1216, said, f"Leave calibration_id out, or use one of: {known}.")
        return device.calibrated(calibration)

    def queue_length(self, device: Device) -> int:
        """Return how many jobs wait or run on a backend; on a twin as recorded until a job of its own has run."""
        waiting, recorded = self.schedulers[device.name].queue_length, device.recorded.queue_length
        if recorded and not device.mock and not self.store.waits(device.name, most=1):
            waiting += recorded
        return waiting

    def waits(self, device: Device) -> dict[str, float] | None:
        """Return how long jobs waited for a backend; on a twin as recorded until a job of its own has run."""
        if (own := shapes.waits(self.store.waits(device.name))) is not None or device.mock:
            return own
        return device.recorded.wait_time_seconds

    def limit(self, instance: Instance) -> int | None:
        """Return the usage limit of an instance in seconds, or None without one."""
        return self._limits[instance.crn]

    def _kept_limit(self, instance: Instance) -> int | None:
        kept = self.store.meta(f"limit {instance.crn}")
        return instance.limit_seconds if kept is None else int(kept) if kept else None

    def set_limit(self, instance: Instance, seconds: Any) -> None:
        """Change or, with None, remove the usage limit of an instance."""
        if seconds is not None and (type(seconds) is not int or not 1 <= seconds < 2**31):
            raise bad_request(f"instance_limit must be whole seconds, at least 1, or null, not {str(seconds)[:60]}")
        if seconds is not None and round(self.used(instance)) > seconds:
            said = f"The instance has used {self.used(instance):.0f} seconds, more than {seconds}."
            raise ApiError(409, 4317, said, "Choose a limit above the usage.")
        self._limits[instance.crn] = seconds
        self.store.set_meta(f"limit {instance.crn}", "" if seconds is None else str(seconds))
        self.tick()

    def used(self, instance: Instance) -> float:
        """Return the usage of an instance in the current period in seconds, with that of active sessions."""
        now = self.clock.now()
        running = sum(
            self._with_session_usage(dict(row))["usage"] - row["usage"]
            for row in self.store.active_sessions(instance.crn)
        )
        return self.store.used(instance.crn, now - PERIOD) + float(running) + self.used_elsewhere.get(instance.crn, 0.0)

    def limit_reached(self, instance: Instance) -> bool:
        """Return whether an instance has reached its usage limit."""
        limit = self.limit(instance)
        return limit is not None and round(self.used(instance)) >= limit

    def analytics(self, asked: UsageFilter, group_by: Any = None) -> list[Row]:
        """Return sums of usage; see `Store.analytics`."""
        self.tick()
        return self.store.analytics(asked, group_by, self.clock.now())

    # -- workloads ----------------------------------------------------------------------------------------------

    def open_session(self, instance: Instance, user: str, asked: dict[str, Any]) -> Row:
        """Create a session ("dedicated") or batch from the fields of `POST /sessions`."""
        mode = asked.get("mode")
        if mode not in ("dedicated", "batch"):
            raise bad_request(f"mode must be dedicated or batch, not {str(mode)[:60]!r}")
        if asked.get("instance") not in (None, instance.crn):
            raise bad_request("instance must be the one of the Service-CRN header")
        backend = asked.get("backend", asked.get("backend_name"))
        if backend is None:
            raise bad_request("backend is missing")
        try:
            device = self.device(backend)
        except ApiError as unknown:  # the specification names no 404 here
            raise bad_request(unknown.message, unknown.solution, code=unknown.code) from None
        if mode == "dedicated" and not instance.sessions:
            raise ApiError(
                400, 1352, "You are not authorized to run a session when using the open plan.", "Use job or batch mode."
            )
        longest = self.options.max_ttl if instance.batch_ttl is None else min(self.options.max_ttl, instance.batch_ttl)
        ttl = rules.max_ttl(asked.get("max_ttl"), longest)
        scheduler, id_, now = self.schedulers[device.name], str(uuid.uuid4()), self.clock.now()
        w = scheduler.open(self._at(scheduler, now), id_, "batch" if mode == "batch" else "session", max_ttl=ttl)
        row = {
            "id": id_,
            "instance": instance.crn,
            "user": user,
            "backend": device.name,
            "mode": mode,
            "created": now,
            "state": "open",
            "reason": rules.STATE_REASONS["created"],
            "accepting": 1,
            "max_ttl": ttl,
            "interactive_ttl": w.interactive_ttl,
            "active_ttl": min(w.active_ttl or ttl, ttl),
            "usage": 0.0,
            "timestamps": [["open", now]],
        }
        self.store.add("workloads", row)
        self.tick()
        return self.session(instance, id_)

    def session(self, instance: Instance, id: str) -> Row:
        """Return a session or batch of this instance, up to date."""
        self.tick()
        row = self.store.workload(id)
        if row is None or row["instance"] != instance.crn:
            raise not_found("Session", id)
        return self._with_session_usage(row)

    def _with_session_usage(self, row: Row) -> Row:
        """A workload's usage grows while it is active, without any event."""
        scheduler = self.schedulers.get(row["backend"])
        w = None if scheduler is None else scheduler.workloads.get(row["id"])
        if w is not None and w.state is not WorkloadState.CLOSED:
            row["usage"] = w.usage(self.clock.now())
        return row

    def close_session(self, instance: Instance, id: str) -> None:
        """Accept no further jobs; queued ones still run."""
        row = self.session(instance, id)
        if row["state"] != "closed" and row["accepting"]:
            self._command(row["backend"], lambda s, at: s.close(at, id))

    def cancel_session(self, instance: Instance, id: str) -> None:
        """Accept no further jobs, and cancel the queued ones."""
        row = self.session(instance, id)
        if row["state"] != "closed":
            self._command(row["backend"], lambda s, at: s.cancel_workload(at, id))

    def workloads(self, asked: WorkloadFilter, *, limit: int, offset: int, newest_first: bool) -> tuple[list[Row], int]:
        """Return a page of jobs in job mode, batches and sessions, and how many there are."""
        self.tick()
        rows, total = self.store.workloads(asked, limit=limit, offset=offset, newest_first=newest_first)
        for row in rows:
            if row["mode"] == "job":
                self._with_job_usage(row, pending=row["ended"] is None)
            else:
                self._with_session_usage(row)
        return rows, total

    # -- jobs ---------------------------------------------------------------------------------------------------

    async def submit(self, instance: Instance, submission: Submission) -> Row:
        """Create a job."""
        asked = submission.fields
        program, backend = rules.program(asked.get("program_id")), asked.get("backend", asked.get("backend_name"))
        session_id, session = asked.get("session_id"), None
        if session_id is not None:
            session = self._accepting(instance, session_id)
            backend = session["backend"] if backend is None else backend
        if backend is None:
            raise bad_request("backend is missing")
        calibration = asked.get("calibration_id")
        device = self.device(backend, calibration)
        if session is not None and device.name != session["backend"] and not device.mock:
            raise bad_request(f"the session runs on {session['backend']}, not on {device.name}")
        tags = rules.tags(asked.get("tags") or [])
        row: Row = {
            "instance": instance.crn,
            "user": submission.user,
            "backend": device.name,
            "mock": int(device.mock),
            "program": program,
            "session_id": session_id,
            "status": "Queued",
            "counts": int(not device.mock and (session is None or session["mode"] == "batch")),
            "pending": 1,
            "tags": tags,
            "private": int(rules.private(asked.get("private"))),
            "cost": rules.cost(asked.get("cost")),
            "calibration_id": calibration,
            "caller": submission.caller,
            "usage": 0.0,
            "params": submission.params,
            "read": 0,
        }
        rules.log_level(asked.get("log_level"))
        self._pace(submission.user)
        self._check_plan(instance, device)
        read = await self.engine.read(program, device, submission.params)
        if "invalid" in read:
            raise bad_request(read["invalid"], code=1210)
        if "failed" in read:
            raise bad_request(read["failed"]["reason"], read["failed"]["solution"], read["failed"]["code"])
        rules.executions(read["payload"])
        if session_id is not None:
            self._accepting(instance, session_id)  # it may have closed meanwhile
        self._check_plan(instance, device)
        fault = self.faults.next_job(tags)
        qpu, prep = self._jittered(read["qpu"]), self._jittered(read["prep"])
        row |= {
            "id": "d" + "".join(secrets.choice(_ALPHABET) for _ in range(19)),
            "created": self.clock.now(),
            "estimate": read["estimate"],
            "qpu": qpu,
            "prep": prep,
            "bill": whole_seconds(qpu),
            "execution": max(0.0, qpu - OVERHEAD),
        }
        self.store.add("jobs", row)
        failure = (fault.code, fault.reason, fault.solution) if fault else None
        self._schedule(row, failure, system=fault.system if fault else False)
        self.tick()
        found = self.store.job(row["id"])
        assert found is not None
        return found

    def _accepting(self, instance: Instance, session_id: Any) -> Row:
        if not isinstance(session_id, str):
            raise bad_request("session_id must be a string")
        row = self.session(instance, session_id)
        if row["state"] == "closed" or not row["accepting"]:
            raise ApiError(400, 1217, "Session has been closed.", "Create a new session or batch.")
        return row

    def _check_plan(self, instance: Instance, device: Device) -> None:
        """Refuse what the instance's plan does not allow, or not now."""
        if device.mock and not instance.dry_runs:
            said = f"Dry runs are not available on the {instance.plan} plan."
            raise ApiError(403, 1201, said, "Use an instance on the Flex, Premium or On-Prem plan.")
        if device.mock:
            return
        if self.limit_reached(instance):
            said = "The instance has reached its usage limit."
            raise ApiError(409, 4317, said, "Wait until time is available, or use another plan.")
        if instance.pending_jobs is not None and self.store.pending_jobs(instance.crn) >= instance.pending_jobs:
            said = f"The instance has {instance.pending_jobs} pending jobs, the most that its plan allows."
            raise ApiError(403, 3458, said, "Wait until a job has ended, or cancel one.")

    def _pace(self, user: str) -> None:
        """Refuse more than five submissions of a user in a minute; the minute is divided by the speed."""
        window = 60.0 / self.options.speed
        if not self.options.rate_limit or window == 0:
            return
        now, sent = self.clock.now(), self._submissions.setdefault(user, deque())
        while sent and sent[0] <= now - window:
            sent.popleft()
        if len(sent) >= rules.SUBMISSIONS_A_MINUTE:
            wait = math.ceil(sent[0] + window - now)
            raise ApiError(429, 1202, "Too many requests.", "Wait and submit again.", Retry_After=str(max(1, wait)))
        sent.append(now)

    def _jittered(self, seconds: float) -> float:
        return seconds * math.exp(self._random.gauss(0, self.options.jitter)) if self.options.jitter else seconds

    def jobs(self, asked: JobFilter, *, limit: int, offset: int, newest_first: bool) -> tuple[list[Row], int]:
        """Return a page of jobs, and how many there are."""
        self.tick()
        rows, count = self.store.jobs(asked, limit=limit, offset=offset, newest_first=newest_first)
        return [self._with_job_usage(row, pending=row["pending"]) for row in rows], count

    def job(self, instance: Instance, id: str) -> Row:
        """Return a job of this instance, up to date."""
        self.tick()
        row = self.store.job(id)
        if row is None or row["instance"] != instance.crn:
            raise not_found("Job", id)
        return self._with_job_usage(row, pending=row["pending"])

    def _with_job_usage(self, row: Row, *, pending: bool) -> Row:
        """A job's usage grows while it is on the QPU, without any event."""
        if pending and (live := self.schedulers[row["backend"]].jobs.get(row["id"])) is not None:
            row["usage"] = math.floor(live.usage(self.clock.now()))
        return row

    def cancel_job(self, instance: Instance, id: str) -> None:
        """Cancel a job that has not ended."""
        row = self.job(instance, id)
        if not row["pending"]:
            raise ApiError(409, 1280, f"Job {id} cannot be cancelled: it is {row['status'].lower()}.", "")
        self._command(row["backend"], lambda s, at: s.cancel(at, id))

    def delete_job(self, instance: Instance, id: str) -> None:
        """Delete a job that is queued or has ended."""
        row = self.job(instance, id)
        if row["status"] == "Queued":
            self._command(row["backend"], lambda s, at: s.cancel(at, id))
        elif row["pending"]:
            said = f"Job {id} cannot be deleted: it is {row['status'].lower()}."
            raise bad_request(said, "Cancel it first.", code=1281)
        self.store.delete_job(id)

    def set_tags(self, instance: Instance, id: str, tags: Any) -> None:
        """Replace a job's tags."""
        self.job(instance, id)
        self.store.update("jobs", id, tags=rules.tags(tags))

    def result(self, instance: Instance, id: str) -> bytes | None:
        """Return a completed job's result or a failed one's message; a private job's result can be read once."""
        row = self.job(instance, id)
        if row["status"] == "Failed":
            return str(row["reason"] or "").encode()
        if row["status"] != "Completed" or (row["private"] and row["read"]):
            return None
        result = self.store.blob(id, "result")
        if row["private"]:
            self.store.update("jobs", id, read=1, result=None)
        return result if isinstance(result, bytes) else None

    # -- time ---------------------------------------------------------------------------------------------------

    def pause(self, *, queue: bool = False) -> None:
        """Start nothing on the QPUs; with `queue`, let nothing leave the queue either."""
        for name in self.schedulers:
            self._command(name, lambda s, at: s.pause(at, queue=queue))

    def resume(self) -> None:
        """End a pause."""
        for name in self.schedulers:
            self._command(name, lambda s, at: s.resume(at))

    def tick(self) -> None:
        """Let everything happen that is due, and set the timer for what comes next."""
        self._advance()
        if self._apply_limits():
            self._advance()
        self._arm()

    def _advance(self) -> None:
        for name, scheduler in self.schedulers.items():
            # What is done about an event may be a command that is due at once.
            while happened := scheduler.advance(self._at(scheduler, self.clock.now())):
                for h in happened:
                    self._on(name, h)

    def _apply_limits(self) -> bool:
        """Hold or cancel the pending jobs of instances at their usage limit; return whether anything was done."""
        acted = False
        for crn in {job.instance for job in self._unfinished.values()} | self._suspended:
            reached = self.limit_reached(INSTANCES[crn])
            if reached == (crn in self._suspended):
                continue
            acted = True
            (self._suspended.add if reached else self._suspended.discard)(crn)
            closing = set()
            for row in self.store.queued_jobs(crn):
                scheduler, id_ = self.schedulers[row["backend"]], row["id"]
                at = self._at(scheduler, self.clock.now())
                if not reached:
                    scheduler.readmit(at, id_)
                elif self.options.at_usage_limit == "wait":
                    scheduler.suspend(at, id_)
                elif scheduler.jobs[id_].stage is Stage.QUEUED:
                    scheduler.cancel(at, id_, why="usage_limit")
                    closing.add((row["backend"], row["session_id"]))
            for backend, session_id in closing:
                if session_id is not None:
                    scheduler = self.schedulers[backend]
                    scheduler.close(self._at(scheduler, self.clock.now()), session_id)
        return acted

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
            # A timer that fires a little early finds nothing due, so it is set 1 ms late.
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

    def _schedule(self, row: Row, failure: tuple[int, str, str] | None = None, *, system: bool = False) -> None:
        """Submit a job to its backend's scheduler."""
        speed, scheduler = self.options.speed, self.schedulers[row["backend"]]
        self._unfinished[row["id"]] = UnfinishedJob(row["instance"], failure=failure)
        fails: Any = None if failure is None else "system" if system else "user"
        scheduler.submit(
            self._at(scheduler, self.clock.now()),
            row["id"],
            None if row["mock"] else row["session_id"],  # a dry run goes to the mock, whatever session it names
            prep=row["prep"] / speed,
            qpu=row["qpu"] / speed,
            bill=row["bill"],
            limit=row["cost"],
            fails=fails,
            held=True,
        )
        if not row["mock"] and row["instance"] in self._suspended and self.options.at_usage_limit == "wait":
            scheduler.suspend(self._at(scheduler, self.clock.now()), row["id"])

    # -- events -------------------------------------------------------------------------------------------------

    def _on(self, backend: str, h: Happened) -> None:
        """Carry an event of a scheduler over to rows and workers."""
        scheduler = self.schedulers[backend]
        if h.id in scheduler.workloads:
            self._workload_changed(scheduler, h)
        elif (job := self._unfinished.get(h.id)) is not None:
            if h.what is What.PREPARING:
                self.store.update("jobs", h.id, status="Running", running=h.time)
                self._simulate(h.id, backend, job)
            elif Stage(h.what.value).final:
                self._job_ended(scheduler, h, job)
            ended = scheduler.jobs.get(h.id)
            if ended is not None and ended.workload is not None:
                self._write_workload(scheduler, ended.workload.id)
            if Stage(h.what.value).final:
                scheduler.forget(h.id)
        self._notify()

    def _notify(self) -> None:
        async def notify() -> None:
            async with self.changed:
                self.changed.notify_all()

        task = asyncio.get_running_loop().create_task(notify())
        self._tasks.add(task)  # asyncio itself keeps no reference to a task
        task.add_done_callback(self._tasks.discard)

    def _simulate(self, id_: str, backend: str, job: UnfinishedJob) -> None:
        row = self.store.job(id_)
        assert row is not None
        device = self.devices[backend].calibrated(row["calibration_id"])
        job.task = self.engine.run(row["program"], device, self.store.blob(id_, "params"))
        job.task.add_done_callback(lambda answer: self._simulated(id_, backend, job, answer))

    def _simulated(self, id_: str, backend: str, job: UnfinishedJob, answer: asyncio.Future[Answer]) -> None:
        if answer.cancelled() or id_ not in self._unfinished:
            return
        header, job.result = answer.result()
        if failed := header.get("failed") or (header.get("invalid") and {"code": 1603, "reason": header["invalid"]}):
            job.failure = (failed["code"], failed["reason"], failed.get("solution", ""))
            system = bool(failed.get("system"))
            self._command(backend, lambda s, at: s.fail(at, id_, "failed", system=system))
        else:
            job.notes, job.simulation = tuple(header["notes"]), header.get("simulation")
            self._command(backend, lambda s, at: s.ready(at, id_))

    def _job_ended(self, scheduler: Scheduler, h: Happened, job: UnfinishedJob) -> None:
        ended = scheduler.jobs[h.id]
        if job.task is not None:
            self.engine.cancel(job.task)
        del self._unfinished[h.id]
        values: dict[str, Any] = {"pending": 0, "finished": h.time, "usage": ended.billed}
        if h.what is What.COMPLETED:
            values |= {"status": "Completed", "result": self._timed(job.result, ended.qpu_start, ended.qpu_end)}
            values["simulation"] = job.simulation
        else:
            values["status"] = "Cancelled" if h.what is What.CANCELLED else "Failed"
            known = job.failure if h.why in ("user", "system", "failed") else rules.JOB_ENDS.get(h.why)
            if known:
                values |= dict(zip(("reason_code", "reason", "reason_solution"), known, strict=True))
        values["logs"] = "".join(f"{line}\n" for line in job.notes)
        self.store.update("jobs", h.id, **values)
        if not self.options.state:
            self.store.prune(self.options.keep)

    def _timed(self, result: bytes, start: float | None, end: float | None) -> bytes:
        """Return a result with the times on the QPU filled in."""
        begin, length = start or 0.0, (end or 0.0) - (start or 0.0)
        return _TIME_ON_QPU.sub(lambda m: str(self.clock.shown(begin + float(m[1]) * length)).encode(), result)

    def _workload_changed(self, scheduler: Scheduler, h: Happened) -> None:
        if h.what in (What.ACTIVATED, What.INACTIVATED, What.CLOSED):
            row = self.store.workload(h.id)
            assert row is not None
            state = {What.ACTIVATED: "active", What.INACTIVATED: "inactive", What.CLOSED: "closed"}[h.what]
            why = rules.STATE_REASONS.get("activated" if h.what is What.ACTIVATED else h.why, h.why)
            self.store.update("workloads", h.id, reason=why, timestamps=[*row["timestamps"], [state, h.time]])
        self._write_workload(scheduler, h.id)
        if h.what is What.CLOSED:
            scheduler.forget(h.id)

    def _write_workload(self, scheduler: Scheduler, id_: str) -> None:
        if (w := scheduler.workloads.get(id_)) is None:
            return
        self.store.update(
            "workloads",
            id_,
            state=w.state.value,
            accepting=int(w.accepting),
            started=w.started,
            activated=w.activated,
            closed=w.closed,
            last_job_started=w.last_job_started,
            last_job_completed=w.last_job_completed,
            usage=w.usage(scheduler.now),
        )

    # -- after a restart ----------------------------------------------------------------------------------------

    def _restore(self) -> None:
        """Take up what a state file holds: open workloads and unfinished jobs, which go through the queue again."""
        workloads = self.store.open_workloads()
        for row in workloads:
            if (scheduler := self.schedulers.get(row["backend"])) is None:
                self.store.update("workloads", row["id"], state="closed", accepting=0, closed=self.clock.now())
                continue
            scheduler.open(
                self._at(scheduler, self.clock.now()),
                row["id"],
                "batch" if row["mode"] == "batch" else "session",
                max_ttl=row["max_ttl"],
                interactive_ttl=row["interactive_ttl"],
                active_ttl=row["active_ttl"],
                created=row["created"],
                started=row["started"],
                usage=row["usage"],
            )
        for row in self.store.unfinished():
            home = self.schedulers.get(row["backend"])
            if home is None or (row["session_id"] and row["session_id"] not in home.workloads and not row["mock"]):
                reason = f"The backend {row['backend']} is retired."
                self.store.update("jobs", row["id"], status="Failed", pending=0, reason=reason, reason_code=1216)
                continue
            self.store.update("jobs", row["id"], status="Queued", running=None)
            self._schedule(row)
        for row in workloads:
            if not row["accepting"] and (scheduler := self.schedulers.get(row["backend"])) is not None:
                scheduler.close(self._at(scheduler, self.clock.now()), row["id"])
