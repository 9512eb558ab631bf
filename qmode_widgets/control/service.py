"""The only file that touches the client's private parts. Everything above speaks of links, payloads and plain JSON.

A `Link` is our own way to one instance: the client's base URL, proxies and IAM token manager, on an HTTP session
**without** the client's hidden retries (a POST answered 504 after the job was created is posted again by it: two paid
jobs), with time-outs, and without switching the user's active instance. `self_test` checks, when the first link is
made, that the private parts are where they were in the version this was written for; where they are not, workloads are
shown read-only with a message instead of breaking.

Written against qiskit-ibm-runtime 0.51.
"""

from __future__ import annotations

import copy
import json
import logging
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from functools import cache, reduce
from typing import Any

import requests
from qiskit_ibm_runtime import IBMBackend, QiskitRuntimeService, Session
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.decoders.defaults import DEFAULT_DECODERS
from qiskit_ibm_runtime.decoders.result_decoder import ResultDecoder
from qiskit_ibm_runtime.json import RuntimeEncoder
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from .errors import QmodeError, ServiceError, UnreachableError

Json = dict[str, Any]
log = logging.getLogger(__name__)

API_VERSION = "2026-04-15"
PAGE = 200                          # the most jobs the service puts on one page
TIMEOUT = (5.0, 60.0)               # connect, read: seconds
POST_TIMEOUT = (5.0, 300.0)         # a payload may be tens of MB


@cache
def self_test() -> str | None:
    """Why the private parts we rely on cannot be trusted, or None when all are in place."""
    wanted = {
        QiskitRuntimeService: ("_get_api_clients", "_run", "_resolve_cloud_instances"),
        Session: ("_run", "_create_session", "from_id"),
    }
    gone = [f"{c.__name__}.{n}" for c, names in wanted.items() for n in names if not hasattr(c, n)]
    gone += [f"decoder of {p}" for p in ("sampler", "estimator", "executor") if p not in DEFAULT_DECODERS]
    if not gone:
        return None
    from qiskit_ibm_runtime import __version__

    return (
        f"qiskit-ibm-runtime {__version__} has changed inside ({', '.join(gone)}): workloads are shown but not "
        "changed; install a version of qmode_widgets made for it"
    )


class _Token(AuthBase):
    """The client's own token manager, without its fall-back of sending the raw API key when IAM does not answer."""

    def __init__(self, auth: Any) -> None:
        self._auth = auth

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        try:
            token = self._auth.tm.get_token()
        except Exception as error:
            raise UnreachableError(f"no access token from IBM Cloud: {type(error).__name__}", sent=False) from error
        request.headers.update({"Service-CRN": str(self._auth.crn), "Authorization": f"Bearer {token}"})
        return request

    def renew(self) -> None:
        """Forget the token, so that the next request asks for a new one."""
        self._auth.tm.expire_time = 0


