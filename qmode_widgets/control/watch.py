"""`adopt(…)` takes over a session, batch or job that exists, `watch()` whatever is opened and submitted later.

`watch()` needs no change in the code that opens and submits, be it the user's or a library's: three wraps on the
client's classes hear of each new mode, take each submission that no mode object hands over, and let a job that is
loaded by its id follow the retries of its work. They are put on in one place (`ibm.client.watch_client`) and taken off
by `unwatch()`.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from dataclasses import dataclass, fields, replace
from types import FrameType
from typing import Any, TypeVar, cast, get_args, overload

from qiskit_ibm_runtime import Batch, QiskitRuntimeService, RuntimeJobV2, Session

from ..errors import ArgumentError, QmodeError
from ..ibm.client import Followed, Submission, adoption_test, attach_mode, backend_of, instance_of, watch_client
from ..ibm.link import link_of, patiently
from ..model import tags
from .attach import attach
from .controller import Controller
from .engine.guards import check_cap, check_idle, check_retries
from .group import check_label
from .job import JobController
from .modes import BatchController, ModeController, OnExit, SessionController, refuse_local, seconds_of
from .registry import registry

log = logging.getLogger(__name__)

C = TypeVar("C", bound=Controller)

CONTROLLERS_KEPT = (
    30  # controllers that stay on the screens after their workload has ended, though no name refers to them
)
OURS = ("qmode_widgets", "qiskit_ibm_runtime", "functools", "contextlib", "threading")


@dataclass(frozen=True, slots=True)
class Limits:
    """What each workload gets that is watched; None: as it is, or as the controllers have it by default.

    Raises:
        ArgumentError: one of them is out of bounds, whether or not a workload is there to take it.
    """

    usage_cap: float | None = None
    retries: int | None = None
    on_exit: OnExit | None = None
    close_when_idle: float | None = None
    max_time: int | None = None  # seconds
    label: str | None = None

    def __post_init__(self) -> None:
        check_cap(self.usage_cap)
        check_retries(self.retries)
        check_idle(self.close_when_idle)
        check_label(self.label)
        if self.on_exit not in (None, *get_args(OnExit)):
            raise ArgumentError(f"on_exit={self.on_exit!r}: pass one of {', '.join(map(repr, get_args(OnExit)))}")

    def updated(self, given: Limits) -> Limits:
        """With what is given; the rest stays."""
        return replace(self, **{f.name: v for f in fields(given) if (v := getattr(given, f.name)) is not None})


class Watch:
    """What `watch()` started: the workloads it found, and the limits for further ones."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._lock = threading.RLock()
        self._kept: deque[Controller] = deque(maxlen=CONTROLLERS_KEPT)
        self._jobs: dict[tuple[int, str, str], JobController] = {}  # by service object, instance and backend
        self._undo = watch_client(self._opened, self._take, _work_of, lambda: self.limits.max_time, tags)

    @property
    def controllers(self) -> list[Controller]:
        """Of the workloads it found, oldest first; of ended ones the last few."""
        with self._lock:
            return list(self._kept)

    def limit(self, given: Limits) -> None:
        """Set what is given, for further workloads and for those that it has found."""
        with self._lock:
            self.limits = self.limits.updated(given)
            found: list[Controller] = [*self._kept, *(c for c in self._jobs.values() if c not in self._kept)]
        for controller in found:
            _limited(controller, given)

    def stop(self) -> None:
        """Put the client back as it was; what was found until now stays under control."""
        self._undo()

    def _opened(self, mode: Any) -> None:
        """A session or batch was opened, whoever did it."""
        where = opener()
        self._keep(_wrap(mode, self.limits), where)

    def _keep(self, controller: Controller, where: Opener) -> None:
        controller._opened_by(str(where), library=where.library)
        with self._lock:
            if controller not in self._kept:
                self._kept.append(controller)

    def _take(self, asked: Submission) -> Any:
        """A submission that no mode object handed over: in job mode, or of a mode that was opened before."""
        try:
            controller = self._home(asked)
        except Exception:
            log.exception("a submission is not watched")
            return asked.plainly(None)
        if controller._adopting:
            return controller._adoption.take(asked)
        job = asked.plainly(None)
        controller._wake()
        return job

    def _home(self, asked: Submission) -> Controller:
        backend = asked.backend
        with self._lock:
            if asked.session_id is not None:
                found: Controller | None = registry.find(asked.session_id)
                if found is None:
                    found = _of_id(asked.session_id, backend, self.limits)
                    self._keep(found, opener())
                return found
            key = (id(backend.service), str(instance_of(backend)), str(backend.name))
            jobs: Any = self._jobs.get(key)
            if jobs is None or jobs._workload.forgotten:
                limits = self.limits
                jobs = _limited(JobController.open(backend), limits)
                self._jobs[key] = jobs
                self._keep(jobs, opener())
            return cast("JobController", jobs)

    def __repr__(self) -> str:
        with self._lock:
            found = "".join(f"\n  {c!r}" for c in self._kept)
        return f"<watching each session, batch and job of this kernel: {len(self._kept)} workloads so far{found}>"


