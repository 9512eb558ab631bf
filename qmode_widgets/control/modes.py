"""Batches and sessions: what their controllers share beyond `Controller`."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Literal, Self, cast
from weakref import ref

from qiskit_ibm_runtime import Batch, Session

from ..errors import ArgumentError, QmodeError, ServiceError
from ..ibm.client import (
    Kind,
    around_close,
    attach_mode,
    backend_named,
    backend_of,
    instance_of,
    is_local,
    max_time_of,
    noise_model_of,
    not_closed,
    note_closed,
)
from ..ibm.link import again, link_of, patiently
from ..model.snapshot import JobState, Limit, Mode
from ..portal import clock, portal
from .controller import Controller
from .engine.guards import check_cap
from .group import check_label, in_group, own_group
from .registry import registry
from .state.ledger import Ledger
from .state.record import Record

OnExit = Literal["close", "leave", "cancel"]
UNCLAIMED = 300.0  # seconds after which a workload that was opened and has no controller is closed again
WORDS: dict[Mode, str] = {"batch": "batch", "session": "dedicated"}  # the service's


_TIME = re.compile(r"(?:(\d+)d)?\s*(?:(\d+)h)?\s*(?:(\d+)m)?\s*(?:(\d+)s)?", re.ASCII)


def seconds_of(max_time: float | str | None) -> int | None:
    """A max TTL in seconds, rounded up: a number of seconds, `"90"`, or like `"1h30m"`, `"2h 30m 40s"`, `"1d"`.

    The client reads `"1.5h"` as 5 hours, `"1h 30"` as one, and 0 as its own maximum; so this is read here.

    Raises:
        ArgumentError: anything else, with the forms that are read.
    """
    if max_time is None:
        return None
    found: float | None = None
    if isinstance(max_time, int | float) and not isinstance(max_time, bool):
        found = max_time
    elif isinstance(max_time, str):
        text = max_time.strip()
        if text.isascii() and text.isdigit():
            found = int(text)
        elif text and (match := _TIME.fullmatch(text)):
            found = sum(int(n or 0) * unit for n, unit in zip(match.groups(), (86400, 3600, 60, 1), strict=True))
    if found is None or not math.isfinite(found) or found <= 0:
        raise ArgumentError(
            f'max_time={max_time!r}: pass seconds (90 or "90"), or days, hours, minutes and seconds like "1h30m", '
            '"2h 30m 40s" or "1d"'
        )
    return math.ceil(found)


def refuse_local(backend: Any) -> None:
    """Local testing mode knows no execution modes.

    Raises:
        ArgumentError: for a fake or Aer backend, or a backend's name.
    """
    if isinstance(backend, str):
        raise ArgumentError(f"{backend!r} is a backend's name: pass the backend itself, service.backend({backend!r})")
    if is_local(backend):
        raise ArgumentError(
            f"{getattr(backend, 'name', backend)} runs in local testing mode, which ignores execution modes: there is "
            "nothing to watch or to bill. For modes without an account use the embedded service: "
            "emulator = qmode_widgets.emulator.start(); backend = emulator.service.backend('ibm_fez')"
        )


class _Held:
    """The user's `Session` or `Batch` object of one workload, as the engine needs it. Its methods make no request."""

    def __init__(self, controller: ModeController, mode: Any, *, adopt: bool) -> None:
        self._controller = ref(controller)
        self._kind = controller._kind
        self.word = WORDS[controller._mode]
        self.object, self.adopting = mode, adopt
        self.max_time = max_time_of(mode)
        self._undo: list[Callable[[], None]] = []

    def hook(self, mode: Any) -> None:
        """Hear when this object is closed, and take over what is submitted through it."""
        controller = self._controller()
        if controller is None:
            return
        id_, held = str(mode.session_id), self._controller  # weakly: a mode object keeps no controller alive

        def close(plainly: Callable[[], None], error: type[BaseException] | None) -> None:
            watching = held()
            if watching is None:
                plainly()
            else:
                watching._closed_by_user(id_, plainly, error)

        self._undo.append(around_close(mode, close))
        if self.adopting:
            controller._adoption.of(mode)

    def release(self) -> None:
        """Give the objects back to the client."""
        self.adopting = False
        for undo in self._undo:
            undo()
        self._undo.clear()

    def continue_in(self, id_: str) -> None:
        """The workload goes on in a new one."""
        fresh = attach_mode(self._kind, id_, backend_of(self.object), accepting=True, max_time=self.max_time)
        self.object = fresh
        self.hook(fresh)

    def note_closed(self) -> None:
        """It takes no further jobs."""
        note_closed(self.object)


