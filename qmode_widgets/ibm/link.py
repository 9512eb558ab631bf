"""Our own way to one instance: HTTP without the client's hidden retries.

A POST answered 504 after the job was created is posted again by the client: two paid jobs. A link posts once, gives
every request a deadline, follows no redirects, and never switches the user's active instance.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Generic, ParamSpec, TypeVar

import requests
import urllib3
from qiskit_ibm_runtime import QiskitRuntimeService

from ..errors import QmodeError, ServiceError, UnreachableError
from .budget import Budget
from .client import Origin, origin_of
from .deadline import Deadline, DeadlineAdapter
from .wire import InstanceUsage, Job, JobPage, Json, Metrics, Session, WorkloadPage, error_of, seconds

API_VERSION = "2026-04-15"
PAGE = 200  # the most jobs the service puts on one page
CONNECT = 5.0  # seconds until there is a connection
SESSIONS = 8  # kept with their connections, for the threads of all workloads
SMALL, LARGE = 30.0, 600.0  # seconds in which a request is over; results and stored inputs may be tens of MB
SLOWEST = 100_000.0  # bytes a second that a line must carry for a payload to arrive in time


class Link:
    """One instance of one account, for our threads. Its methods make one request each and return what the service says.

    Raises (all methods):
        ServiceError: the service answered with an error.
        UnreachableError: it did not answer.
        WrongAnswerError: its answer is not what its API promises.
    """

    def __init__(self, origin: Origin) -> None:
        self.instance = origin.instance
        self._origin = origin
        self._local = threading.local()
        self._sessions: deque[requests.Session] = deque(maxlen=SESSIONS)  # not in use; the oldest is let go
        self.budget = _budget_of(origin.base_url, origin.instance)
        self.small, self.large = SMALL, LARGE
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
        self._offset_window = None
        self._sessions.clear()

    # --- one request -------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _session(self) -> Iterator[requests.Session]:
        """A session that no other thread uses (requests does not promise thread safety), with its connections."""
        try:
            session = self._sessions.pop()
        except IndexError:
            session = self._new_session()
        try:
            yield session
        finally:
            self._sessions.append(session)

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        session.mount("http://", DeadlineAdapter(max_retries=0))
        session.mount("https://", DeadlineAdapter(max_retries=0))
        session.proxies, session.verify = self._origin.proxies, self._origin.verify
        session.headers["IBM-API-Version"] = API_VERSION
        session.headers["X-Qx-Client-Application"] = "qmode_widgets"
        return session

    def _request(
        self,
        method: str,
        path: str,
        *,
        params: Json | None = None,
        body: str | None = None,
        large: bool = False,
        renewed: bool = False,
    ) -> requests.Response:
        """One request, over within its deadline: a service that hangs, or sends a byte every two seconds, is not waited
        for.
        """
        headers = {"Content-Type": "application/json"} if body is not None else {"Accept": "application/json"}
        sent = b"" if body is None else body.encode()
        seconds = self.large if large else self.small + len(sent) / SLOWEST
        before = time.time()
        self._local.asked = self.asked + 1
        self.budget.take(time.monotonic())
        deadline = Deadline(seconds)
        try:
            with self._session() as session, deadline:
                answer = session.request(
                    method,
                    self._origin.base_url + path,
                    params=params,
                    data=sent or None,
                    headers=headers,
                    auth=self._origin.token,
                    timeout=(min(CONNECT, seconds), seconds),
                    allow_redirects=False,  # a submission goes where it was sent, and so does the token
                )
                answer.content  # read here: a body cut short is "no answer"  # noqa: B018
            if deadline.passed:  # cut off by us: what was read so far may look whole
                raise UnreachableError(_too_slow(seconds), sent=True)
        except requests.ReadTimeout as error:
            raise UnreachableError(_too_slow(seconds), sent=True) from error
        except (requests.ConnectTimeout, requests.exceptions.ProxyError, requests.exceptions.SSLError) as error:
            raise UnreachableError(_why(error), sent=False) from error
        except requests.RequestException as error:
            never = isinstance(_cause(error), urllib3.exceptions.NewConnectionError)
            why = _too_slow(seconds) if deadline.passed else _why(error)
            raise UnreachableError(why, sent=not never) from error
        self._note_clock(answer, before, time.time())
        if answer.status_code == 401 and not renewed:  # an expired token; the request was not carried out
            self._origin.token.renew(str(answer.request.headers.get("Authorization")))
            return self._request(method, path, params=params, body=body, large=large, renewed=True)
        if answer.status_code >= 300:
            raise error_of(answer)
        return answer

    def _note_clock(self, answer: requests.Response, before: float, after: float) -> None:
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

    def _json(self, method: str, path: str, **kwargs: Any) -> Json:
        answer = self._request(method, path, **kwargs)
        try:
            found = answer.json()
        except ValueError as error:
            raise UnreachableError(f"an answer that is not JSON to {method} {path}", sent=True) from error
        if not isinstance(found, dict):
            raise UnreachableError(f"an answer of the wrong shape to {method} {path}", sent=True)
        return found

    def read(self, path: str, **params: Any) -> Json:
        """The answer to a GET as raw JSON, for what is looked at without being parsed."""
        return self._json("GET", path, params=params)

    @property
    def asked(self) -> int:
        """How many requests this thread has made."""
        return int(getattr(self._local, "asked", 0))

    def now(self) -> float:
        """The service's time."""
        return time.time() + self.clock_offset

    # --- sessions and batches ----------------------------------------------------------------------------------

    def session(self, id_: str) -> Session:
        """A session or batch."""
        return Session.of(self._json("GET", f"/sessions/{id_}"))

    def close(self, id_: str) -> None:
        """No further jobs; queued ones still run."""
        self._request("PATCH", f"/sessions/{id_}", body='{"accepting_jobs": false}')

    def cancel_workload(self, id_: str) -> None:
        """Cancel the queued jobs and close; running ones continue."""
        self._request("DELETE", f"/sessions/{id_}/close")

    def workloads(self, **params: Any) -> WorkloadPage:
        """One page of the instance's workloads (at most 50)."""
        return WorkloadPage.of(self._json("GET", "/workloads", params=params))

    # --- jobs --------------------------------------------------------------------------------------------------

    def jobs(
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
        return JobPage.of(self._json("GET", "/jobs", params=params))

    def job(self, id_: str) -> Job:
        """One job."""
        return Job.of(self._json("GET", f"/jobs/{id_}", params={"exclude_params": "true"}))

    def stored(self, id_: str) -> Json:
        """One job with its stored inputs, as raw JSON: they are posted again as they are, never decoded."""
        return self._json("GET", f"/jobs/{id_}", large=True)

    def metrics(self, id_: str) -> Metrics:
        """Times and usage of a job."""
        return Metrics.of(self._json("GET", f"/jobs/{id_}/metrics"), id_)

    def results(self, id_: str) -> str:
        """The raw result of a finished job; empty where there is none (204)."""
        text = self._request("GET", f"/jobs/{id_}/results", large=True).text
        if text.lstrip()[:1] == "<":  # a gateway's page under status 200: decoded it would be a broken result for good
            raise UnreachableError(f"an answer that is not JSON to GET /jobs/{id_}/results", sent=True)
        return text

    def post_job(self, body: str) -> str:
        """Create a job, **once**: no retry of any kind. Returns its id."""
        found = self._json("POST", "/jobs", body=body)
        if not isinstance(found.get("id"), str):
            raise UnreachableError("an answer without a job id to POST /jobs", sent=True)
        return str(found["id"])

    def cancel_job(self, id_: str) -> None:
        """Cancel; a job that already ended answers 409."""
        self._request("POST", f"/jobs/{id_}/cancel")

    # --- the account -------------------------------------------------------------------------------------------

    def instance_usage(self) -> InstanceUsage:
        """What the instance used and may use, in seconds."""
        return InstanceUsage.of(self._json("GET", "/instances/usage"))

    def usage_left(self) -> float | None:
        """Seconds the instance may still use; None where no limit is told."""
        return self.instance_usage().left

    def calibrated_at(self, backend: str, before: float | None = None) -> float | None:
        """When the backend was last calibrated, now or `before` a time, in seconds since the epoch."""
        at = {} if before is None else {"updated_before": datetime.fromtimestamp(before, UTC).isoformat()}
        return seconds(self._json("GET", f"/backends/{backend}/properties", params=at).get("last_update_date"))

    @property
    def instance_label(self) -> str:
        """The instance's name where the account tells it, else the CRN."""
        return self._origin.name or self.instance

    @property
    def plan(self) -> str | None:
        """The instance's plan ("open", "pay-as-you-go", …), where the account tells it."""
        return self._origin.plan


def _cause(error: Exception) -> object:
    """urllib3's own error inside one of requests."""
    inner = error.args[0] if error.args else None
    return getattr(inner, "reason", inner)


def _why(error: Exception) -> str:
    """The kind of a network failure in a few words: the text of requests repeats the URL and the pool."""
    cause = _cause(error)
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection to the service within {CONNECT:g} s"
    if isinstance(cause, urllib3.exceptions.ReadTimeoutError):
        return "the service did not answer in time"
    if isinstance(cause, urllib3.exceptions.NameResolutionError):
        return "the service cannot be reached: its name is not resolved"
    if isinstance(cause, urllib3.exceptions.NewConnectionError):
        return "the service cannot be reached"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the answer was cut short"
    return "the connection to the service was lost"


def _too_slow(seconds: float) -> str:
    return f"the service did not finish its answer within {seconds:.3g} s"


P = ParamSpec("P")
T = TypeVar("T")

PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0)
LONGEST = 30.0  # seconds; a longer `Retry-After` is the caller's to see
PATIENCE = 45.0  # seconds after which no further attempt begins


