"""What a screen's buttons ask for: enqueued where they arrive, carried out on a thread of their own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..model.command import Action, Command, Outcome
from . import ending
from .errors import QmodeError

if TYPE_CHECKING:
    from .workload import Workload

log = logging.getLogger(__name__)


def enqueue(controller: Workload, command: Command, answer: Callable[[Outcome], None]) -> None:
    """Carry the command out on the command thread; `answer` hears `accepted`, then the outcome."""

    def say(status: str, message: str = "") -> None:
        try:
            answer(Outcome(command.id, status, message))
        except Exception as error:  # noqa: BLE001 - the screen is gone; what it asked for is carried out all the same
            log.info("nobody hears what came of %s: %r", command.action, error)

    def work() -> None:
        say("accepted")
        try:
            message = carry_out(controller, command)
        except (QmodeError, ValueError) as error:
            say("failed", str(error))
        except Exception as error:
            log.exception("command %s failed inside", command.action)
            say("failed", f"an error of qmode_widgets itself: {error}")
        else:
            say("done", message)

    if command.action is Action.CLOSE:  # it may wait for partitions to be sent: not in the others' way
        threading.Thread(target=work, name="qmode-close", daemon=True).start()
    else:
        controller._runtime.commands.put(work)


def carry_out(controller: Workload, command: Command) -> str:
    """Do it; returns what to tell."""
    match command.action:
        case Action.CANCEL | Action.DROP:
            return controller.cancel(command.target)
        case Action.CANCEL_REMAINING:
            return _tally(controller.cancel_remaining())
        case Action.CANCEL_ALL:
            return _tally(controller.cancel_all())
        case Action.CLOSE:
            controller.close()
            return "closed: queued jobs still run"
        case Action.RESUBMIT:
            controller.resubmit(command.target)
            return "resubmitted"
        case Action.RESUBMIT_FAILED:
            count = len(ending.failed(controller._ledger))
            controller.resubmit_failed()
            return f"{count} resubmitted"
        case Action.REFRESH:
            controller.refresh()
            return "refreshed"


def _tally(answers: dict[str, str]) -> str:
    counts: dict[str, int] = {}
    for answer in answers.values():
        counts[answer] = counts.get(answer, 0) + 1
    return ", ".join(f"{n} {what}" for what, n in counts.items()) or "nothing to cancel"