class ModeController(Controller):
    """The base of `BatchController` and `SessionController`."""

    _mode: ClassVar[Mode]
    _kind: ClassVar[type[Session]]
    _held: _Held

    def __init__(
        self,
        mode: Any,
        *,
        usage_cap: float | None = None,
        retries: int = 0,
        on_exit: OnExit | None = None,
        adopt: bool = True,
    ) -> None:
        self._check_kind(mode)
        there: Any = registry.find(mode.session_id)
        if there is not None and isinstance(there, ModeController):
            if type(there) is not type(self):
                self._check_mode(mode, there._ledger)
            self._one = there
            there._given_again(mode, usage_cap, retries, on_exit, adopt=adopt)
            return
        backend = backend_of(mode)
        link = link_of(mode.service, str(instance_of(backend)))
        ledger = Ledger(link, str(mode.session_id), self._mode, str(backend.name))
        try:
            ledger.read_session(patiently(link.session, ledger.id))
        except ServiceError as error:
            raise QmodeError(f"the service does not know the {self._mode} {ledger.id}: {error}") from error
        self._check_mode(mode, ledger)
        ledger.seen()
        if ledger.session is not None and ledger.session.max_ttl is not None:
            ledger.limit(Limit("max TTL", f"{ledger.session.max_ttl:g} s", "service"))
        self._held = _Held(self, mode, adopt=adopt)
        super().__init__(ledger, usage_cap=usage_cap, retries=retries)
        if self._one is not self:  # another thread was faster
            cast("ModeController", self._one)._given_again(mode, usage_cap, retries, on_exit, adopt=adopt)
            return
        self._workload.on_exit = on_exit or self._default_on_exit()
        self._held.hook(mode)

    def _begin(self, ledger: Ledger) -> Controller:
        one = super()._begin(ledger)
        if one is self:
            self._workload.mode = self._held
        return one

    def _given_again(
        self, mode: Any, usage_cap: float | None, retries: int, on_exit: OnExit | None, *, adopt: bool
    ) -> None:
        """The cell runs again: what it says now counts."""
        held = self._held
        if adopt != held.adopting:
            self.release()
            held.adopting = adopt
            held.hook(held.object)
        if mode is not held.object and mode.session_id == self.workload_id:
            held.hook(mode)  # another object of the same workload: leaving its block drains too
            if not self._ledger.link.speaks_for(mode.service):
                held.object = mode
                self._ledger.link.take_over(mode.service)
        self._set_limits(usage_cap, retries or None)
        self._workload.on_exit = on_exit or self._workload.on_exit
        self._wake()

    def _rebind(self, service: Any) -> None:
        ledger = self._ledger
        backend = backend_named(service, ledger.backend, ledger.link.instance)
        self._held.object = attach_mode(self._kind, ledger.workload_id, backend, accepting=not ledger.closed)
        self._held.hook(self._held.object)

    def release(self) -> None:
        """Give the mode object back to the client: what is submitted through it from now on is seen, not protected.

        What was submitted until now stays under control, and its job handles follow their retries.
        """
        super().release()
        self._held.release()

    @classmethod
    def _check_kind(cls, mode: Any) -> None:
        if not isinstance(mode, Session):
            raise ArgumentError(
                f"pass a {cls._kind.__name__}, not a {type(mode).__name__}: {cls._kind.__name__}(backend)"
            )
        refuse_local(backend_of(mode))
        if not mode.session_id:
            raise ArgumentError(f"this {cls._kind.__name__} has no id: was it made with create_new=False?")

    @classmethod
    def _check_mode(cls, mode: Any, ledger: Ledger) -> None:
        """By what the service says: a library's class of its own may be made from `Session` and open batches."""
        told = None if ledger.session is None else ledger.session.mode
        batch = isinstance(mode, Batch) if told is None else told == "batch"
        if batch != (cls._kind is Batch):
            is_, right = ("Batch", "BatchController") if batch else ("Session", "SessionController")
            raise ArgumentError(f"{mode.session_id} is a {is_}: use {right}")

    @classmethod
    def open(
        cls,
        backend: Any,
        *,
        max_time: float | str | None = None,
        usage_cap: float | None = None,
        retries: int = 0,
        on_exit: OnExit | None = None,
        adopt: bool = True,
    ) -> Self:
        """Open a new one on `backend`.

        Args:
            backend: an `IBMBackend`.
            max_time: max TTL in seconds (90 or "90") or like "2h 30m"; the service's own maximum if not given. The
                service keeps it.
            usage_cap: QPU seconds after which nothing more is sent and the queue is cancelled.
            retries: how often a partition that failed for a transient or system reason is run again by itself.
            on_exit: what happens when the kernel exits while it is open: `"close"` (no further jobs; queued ones still
                run; a session's default, since idle time is billed), `"cancel"` (the queue too) or `"leave"` (a
                batch's default).
            adopt: what your own code submits through `controller.primitive_mode` is posted exactly once and within the
                caps, too; False: it is only watched.

        Raises:
            QmodeError: local mode, or the service refuses (a session on the Open Plan, …).
        """
        refuse_local(backend)
        check_cap(usage_cap)
        most = seconds_of(max_time)
        cls._warn_of_orphans(str(backend.name))
        link = link_of(backend.service, str(instance_of(backend)))
        word, name = WORDS[cls._mode], str(backend.name)

        async def open_() -> str:
            id_ = await again(link.open, word, name, most)
            portal().loop.call_later(clock.of(UNCLAIMED), unclaimed, id_)
            return id_

        def unclaimed(id_: str) -> None:
            """An interrupt came between the service's answer and the controller: nobody has a handle of it."""
            if not registry.claimed(id_):
                portal().spawn(again(link.close, id_))

        try:  # interrupted, it is closed again
            id_ = portal().call(open_, undo=link.close)
        except ServiceError as error:
            raise QmodeError(f"the service refuses a {cls._mode} on {backend.name}: {error}") from error
        mode = attach_mode(cls._kind, id_, backend, accepting=True, max_time=most)
        return cls(mode, usage_cap=usage_cap, retries=retries, on_exit=on_exit, adopt=adopt)

    @classmethod
    def _warn_of_orphans(cls, backend: str) -> None:
        """Running an `.open` cell again leaves the first workload behind: say so (it may be billed)."""
        for other in registry.all():
            if isinstance(other, cls) and other._ledger.backend == backend and not other._closed:
                warnings.warn(
                    f"the {cls._mode} {other.workload_id} on {backend} is still open and is left behind: close it with "
                    f"qmode_widgets.attach({other.workload_id!r}).close()",
                    UserWarning,
                    stacklevel=3,
                )

    @classmethod
    def _attach(cls, id_: str, backend: Any, *, accepting: bool) -> Self:
        return cls(attach_mode(cls._kind, id_, backend, accepting=accepting), on_exit="leave")

    @classmethod
    def _default_on_exit(cls) -> OnExit:
        return "leave"

    @property
    def _adopting(self) -> bool:
        return self._held.adopting and super()._adopting

    def _stand_in(self) -> Any:
        return self._held.object if self._adopting else super()._stand_in()

    @property
    def primitive_mode(self) -> Any:
        """The `Batch` or `Session` itself: `Sampler(mode=controller.primitive_mode)`."""
        return self._held.object

    def _closed_by_user(self, id_: str, plainly: Callable[[], None], error: type[BaseException] | None) -> None:
        """The user closes the mode object, or leaves its block: what waits to be sent is sent first.

        A block that is left by an error, or by Ctrl-C, sends nothing more, and says what it did not send.
        """
        if self._ledger.read_only or self._workload.forgotten or id_ != self.workload_id:
            plainly()
            self._portal.send(self._workload.note_closed, id_)
            return
        if error is not None:
            self._portal.call(self._workload.drop_unsent, f"the block was left by {error.__name__}")
        try:
            self.close()
        except QmodeError as why:
            if error is None:
                raise not_closed(why) from why  # else the block's own error is what its user has to read

    def __enter__(self) -> Self:
        self._held.object.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.object.__exit__(kind, error, trace)
        self._wake()


