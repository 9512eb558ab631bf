"""What a screen's buttons ask for: enqueued where they arrive, carried out on a thread of their own.

Each workload has one thread for its commands, which ends when nothing is left to do: a request that hangs in one
workload delays no other.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from ..errors import QmodeError
from ..model.command import Action, Command, Controllable, Outcome
from ..model.snapshot import JobState

log = logging.getLogger(__name__)

Answer = Callable[[Outcome], None]
_MISSING = (JobState.FAILED, JobState.REFUSED, JobState.CANCELLED, JobState.DROPPED)
LINGER = 5.0  # seconds for which an idle thread waits for the next click


class Commands:
    """The command threads of this kernel, by workload."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[str, queue.SimpleQueue[Callable[[], None]]] = {}

    def enqueue(self, controller: Controllable, command: Command, answer: Answer) -> None:
        """Carry the command out later; returns at once. `answer` hears `accepted`, then the outcome."""

        def work() -> None:
            carry_out(controller, command, answer)

        if command.action in (
            Action.CLOSE,
            Action.END,
        ):  # it may wait for partitions to be sent: not in the others' way
            threading.Thread(target=work, name="qmode-close", daemon=True).start()
            return
        with self._lock:
            waiting = self._queues.get(controller.id)
            if waiting is not None:
                waiting.put(work)
                return
            waiting = self._queues[controller.id] = queue.SimpleQueue()
            waiting.put(work)
            run = threading.Thread(target=self._run, args=(controller.id, waiting), name="qmode-commands", daemon=True)
            run.start()

    def _run(self, workload: str, waiting: queue.SimpleQueue[Callable[[], None]]) -> None:
        while True:
            try:
                work = waiting.get(timeout=LINGER)
            except queue.Empty:
                with self._lock:
                    if not waiting.empty():
                        continue
                    del self._queues[workload]
                    return
            work()


def carry_out(controller: Controllable, command: Command, answer: Answer) -> None:
    """Do what was asked, and tell."""

    def say(status: str, message: str = "") -> None:
        try:
            answer(Outcome(command.id, status, message))
        except Exception as error:  # noqa: BLE001 - the screen is gone; what it asked for is carried out all the same
            log.info("nobody hears what came of %s: %r", command.action, error)

    say("accepted")
    try:
        message = _act(controller, command)
    except (QmodeError, ValueError) as error:
        say("failed", str(error))
    except Exception as error:
        log.exception("command %s failed inside", command.action)
        say("failed", f"an error inside qmode_widgets: {error}")
    else:
        say("done", message)


def _act(controller: Controllable, command: Command) -> str:
    match command.action:
        case Action.CANCEL | Action.DROP:
            return controller.cancel(str(command.target))
        case Action.CANCEL_REMAINING:
            return _tally(controller.cancel_remaining())
        case Action.CANCEL_ALL:
            return _tally(controller.cancel_all())
        case Action.CLOSE:
            controller.close()
            return "closed: queued jobs still run"
        case Action.END:
            cancelled = controller.cancel_all()  # first: what waits to be sent would be sent by closing
            controller.close()
            return f"ended: {_tally(cancelled)}"
        case Action.RESUBMIT:
            controller.resubmit(str(command.target))
            return "resubmitted"
        case Action.RESUBMIT_FAILED:
            return f"{sum(len(run.sent) for run in controller.resubmit_failed())} resubmitted"
        case Action.RESUBMIT_MISSING:
            if command.target is not None:
                controller.usage_cap = float(command.target)
            missing = [j.key for j in controller.snapshot().jobs if j.state in _MISSING and not j.superseded]
            return f"{sum(len(controller.resubmit(key).sent) for key in missing)} resubmitted"
        case Action.REFRESH:
            controller.refresh()
            return "refreshed"


def _tally(answers: dict[str, str]) -> str:
    counts: dict[str, int] = {}
    for answer in answers.values():
        counts[answer] = counts.get(answer, 0) + 1
    return ", ".join(f"{n} {what}" for what, n in counts.items()) or "nothing to cancel"


commands = Commands()
