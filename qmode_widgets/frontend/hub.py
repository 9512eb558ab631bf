"""The kernel's side of every screen: which controllers there are, what was sent of each, and where requests go.

One worker thread sends everything, so the messages of a workload leave in the order of their numbers, and nothing is
sent from a handler. It works on snapshots only; a controller is asked for its latest, never for a request, and never
while our lock is held: its own may be held while it calls back.
"""

from __future__ import annotations

import atexit
import contextvars
import logging
import sys
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from ..model.command import Command, Controllable, Outcome
from ..model.snapshot import JobState, WorkloadSnapshot, WorkloadState
from . import protocol
from .account import AccountDesk
from .commands import commands
from .kernel import ACCOUNT, KernelLink, running_kernel
from .protocol import Message

_log = logging.getLogger(__name__)

_PACE = 0.1  # seconds between two patches of one workload: faster is only noise to an eye
_LOOK = 2.0  # seconds between two looks whether the service still answers
# Seconds without an answer after which what is shown counts as old: three polls of the watcher, and one to spare.
_SILENCE = {"running": 4.0, "queued": 10.0, "idle": 31.0}
SILENT = "The service has not answered the last three requests"
_SLOW_PACE = 1.0  # while a widget has not answered yet and gets whole snapshots


class Outlet(Protocol):
    """Where the messages of one workload go besides the sidebar: a widget."""

    attached: bool  # the page has asked for the workload: it gets patches from now on

    def deliver(self, message: Message) -> None:
        """Send it; called from the hub's worker thread."""
        ...


@dataclass
class _Feed:
    reference: weakref.ref[Controllable]  # the registry keeps a controller as long as it has something to do
    sent: WorkloadSnapshot  # what screens that followed every message show
    seq: int = 0
    outlets: list[Outlet] = field(default_factory=list)
    dirty: bool = False
    silent: bool = False  # the service has stopped to answer, and nobody was told by an error
    last: float = float("-inf")  # when it last sent, on the monotonic clock
    end: Callable[[], None] = lambda: None

    @property
    def controller(self) -> Controllable | None:
        return self.reference()

    def catch_up(self, latest: WorkloadSnapshot) -> None:
        """Make what counts as sent the latest; whoever followed gets it whole, under a number of its own."""
        if latest != self.sent:
            self.sent, self.seq = latest, self.seq + 1

    def whole(self) -> Message:
        return protocol.snapshot(self.sent, seq=self.seq, now=_now(self.sent))

    def due(self, *, followed: bool) -> float:
        return self.last + (_PACE if followed or all(o.attached for o in self.outlets) else _SLOW_PACE)