class Link:
    """One instance of one account, for our threads. Its methods make one request each and return the service's JSON.

    Raises (all methods):
        ServiceError: the service answered with an error.
        UnreachableError: it did not answer.
    """

    def __init__(self, service: QiskitRuntimeService, instance: str) -> None:
        clients = service._get_api_clients()
        if instance not in clients:
            raise QmodeError(
                f"the service object has no client for the instance {instance!r}: get the backend from this service, "
                "or make the service with instance=…"
            )
        origin = clients[instance]._session
        self.service, self.instance = service, instance
        self._base = str(origin.base_url)
        self._auth = _Token(origin.auth)
        self._local = threading.local()
        self._proxies, self._verify = dict(origin.proxies), origin.verify
        self.clock_offset = 0.0
        self._offset_window: tuple[float, float] | None = None

    # --- one request -------------------------------------------------------------------------------------------

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()                    # one a thread: requests does not promise thread safety
            session.mount("http://", HTTPAdapter(max_retries=0))
            session.mount("https://", HTTPAdapter(max_retries=0))
            session.proxies, session.verify = self._proxies, self._verify
            session.headers["IBM-API-Version"] = API_VERSION
            session.headers["X-Qx-Client-Application"] = "qmode_widgets"
            self._local.session = session
        return session

    def _request(
        self, method: str, path: str, *, params: Json | None = None, body: str | None = None, renewed: bool = False
    ) -> requests.Response:
        headers = {"Content-Type": "application/json"} if body is not None else {"Accept": "application/json"}
        before = time.time()
        self._local.asked = self.asked + 1
        try:
            answer = self._session().request(
                method,
                self._base + path,
                params=params,
                data=None if body is None else body.encode(),
                headers=headers,
                auth=self._auth,
                timeout=POST_TIMEOUT if method == "POST" and path == "/jobs" else TIMEOUT,
                allow_redirects=False,                      # a submission goes where it was sent, and so does the token
            )
            answer.content                                  # read here: a body cut short is "no answer"  # noqa: B018
        except (requests.ConnectTimeout, requests.exceptions.ProxyError, requests.exceptions.SSLError) as error:
            raise UnreachableError(_why(error), sent=False) from error
        except requests.ConnectionError as error:
            raise UnreachableError(_why(error), sent=not _not_sent(error)) from error
        except requests.RequestException as error:
            raise UnreachableError(_why(error), sent=True) from error
        self._note_clock(answer, before, time.time())
        if answer.status_code == 401 and not renewed:       # an expired token; the request was not carried out
            self._auth.renew()
            return self._request(method, path, params=params, body=body, renewed=True)
        if answer.status_code >= 300:
            raise _error(answer)
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

    @property
    def asked(self) -> int:
        """How many requests this thread has made."""
        return int(getattr(self._local, "asked", 0))

    def now(self) -> float:
        """The service's time."""
        return time.time() + self.clock_offset

    # --- sessions and batches ----------------------------------------------------------------------------------

    def workload(self, id_: str) -> Json:
        """The session object of a session or batch."""
        return self._json("GET", f"/sessions/{id_}")

    def close(self, id_: str) -> None:
        """No further jobs; queued ones still run."""
        self._request("PATCH", f"/sessions/{id_}", body='{"accepting_jobs": false}')

    def cancel_workload(self, id_: str) -> None:
        """Cancel the queued jobs and close; running ones continue."""
        self._request("DELETE", f"/sessions/{id_}/close")

    def workloads(self, **params: Any) -> Json:
        """One page of the instance's workloads (at most 50)."""
        return self._json("GET", "/workloads", params=params)

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
    ) -> Json:
        """One page of jobs, each with its state: `{"jobs", "count", …}`."""
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
        return self._json("GET", "/jobs", params=params)

    def job(self, id_: str, *, params: bool = False) -> Json:
        """One job; with its stored inputs as raw JSON if asked."""
        return self._json("GET", f"/jobs/{id_}", params=None if params else {"exclude_params": "true"})

    def metrics(self, id_: str) -> Json:
        """Timestamps and usage of a job."""
        return self._json("GET", f"/jobs/{id_}/metrics")

    def results(self, id_: str) -> str:
        """The raw result of a finished job; empty where there is none (204)."""
        return self._request("GET", f"/jobs/{id_}/results").text

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

    def instance_usage(self) -> Json:
        """What the instance used and may use, in seconds."""
        return self._json("GET", "/instances/usage")

    def usage_left(self) -> float | None:
        """Seconds the instance may still use; None where no limit is told."""
        return seconds_left(self.instance_usage())

    def calibrated_at(self, backend: str) -> str | None:
        """When the backend was last calibrated, as the service writes it."""
        found = self._json("GET", f"/backends/{backend}/properties").get("last_update_date")
        return None if found is None else str(found)

    def _about(self, what: str) -> str | None:
        """A field of the instance's entry in the account, which the client looked up when the service was made."""
        found: Json = next((i for i in self.service._all_instances if i.get("crn") == self.instance), {})
        return None if found.get(what) is None else str(found[what])

    @property
    def instance_label(self) -> str:
        """The instance's name where the account tells it, else the CRN."""
        return self._about("name") or self.instance

    @property
    def plan(self) -> str | None:
        """The instance's plan ("open", "pay-as-you-go", …), where the account tells it."""
        return self._about("plan")


def seconds_left(usage: Json) -> float | None:
    """Of the answer to `GET /instances/usage`: the limit, else the allocation, minus what was consumed."""
    if usage.get("usage_limit_reached"):
        return 0.0
    limit = usage.get("usage_limit_seconds") or usage.get("usage_allocation_seconds")
    try:
        return None if limit is None else max(0.0, float(limit) - float(usage.get("usage_consumed_seconds") or 0.0))
    except (TypeError, ValueError):
        return None


