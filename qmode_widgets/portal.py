"""The event loop of the process, which owns all state, and how other threads reach it.

Nothing that the loop's thread could wait for is shared with a user's thread: no lock, no condition, no
`concurrent.futures.Future`. A Ctrl-C inside the `Condition` of such a future leaves its lock taken, and the loop's
`set_result` would then wait for it for ever. Answers come back through a `queue.SimpleQueue`, which is C: putting into
it never waits. Functions cross threads; coroutines are made on the loop, so that none is ever half handed over.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import inspect
import logging
import os
import queue
import selectors
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar, overload

from .errors import QmodeError

log = logging.getLogger(__name__)

T = TypeVar("T")

HEARTBEAT = 0.5  # seconds: a wake-up that Ctrl-C cut between "queued" and "told" is late by this much at most
POLL = 1.0  # seconds: on Windows, and by `_thread.interrupt_main`, Ctrl-C does not end a wait without time-out
NAME_KEPT = 60.0  # seconds for which a resolved name is not asked for again
NAME_WAIT = 2.0  # seconds for which a known name is asked for before its last answer is used
EXIT_SECONDS = 3.0  # in which everything that has to happen at exit has happened: Jupyter kills after 5


class ForkedError(QmodeError):
    """This process was forked from the one that controls the workload."""

    def __init__(self) -> None:
        super().__init__(
            "this process was forked from the one that controls the workload: use it there, or call "
            "attach(id, service) here with a service of your own"
        )


class Clock:
    """The clock of all pauses. Tests set `speed`, and every pause of the engine becomes that many times shorter."""

    def __init__(self) -> None:
        self.speed = 1.0
        self._base = (0.0, 0.0)  # (clock, monotonic) when the speed last changed

    def run(self, speed: float) -> None:
        """Go on at this speed."""
        self._base = (self.monotonic(), time.monotonic())
        self.speed = speed

    def monotonic(self) -> float:
        """Seconds, never going back."""
        at, since = self._base
        return at + (time.monotonic() - since) * self.speed

    def of(self, seconds: float) -> float:
        """A real duration, for example of a request, in seconds of this clock."""
        return seconds * self.speed


clock = Clock()


class _Selector(selectors.DefaultSelector):
    """Waits as long as the clock says, which in tests runs faster."""

    def select(self, timeout: float | None = None) -> Any:
        """As the base does; `timeout` is in seconds of the clock."""
        return super().select(None if timeout is None else timeout / clock.speed)


class Loop(asyncio.SelectorEventLoop):
    """Resolves names on daemon threads, one a name, and remembers the answers.

    The default executor would do it otherwise: its threads are joined at exit and gone by the time of `atexit`, and
    five names that hang fill them.
    """

    def __init__(self) -> None:
        super().__init__(_Selector())
        self._names: dict[tuple[Any, ...], tuple[float, Any]] = {}
        self._resolving: dict[tuple[Any, ...], asyncio.Future[Any]] = {}

    def time(self) -> float:
        """By the clock that tests can drive."""
        return clock.monotonic()

    async def getaddrinfo(self, host: Any, port: Any, **more: Any) -> Any:
        """The addresses of a name; the last known ones where it does not resolve in time."""
        key = (host, port, *sorted(more.items()))
        at, known = self._names.get(key, (0.0, None))
        if known is not None and time.monotonic() - at < NAME_KEPT:
            return known
        asked = self._resolving.get(key)
        if asked is None or asked.done():
            asked = self._resolving[key] = asyncio.ensure_future(aside(socket.getaddrinfo, host, port, **more))
            asked.add_done_callback(lambda f: f.cancelled() or f.exception())  # nobody may be waiting any more
        try:
            wait = None if known is None else clock.of(NAME_WAIT)
            found = await asyncio.wait_for(asyncio.shield(asked), wait)
        except (TimeoutError, OSError):
            if known is None:
                raise
            return known
        self._names[key] = (time.monotonic(), found)
        return found


async def aside(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Run what takes long (a name that resolves, a large payload to encode) on a daemon thread of its own.

    Raises:
        OSError: the interpreter is going down, and Python 3.12 starts no thread then.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def tell(found: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(found)
        else:
            future.set_exception(error)

    def run() -> None:
        found, error = None, None
        try:
            found = function(*args, **kwargs)
        except BaseException as e:  # noqa: BLE001 - handed on
            error = e
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process ends
            loop.call_soon_threadsafe(tell, found, error)

    try:
        threading.Thread(target=run, name="qmode-aside", daemon=True).start()
    except RuntimeError as error:
        raise OSError("no thread can be started any more: the interpreter is going down") from error
    return await future


def get(box: queue.SimpleQueue[T], timeout: float | None = None) -> T:
    """What comes next in a queue. Looks for interrupts once a second: not all of them wake a thread that waits.

    Raises:
        queue.Empty: nothing came within `timeout` seconds.
    """
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        left = POLL if end is None else end - time.monotonic()
        try:
            return box.get(timeout=max(0.0, min(POLL, left)))
        except queue.Empty:
            if end is not None and time.monotonic() >= end:
                raise


class Portal:
    """One daemon thread with the event loop. A forked process makes its own when it first needs one."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._loop = Loop()
        self._tasks: set[asyncio.Task[Any]] = set()  # a loop holds its tasks weakly
        self._thread = threading.Thread(target=self._run, name="qmode-loop", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(lambda _, context: log.debug("on the loop: %s", context.get("message")))
        self._beat()
        self._loop.run_forever()

    def _beat(self) -> None:
        self._loop.call_later(HEARTBEAT, self._beat)

    @property
    def here(self) -> bool:
        """The caller is the loop's own thread."""
        return threading.get_ident() == self._thread.ident

    @property
    def forked(self) -> bool:
        """The caller's process was forked from the one that this loop runs in."""
        return os.getpid() != self._pid

    @property
    def loop(self) -> Loop:
        """The loop itself, for tests that measure it."""
        return self._loop

    def spawn(self, coroutine: Coroutine[Any, Any, T], name: str | None = None) -> asyncio.Task[T]:
        """A task of the loop; to be called on its thread."""
        task = self._loop.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, QmodeError):  # those are told where they are asked for
            log.debug("%s failed", task.get_name(), exc_info=error)

    def send(self, function: Callable[..., object], *args: Any) -> None:
        """Call it on the loop's thread; do not wait. A coroutine that it returns becomes a task.

        Raises:
            ForkedError: in a forked process.
        """
        if self.forked:
            raise ForkedError

        def run() -> None:
            found = function(*args)
            if inspect.iscoroutine(found):
                self.spawn(found)

        self._loop.call_soon_threadsafe(run)

    @overload
    def call(
        self,
        function: Callable[..., Coroutine[Any, Any, T]],
        *args: Any,
        timeout: float | None = None,
        undo: Callable[[T], Awaitable[object]] | None = None,
        waits: bool = False,
    ) -> T: ...
    @overload
    def call(
        self,
        function: Callable[..., T],
        *args: Any,
        timeout: float | None = None,
        undo: Callable[[T], Awaitable[object]] | None = None,
        waits: bool = False,
    ) -> T: ...
    def call(
        self,
        function: Callable[..., Any],
        *args: Any,
        timeout: float | None = None,
        undo: Callable[[Any], Awaitable[object]] | None = None,
        waits: bool = False,
    ) -> Any:
        """Call `function` on the loop's thread, and where it returns a coroutine run that; wait for the outcome.

        What has begun runs to its end even where the caller's waiting is interrupted, so nothing is ever half done.

        Args:
            function: makes no request itself and waits for nothing; its coroutine may.
            args: its arguments.
            timeout: seconds to wait.
            undo: gets what came of it if nobody waits any more.
            waits: it only waits for something: it ends with the caller's waiting.

        Raises:
            TimeoutError: after `timeout` seconds.
            ForkedError: in a forked process.
            RuntimeError: the loop's own thread would wait for itself.
        """
        if self.forked:
            raise ForkedError
        if self.here:
            found = function(*args)
            if inspect.iscoroutine(found):
                found.close()
                raise RuntimeError("the loop's own thread must not wait for the loop")
            return found
        box: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()
        order = _Order(self, function, args, lambda ok, value: box.put((ok, value)), undo, waits)
        try:
            self._loop.call_soon_threadsafe(order.begin)
            ok, value = get(box, timeout)
        except queue.Empty:
            order.give_up()
            raise TimeoutError from None
        except BaseException:
            order.give_up()  # wakes the loop too, had the first wake-up been cut
            raise
        if ok:
            return value
        try:
            raise value
        finally:
            del value  # a traceback must not keep what was asked for alive

    async def acall(
        self,
        function: Callable[..., Coroutine[Any, Any, T]],
        *args: Any,
        undo: Callable[[T], Awaitable[object]] | None = None,
        waits: bool = False,
    ) -> T:
        """The same for a user's own event loop: blocks no thread."""
        if self.forked:
            raise ForkedError
        theirs = asyncio.get_running_loop()
        future: asyncio.Future[T] = theirs.create_future()

        def tell(ok: bool, value: Any) -> None:
            if future.done():
                return
            if ok:
                future.set_result(value)
            else:
                future.set_exception(value)

        def hand_over(ok: bool, value: Any) -> None:
            try:
                theirs.call_soon_threadsafe(tell, ok, value)
            except RuntimeError:  # the user's loop is closed
                order.abandon()

        order = _Order(self, function, args, hand_over, undo, waits)
        self._loop.call_soon_threadsafe(order.begin)
        try:
            return await future
        except asyncio.CancelledError:
            order.give_up()
            raise


