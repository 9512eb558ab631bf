"""The only file that touches the client's private parts. Everything above speaks of links, payloads and plain JSON.

`self_test` checks, when the first controller is made, that the private parts are where they were in the version this
was written for; where they are not, workloads are shown read-only with a message instead of breaking.

Written against qiskit-ibm-runtime 0.51.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import functools
import inspect
import json
import logging
import os
import sys
import threading
import time
import urllib.parse
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, reduce
from typing import Any, Literal, Protocol

import requests
from qiskit_ibm_runtime import (
    EstimatorV2,
    Executor,
    IBMBackend,
    QiskitRuntimeService,
    RuntimeJobV2,
    SamplerV2,
    Session,
)
from qiskit_ibm_runtime import __version__ as client_version
from qiskit_ibm_runtime.api.client import RuntimeClient
from qiskit_ibm_runtime.decoders.defaults import DEFAULT_DECODERS
from qiskit_ibm_runtime.decoders.result_decoder import ResultDecoder
from qiskit_ibm_runtime.exceptions import IBMError, IBMRuntimeError, RuntimeProgramNotFound
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.executor_sampler import Sampler
from qiskit_ibm_runtime.json import RuntimeEncoder
from qiskit_ibm_runtime.runtime_options import RuntimeOptions
from qiskit_ibm_runtime.utils import validate_job_tags

from ..errors import QmodeError, ServiceError, UnreachableError
from ..portal import clock
from .transport import AiohttpTransport, Progress, Transport
from .wire import Json

log = logging.getLogger(__name__)


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
    return (
        f"qiskit-ibm-runtime {client_version} has changed inside ({', '.join(gone)}): workloads are shown but not "
        "changed; install a version of qmode_widgets made for it"
    )


@dataclass(frozen=True, slots=True)
class Origin:
    """What a link takes over from the client's own connection."""

    service: weakref.ref[QiskitRuntimeService]  # the user's; a link must not keep it alive
    instance: str  # CRN
    base_url: str
    token: Token
    transport: AiohttpTransport
    name: str | None  # of the instance, where the account tells it
    plan: str | None


IAM_SECONDS = 10.0  # in which IAM must answer
IAM_PAUSE = 5.0  # seconds for which its last refusal is repeated without asking again
IAM_MARGIN = 10.0  # seconds before its end at which a token is taken for expired, as the client does


class Token:
    """An access token of IBM Cloud IAM, asked for by the loop itself, once for all who need one.

    The client's own manager lets one thread ask while the others sleep up to a minute, and where IAM does not answer
    the client sends the raw API key instead. Here nothing is sent then. A token that the client has is used.

    Args:
        auth: the client's `CloudAuth`: its key, its address, and the token that it may have already.
        transport: how requests are made.
    """

    def __init__(self, auth: Any, transport: Transport) -> None:
        self._auth, self._transport = auth, transport
        self._text: str | None = None
        self._renew_at = self._ends_at = 0.0
        self._refused: str | None = None
        self._asking: asyncio.Task[None] | None = None
        self._failed: tuple[float, UnreachableError] | None = None

    async def headers(self) -> dict[str, str]:
        """What signs a request.

        Raises:
            UnreachableError: there is no token.
        """
        now, manager = time.time(), self._auth.tm
        theirs = manager.access_token
        if now >= self._renew_at and theirs is not None and theirs != self._refused and now < manager.refresh_time:
            self._text, self._renew_at, self._ends_at = str(theirs), manager.refresh_time, manager.expire_time
        if now >= self._renew_at:
            try:
                await self._renew()
            except UnreachableError:
                if self._text is None or now >= self._ends_at - IAM_MARGIN:
                    raise  # else it was only to be renewed ahead of time
        return {"Service-CRN": str(self._auth.crn), "Authorization": f"Bearer {self._text}"}

    def refused(self, authorization: str) -> None:
        """The service refused this header: ask for another token, unless there is a newer one by now."""
        if authorization == f"Bearer {self._text}":
            self._refused, self._text = self._text, None
            self._renew_at = self._ends_at = 0.0
            if self._auth.tm.access_token == self._refused:
                self._auth.tm.expire_time = 0  # the client's own requests need another one too

    async def _renew(self) -> None:
        if self._failed is not None and clock.monotonic() < self._failed[0]:
            raise UnreachableError(str(self._failed[1]), sent=False)
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._ask())
            self._asking.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(self._asking)

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(clock.of(IAM_SECONDS)):
                answer = await self._transport.send(*iam_request(self._auth.tm), Progress())
            if answer.status_code >= 300:
                raise UnreachableError(_why_no_token(answer.status_code), sent=False)
            found = answer.json()
            text, ends = str(found["access_token"]), float(found["expiration"])
        except TimeoutError:
            why = f"no access token: IBM Cloud IAM did not answer within {IAM_SECONDS:g} s"
            raise self._fails(UnreachableError(why, sent=False)) from None
        except UnreachableError as error:
            text = str(error) if str(error).startswith("no access") else f"no access token from IBM Cloud IAM: {error}"
            raise self._fails(UnreachableError(text, sent=False)) from None
        except (KeyError, TypeError, ValueError) as error:  # not its text: the answer may hold the key
            why = f"no access token from IBM Cloud IAM: its answer cannot be read ({type(error).__name__})"
            raise self._fails(UnreachableError(why, sent=False)) from None
        now = time.time()
        self._text, self._ends_at, self._renew_at = text, ends, ends - 0.2 * max(0.0, ends - now)
        self._failed = None

    def _fails(self, error: UnreachableError) -> UnreachableError:
        self._failed = (clock.monotonic() + IAM_PAUSE, error)
        return error