class Hub:
    """Registry of controllers and switchboard of messages. All methods can be called from any thread."""

    def __init__(self) -> None:
        self._wake = threading.Condition()
        self._feeds: dict[str, _Feed] = {}
        self._inbox: deque[Callable[[], object]] = deque()
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._link: KernelLink | None = None
        self._worker: threading.Thread | None = None
        self.problem: str | None = None  # why the sidebar cannot do all it should

    # -- what the package calls

    def connect(self) -> None:
        """Make this kernel visible to sidebars. Does nothing outside a kernel; called when the package is imported."""
        kernel = running_kernel()
        if kernel is None or self._link is not None:
            return
        try:
            self._link = KernelLink(kernel, self.receive, self.greeting)
        except Exception as error:  # noqa: BLE001 - a kernel we do not know must not keep the package from importing
            self.problem = str(error)
            return
        self.problem = self._link.problem
        self._link.take(ACCOUNT, AccountDesk(self._tell, self.register).receive)
        # Registered before the controllers' own: it runs after they have closed what they close.
        atexit.register(self._farewell)
        self._post(lambda: self._broadcast(self.greeting()))

    def register(self, controller: Controllable) -> None:
        """Show a controller on every screen. A controller of the same workload takes the other's place."""
        state = controller.snapshot()
        feed = _Feed(weakref.ref(controller, lambda _: self._post(lambda: self._let_go(feed))), state)
        with self._wake:
            old = self._feeds.pop(feed.sent.id, None)
            if old is not None:
                if old.controller is controller:
                    self._feeds[feed.sent.id] = old
                    return
                feed.seq, feed.outlets = old.seq + 1, old.outlets
            self._feeds[feed.sent.id] = feed
        if old is not None:
            old.end()
        feed.end = controller.on_change(lambda _: self._mark(feed))
        if self._heard(feed):
            self._post(lambda: self._introduce(feed))

    def unregister(self, controller: Controllable) -> None:
        """Take a controller off every screen."""
        with self._wake:
            feed = self._feeds.get(controller.id)
        if feed is not None and feed.controller is controller:
            feed.end()
            self._post(lambda: self._let_go(feed))

    def _let_go(self, feed: _Feed) -> None:
        with self._wake:
            if self._feeds.get(feed.sent.id) is not feed:
                return
            del self._feeds[feed.sent.id]
        self._send(feed, protocol.gone(feed.sent.id))

    def _tell(self, message: Message) -> None:
        """Broadcast from the worker thread, whatever thread it comes from."""
        self._post(lambda: self._broadcast(message))

    def _farewell(self) -> None:
        """The kernel exits: tell which workloads were closed with it, so that no screen takes them for open."""
        with self._wake:
            controllers = [feed.controller for feed in self._feeds.values()]
        states = [controller.snapshot() for controller in controllers if controller is not None]
        closed = [s.workload_id or s.id for s in states if s.mode != "job" and s.accepting_jobs is False]
        if self._link is not None and self._link.listening:
            self._link.last_word({"kind": "farewell", "closed": closed})

    @property
    def process(self) -> str:
        """This start of the kernel, as the greeting names it; empty outside a kernel."""
        return self._link.process if self._link else ""

    @property
    def followed(self) -> bool:
        """A page with our JupyterLab extension has asked for this kernel's workloads: it draws outputs by itself."""
        return self._link is not None and self._link.listening and self._link.problem is None

    # -- what screens use

    def greeting(self) -> Message:
        """The hello message."""
        with self._wake:
            workloads = list(self._feeds)
        busy = self._link.busy if self._link else False
        return protocol.hello(
            version=_version(), process=self.process, busy=busy, workloads=workloads, problem=self.problem
        )

    def current(self, workload: str) -> Message | None:
        """The snapshot that the next patch builds on."""
        with self._wake:
            feed = self._feeds.get(workload)
        if feed is None:
            return None
        latest = feed.sent if self._heard(feed) else self._latest(feed)
        with self._wake:
            feed.catch_up(latest)
            return feed.whole()

    def add_outlet(self, workload: str, outlet: Outlet) -> None:
        """Send the workload's messages to a widget too.

        Raises:
            KeyError: the workload is not registered.
        """
        with self._wake:
            self._feeds[workload].outlets.append(outlet)

    def receive(self, message: object, outlet: Outlet | None = None) -> None:
        """Take a request of a screen: of a widget, or of a sidebar. Returns at once: other threads do what it asks."""
        self._post(lambda: self._handle(message, outlet))

    # -- on the worker thread

    def _handle(self, message: object, outlet: Outlet | None) -> None:
        try:
            request = protocol.read(message)
        except ValueError as error:
            ident = message.get("id") if isinstance(message, dict) else None
            if isinstance(ident, str):
                self._send_all(protocol.ack(Outcome(ident, "failed", str(error))))
            return
        if isinstance(request, Command):
            self._command(request)
            return
        with self._wake:
            feeds = [f for key, f in self._feeds.items() if request in ("all", key)]
        if outlet is not None:
            outlet.attached = True
        for feed in feeds:
            self._send_whole(feed, outlet)

    def _command(self, command: Command) -> None:
        if command.id in self._seen:  # the same click over two ways
            return
        self._seen[command.id] = None
        while len(self._seen) > 256:
            self._seen.popitem(last=False)
        with self._wake:
            feed = self._feeds.get(command.workload)
        controller = None if feed is None else feed.controller
        if feed is None or controller is None:
            text = f"workload {command.workload} is not watched in this kernel any more: attach to it again"
            self._send_all(protocol.ack(Outcome(command.id, "failed", text)))
            return
        answered = feed
        try:
            commands.enqueue(controller, command, lambda o: self._post(lambda: self._send(answered, protocol.ack(o))))
        except Exception as error:  # noqa: BLE001 - whatever a controller refuses is the click's answer
            self._send(feed, protocol.ack(Outcome(command.id, "failed", str(error) or type(error).__name__)))

    def _send_whole(self, feed: _Feed, asker: Outlet | None = None) -> None:
        """The whole state, to the widget that asked or to the sidebars; those that follow hear of changes first."""
        self._flush(feed)
        with self._wake:
            message = feed.whole()
        if asker is not None:
            self._deliver(feed, asker, message)
        else:
            self._broadcast(message)

    def _introduce(self, feed: _Feed) -> None:
        """A controller that came, or took another's place: everybody hears its whole state."""
        latest = self._latest(feed)
        with self._wake:
            feed.catch_up(latest)
            message = feed.whole()
        self._send(feed, message)

    def _latest(self, feed: _Feed) -> WorkloadSnapshot:
        """The controller's state; where the service has stopped to answer, with that as the problem.

        A request that hangs is not an error until it times out, and until then nothing else says that what is shown is
        old.
        """
        controller = feed.controller
        state = feed.sent if controller is None else controller.snapshot()
        feed.silent = feed.silent and _silent(state)
        return replace(state, problem=SILENT) if feed.silent else state

    def _listen(self) -> None:
        """Look whether the service still answers. A message goes out only when that has changed."""
        with self._wake:
            feeds = [f for f in self._feeds.values() if self._heard(f)]
        for feed in feeds:
            controller = feed.controller
            if controller is not None and _silent(controller.snapshot()) != feed.silent:
                feed.silent = not feed.silent
                self._flush(feed)

    def _flush(self, feed: _Feed) -> None:
        latest = self._latest(feed)
        with self._wake:
            feed.dirty = False
            feed.last = time.monotonic()
            message = protocol.patch(feed.sent, latest, seq=feed.seq + 1, now=_now(latest))
            if message is None:
                return
            feed.sent, feed.seq = latest, feed.seq + 1
        self._send(feed, message)

    def _send(self, feed: _Feed, message: Message) -> None:
        self._broadcast(message)
        for outlet in tuple(feed.outlets):
            self._deliver(feed, outlet, message)

    def _deliver(self, feed: _Feed, outlet: Outlet, message: Message) -> None:
        if not outlet.attached and message["kind"] != "ack" and self.followed:
            return  # nobody has looked at this widget: the page draws the output from the sidebar's
        try:
            outlet.deliver(message)
        except Exception:  # noqa: BLE001 - a widget closed meanwhile must not silence the others
            if outlet in feed.outlets:
                feed.outlets.remove(outlet)

    def _send_all(self, message: Message) -> None:
        self._broadcast(message)
        with self._wake:
            outlets = [o for f in self._feeds.values() for o in f.outlets]
        for outlet in outlets:
            outlet.deliver(message)

    def _broadcast(self, message: Message) -> None:
        if self._link is not None and (self._link.listening or message["kind"] == "hello"):
            self._link.broadcast(message)

    # -- the worker thread itself

    def _heard(self, feed: _Feed) -> bool:
        """Whether anybody follows: in a plain script nobody does, and a change costs nothing."""
        return bool(feed.outlets) or (self._link is not None and self._link.listening)

    def _mark(self, feed: _Feed) -> None:
        if not self._heard(feed):
            return
        with self._wake:
            feed.dirty = True
            self._work()

    def _post(self, task: Callable[[], object]) -> None:
        with self._wake:
            self._inbox.append(task)
            self._work()

    def _work(self) -> None:
        """Wake the worker, or start it; holds the lock."""
        if sys.is_finalizing():  # the last controller is collected: a thread that is started now never runs
            return
        if self._worker is None or not self._worker.is_alive():  # first use, or a forked child
            # In our context: ipykernel 7.0 finds the message to answer to only there, not in bare threads.
            run = contextvars.copy_context().run
            self._worker = threading.Thread(target=run, args=(self._run,), name="qmode-hub", daemon=True)
            self._worker.start()
        self._wake.notify_all()

    def _run(self) -> None:
        looked = time.monotonic()
        while True:
            with self._wake:
                tasks, self._inbox = self._inbox, deque()
                now = time.monotonic()
                dirty = [f for f in self._feeds.values() if f.dirty]
                due: list[tuple[float, _Feed | None]] = [(f.due(followed=self.followed), f) for f in dirty]
                ready = [f for at, f in due if f is not None and at <= now]
                if any(_patience(f.sent) for f in self._feeds.values() if self._heard(f)):
                    due.append((looked + _LOOK, None))
                if not tasks and not ready and (not due or min(at for at, _ in due) > now):
                    self._wake.wait(min((at - now for at, _ in due), default=None))
                    continue
            if now >= looked + _LOOK:
                # Where we come too late ourselves, a cell held the interpreter: that was not the service's silence.
                if now < looked + 2 * _LOOK:
                    tasks.append(self._listen)
                looked = now
            work: list[Callable[[], object]] = [*tasks, *(partial(self._flush, feed) for feed in ready)]
            for task in work:
                try:
                    task()
                except Exception:  # noqa: BLE001 - the worker outlives any one message; a screen that misses it asks again
                    _log.debug("a message to the screens failed", exc_info=True)


def _now(state: WorkloadSnapshot) -> float:
    return time.time() + state.clock_offset


def _patience(state: WorkloadSnapshot) -> float | None:
    """Seconds for which an answer may be missing; None where the service is not asked, or its failure is known."""
    if state.problem not in (None, SILENT):
        return None
    states = {job.state for job in state.jobs}
    if JobState.RUNNING in states:
        return _SILENCE["running"]
    if states & {JobState.QUEUED, JobState.UNKNOWN, JobState.WAITING}:
        return _SILENCE["queued"]
    return None if state.mode == "job" or state.state is WorkloadState.CLOSED else _SILENCE["idle"]


def _silent(state: WorkloadSnapshot) -> bool:
    patience = _patience(state)
    return patience is not None and state.seen_at is not None and _now(state) - state.seen_at > patience


def _version() -> str:
    """The package's, without importing it from up here: its root knows all floors."""
    return str(getattr(sys.modules.get("qmode_widgets"), "__version__", "?"))


hub = Hub()
