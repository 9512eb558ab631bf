"""The service itself, without HTTP: what the REST surface asks of instances, workloads and jobs."""

from __future__ import annotations

import math
import random
import secrets
import uuid
from collections import deque
from typing import Any

from ..model.snapshot import WorkloadState
from . import rules
from .account import PERIOD, Instance
from .backends import Device
from .clock import Clock
from .course import Course
from .engine import Engine
from .errors import ServiceError, bad_request, not_found
from .faults import Faults, JobFault
from .options import Options
from .store import Row, Store

_ALPHABET = "0123456789abcdefghijklmnopqrstuv"


class Service(Course):
    """Everything the REST surface asks. Times are the clock's, unskewed."""

    def __init__(
        self, options: Options, devices: dict[str, Device], engine: Engine, store: Store, clock: Clock, faults: Faults
    ) -> None:
        super().__init__(options, devices, engine, store, clock)
        self.faults = faults
        self.used_elsewhere: dict[str, float] = {}
        self._random = random.Random(options.seed)  # noqa: S311 - jitter, no secret
        self._submissions: deque[float] = deque()

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