class _Order:
    """One thing that was asked of the loop. Its methods run on the loop's thread, but for `give_up`."""

    def __init__(
        self,
        portal: Portal,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        tell: Callable[[bool, Any], object],
        undo: Callable[[Any], Awaitable[object]] | None,
        waits: bool,
    ) -> None:
        self._portal, self._function, self._args, self._tell = portal, function, args, tell
        self._undo, self._waits = undo, waits
        self._task: asyncio.Task[Any] | None = None
        self._found: tuple[bool, Any] | None = None
        self._unwanted = False  # set at once, by who asked: `abandon` stands in the loop's queue behind `begin`
        self._abandoned = False

    def begin(self) -> None:
        if self._unwanted:  # interrupted before it began: it never does
            return
        try:
            found = self._function(*self._args)
        except BaseException as error:  # noqa: BLE001 - handed to who asked
            self._answer(False, error)
            return
        if inspect.iscoroutine(found):
            self._task = self._portal.spawn(found)
            self._task.add_done_callback(self._done)
        else:
            self._answer(True, found)

    def _done(self, task: asyncio.Task[Any]) -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        self._answer(error is None, task.result() if error is None else error)

    def _answer(self, ok: bool, value: Any) -> None:
        self._found = (ok, value)
        if self._abandoned:
            self._take_back()
        else:
            self._tell(ok, value)

    def give_up(self) -> None:
        """Who asked waits no more."""
        self._unwanted = True
        self._portal.loop.call_soon_threadsafe(self.abandon)

    def abandon(self) -> None:
        """Nobody waits any more. What has begun goes on to its end, and is then undone where there is a way."""
        if self._abandoned:
            return
        self._abandoned = True
        if self._found is not None:  # answered, and the answer was lost on its way
            self._take_back()
        elif self._task is not None and self._waits:
            self._task.cancel()

    def _take_back(self) -> None:
        if self._undo is not None and self._found is not None and self._found[0]:
            self._portal.spawn(_awaited(self._undo(self._found[1])))


