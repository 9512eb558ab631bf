"""The little of a service that a ledger meets: sessions and jobs in memory, with answers a test can spoil."""

from __future__ import annotations

import inspect

from qmode_widgets.errors import ServiceError
from qmode_widgets.ibm.budget import Budget
from qmode_widgets.ibm.wire import Job, JobPage, Metrics, Session

T0 = "2026-01-01T00:00:00Z"


def at(seconds):
    """A time stamp so many seconds after `T0`."""
    return f"2026-01-01T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}Z"


class Account:
    """Stands where a `Link` stands. `spoil[method]` is called with the method's arguments first, and may raise, or
    return something to wait for.
    """

    instance_label, clock_offset = "an instance", 0.0

    def __init__(self):
        self.time = 1767225600.0  # T0
        self.budget = Budget()
        self.sessions, self.listed, self.told = {}, {}, {}
        self.asked, self.spoil, self.cancelled, self.closed = [], {}, [], []

    async def _asked(self, method, *args):
        self.asked.append((method, *args))
        if method in self.spoil:
            found = self.spoil[method](*args)
            if inspect.isawaitable(found):
                await found

    def now(self):
        return self.time

    def add(self, id_, status="Queued", **more):
        """A job."""
        self.listed[id_] = {
            "id": id_,
            "created": at(len(self.listed)),
            "state": {"status": status},
            "tags": [],
            "program": {"id": "sampler"},
            "session_id": "s",
        } | more
        return self.listed[id_]

    def told_session(self, id_):
        """What the service tells of a session now."""
        return Session.of({"id": id_} | self.sessions.get(id_, {"state": "active", "accepting_jobs": True}))

    async def session(self, id_):
        await self._asked("session", id_)
        return self.told_session(id_)

    async def jobs(self, *, session_id=None, tags=(), pending=None, limit=200, offset=0, oldest_first=False):
        await self._asked("jobs", session_id or tuple(tags), pending, offset)
        found = [
            j
            for j in self.listed.values()
            if (session_id is None or j["session_id"] == session_id)
            and set(tags) <= set(j["tags"])
            and pending in (None, j["state"]["status"] in ("Queued", "Running"))
        ]
        found.sort(key=lambda j: j["created"], reverse=not oldest_first)
        return JobPage.of({"jobs": found[offset : offset + limit], "count": len(found)})

    async def job(self, id_):
        await self._asked("job", id_)
        return Job.of(self.listed[id_])

    async def stored(self, id_):
        await self._asked("stored", id_)
        return dict(self.listed[id_])

    async def metrics(self, id_):
        await self._asked("metrics", id_)
        usual = {"usage": {"status": "complete", "qpu_charge_time_seconds": 1}, "timestamps": {}}
        return Metrics.of(self.told.get(id_, usual), id_)

    async def usage_left(self):
        await self._asked("usage_left")

    async def cancel_job(self, id_):
        await self._asked("cancel_job", id_)
        self.cancelled.append(id_)
        self.listed[id_]["state"] = {"status": "Cancelled"}

    async def close(self, id_):
        await self._asked("close", id_)
        self.closed.append(id_)


def refuse(status, times=10**9, **more):
    """Something to spoil a method with."""
    left = [times]

    def raise_(*_):
        if left[0] > 0:
            left[0] -= 1
            raise ServiceError("spoiled", status=status, **more)

    return raise_