_state: list[Watch] = []  # one or none
_starting = threading.Lock()


@overload
def watch(
    *,
    usage_cap: float | None = None,
    retries: int | None = None,
    on_exit: OnExit | None = None,
    close_when_idle: float | None = None,
    max_time: float | str | None = None,
    label: str | None = None,
) -> Watch: ...
@overload
def watch(
    id_: str,
    *,
    service: QiskitRuntimeService | None = None,
    usage_cap: float | None = None,
    retries: int | None = None,
    on_exit: OnExit | None = None,
    close_when_idle: float | None = None,
    label: str | None = None,
) -> Controller: ...
def watch(
    id_: str | None = None,
    *,
    service: QiskitRuntimeService | None = None,
    usage_cap: float | None = None,
    retries: int | None = None,
    on_exit: OnExit | None = None,
    close_when_idle: float | None = None,
    max_time: float | str | None = None,
    label: str | None = None,
) -> Watch | Controller:
    """Take under control whatever session, batch or job this process opens from now on, or one workload by its id.

    Code that opens sessions and batches and submits to them, your own or a library's, stays as it is: each new
    workload shows on the screens, each job is posted exactly once, within the limits, and its job handle follows
    retries. Called again, it keeps what was set; what is given then reaches the workloads that it has found, too.

    What goes through qiskit-ibm-runtime in this process is seen. A job that something else posted (a library with its
    own HTTP client, another program) is taken under control by its id: `watch("job id", service=service)`.

    Args:
        id_: the id of one session, batch, job or run that is on the service, whoever sent it.
        service: with an id: the account's service; the saved account's if not given.
        usage_cap: of each workload, in QPU seconds: then nothing more is sent, and the queue is cancelled.
        retries: how often a job that failed for a transient or system reason is run again by itself; 0 if never given.
        on_exit: `"close"` (a session's default), `"cancel"` (the queue too) or `"leave"` (a
            batch's) when the kernel exits.
        close_when_idle: seconds without a queued or running job after which a session is closed.
        max_time: the max TTL of sessions and batches whose code gives none, as `BatchController.open` takes it. The
            service keeps it, so it cannot change once one is open.
        label: a name for the jobs, at most 30 characters.

    Returns:
        What was found so far, as `.controllers`; with an id, that workload's controller.

    Raises:
        ArgumentError: a limit is out of bounds, or an argument is for the other way of calling it.
        QmodeError: the client has changed inside; or no instance of the service knows the id, or it cannot be asked.
    """
    if id_ is not None:
        return _watch_one(id_, service, max_time, Limits(usage_cap, retries, on_exit, close_when_idle, None, label))
    if service is not None:
        raise ArgumentError(
            "service= goes with the id of one workload: watch(id, service=service). Without an id, watch() sees what "
            "this process sends through any service"
        )
    given = Limits(usage_cap, retries, on_exit, close_when_idle, seconds_of(max_time), label)
    if (why := adoption_test()) is not None:
        raise QmodeError(f"{why}: watch() needs another version; wrap sessions and batches in controllers")
    with _starting:
        if not _state:
            _state.append(Watch(given))
            return _state[0]
        found = _state[0]
    found.limit(given)
    return found


def _watch_one(id_: object, service: QiskitRuntimeService | None, max_time: object, limits: Limits) -> Controller:
    if not isinstance(id_, str):
        raise ArgumentError(f"watch() takes an id as text, not a {type(id_).__name__}: adopt(object) takes objects")
    if max_time is not None:
        raise ArgumentError("max_time= is for what is opened later: the max TTL of a workload cannot change")
    controller = _limited(attach(id_, service), limits)
    if _state:
        _state[0]._keep(controller, opener())
    return controller