def _not_sent(error: Exception) -> bool:
    """No connection was made: no route, refused, or the name not resolved."""
    return any(kind in repr(error) for kind in ("NewConnectionError", "NameResolutionError"))


def _why(error: Exception) -> str:
    """The kind of a network failure in a few words: requests' own text repeats the URL and the pool."""
    kinds = {
        "ConnectTimeout": "no connection to the service within 5 s",
        "ReadTimeout": "the service did not answer in time",
        "NewConnectionError": "the service cannot be reached",
        "NameResolutionError": "the service cannot be reached: its name is not resolved",
        "ChunkedEncodingError": "the answer was cut short",
    }
    text = repr(error)
    return next((words for kind, words in kinds.items() if kind in text), "the connection to the service was lost")


def _error(answer: requests.Response) -> ServiceError:
    """The service's code, message and solution from an error body; `code` may be a string."""
    code: int | str | None = None
    message, solution = "", None
    try:
        first = answer.json()["errors"][0]
        code, message, solution = first.get("code"), str(first.get("message", "")), first.get("solution")
        if isinstance(code, str) and code.isdigit():
            code = int(code)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        message = answer.text.strip()[:300]
    return ServiceError(
        message or str(answer.reason),
        status=answer.status_code,
        code=code,
        solution=solution,
        retry_after=_retry_after(answer.headers.get("Retry-After")),
    )


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait, from either form of the header."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


# --- capture: a primitive's payload without a request -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Captured:
    """What one `primitive.run(...)` would post. `body(tags)` is the request's body, complete but for the workload."""

    program_id: str
    backend: str
    instance: str | None
    tags: tuple[str, ...]               # the user's own
    private: bool
    payload: Json

    def body(self, tags: Sequence[str], session_id: str | None) -> str:
        """The JSON to post; encoded as the client does it."""
        full = self.payload | {"tags": list(tags)}
        if session_id:
            full["session_id"] = session_id
        return json.dumps(full, cls=RuntimeEncoder)


    def limited(self, seconds: int | None) -> Captured:
        """With this limit on its execution time, where its own is not lower."""
        own = self.payload.get("cost")
        if seconds is None or (own is not None and own <= seconds):
            return self
        return replace(self, payload=self.payload | {"cost": seconds})


class _CapturingMode(Session):
    """A mode that keeps the arguments of a submission instead of posting them (`create_new=False`: no request)."""

    def __init__(self, backend: IBMBackend) -> None:
        super().__init__(backend, create_new=False)

    def _run(self, program_id: str, inputs: Json, options: Json | None = None, **kwargs: Any) -> Json:
        return {"program_id": program_id, "inputs": inputs, "options": dict(options or {})} | kwargs


def capture(primitive: Any, items: Any, run_options: Json, *, max_execution_time: int | None = None) -> Captured:
    """Let a copy of the user's primitive prepare `items` and keep what it would have sent.

    The copy shares the user's options: they are read, never written. Errors of the primitive's own checks (ISA, shapes)
    pass through as they are.
    """
    clone = copy.copy(primitive)
    backend = clone._backend
    clone._mode = _CapturingMode(backend)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)         # the user saw them when they made the primitive
        caught = clone.run(items, **run_options)
    options = caught["options"]
    limit = options.get("max_execution_time")
    if max_execution_time is not None:
        limit = min(limit, max_execution_time) if limit else max_execution_time
    payload: Json = {"program_id": caught["program_id"], "params": caught["inputs"], "backend": backend.name}
    optional = {
        "runtime": options.get("image"),
        "log_level": options.get("log_level"),
        "cost": limit,
        "private": bool(options.get("private")) or None,
        "calibration_id": caught.get("calibration_id"),
    }
    payload |= {k: v for k, v in optional.items() if v not in (None, "")}
    return Captured(
        program_id=caught["program_id"],
        backend=str(backend.name),
        instance=getattr(backend, "_instance", None),
        tags=tuple(options.get("job_tags") or ()),
        private=bool(options.get("private")),
        payload=payload,
    )


def with_own_seed(captured: Captured, part: int) -> Captured:
    """Parts of one PUB's shots must not repeat each other's: a fixed simulator seed becomes one for each part."""
    params = copy.deepcopy(captured.payload["params"])
    simulator = (params.get("options") or {}).get("simulator") or {}
    if simulator.get("seed_simulator") is None:
        return captured
    simulator["seed_simulator"] += part
    return replace(captured, payload=captured.payload | {"params": params})


