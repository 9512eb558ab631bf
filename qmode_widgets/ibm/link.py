"""Our own way to one instance: HTTP without the client's hidden retries.

A POST answered 504 after the job was created is posted again by the client: two paid jobs. A link posts once, gives
every request one deadline, follows no redirects, and never switches the user's active instance. Its methods are
coroutines of the portal's loop; other threads ask with `call(link.session, id)`.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
import urllib.parse
import weakref
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, ParamSpec, TypeVar

from qiskit_ibm_runtime import QiskitRuntimeService

from ..errors import QmodeError, ServiceError, UnreachableError
from ..portal import call, clock, portal
from .budget import Budget
from .client import Origin, origin_of
from .transport import Progress, Reply
from .wire import InstanceUsage, Job, JobPage, Json, Metrics, Session, WorkloadPage, error_of, seconds

API_VERSION = "2026-04-15"
PAGE = 200  # the most jobs the service puts on one page
SMALL, LARGE = 30.0, 600.0  # seconds in which a request is over; results and stored inputs may be tens of MB
SLOWEST = 100_000.0  # bytes a second that a line must carry for a payload to arrive in time


class Link:
    """One instance of one account. Its methods make one request each and return what the service says.

    Raises (all methods):
        ServiceError: the service answered with an error.
        UnreachableError: it did not answer.
        WrongAnswerError: its answer is not what its API promises.
    """

    def __init__(self, origin: Origin) -> None:
        self.instance = origin.instance
        self._origin = origin
        self._unclosed = _closed_with(self, origin)
        self.budget = _budget_of(origin.base_url, origin.instance)
        self.small, self.large = SMALL, LARGE
        self.asked = 0  # requests so far
        self.clock_offset = 0.0
        self._offset_window: tuple[float, float] | None = None

    @property
    def service(self) -> QiskitRuntimeService:
        """The service object that this link was made from.

        Raises:
            QmodeError: nobody holds it any more. A link does not keep it alive.
        """
        found: QiskitRuntimeService | None = self._origin.service()
        if found is None:
            raise QmodeError("the QiskitRuntimeService of this workload is gone: attach again with a new one")
        return found

    def speaks_for(self, service: QiskitRuntimeService) -> bool:
        """It was made from this service object."""
        return self._origin.service() is service

    def take_over(self, service: QiskitRuntimeService) -> None:
        """Speak to the instance through another service object from now on: with its key, its address, its proxies.

        Raises:
            QmodeError: the service object has no client for this instance.
        """
        self._origin = origin_of(service, self.instance)
        self._unclosed()
        self._unclosed = _closed_with(self, self._origin)
        self._offset_window = None

    # --- one request -------------------------------------------------------------------------------------------

    async def _request(
        self,
        method: str,
        path: str,
        *,
        params: Json | None = None,
        body: str | None = None,
        large: bool = False,
        renewed: bool = False,
    ) -> Reply:
        """One request, over within its deadline: connecting, signing, sending and reading together."""
        sent = b"" if body is None else body.encode()
        limit = self.large if large else self.small + len(sent) / SLOWEST
        url = self._origin.base_url + path + (f"?{urllib.parse.urlencode(params, doseq=True)}" if params else "")
        origin, progress, before = self._origin, Progress(), time.time()
        self.asked += 1
        try:
            async with asyncio.timeout(clock.of(limit)):
                headers = await origin.token.headers() | {
                    "IBM-API-Version": API_VERSION,
                    "X-Qx-Client-Application": "qmode_widgets",
                    "Accept": "application/json",
                }
                if body is not None:
                    headers["Content-Type"] = "application/json"
                before = time.time()
                answer = await origin.transport.send(method, url, headers, sent, progress)
        except TimeoutError as error:
            raise UnreachableError(
                f"the service did not finish its answer within {limit:.3g} s", sent=progress.sent, timed_out=True
            ) from error
        self._note_clock(answer, before, time.time())
        if answer.status_code == 401 and not renewed:  # an expired token; the request was not carried out
            origin.token.refused(headers["Authorization"])
            return await self._request(method, path, params=params, body=body, large=large, renewed=True)
        if answer.status_code >= 300:
            raise error_of(answer)
        return answer

    def _note_clock(self, answer: Reply, before: float, after: float) -> None:
        """Narrow the offset between the service's clock and ours: `Date` has whole seconds, cut off.

        Each answer bounds the offset to `date - after … date + 1 - before`; the bounds of several answers meet within a
        fraction of a second. Bounds that no longer meet mean that a clock was set: begin anew.
        """
        try:
            date = parsedate_to_datetime(answer.headers["Date"]).timestamp()
        except (KeyError, ValueError):
            return
        low, high = date - after, date + 1 - before
        if self._offset_window is not None:
            a, b = self._offset_window
            if max(a, low) <= min(b, high):
                low, high = max(a, low), min(b, high)
        self._offset_window = (low, high)
        self.clock_offset = 0.0 if low <= 0.0 <= high else (low + high) / 2

    async def _json(self, method: str, path: str, **kwargs: Any) -> Json:
        answer = await self._request(method, path, **kwargs)
        try:
            found = answer.json()
        except ValueError as error:
            raise UnreachableError(f"an answer that is not JSON to {method} {path}", sent=True) from error
        if not isinstance(found, dict):
            raise UnreachableError(f"an answer of the wrong shape to {method} {path}", sent=True)
        return found

    async def read(self, path: str, **params: Any) -> Json:
        """The answer to a GET as raw JSON, for what is looked at without being parsed."""
        return await self._json("GET", path, params=params)

    def now(self) -> float:
        """The service's time."""
        return time.time() + self.clock_offset

    # --- sessions and batches ----------------------------------------------------------------------------------

    async def open(self, mode: str, backend: str, max_ttl: int | None) -> str:
        """Open a batch (`"batch"`) or a session (`"dedicated"`); returns its id."""
        asked: Json = {"mode": mode, "backend": backend, "instance": self.instance}
        if max_ttl is not None:
            asked["max_ttl"] = max_ttl
        found = await self._json("POST", "/sessions", body=json.dumps(asked))
        if not isinstance(found.get("id"), str):
            raise UnreachableError("an answer without an id to POST /sessions", sent=True)
        return str(found["id"])

    async def session(self, id_: str) -> Session:
        """A session or batch."""
        return Session.of(await self._json("GET", f"/sessions/{id_}"))

    async def close(self, id_: str) -> None:
        """No further jobs; queued ones still run."""
        await self._request("PATCH", f"/sessions/{id_}", body='{"accepting_jobs": false}')

    async def cancel_workload(self, id_: str) -> None:
        """Cancel the queued jobs and close; running ones continue."""
        await self._request("DELETE", f"/sessions/{id_}/close")

    async def workloads(self, **params: Any) -> WorkloadPage:
        """One page of the instance's workloads (at most 50)."""
        return WorkloadPage.of(await self._json("GET", "/workloads", params=params))

    # --- jobs --------------------------------------------------------------------------------------------------

    async def jobs(
        self,
        *,
        session_id: str | None = None,
        tags: Sequence[str] = (),
        pending: bool | None = None,
        limit: int = PAGE,
        offset: int = 0,
        oldest_first: bool = False,
    ) -> JobPage:
        """One page of jobs, newest first unless told, each with its state."""
        params: Json = {"exclude_params": "true", "limit": limit}
        if offset:
            params["offset"] = offset
        if session_id:
            params["session_id"] = session_id
        if tags:
            params["tags"] = list(tags)
        if pending is not None:
            params["pending"] = "true" if pending else "false"
        if oldest_first:
            params["sort"] = "ASC"
        return JobPage.of(await self._json("GET", "/jobs", params=params))

    async def job(self, id_: str) -> Job:
        """One job."""
        return Job.of(await self._json("GET", f"/jobs/{id_}", params={"exclude_params": "true"}))

    async def stored(self, id_: str) -> Json:
        """One job with its stored inputs, as raw JSON: they are posted again as they are, never decoded."""
        return await self._json("GET", f"/jobs/{id_}", large=True)

    async def metrics(self, id_: str) -> Metrics:
        """Times and usage of a job."""
        return Metrics.of(await self._json("GET", f"/jobs/{id_}/metrics"), id_)

    async def results(self, id_: str) -> str:
        """The raw result of a finished job; empty where there is none (204)."""
        text = (await self._request("GET", f"/jobs/{id_}/results", large=True)).text
        if text.lstrip()[:1] == "<":  # a gateway's page under status 200: decoded it would be a broken result for good
            raise UnreachableError(f"an answer that is not JSON to GET /jobs/{id_}/results", sent=True)
        return text

    async def post_job(self, body: str) -> str:
        """Create a job, **once**: no retry of any kind. Returns its id."""
        found = await self._json("POST", "/jobs", body=body)
        if not isinstance(found.get("id"), str):
            raise UnreachableError("an answer without a job id to POST /jobs", sent=True)
        return str(found["id"])

    async def cancel_job(self, id_: str) -> None:
        """Cancel; a job that already ended answers 409."""
        await self._request("POST", f"/jobs/{id_}/cancel")

    # --- the account -------------------------------------------------------------------------------------------

    async def instance_usage(self) -> InstanceUsage:
        """What the instance used and may use, in seconds."""
        return InstanceUsage.of(await self._json("GET", "/instances/usage"))

    async def usage_left(self) -> float | None:
        """Seconds the instance may still use; None where no limit is told."""
        return (await self.instance_usage()).left

    async def wait_times(self, backend: str) -> Json | None:
        """How long jobs waited on a backend, as the service tells it: `average`, `p50`, `p95` in seconds."""
        found = await self._json("GET", "/backends", params={"fields": "wait_time_seconds"})
        devices = found.get("devices")
        for device in devices if isinstance(devices, list) else ():
            if isinstance(device, dict) and device.get("name") == backend:
                told = device.get("wait_time_seconds")
                return told if isinstance(told, dict) else None
        return None

    async def calibrated_at(self, backend: str, before: float | None = None) -> float | None:
        """When the backend was last calibrated, now or `before` a time, in seconds since the epoch."""
        at = {} if before is None else {"updated_before": datetime.fromtimestamp(before, UTC).isoformat()}
        found = await self._json("GET", f"/backends/{backend}/properties", params=at)
        return seconds(found.get("last_update_date"))

    @property
    def instance_label(self) -> str:
        """The instance's name where the account tells it, else the CRN."""
        return self._origin.name or self.instance

    @property
    def plan(self) -> str | None:
        """The instance's plan ("open", "pay-as-you-go", …), where the account tells it."""
        return self._origin.plan