async def _awaited(found: Awaitable[object]) -> None:
    await found


_portal: Portal | None = None
_of_the_parent: list[Any] = []  # in a forked process: kept, so that nothing is tidied up on the parent's sockets
_at_exit: list[Callable[[], Coroutine[Any, Any, object]]] = []
_last_at_exit: list[Callable[[], object]] = []


def portal() -> Portal:
    """The one of this process; made when it is first asked for."""
    global _portal
    if _portal is None:
        _portal = Portal()
    return _portal


def call(function: Callable[..., Coroutine[Any, Any, T]], *args: Any, waits: bool = False) -> T:
    """Run a coroutine of the loop and wait for it: `call(link.session, id)`. See `Portal.call`."""
    return portal().call(function, *args, waits=waits)


def at_exit(function: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Run this coroutine when the process exits; all together get `EXIT_SECONDS`."""
    _at_exit.append(function)


def last_at_exit(function: Callable[[], object]) -> None:
    """Call this when the process exits, after all that `at_exit` was given; on the thread that exits."""
    _last_at_exit.append(function)


def _exit() -> None:
    if _portal is None or _portal.forked:
        return

    async def all_at_once() -> None:
        async with asyncio.timeout(clock.of(EXIT_SECONDS)):
            await asyncio.gather(*(function() for function in _at_exit), return_exceptions=True)

    with contextlib.suppress(BaseException):  # the interpreter is going down, and nothing may be raised
        _portal.call(all_at_once, timeout=EXIT_SECONDS + 0.5)
    for function in _last_at_exit:
        with contextlib.suppress(Exception):
            function()


def _in_child() -> None:
    """A forked process shares no connection and no loop with its parent."""
    global _portal
    _of_the_parent.append(_portal)
    _portal = None


atexit.register(_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