class BatchController(ModeController):
    """Wraps a `Batch`: `BatchController(Batch(backend))`, or `BatchController.open(backend)`.

    Args:
        mode: the batch.
        usage_cap: QPU seconds after which nothing more is sent and the queue is cancelled.
        retries: how often a partition that failed for a transient or system reason is run again by itself.
        on_exit: `"leave"` (default: its jobs go on, an idle batch costs nothing), `"close"`, or `"cancel"` (its
            queue too) when the kernel exits.
        adopt: what your own code or a library submits through the batch is posted exactly once and within the caps,
            too, and its job handles follow retries; False: it is only watched.

    Raises:
        QmodeError: not a batch, local mode, or an id the service does not know.
    """

    _mode = "batch"
    _kind = Batch

    @property
    def batch(self) -> Batch:
        """The client's `Batch` object; of a workload that was continued, that of the present one."""
        return cast("Batch", self._held.object)


@dataclass(frozen=True, slots=True)
class Iteration:
    """The jobs of one `with session.iteration(label)`. Seconds, by the service's clock; None while not known."""

    label: str
    jobs: int
    started: float | None
    ended: float | None
    idle_before: float | None  # since the end of the iteration before: billed while waiting


@dataclass(frozen=True, slots=True)
class NoiseModel:
    """What a noise learner's job learned; `learned` on the service's clock, `age` in seconds."""

    job_id: str
    learned: float
    age: float


