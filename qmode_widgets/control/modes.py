"""Batches and sessions: what their controllers share beyond `Workload`."""

from __future__ import annotations

import atexit
import warnings
from types import TracebackType
from typing import Any, ClassVar, Literal, Self

from qiskit_ibm_runtime import Batch, Session

from ..model.snapshot import Limit, Mode
from . import ending
from .errors import QmodeError, ServiceError
from .ledger import Ledger
from .patience import patiently
from .registry import registry
from .runtime import runtime
from .service import (
    around_close,
    attach_mode,
    backend_of,
    instance_of,
    is_local,
    max_time_of,
    note_closed,
    open_mode,
)
from .workload import Workload

OnExit = Literal["close", "leave"]


def refuse_local(backend: Any) -> None:
    """Local testing mode knows no execution modes.

    Raises:
        QmodeError: for a fake or Aer backend.
    """
    if is_local(backend):
        raise QmodeError(
            f"{getattr(backend, 'name', backend)} runs in local testing mode, which ignores execution modes: there is "
            "nothing to watch or to bill. For modes without an account use the embedded service: "
            "emulator = qmode_widgets.emulator.start(); backend = emulator.service.backend('ibm_fez')"
        )


class ModeController(Workload):
    """The base of `BatchController` and `SessionController`."""

    _mode: ClassVar[Mode]
    _kind: ClassVar[type[Session]]
    _on_exit: OnExit

    def __new__(cls, mode: Any = None, *_: Any, **__: Any) -> Self:
        """One controller a workload: running the cell again gives the one that is there."""
        existing = registry.find(mode.session_id) if getattr(mode, "session_id", None) else None
        if existing is not None and type(existing) is cls:
            return existing
        return super().__new__(cls)

    def __init__(
        self, mode: Any, *, usage_cap: float | None = None, retries: int = 0, on_exit: OnExit | None = None
    ) -> None:
        if getattr(self, "_mode_object", None) is not None:  # the one that was there
            self._given_again(mode, usage_cap, retries, on_exit)
            return
        self._check_kind(mode)
        backend = backend_of(mode)
        link = runtime(mode.service, str(instance_of(backend))).link
        ledger = Ledger(link, str(mode.session_id), self._mode, str(backend.name))
        try:
            ledger.read_session(patiently(link.workload, ledger.id))
        except ServiceError as error:
            raise QmodeError(f"the service does not know the {self._mode} {ledger.id}: {error}") from error
        ledger.seen()
        self._mode_object, self._max_time = mode, max_time_of(mode)
        self._on_exit = on_exit or self._default_on_exit()
        self._hook(mode)
        if ledger.session.get("max_ttl") is not None:
            ledger.limit(Limit("max TTL", f"{ledger.session['max_ttl']:g} s", "service"))
        super().__init__(ledger, usage_cap=usage_cap, retries=retries)
        atexit.register(self._at_exit)

    def _given_again(self, mode: Any, usage_cap: float | None, retries: int, on_exit: OnExit | None) -> None:
        """The cell runs again: what it says now counts."""
        if mode is not self._mode_object and mode.session_id == self.workload_id:
            self._hook(mode)  # another object of the same workload: leaving its block drains too
        if usage_cap is not None:
            self._guards.cap(usage_cap)
        if retries:
            self._guards.retry(retries)
        self._on_exit = on_exit or self._on_exit

    def _hook(self, mode: Any) -> None:
        id_ = str(mode.session_id)
        around_close(mode, self._drain, lambda: self._note_closed(id_))

    @classmethod
    def _check_kind(cls, mode: Any) -> None:
        if not isinstance(mode, Session):
            raise QmodeError(f"pass a {cls._kind.__name__}, not a {type(mode).__name__}: {cls._kind.__name__}(backend)")
        if isinstance(mode, Batch) != (cls._kind is Batch):
            right = "BatchController" if isinstance(mode, Batch) else "SessionController"
            raise QmodeError(f"{mode.session_id} is a {type(mode).__name__}: use {right}")
        refuse_local(backend_of(mode))
        if not mode.session_id:
            raise QmodeError(f"this {cls._kind.__name__} has no id: was it made with create_new=False?")

    @classmethod
    def open(
        cls,
        backend: Any,
        *,
        max_time: int | str | None = None,
        usage_cap: float | None = None,
        retries: int = 0,
        on_exit: OnExit | None = None,
    ) -> Self:
        """Open a new one on `backend`.

        Args:
            backend: an `IBMBackend`.
            max_time: max TTL in seconds or like "2h 30m"; the service's own maximum if not given. The service keeps it.
            usage_cap: QPU seconds after which nothing more is sent and the queue is cancelled.
            retries: how often a partition that failed for a transient or system reason is run again by itself.
            on_exit: what happens when the kernel exits while it is open: `"close"` (no further jobs; queued ones still
                run; a session's default, since idle time is billed) or `"leave"` (a batch's default).

        Raises:
            QmodeError: local mode, or the service refuses (a session on the Open Plan, …).
        """
        refuse_local(backend)
        cls._warn_of_orphans(str(backend.name))
        try:
            mode = open_mode(cls._kind, backend, max_time)
        except ServiceError as error:
            raise QmodeError(f"the service refuses a {cls._mode} on {backend.name}: {error}") from error
        return cls(mode, usage_cap=usage_cap, retries=retries, on_exit=on_exit)

    @classmethod
    def _warn_of_orphans(cls, backend: str) -> None:
        """Running an `.open` cell again leaves the first workload behind: say so (it may be billed)."""
        for other in registry.all():
            if isinstance(other, cls) and other._ledger.backend == backend and not other._ledger.closed:
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
    def mode(self) -> Any:
        """The `Batch` or `Session` itself: `Sampler(mode=controller.mode)`."""
        return self._mode_object

    def _close(self) -> str:
        self._check_writable()
        ledger = self._ledger
        if ledger.closed:
            return "was closed already"
        try:
            patiently(ledger.link.close, ledger.service_id)
        except ServiceError as error:
            if error.status != 404 and error.code != 1217:
                raise
            self._note_closed()
            return "was closed already"
        self._note_closed()
        ledger.event("info", "closed to further jobs; queued ones still run")
        ledger.changed()
        self._wake()
        return "closed"

    def cancel_workload(self) -> str:
        """Cancel the queued jobs and close, in one request; running jobs continue."""
        self._check_writable()
        self._cancel(ending.unsent(self._ledger))
        try:
            patiently(self._ledger.link.cancel_workload, self._ledger.service_id)
        except ServiceError as error:
            if error.status != 404 and error.code != 1217:
                raise
            self._note_closed()
            return "was closed already"
        self._note_closed()
        self._wake()
        return "cancelled"

    def _note_closed(self, id_: str | None = None) -> None:
        """The service took it: do not wait for the next look to refuse submissions."""
        with self._ledger.lock:
            if id_ not in (None, self._ledger.service_id):  # the block of a workload that was continued
                return
            note_closed(self._mode_object)
            self._ledger.session = self._ledger.session | {"accepting_jobs": False}

    def _continue(self) -> None:
        """The old one is closed for good: go on in a new one of the same mode, on the same backend."""
        ledger, old = self._ledger, self._mode_object
        max_ttl = ledger.session.get("max_ttl")  # of an attached one, the service's bound is its own
        max_time = self._max_time if self._max_time is not None or max_ttl is None else int(max_ttl)
        fresh = open_mode(self._kind, backend_of(old), max_time)
        self._hook(fresh)
        self._mode_object = fresh
        ledger.move(str(fresh.session_id))
        ledger.event("info", f"{ledger.lineage[-1]} is closed: continued in the new {self._mode} {ledger.service_id}")

    def _at_exit(self) -> None:
        """The kernel exits. Time is short, and nothing may be raised: the service closes an idle session by itself."""
        if self._on_exit == "close" and not self._ledger.closed:
            try:
                self._ledger.link.close(self._ledger.service_id)
            except Exception as error:  # noqa: BLE001 - the interpreter is going down: anything may be gone
                warnings.warn(f"the {self._mode} {self.workload_id} could not be closed: {error}", stacklevel=1)

    def __enter__(self) -> Self:
        self._mode_object.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._mode_object.__exit__(kind, error, trace)
        self._wake()