def patiently(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`call(...)`, again after a pause while the service answers 429 or 5xx or not at all.

    Raises:
        ServiceError, UnreachableError: the last one, when it still does.
    """
    end = time.monotonic() + PATIENCE
    for pause in PAUSES:
        try:
            return call(*args, **kwargs)
        except UnreachableError:
            wait = pause
            if time.monotonic() + wait > end:
                raise
        except ServiceError as error:
            if not error.passing:
                raise
            wait = max(pause, error.retry_after or 0.0)
            if wait > LONGEST or time.monotonic() + wait > end:
                raise
        time.sleep(wait)
    return call(*args, **kwargs)


_budgets: weakref.WeakValueDictionary[tuple[str, str], Budget] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def _budget_of(base_url: str, instance: str) -> Budget:
    """The one budget of an instance: two service objects of one account share it."""
    with _lock:
        budget = _budgets.get((base_url, instance))
        if budget is None:
            budget = _budgets[base_url, instance] = Budget()
        return budget


V = TypeVar("V")


class PerInstance(Generic[V]):
    """One value for each instance of each service object, let go with the service object.

    Kept by identity: a `QiskitRuntimeService` cannot be hashed, and two equal ones may be two accounts.
    """

    def __init__(self, make: Callable[[QiskitRuntimeService, str], V]) -> None:
        self._make = make
        self._empty()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._empty)

    def _empty(self) -> None:
        """A forked process shares no connection and no thread with its parent."""
        self._lock = threading.RLock()
        self._values: dict[int, dict[str, V]] = {}

    def __call__(self, service: QiskitRuntimeService, instance: str) -> V:
        """The value of an instance (a CRN); made on first use."""
        with self._lock:
            if id(service) not in self._values:
                self._values[id(service)] = {}
                weakref.finalize(service, self._values.pop, id(service), None).atexit = False
            values = self._values[id(service)]
            if instance not in values:
                values[instance] = self._make(service, instance)
            return values[instance]


_links = PerInstance(lambda service, instance: Link(origin_of(service, instance)))


def link_of(service: QiskitRuntimeService, instance: str) -> Link:
    """The one link to an instance (a CRN) of this service object; made on first use, let go with the service object.

    Raises:
        QmodeError: the service object has no client for this instance.
    """
    return _links(service, instance)
