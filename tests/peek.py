"""The one place where tests and benchmarks reach into a controller's private parts.

What a user can see is asked for in the user's own words (`wait_until`, `snapshot`); what is here has no such words.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from qmode_widgets.control.engine.attempt import Pacer
from qmode_widgets.portal import clock, portal

T = TypeVar("T")


def peek(controller: Any, function: Callable[[Any], T]) -> T:
    """What `function(ledger)` returns, called where nothing changes meanwhile: on the loop."""
    return portal().call(lambda: function(controller._ledger))


def at_pace(controller: Any, factor: float = 0.05) -> Any:
    """The controller, with all pauses of this process at a fraction of the usual seconds, at least."""
    portal().call(lambda: clock.run(max(clock.speed, 1 / factor)))
    return controller


def end_waits_of_the_pacer(controller: Any) -> None:
    """All workloads of an instance share the pacer: a long Retry-After of one test would hold up the next."""
    outbox = controller._workload.outbox

    def end() -> None:
        outbox.pacer = Pacer()
        outbox.nudge()

    portal().call(end)


def deadlines(controller: Any, *, small: float, large: float | None = None) -> None:
    """Seconds in which a request of the controller's link must be answered."""
    link = controller._ledger.link
    link.small, link.large = small, link.large if large is None else large


def on_exit_of(controller: Any) -> str:
    """What becomes of the workload when the kernel exits."""
    return str(controller._workload.on_exit)


def token_manager(controller: Any) -> Any:
    """The client's own holder of an access token of the controller's account."""
    return controller._ledger.link._origin.token._auth.tm


def expire_token(controller: Any) -> None:
    """Neither the client's access token nor the link's own is good any more."""
    token = controller._ledger.link._origin.token

    def expire() -> None:
        token._auth.tm.refresh_time = token._auth.tm.expire_time = 0
        token._text, token._renew_at, token._ends_at = None, 0.0, 0.0

    portal().call(expire)


def unwatch(controller: Any) -> None:
    """Nothing looks at the workload by itself from now on, until somebody waits or refreshes."""
    portal().call(controller._workload.watch.stop)


def settled(controller: Any, timeout: float = 60.0) -> bool:
    """Wait, without waking anybody, until nothing looks at the workload any more: there is nothing left to learn."""
    workload = controller._workload

    async def until() -> None:
        while (task := workload.watch._task) is not None:
            await asyncio.wait([task])

    try:
        portal().call(until, timeout=timeout, waits=True)
    except TimeoutError:
        return False
    return True


def requests_of(controller: Any, call: Callable[[], object]) -> int:
    """How many requests to the service a call costs, while nothing else asks."""
    link = controller._ledger.link
    before = link.asked
    call()
    unwatch(controller)
    return int(link.asked - before)


@contextlib.contextmanager
def interrupted_while_waiting(controller: Any, timeout: float = 60.0) -> Iterator[None]:
    """Ctrl-C as soon as the main thread waits for the workload inside the block."""
    left = threading.Event()
    portal().call(lambda: None)  # who has ceased to wait is no longer counted

    def interrupt() -> None:
        end = timeout
        while not left.wait(0.02) and end > 0:
            end -= 0.02
            if controller._workload.news.waiting:
                os.kill(os.getpid(), signal.SIGINT)
                return

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join()