def _closed_with(link: Link, origin: Origin) -> Callable[[], object]:
    """Close the connections of an origin when the link is let go, or when it is called."""
    lives_on = portal()

    def close() -> None:
        if not lives_on.forked:
            lives_on.send(origin.transport.close)

    done = weakref.finalize(link, close)
    done.atexit = False
    return done


P = ParamSpec("P")
T = TypeVar("T")

PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0)
LONGEST = 30.0  # seconds; a longer `Retry-After` is the caller's to see
PATIENCE = 45.0  # seconds after which no further attempt begins


async def again(method: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """`await method(...)`, again after a pause while the service answers 429 or 5xx or not at all.

    Raises:
        ServiceError, UnreachableError: the last one, when it still does.
    """
    end = clock.monotonic() + PATIENCE
    for pause in PAUSES:
        try:
            return await method(*args, **kwargs)
        except UnreachableError:
            wait = pause
            if clock.monotonic() + wait > end:
                raise
        except ServiceError as error:
            if not error.passing:
                raise
            wait = max(pause, error.retry_after or 0.0)
            if wait > LONGEST or clock.monotonic() + wait > end:
                raise
        await asyncio.sleep(wait)
    return await method(*args, **kwargs)


def ask(method: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """One request from another thread than the loop's: `ask(link.session, id)`; an interrupt ends it.

    Raises:
        ServiceError, UnreachableError: as the method says.
    """

    async def asked() -> T:
        return await method(*args, **kwargs)

    return call(asked, waits=True)


def patiently(method: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """`ask(method, ...)`, again while the service answers 429 or 5xx or not at all.

    Raises:
        ServiceError, UnreachableError: the last one, when it still does.
    """

    async def asked() -> T:
        return await again(method, *args, **kwargs)

    return call(asked, waits=True)


_budgets: weakref.WeakValueDictionary[tuple[str, str], Budget] = weakref.WeakValueDictionary()
_links: dict[int, dict[str, Link]] = {}  # by the identity of the service object: two equal ones may be two accounts


def link_of(service: QiskitRuntimeService, instance: str) -> Link:
    """The one link to an instance (a CRN) of this service object; made on first use, let go with the service object.

    Raises:
        QmodeError: the service object has no client for this instance.
    """
    found = _links.get(id(service), {}).get(instance)
    if found is not None:
        return found
    origin = origin_of(service, instance)

    def make_or_get() -> Link:
        if id(service) not in _links:
            _links[id(service)] = {}
            weakref.finalize(service, _links.pop, id(service), None).atexit = False
        links = _links[id(service)]
        if instance not in links:
            links[instance] = Link(origin)
        return links[instance]

    return portal().call(make_or_get)


def _budget_of(base_url: str, instance: str) -> Budget:
    """The one budget of an instance: two service objects of one account share it."""
    budget = _budgets.get((base_url, instance))
    if budget is None:
        budget = _budgets[base_url, instance] = Budget()
    return budget


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_links.clear)  # a forked process shares no connection with its parent
