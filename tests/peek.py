"""The one place where tests and benchmarks reach into a controller's private parts.

What a user can see is asked for in the user's own words (`wait_until`, `snapshot`); what is here has no such words.
"""

from __future__ import annotations

import _thread
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from qmode_widgets.control.submission import Pacer

T = TypeVar("T")


def peek(controller: Any, function: Callable[[Any], T]) -> T:
    """What `function(ledger)` returns, called where nothing changes meanwhile: under the ledger's lock."""
    with controller._ledger.lock:
        return function(controller._ledger)


def at_pace(controller: Any, submitting: float = 0.05, watching: float | None = None) -> Any:
    """The controller, looking up lost answers (and looking at the workload) at a fraction of the usual seconds."""
    controller._runtime.submitter.pace = submitting
    if watching is not None:
        controller._runtime.watcher.pace = watching
    return controller


def end_waits_of_the_pacer(controller: Any) -> None:
    """All workloads of an instance share the pacer: a long Retry-After of one test would hold up the next."""
    controller._runtime.submitter.pacer = Pacer()


def deadlines(controller: Any, *, small: float, large: float | None = None) -> None:
    """Seconds in which a request of the controller's link must be answered."""
    link = controller._ledger.link
    link.small, link.large = small, link.large if large is None else large


def token_manager(controller: Any) -> Any:
    """The client's own holder of the access token that the controller's link sends."""
    return controller._ledger.link._origin.token._auth.tm


def unwatch(controller: Any) -> None:
    """Nothing looks at the workload by itself from now on, until somebody waits or refreshes."""
    controller._runtime.watcher.forget(controller._ledger)


def settled(controller: Any, timeout: float = 60.0) -> bool:
    """Wait, without waking anybody, until nothing looks at the workload any more: there is nothing left to learn."""
    ledger, watcher = controller._ledger, controller._runtime.watcher
    return bool(ledger.wait_for(lambda: ledger.id not in watcher._ledgers, timeout))


def requests_of(controller: Any, call: Callable[[], object]) -> int:
    """How many requests to the service a call of this thread costs."""
    link = controller._ledger.link
    before = link.asked
    call()
    return int(link.asked - before)


def locks(controller: Any) -> list[Any]:
    """Every lock that a call of the user's thread may take."""
    runtime = controller._runtime
    return [controller._ledger.lock, runtime.submitter._lock, runtime.watcher._lock, controller._submits]


@contextlib.contextmanager
def interrupted_while_waiting(controller: Any, timeout: float = 60.0) -> Iterator[None]:
    """Ctrl-C as soon as the main thread waits for the workload inside the block."""
    left = threading.Event()

    def interrupt() -> None:
        end = timeout
        while not left.wait(0.02) and end > 0:
            end -= 0.02
            if peek(controller, lambda ledger: ledger.awaited):
                _thread.interrupt_main()
                return

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join()