def replay(raw: Json) -> Captured:
    """The payload of a job that exists, from its raw JSON with params: posted again as it is, never decoded."""
    payload: Json = {"program_id": raw["program"]["id"], "params": raw["params"], "backend": raw["backend"]}
    if not raw["params"]:
        raise KeyError("params")
    optional = {"runtime": raw.get("runtime"), "log_level": raw.get("log_level"), "cost": raw.get("cost"),
                "calibration_id": raw.get("calibration_id")}
    payload |= {k: v for k, v in optional.items() if v not in (None, "")}
    return Captured(
        program_id=str(raw["program"]["id"]),
        backend=str(raw["backend"]),
        instance=None,
        tags=tuple(raw.get("tags") or ()),
        private=False,
        payload=payload,
    )


def decode(program_id: str, text: str) -> Any:
    """A job's raw result as the client's own classes, by the client's own chain of decoders."""
    decoders = DEFAULT_DECODERS.get(program_id) or [ResultDecoder]
    return reduce(lambda found, d: d.decode(found) if d.is_applicable(found) else found, decoders, text)


# --- the user's objects -----------------------------------------------------------------------------------------


def is_local(backend: object) -> bool:
    """Local testing mode: a fake or Aer backend, where modes are ignored."""
    return not isinstance(backend, IBMBackend)


def backend_of(mode: Any) -> Any:
    """The backend of a session, a batch or a primitive."""
    return mode._backend


def mode_of(primitive: Any) -> Session | None:
    """The session or batch a primitive was made for, if any."""
    return getattr(primitive, "_mode", None)


def instance_of(backend: Any) -> str | None:
    """The CRN of the instance a backend object came from."""
    return getattr(backend, "_instance", None)


def noise_model_of(primitive: Any) -> Any:
    """The noise model given to an estimator's options, None where there is none or the options know none."""
    found = getattr(getattr(getattr(primitive, "options", None), "resilience", None), "layer_noise_model", None)
    return None if found is None or type(found).__name__ == "UnsetType" else found


def max_time_of(mode: Any) -> int | None:
    """The max TTL a session or batch was opened with, in seconds."""
    found: int | None = mode._max_time
    return found


def around_close(mode: Session, drain: Callable[[], None], closed: Callable[[], None]) -> None:
    """Let `drain` run before the user's `with Batch(...)` closes it (partitions may wait to be sent), `closed` after.

    `__exit__` calls `self.close()`, so the wrap sits on this one object, under the name the user knows.
    """
    original = mode.close

    def close() -> None:
        try:
            drain()
        finally:
            original()
            closed()

    mode.close = close


def open_mode(kind: type[Session], backend: Any, max_time: int | str | None) -> Any:
    """A new batch or session, by the client's own request, which is posted again on 5xx.

    Harmless here: an empty workload costs nothing, and an unused session closes by itself.

    Raises:
        ServiceError: the service refuses; with its code and solution, which the client's error hides.
    """
    try:
        return kind(backend=backend, max_time=max_time)
    except RequestsApiError as error:
        cause = error.__cause__
        answer = getattr(cause, "response", None)
        if answer is not None:
            raise _error(answer) from error
        raise ServiceError(str(error.message), status=error.status_code) from error


def attach_mode(kind: type[Session], id_: str, backend: Any, *, accepting: bool) -> Any:
    """A `Session` or `Batch` object for an existing id, without `from_id`, which switches the active instance."""
    mode = kind(backend, create_new=False)
    mode._session_id = id_
    mode._active = accepting
    return mode


def note_closed(mode: Any) -> None:
    """Tell the user's object that it takes no further jobs, as its own `close()` would."""
    mode._active = False


def backend_named(service: QiskitRuntimeService, name: str, instance: str) -> Any:
    """The backend object of an instance; the user's active instance stays what it was."""
    active = service._active_api_client
    try:
        return service.backend(name, instance=instance)
    finally:
        service._active_api_client = active


def job_object(service: QiskitRuntimeService, id_: str) -> Any:
    """The client's job object; the user's active instance stays what it was."""
    active = service._active_api_client
    try:
        return service.job(id_)
    finally:
        service._active_api_client = active


def instances_of(service: QiskitRuntimeService) -> list[str]:
    """The CRNs this service object has clients for."""
    return [crn for crn in service._get_api_clients() if crn]