def adopt(
    workload: Session | RuntimeJobV2,
    *,
    usage_cap: float | None = None,
    retries: int | None = None,
    on_exit: OnExit | None = None,
    close_when_idle: float | None = None,
    label: str | None = None,
) -> Controller:
    """Take a session, batch or job that exists under control.

    Args:
        workload: a `Session`, a `Batch` (or an object of a class made from them), or a `RuntimeJobV2`.
        usage_cap, retries, on_exit, close_when_idle, label: as `watch` takes them.

    Returns:
        Its controller.

    Raises:
        ArgumentError: not a session, batch or job; local mode; or a limit is out of bounds.
        QmodeError: the service does not know it.
    """
    return _wrap(workload, Limits(usage_cap, retries, on_exit, close_when_idle, None, label))


def unwatch() -> None:
    """End what `watch()` started: the client is as it was. What was found until now stays under control."""
    with _starting:
        while _state:
            _state.pop().stop()


def _work_of(job_id: str) -> Followed | None:
    """What a job stands for that a library knows by its id alone."""
    for controller in registry.all():
        if (work := controller._adoption.work_of(job_id)) is not None:
            return cast("Followed", work)
    return None


def _wrap(workload: Any, limits: Limits) -> Controller:
    controller: Controller
    if isinstance(workload, RuntimeJobV2):
        if workload.session_id:
            return _limited(attach(workload.session_id, workload.backend().service), limits)
        controller = JobController(workload)
    elif isinstance(workload, Session):
        refuse_local(backend_of(workload))
        if not workload.session_id:
            raise ArgumentError(f"this {type(workload).__name__} has no id: was it made with create_new=False?")
        kind = _kind(workload.session_id, backend_of(workload), isinstance(workload, Batch))
        controller = kind(workload)
    else:
        raise ArgumentError(f"pass a Session, a Batch or a RuntimeJobV2, not a {type(workload).__name__}")
    return _limited(controller, limits)


def _of_id(id_: str, backend: Any, limits: Limits) -> Controller:
    kind = _kind(id_, backend, False)
    mode = attach_mode(kind._kind, id_, backend, accepting=True)
    return _limited(kind(mode), limits)


def _kind(id_: str, backend: Any, batch: bool) -> type[ModeController]:
    """By the mode that the service knows it in: a library's class may be made from either."""
    told = patiently(link_of(backend.service, str(instance_of(backend))).session, id_).mode
    return BatchController if told == "batch" or (told is None and batch) else SessionController


def _limited(controller: C, limits: Limits) -> C:
    controller._set_limits(limits.usage_cap, limits.retries)
    if limits.close_when_idle is not None and isinstance(controller, SessionController):
        controller.close_when_idle(limits.close_when_idle)
    if limits.on_exit is not None and isinstance(controller, ModeController):
        controller._workload.on_exit = limits.on_exit
    if limits.label is not None:
        controller._adoption.label = limits.label
    return controller


# --- who opened it -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Opener:
    """The line of code that opened a workload, and the library it is in, if any."""

    file: str
    line: int
    library: str | None
    called_from: str | None  # the user's own line, where a library was called

    def __str__(self) -> str:
        place = "a notebook cell" if _is_cell(self.file) else self.file
        own = f"{place}, line {self.line}"
        if self.library is None:
            return own
        return f"{self.library} ({own})" + (f", called from {self.called_from}" if self.called_from else "")


def opener() -> Opener:
    """Who asked for what is being opened: the first line outside of this package and the client."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _package(frame) in OURS:
        frame = frame.f_back
    if frame is None:
        return Opener("unknown", 0, None, None)
    file, line = frame.f_code.co_filename, frame.f_lineno
    if not _in_library(frame):
        return Opener(file, line, None, None)
    library = _package(frame)
    caller: FrameType | None = frame
    while caller is not None and _in_library(caller):
        caller = caller.f_back
    called = None if caller is None else str(Opener(caller.f_code.co_filename, caller.f_lineno, None, None))
    return Opener(file, line, library, called)


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__") or "").partition(".")[0]


def _in_library(frame: FrameType) -> bool:
    return any(part in frame.f_code.co_filename for part in ("site-packages", "dist-packages"))


def _is_cell(file: str) -> bool:
    return file.startswith("<ipython-input") or "ipykernel_" in file