def iam_request(manager: Any) -> tuple[str, str, dict[str, str], bytes]:
    """Method, address, headers and body of the client's own request for a token."""
    form = dict(manager.request_payload) | ({"scope": manager.scope} if manager.scope else {})
    headers = {str(k): str(v) for k, v in (manager.headers or {}).items()}
    headers |= {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    if manager.client_id and manager.client_secret:
        pair = f"{manager.client_id}:{manager.client_secret}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    return "POST", f"{manager.url}{manager.OPERATION_PATH}", headers, urllib.parse.urlencode(form).encode()


def _why_no_token(status: int) -> str:
    if status in (400, 401, 403):
        return (
            f"no access token: IBM Cloud IAM refuses the API key (HTTP {status}). If it was replaced, make a new "
            "service with the new key and attach(id, service)"
        )
    return f"no access token: IBM Cloud IAM answered HTTP {status}"


def origin_of(service: QiskitRuntimeService, instance: str) -> Origin:
    """What a link to one instance of the service's account takes over from the client.

    Raises:
        QmodeError: the service object has no client for this instance.
    """
    clients = service._get_api_clients()
    if instance not in clients:
        raise QmodeError(
            f"the service object has no client for the instance {instance!r}: get the backend from this service, "
            "or make the service with instance=…"
        )
    client = clients[instance]._session
    about: Json = next((i for i in service._all_instances if i.get("crn") == instance), {})
    transport = AiohttpTransport(dict(client.proxies), client.verify)
    return Origin(
        service=weakref.ref(service),
        instance=instance,
        base_url=str(client.base_url),
        token=Token(client.auth, transport),
        transport=transport,
        name=None if about.get("name") is None else str(about["name"]),
        plan=None if about.get("plan") is None else str(about["plan"]),
    )


# --- capture: a primitive's payload without a request -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Captured:
    """What one `primitive.run(...)` would post. `body(tags)` is the request's body, complete but for the workload."""

    program_id: str
    backend: str
    instance: str | None
    tags: tuple[str, ...]  # the user's own
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
        if seconds is None or (own and own <= seconds):
            return self
        return replace(self, payload=self.payload | {"cost": seconds})


class _CapturingMode(Session):
    """A mode that keeps the arguments of a submission instead of posting them (`create_new=False`: no request)."""

    def __init__(self, backend: IBMBackend) -> None:
        super().__init__(backend, create_new=False)

    def _run(self, program_id: str, inputs: Json, options: Json | None = None, **kwargs: Any) -> Json:
        return {"program_id": program_id, "inputs": inputs, "options": dict(options or {})} | kwargs


def capture(
    primitive: Any,
    items: Any,
    run_options: Json,
    *,
    max_execution_time: int | None = None,
    twirling: tuple[int, int] | None = None,
) -> Captured:
    """Let a copy of the user's primitive prepare `items` and keep what it would have sent.

    The copy shares the user's options: they are read, never written. Errors of the primitive's own checks (ISA, shapes)
    pass through as they are.
    """
    clone = copy.copy(primitive)
    if twirling is not None:  # this job's own randomizations, and the shots of each
        setattr(clone, "_options" if hasattr(clone, "_options") else "options", copy.deepcopy(primitive.options))
        clone.options.twirling.num_randomizations, clone.options.twirling.shots_per_randomization = twirling
    backend = clone._backend
    clone._mode = _CapturingMode(backend)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the user saw them when they made the primitive
        caught = clone.run(items, **run_options)
    return captured_of(
        caught["program_id"],
        caught["inputs"],
        caught["options"],
        backend,
        calibration_id=caught.get("calibration_id"),
        max_execution_time=max_execution_time,
    )


def captured_of(
    program_id: str,
    inputs: Json,
    options: Json,
    backend: Any,
    *,
    calibration_id: str | None,
    max_execution_time: int | None,
) -> Captured:
    """What the client would post for these arguments of its `_run`, within a limit on the execution time in seconds."""
    payload: Json = {"program_id": program_id, "params": inputs, "backend": backend.name}
    optional = {
        "runtime": options.get("image"),
        "log_level": options.get("log_level"),
        "cost": options.get("max_execution_time"),
        "private": bool(options.get("private")) or None,
        "calibration_id": calibration_id,
    }
    payload |= {k: v for k, v in optional.items() if v not in (None, "")}
    return Captured(
        program_id=program_id,
        backend=str(backend.name),
        instance=getattr(backend, "_instance", None),
        tags=tuple(options.get("job_tags") or ()),
        private=bool(options.get("private")),
        payload=payload,
    ).limited(max_execution_time)


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
    optional = {
        "runtime": raw.get("runtime"),
        "log_level": raw.get("log_level"),
        "cost": raw.get("cost"),
        "calibration_id": raw.get("calibration_id"),
    }
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


Kind = Literal["sampler", "estimator", "executor", "noise-learner"]


def primitive_kind(primitive: Any) -> Kind | None:
    """What one of the client's primitives takes; None for anybody else's."""
    if isinstance(primitive, Sampler | SamplerV2):
        return "sampler"
    if isinstance(primitive, Estimator | EstimatorV2):
        return "estimator"
    if isinstance(primitive, Executor):
        return "executor"
    if "NoiseLearner" in type(primitive).__name__ and hasattr(primitive, "_backend"):
        return "noise-learner"
    return None


def is_local(backend: object) -> bool:
    """Local testing mode: a fake or Aer backend, where modes are ignored."""
    return not isinstance(backend, IBMBackend)


def target_of(backend: Any) -> Any:
    """The backend's target, which the client fetches when it is first asked for.

    Raises:
        UnreachableError: it cannot be fetched now.
    """
    try:
        return backend.target
    except (IBMError, requests.RequestException) as error:
        raise UnreachableError(f"the properties of {backend.name} cannot be read now: {error}", sent=False) from error


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


Close = Callable[[Callable[[], None], type[BaseException] | None], None]


def around_close(mode: Session, close: Close) -> Callable[[], None]:
    """Let `close` answer when the user, or the end of a `with Batch(...)` block, closes this object.

    `__exit__` calls `self.close()`, so the wrap sits on this one object, under the name the user knows. `close` gets
    the client's own way, and the type of the error by which a block is left. Returns what undoes it.
    """
    original, owner = mode.close, os.getpid()

    def closed() -> None:
        if os.getpid() != owner:  # a forked child has no controller: its parent's is not asked
            original()
            return
        leaving = sys._getframe(1).f_code is Session.__exit__.__code__
        close(original, sys.exc_info()[0] if leaving else None)

    mode.close = closed

    def undo() -> None:
        if mode.__dict__.get("close") is closed:
            del mode.close

    return undo


def attach_mode(kind: type[Session], id_: str, backend: Any, *, accepting: bool, max_time: int | None = None) -> Any:
    """A `Session` or `Batch` object for an existing id, without `from_id`, which switches the active instance."""
    mode = kind(backend, max_time, create_new=False)
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
        with _plainly():
            return service.job(id_)
    finally:
        service._active_api_client = active


def tags_of(job: Any) -> list[str]:
    """All tags that a job object was made with, ours too, which `RuntimeJobV2.tags` leaves out under `watch`."""
    return list(job._tags or ())


def instances_of(service: QiskitRuntimeService) -> list[str]:
    """The CRNs this service object has clients for."""
    return [crn for crn in service._get_api_clients() if crn]


# --- adoption: what the user's own objects submit --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Submission:
    """One submission as the client's primitives ask a mode or a service for it, before anything is sent.

    `plainly(max_execution_time)` lets the client send it, once more limited where that is given.
    """

    program_id: str
    inputs: Json
    options: Json
    decoder: Any
    calibration_id: str | None
    backend: Any
    session_id: str | None
    plainly: Callable[[int | None], Any]

    @property
    def tags(self) -> tuple[str, ...]:
        """The user's own."""
        return tuple(self.options.get("job_tags") or ())

    def check(self) -> None:
        """What the client checks before it sends.

        Raises:
            IBMInputValueError: an option that is not allowed.
        """
        known = {k: v for k, v in self.options.items() if k in _OPTIONS}
        RuntimeOptions(**known).validate(channel=self.backend.service.channel)

    def captured(self, max_execution_time: int | None) -> Captured:
        """What to post for it, with a limit on the execution time in seconds."""
        return captured_of(
            self.program_id,
            self.inputs,
            self.options,
            self.backend,
            calibration_id=self.calibration_id,
            max_execution_time=max_execution_time,
        )


_OPTIONS = frozenset(inspect.signature(RuntimeOptions).parameters)
_plain = threading.local()


@contextmanager
def _plainly() -> Iterator[None]:
    """What this thread submits inside goes to the client unchanged: it is our own, or was looked at before."""
    before = getattr(_plain, "on", False)
    _plain.on = True
    try:
        yield
    finally:
        _plain.on = before


def _is_plain(owner: int) -> bool:
    """Not ours to take: sent on purpose, or by a forked child, for which its parent's controllers do not act."""
    return getattr(_plain, "on", False) or os.getpid() != owner


@cache
def adoption_test() -> str | None:
    """Why submissions cannot be taken over in this version of the client, or None where they can."""
    run = ["program_id", "inputs", "options", "result_decoder", "calibration_id", "dry_run"]
    wanted: list[tuple[str, Any, list[str]]] = [
        ("Session._run", Session._run, run),
        ("QiskitRuntimeService._run", QiskitRuntimeService._run, [*run, "session_id"]),
        ("RuntimeJobV2", RuntimeJobV2, ["api_client", "job_id", "program_id", "service", "session_id", "tags"]),
        ("RuntimeClient.job_get", RuntimeClient.job_get, ["job_id", "exclude_params"]),
        ("RuntimeJobV2.update_tags", RuntimeJobV2.update_tags, ["new_tags"]),
    ]
    gone = [what for what, call, names in wanted if not set(names) <= set(inspect.signature(call).parameters)]
    gone += [f"RuntimeClient.{n}" for n in _HANDLE_CALLS if not hasattr(RuntimeClient, n)]
    gone += [f"RuntimeJobV2.{n}" for n in ("tags", "update_tags") if n not in vars(RuntimeJobV2)]
    if not gone:
        return None
    return f"qiskit-ibm-runtime {client_version} has changed inside ({', '.join(gone)})"


Take = Callable[[Submission], Any]


def divert(mode: Session, take: Take) -> Callable[[], None]:
    """Let `take` answer what is submitted through this one object; returns what undoes it.

    `_run` is where every primitive submits (legacy, client-side, Executor, noise learners). A dry run passes.
    """
    original, owner = mode._run, os.getpid()

    @functools.wraps(original)
    def run(
        program_id: str,
        inputs: Json,
        options: Json | None = None,
        result_decoder: Any = None,
        calibration_id: str | None = None,
        dry_run: bool = False,
    ) -> Any:
        def plainly(limit: int | None = None) -> Any:
            with _plainly():
                return original(
                    program_id=program_id,
                    inputs=inputs,
                    options=_limited(options, limit),
                    result_decoder=result_decoder,
                    calibration_id=calibration_id,
                    dry_run=dry_run,
                )

        if dry_run or _is_plain(owner):
            return plainly()
        if not mode._active:
            raise IBMRuntimeError("The session is closed.")
        return take(
            Submission(
                program_id,
                inputs,
                dict(options or {}),
                result_decoder,
                calibration_id,
                mode._backend,
                mode._session_id,
                plainly,
            )
        )

    mode._run = run

    def undo() -> None:
        if mode.__dict__.get("_run") is run:
            del mode._run

    return undo


def _limited(options: Any, limit: int | None) -> Any:
    """A submission's options with a limit on the execution time, where their own is not lower."""
    if limit is None:
        return options
    told = dict(options or {}) if isinstance(options, dict) or options is None else dict(vars(options))
    own = told.get("max_execution_time")
    return told | {"max_execution_time": min(own, limit) if own else limit}


class _StandIn(Session):
    """A mode of our own that only hands over what is submitted through it (`create_new=False`: no request)."""

    def __init__(self, backend: Any, session_id: str | None, take: Take) -> None:
        super().__init__(backend, create_new=False)
        self._session_id = session_id
        self._take, self._owner = take, os.getpid()

    def _run(
        self,
        program_id: str,
        inputs: Json,
        options: Json | None = None,
        result_decoder: Any = None,
        calibration_id: str | None = None,
        dry_run: bool = False,
    ) -> Any:
        def plainly(limit: int | None = None) -> Any:
            with _plainly():
                return self._service._run(
                    program_id=program_id,
                    inputs=inputs,
                    options=(_limited(options, limit) or {}) | {"backend": self._backend, "instance": self._instance},
                    result_decoder=result_decoder,
                    session_id=self._session_id,
                    calibration_id=calibration_id,
                    dry_run=dry_run,
                )

        if dry_run or _is_plain(self._owner):
            return plainly()
        told = dict(options or {})
        return self._take(
            Submission(
                program_id, inputs, told, result_decoder, calibration_id, self._backend, self._session_id, plainly
            )
        )


def stand_in(backend: Any, session_id: str | None, take: Take) -> Any:
    """A mode for primitives whose submissions `take` answers: in job mode, or for a mode that was not taken over."""
    return _StandIn(backend, session_id, take)


class Marks(Protocol):
    """What is ours among a job's tags."""

    def own(self, tags: Sequence[str]) -> list[str]:
        """The user's own among them."""
        ...

    def renewed(self, tags: Sequence[str], new: Sequence[str]) -> list[str]:
        """What they become where the user replaces them by new ones: those and ours."""
        ...


def watch_client(
    opened: Callable[[Any], None],
    take: Callable[[Submission], Any],
    work_of: Callable[[str], Followed | None],
    max_time: Callable[[], int | None],
    marks: Marks,
) -> Callable[[], None]:
    """Hear of each session and batch that is opened in this process, take what no mode object hands over, and let job
    objects that are loaded by their id follow the work they stand for, which `work_of(id)` tells. A mode whose code
    gives no max TTL is opened with `max_time()`, in seconds. Job objects show the user's own tags only.

    Wraps on classes, put on and taken off here and nowhere else; `docs/testing.md` lists them. An error of `opened` and
    `work_of` is logged: it never reaches the user's code. Returns what undoes them.
    """
    init, submit, load, owner = Session.__init__, QiskitRuntimeService._run, QiskitRuntimeService.job, os.getpid()
    update = RuntimeJobV2.update_tags
    named: dict[tuple[int, str, str], IBMBackend] = {}  # a backend object keeps its service, so ids stay what they are

    def _backend(service: QiskitRuntimeService, options: Json) -> Any:
        """Client-side primitives name their backend and its instance."""
        backend, instance = options.get("backend"), options.get("instance")
        if not isinstance(backend, str) or not instance:
            return backend
        key = (id(service), backend, str(instance))
        if key not in named:
            try:
                named[key] = backend_named(service, backend, str(instance))
            except Exception:
                log.exception("the backend %s of a submission is not known", backend)
                return None
        return named[key]

    @functools.wraps(init)
    def session_init(self: Any, *args: Any, **kwargs: Any) -> None:
        most = None if _is_plain(owner) else max_time()
        if most is not None and kwargs.get("create_new", True) and kwargs.get("max_time") is None:
            if len(args) > 1 and args[1] is None:
                args = (args[0], *args[2:])
            if len(args) < 2:
                kwargs["max_time"] = most
        init(self, *args, **kwargs)
        if self._session_id and not _is_plain(owner):
            try:
                opened(self)
            except Exception:
                log.exception("%s %s is not watched", type(self).__name__, self._session_id)

    @functools.wraps(submit)
    def service_run(
        self: Any,
        program_id: str,
        inputs: Json,
        options: Any = None,
        result_decoder: Any = None,
        session_id: str | None = None,
        start_session: bool | None = False,
        calibration_id: str | None = None,
        dry_run: bool = False,
    ) -> Any:
        def plainly(limit: int | None = None) -> Any:
            with _plainly():
                return submit(
                    self,
                    program_id=program_id,
                    inputs=inputs,
                    options=_limited(options, limit),
                    result_decoder=result_decoder,
                    session_id=session_id,
                    start_session=start_session,
                    calibration_id=calibration_id,
                    dry_run=dry_run,
                )

        told = dict(options) if isinstance(options, dict) else dict(vars(options)) if options is not None else {}
        if dry_run or start_session or _is_plain(owner):
            return plainly()
        backend = _backend(self, told)
        if not isinstance(backend, IBMBackend):
            return plainly()
        return take(Submission(program_id, inputs, told, result_decoder, calibration_id, backend, session_id, plainly))

    @functools.wraps(load)
    def service_job(self: Any, job_id: str) -> Any:
        job = load(self, job_id)
        if not _is_plain(owner):
            try:
                work = work_of(job_id)
                if work is not None:
                    job._api_client = _FollowingClient(job._api_client, work)
                    reopen_handle(job)  # it may have failed, and be done by now in another attempt
            except Exception:
                log.exception("job %s is not followed", job_id)
        return job

    def job_tags(self: Any) -> list[str]:
        return tags_of(self) if _is_plain(owner) else marks.own(tags_of(self))

    @functools.wraps(update)
    def job_update_tags(self: Any, new_tags: list[str]) -> list[str]:
        if _is_plain(owner) or isinstance(self._api_client, _FollowingClient):  # that one keeps ours by itself
            found: list[str] = update(self, new_tags)
            return found
        validate_job_tags(new_tags)
        update(self, marks.renewed(tags_of(self), new_tags))
        return marks.own(tags_of(self))

    put_on: dict[tuple[type, str], Any] = {
        (Session, "__init__"): session_init,
        (QiskitRuntimeService, "_run"): service_run,
        (QiskitRuntimeService, "job"): service_job,
        (RuntimeJobV2, "tags"): property(job_tags, doc=RuntimeJobV2.tags.__doc__),
        (RuntimeJobV2, "update_tags"): job_update_tags,
    }
    before = {(class_, name): vars(class_)[name] for class_, name in put_on}
    for (class_, name), wrap in put_on.items():
        setattr(class_, name, wrap)

    def undo() -> None:
        for (class_, name), wrap in put_on.items():
            if vars(class_)[name] is wrap:  # somebody else may have wrapped it again
                setattr(class_, name, before[class_, name])

    return undo


# --- the job handle of an adopted submission ---------------------------------------------------------------------


class Followed(Protocol):
    """What a job handle asks about the work it stands for, of which there may be several attempts."""

    def job_id(self) -> str:
        """The last attempt's that is on the service."""
        ...

    def goes_on(self, answer: Json) -> bool:
        """Of the service's answer about that attempt: it has failed, and another one is coming or under way."""
        ...

    def told(self, answer: Json) -> Json:
        """The answer in words that the client knows: with one that it does not, its `result()` would never end."""
        ...

    def taken_back(self) -> bool:
        """The user cancels: no further attempt; True where the one that was waiting to be sent is all there is."""
        ...

    def tags(self, own: Sequence[str]) -> list[str]:
        """The user's new tags and, as far as there is room, those that tell which work the job does."""
        ...


_HANDLE_CALLS = ("job_get", "job_results", "job_metadata", "job_cancel", "job_logs", "update_tags")


class _FollowingClient:
    """The client's connection as one job handle sees it: it asks for the first attempt's id and gets the last one's.

    So the handle is the client's own `RuntimeJobV2`, its `job_id()` stays what a library has noted, and its result is
    that of the attempt that came through.
    """

    def __init__(self, client: Any, work: Followed) -> None:
        self._client, self._work = client, work

    def __getattr__(self, name: str) -> Any:
        if name in ("_client", "_work"):  # a copy that is being made has neither yet
            raise AttributeError(name)
        return getattr(self._client, name)

    def job_get(self, job_id: str, exclude_params: bool = True) -> Json:
        answer: Json = self._client.job_get(job_id=self._work.job_id(), exclude_params=exclude_params)
        if self._work.goes_on(answer):
            return self._work.told(answer) | {"status": "Queued", "state": {"status": "Queued"}}
        return self._work.told(answer)

    def job_results(self, job_id: str) -> Any:
        return self._client.job_results(job_id=self._work.job_id())

    def job_metadata(self, job_id: str) -> Any:
        return self._client.job_metadata(self._work.job_id())

    def job_logs(self, job_id: str) -> Any:
        return self._client.job_logs(self._work.job_id())

    def job_cancel(self, job_id: str) -> None:
        if not self._work.taken_back():
            self._client.job_cancel(self._work.job_id())

    def update_tags(self, job_id: str, tags: list[str]) -> Any:
        return self._client.update_tags(job_id=self._work.job_id(), tags=self._work.tags(tags))


def job_handle(asked: Submission, job_id: str, work: Followed) -> Any:
    """The client's own job object for a submission that we sent; it follows `work` from attempt to attempt.

    The service's active instance becomes the backend's, as it does when the client sends the job.
    """
    service = asked.backend.service
    client = service._get_api_clients()[asked.backend._instance]
    service._active_api_client = client
    return RuntimeJobV2(
        backend=asked.backend,
        api_client=_FollowingClient(client, work),
        job_id=job_id,
        program_id=asked.program_id,
        result_decoder=asked.decoder,
        image=asked.options.get("image"),
        session_id=asked.session_id,
        tags=asked.options.get("job_tags"),
        service=service,
        version=asked.inputs.get("version", 1) if asked.inputs else 1,
        private=asked.options.get("private", False),
    )


def reopen_handle(job: Any) -> None:
    """Its work is done again: what the handle had noted as final is asked for anew."""
    job._status, job._reason, job._reason_code, job._error_message = "INITIALIZING", None, None, None


def not_closed(error: Exception) -> Exception:
    """A closing that failed, as the client's own exception."""
    found: Exception = IBMRuntimeError(f"Failed to close the session: {error}")
    return found


class UsageCapReached(IBMRuntimeError):  # noqa: N818 - it is named by what happened, as the client's own are
    """Nothing is sent: the usage cap that was set here is reached, or would cut the job off.

    The service has no part in it. It is one of the client's errors, so that code and libraries that catch those go on
    working. `cap` and `used` are QPU seconds.
    """

    def __init__(self, message: str, *, cap: float, used: float | None) -> None:
        self.cap, self.used = cap, used
        super().__init__(message)


def refusal(error: Exception, *, cap: float | None = None, used: float | None = None) -> Exception:
    """A refusal as the client's own exception, which is what code written for the client catches.

    Args:
        error: why.
        cap: the usage cap that refuses it, in QPU seconds; None where something else does.
        used: what was used of it.
    """
    if cap is not None:
        return UsageCapReached(f"Failed to run program: {error}", cap=cap, used=used)
    not_found = isinstance(error, ServiceError) and error.status == 404
    found: Exception = (
        RuntimeProgramNotFound(f"Program not found: {error}")
        if not_found
        else IBMRuntimeError(f"Failed to run program: {error}")
    )
    return found
