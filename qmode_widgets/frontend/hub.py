"""The kernel's side of every screen: which controllers there are, what was sent of each, and where requests go.

All of it lives on the portal's loop: the messages of a workload leave in the order of their numbers, and nothing is
sent from a handler. It works on snapshots only; a controller is asked for its latest, never for a request.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import logging
import sys
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from ..errors import QmodeError
from ..model.command import Ack, Command, Controllable
from ..model.snapshot import JobState, WorkloadSnapshot, WorkloadState
from ..portal import clock, last_at_exit, portal
from . import protocol
from .account import AccountDesk
from .kernel import ACCOUNT, KernelLink, running_kernel
from .protocol import Message

if TYPE_CHECKING:
    from qiskit_ibm_runtime import QiskitRuntimeService

    from ..ibm.check import Report

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
        """Send it; called on the loop, so it must not wait."""
        ...


@dataclass
class _Feed:
    reference: weakref.ref[Controllable]  # the registry keeps a controller as long as it has something to do
    sent: WorkloadSnapshot  # what screens that followed every message show
    seq: int = 0
    epoch: int = field(default_factory=itertools.count(1).__next__)  # grows: a screen may have missed that one has gone
    outlets: list[Outlet] = field(default_factory=list)
    flush: asyncio.TimerHandle | None = None  # a change waits to be sent
    silent: bool = False  # the service has stopped to answer, and nobody was told by an error
    last: float = float("-inf")  # when it last sent, on the loop's clock
    end: Callable[[], None] = lambda: None

    @property
    def controller(self) -> Controllable | None:
        return self.reference()

    def catch_up(self, latest: WorkloadSnapshot) -> None:
        """Make what counts as sent the latest; whoever followed gets it whole, under a number of its own."""
        if latest != self.sent:
            self.sent, self.seq = latest, self.seq + 1

    def whole(self) -> Message:
        return protocol.snapshot(self.sent, epoch=self.epoch, seq=self.seq, now=_now(self.sent))

    def due(self, *, followed: bool) -> float:
        return self.last + clock.of(_PACE if followed or all(o.attached for o in self.outlets) else _SLOW_PACE)


class Hub:
    """Registry of controllers and switchboard of messages. Its public methods can be called from any thread."""

    def __init__(self) -> None:
        self._feeds: dict[str, _Feed] = {}
        self._left: dict[str, tuple[int, list[Outlet]]] = {}  # widgets of workloads that were let go
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._link: KernelLink | None = None
        self._pages: dict[str, int | None] = {}  # pages that follow, by their session, and the protocol they speak
        self._context = contextvars.copy_context()  # ipykernel 7.0 finds the message to answer to only there
        self._looking: asyncio.Task[None] | None = None
        self.problem: str | None = None  # why the sidebar cannot do all it should

    # -- what the package calls

    def connect(self, check: Callable[[QiskitRuntimeService | None], Report]) -> None:
        """Make this kernel visible to sidebars. Does nothing outside a kernel; called when the package is imported.

        Args:
            check: `qmode.check`, for the panel.
        """
        kernel = running_kernel()
        if kernel is None or self._link is not None:
            return
        try:
            self._link = KernelLink(kernel, lambda message, page: self.receive(message, None, page), self.greeting)
        except Exception as error:  # noqa: BLE001 - a kernel we do not know must not keep the package from importing
            self.problem = str(error)
            return
        self.problem = self._link.problem
        self._link.take(ACCOUNT, AccountDesk(self._tell, self.register, check).receive)
        self._context = contextvars.copy_context()
        last_at_exit(self._farewell)
        portal().send(lambda: self._broadcast(self._greeting()))

    def register(self, controller: Controllable) -> None:
        """Show a controller on every screen. A controller of the same workload takes the other's place."""
        portal().call(self._register, controller)

    def _register(self, controller: Controllable) -> None:
        id_ = controller.id
        old = self._feeds.pop(id_, None)
        if old is not None and old.controller is controller:
            self._feeds[id_] = old
            return
        feed = _Feed(weakref.ref(controller, lambda _: self._collected(id_)), controller.snapshot())
        if old is not None:
            feed.seq, feed.outlets = old.seq + 1, old.outlets
            old.end()
        elif id_ in self._left:  # a workload that was let go and attached to again: its cells are still there
            feed.seq, feed.outlets = self._left.pop(id_)
        self._feeds[id_] = feed
        feed.end = controller.listen(lambda _: self._mark(feed))
        if self._heard(feed):
            self._introduce(feed)
            self._keep_looking()

    def unregister(self, controller: Controllable) -> None:
        """Take a controller off every screen."""

        def drop() -> None:
            feed = self._feeds.get(controller.id)
            if feed is not None and feed.controller is controller:
                feed.end()
                self._let_go(feed)

        portal().call(drop)

    def _collected(self, workload: str) -> None:
        """The last name of a controller is gone, on whatever thread that happened."""

        def drop() -> None:
            feed = self._feeds.get(workload)
            if feed is not None and feed.controller is None:
                self._let_go(feed)

        if not sys.is_finalizing() and not portal().forked:
            portal().send(drop)

    def _let_go(self, feed: _Feed) -> None:
        if self._feeds.get(feed.sent.id) is feed:
            del self._feeds[feed.sent.id]
            if feed.outlets:
                self._left[feed.sent.id] = (feed.seq + 1, feed.outlets)
            self._send(feed, protocol.gone(feed.sent.id))

    def _tell(self, message: Message) -> None:
        """Broadcast, whatever thread it comes from."""
        portal().send(self._broadcast, message)

    def _farewell(self) -> None:
        """The kernel exits: tell which workloads were closed with it, so that no screen takes them for open.

        What has changed goes first: a change that came after the last word would be taken for news of an open workload.
        """

        def flush() -> None:
            for feed in self._feeds.values():
                if self._heard(feed):
                    self._flush(feed)

        portal().call(flush, timeout=1.0)
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
        """A page with our JupyterLab extension has asked for this kernel's workloads: it draws outputs by itself.

        Not where any page speaks another protocol, or says none: it would refuse what we send.
        """
        speaks = self._link is not None and self._link.problem is None
        return speaks and set(self._pages.values()) == {protocol.PROTOCOL}

    @property
    def misunderstood(self) -> bool:
        """A page has asked whose extension speaks another protocol: what it draws by itself would stand still."""
        return bool(set(self._pages.values()) - {protocol.PROTOCOL})

    # -- what screens use

    def greeting(self) -> Message:
        """The hello message."""
        return portal().call(self._greeting)

    def _greeting(self) -> Message:
        busy = self._link.busy if self._link else False
        return protocol.hello(
            version=_version(), process=self.process, busy=busy, workloads=list(self._feeds), problem=self.problem
        )

    def current(self, workload: str) -> Message | None:
        """The snapshot that the next patch builds on."""

        def whole() -> Message | None:
            feed = self._feeds.get(workload)
            if feed is None:
                return None
            feed.catch_up(feed.sent if self._heard(feed) else self._latest(feed))
            return feed.whole()

        return portal().call(whole)

    def add_outlet(self, workload: str, outlet: Outlet) -> None:
        """Send the workload's messages to a widget too.

        Raises:
            KeyError: the workload is not registered.
        """

        def add() -> None:
            self._feeds[workload].outlets.append(outlet)
            self._keep_looking()

        portal().call(add)

    def receive(self, message: object, outlet: Outlet | None = None, page: str = "") -> None:
        """Take a request of a screen: of a widget, or of the sidebar of a page. Returns at once."""
        portal().send(self._handle, message, outlet, page)

    # -- on the loop

    def _handle(self, message: object, outlet: Outlet | None, page: str) -> None:
        try:
            request = protocol.read(message)
        except ValueError as error:
            ident = message.get("id") if isinstance(message, dict) else None
            if isinstance(ident, str):
                self._send_all(protocol.ack(Ack(ident, "failed", str(error))))
            return
        if isinstance(request, Command):
            self._command(request)
            return
        if request is None:
            self._pages.pop(page, None)
            return
        if outlet is not None:
            outlet.attached = True
        else:
            self._pages[page] = protocol.spoken(message)
        for feed in [f for key, f in self._feeds.items() if request in ("all", key)]:
            self._send_whole(feed, outlet)
        self._keep_looking()

    def _command(self, command: Command) -> None:
        if command.id in self._seen:  # the same click over two ways
            return
        self._seen[command.id] = None
        while len(self._seen) > 256:
            self._seen.popitem(last=False)
        feed = self._feeds.get(command.workload)
        controller = None if feed is None else feed.controller
        if feed is None or controller is None:
            text = f"workload {command.workload} is not watched in this kernel any more: attach to it again"
            self._send_all(protocol.ack(Ack(command.id, "failed", text)))
            return
        portal().spawn(self._carry_out(feed, controller, command), name=f"{command.action} {command.workload}")

    async def _carry_out(self, feed: _Feed, controller: Controllable, command: Command) -> None:
        """Do what was asked, and tell. A screen that is gone keeps nothing from being carried out."""

        def say(status: str, message: str = "") -> None:
            self._send(feed, protocol.ack(Ack(command.id, status, message)))

        say("accepted")
        try:
            outcome = await controller.perform(command.action, command.target)
        except (QmodeError, ValueError) as error:
            say("failed", str(error))
        except Exception as error:  # noqa: BLE001 - logged, and told where it was asked for
            _log.error("command %s failed inside", command.action, exc_info=error)
            say("failed", f"an error inside qmode_widgets: {error}")
        else:
            say("failed" if outcome.failed else "done", str(outcome))

    def _send_whole(self, feed: _Feed, asker: Outlet | None = None) -> None:
        """The whole state, to the widget that asked or to the sidebars; those that follow hear of changes first."""
        self._flush(feed)
        message = feed.whole()
        if asker is not None:
            self._deliver(feed, asker, message)
        else:
            self._broadcast(message)

    def _introduce(self, feed: _Feed) -> None:
        """A controller that came, or took another's place: everybody hears its whole state."""
        feed.catch_up(self._latest(feed))
        self._send(feed, feed.whole())

    def _latest(self, feed: _Feed) -> WorkloadSnapshot:
        """The controller's state; where the service has stopped to answer, with that as the problem.

        A request that hangs is not an error until it times out, and until then nothing else says that what is shown is
        old.
        """
        controller = feed.controller
        state = feed.sent if controller is None else controller.snapshot()
        feed.silent = feed.silent and _silent(state)
        return replace(state, problem=SILENT) if feed.silent else state

    def _flush(self, feed: _Feed) -> None:
        if feed.flush is not None:
            feed.flush.cancel()
            feed.flush = None
        latest = self._latest(feed)
        feed.last = clock.monotonic()
        message = protocol.patch(feed.sent, latest, epoch=feed.epoch, seq=feed.seq + 1, now=_now(latest))
        if message is None:
            return
        feed.sent, feed.seq = latest, feed.seq + 1
        self._send(feed, message)

    def _mark(self, feed: _Feed) -> None:
        """It has changed: send that soon, many changes together."""
        if feed.flush is None and self._heard(feed):
            loop = portal().loop
            feed.flush = loop.call_at(max(loop.time(), feed.due(followed=self.followed)), self._flush, feed)
            self._keep_looking()

    def _keep_looking(self) -> None:
        """Look whether the services still answer, as long as a screen follows anything that may fall silent."""
        if self._looking is None or self._looking.done():
            self._looking = portal().spawn(self._look_for_silence(), name="hub")

    async def _look_for_silence(self) -> None:
        """A request that hangs is no error until it times out: what is shown then says that it is old."""
        while any(_patience(f.sent) for f in self._feeds.values() if self._heard(f)):
            slept = time.monotonic()
            await asyncio.sleep(clock.of(_LOOK))
            if time.monotonic() - slept > 2 * _LOOK:
                continue  # a cell held the interpreter: that was not the service's silence
            for feed in [f for f in self._feeds.values() if self._heard(f)]:
                controller = feed.controller
                if controller is not None and _silent(controller.snapshot()) != feed.silent:
                    feed.silent = not feed.silent
                    self._flush(feed)

    def _send(self, feed: _Feed, message: Message) -> None:
        self._broadcast(message)
        for outlet in tuple(feed.outlets):
            self._deliver(feed, outlet, message)

    def _deliver(self, feed: _Feed, outlet: Outlet, message: Message) -> None:
        if not outlet.attached and message["kind"] != "ack" and self.followed:
            return  # nobody has looked at this widget: the page draws the output from the sidebar's
        try:
            self._context.run(outlet.deliver, message)
        except Exception:  # noqa: BLE001 - a widget closed meanwhile must not silence the others
            if outlet in feed.outlets:
                feed.outlets.remove(outlet)

    def _send_all(self, message: Message) -> None:
        self._broadcast(message)
        for feed in list(self._feeds.values()):
            for outlet in tuple(feed.outlets):
                self._deliver(feed, outlet, message)

    def _broadcast(self, message: Message) -> None:
        if self._link is not None and (self._link.listening or message["kind"] == "hello"):
            self._context.run(self._link.broadcast, message)

    def _heard(self, feed: _Feed) -> bool:
        """Whether anybody follows: in a plain script nobody does, and a change costs nothing."""
        return bool(feed.outlets) or (self._link is not None and self._link.listening)


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