class SessionController(ModeController):
    """Wraps a `Session`: `SessionController(Session(backend))`, or `SessionController.open(backend)`.

    Args:
        mode: the session.
        usage_cap: QPU seconds after which nothing more is sent, the queue is cancelled and the session closed.
        retries: how often a partition that failed for a transient or system reason is run again by itself.
        on_exit: `"close"` (default: an idle session is billed), `"cancel"` (its queue too) or `"leave"`
            when the kernel exits.
        adopt: what your own code or a library submits through the session is posted exactly once and within the caps,
            too, and its job handles follow retries; False: it is only watched.

    Raises:
        QmodeError: not a session, local mode, or an id the service does not know.
    """

    _mode = "session"
    _kind = Session

    @property
    def session(self) -> Session:
        """The client's `Session` object; of a workload that was continued, that of the present one."""
        return cast("Session", self._held.object)

    @classmethod
    def _default_on_exit(cls) -> OnExit:
        return "close"

    def close_when_idle(self, seconds: float) -> None:
        """Close after `seconds` seconds without a queued or running job; this kernel keeps the limit."""
        self._portal.call(self._workload.guards.close_when_idle, seconds)
        self._wake()

    @contextmanager
    def iteration(self, label: str) -> Iterator[None]:
        """Group the jobs that are submitted inside: one step of a loop that the user runs.

        Asyncio tasks that are started inside belong to it. So does what another thread submits, as a pool's, while
        this is the session's only open iteration and that thread has never opened one.

        Raises:
            ArgumentError: a label of more than 30 characters (it becomes a job tag), or one iteration inside another.
        """
        check_label(label)
        ledger = self._ledger
        if (inside := own_group(ledger.id)) is not None:
            raise QmodeError(f"this code is still in the iteration {inside!r}: leave it first")
        self._portal.call(ledger.open_group, label)
        try:
            with in_group(ledger.id, label):
                yield
        finally:
            self._portal.call(ledger.close_group, label)
            self._wake()

    def _submitting(self, kind: Kind, primitive: Any, records: list[Record]) -> None:
        """A noise model learned in this session is worth reusing; how old it is says how far to trust it (guide)."""
        ledger = self._ledger
        for r in records:
            r.learns = kind == "noise-learner"
        if noise_model_of(primitive) is None:
            return
        models = self.noise_models
        level: Literal["info", "warning"] = "info" if models else "warning"
        text = (
            f"the jobs reuse the noise model of job {models[-1].job_id}, {models[-1].age:.0f} s old"
            if models
            else "the jobs use a noise model that was not learned in this session: it may be stale"
        )
        self._portal.call(ledger.event, level, text)

    @property
    def noise_models(self) -> list[NoiseModel]:
        """The noise models learned in this session, oldest first, with their age in seconds now."""

        def learned() -> list[tuple[float, str]]:
            return [
                (end, str(r.job_id))
                for r in self._ledger.records.values()
                if r.state is JobState.DONE
                and (r.learns or r.program == "noise-learner")
                and (end := r.ran[1]) is not None
            ]

        now = self._ledger.link.now()
        return [NoiseModel(job_id, end, now - end) for end, job_id in sorted(self._ask(learned))]

    @property
    def iterations(self) -> list[Iteration]:
        """Each iteration's jobs and times, and the idle time before it, which a session bills."""

        def told() -> list[tuple[str, tuple[float | None, float | None]]]:
            return [(r.group, r.ran) for r in self._ledger.records.values() if r.group is not None]

        groups: dict[str, list[tuple[float | None, float | None]]] = {}
        for label, ran in self._ask(told):
            groups.setdefault(label, []).append(ran)
        found: list[Iteration] = []
        for label, times in groups.items():
            starts = [a for a, _ in times if a is not None]
            ends = [b for _, b in times if b is not None]
            started = min(starts, default=None)
            ended = max(ends) if len(ends) == len(times) else None
            before = found[-1].ended if found else None
            idle = None if started is None or before is None else max(0.0, started - before)
            found.append(Iteration(label, len(times), started, ended, idle))
        return found
