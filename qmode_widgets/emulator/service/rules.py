"""The service's limits and its words: what it refuses, and why things ended."""

from __future__ import annotations

import math
from typing import Any

from ...model.scheduling import Load, Rules
from ..options import Options
from .errors import ServiceError, bad_request

PROGRAMS = ("sampler", "estimator", "executor", "noise-learner")
MAX_TAGS, MAX_TAG_LENGTH = 8, 86
MAX_EXECUTION_TIME = 3 * 3600
SUBMISSIONS_A_MINUTE = 5

# Why a workload is in its state. The first three were seen on the real service, the rest are guesses.
STATE_REASONS = {
    "created": "session_created",
    "closed_early": "session_closed_early",
    "interactive_ttl": "session_inactivated_by_interactive_ttl",
    "activated": "session_activated",
    "active_ttl": "session_inactivated_by_active_ttl",
    "max_ttl": "session_closed_by_max_ttl",
    "empty": "session_closed_by_inactivity",
}

# Why the scheduler ended a job: code, reason, solution. 1305 and 1217 are the service's, the sentences ours.
JOB_ENDS = {
    "limit": (
        1305,
        "Job was terminated because it ran longer than its maximum execution time.",
        "Raise max_execution_time.",
    ),
    "max_ttl": (
        1217,
        "The session's max TTL ended before the job started.",
        "Submit the job in a new session or batch.",
    ),
    "closed": (1217, "Session has been closed.", "Submit the job in a new session or batch."),
}


def scheduling(options: Options, number: int) -> Rules:
    """The scheduling rules of the `number`-th backend."""
    load = None
    if options.other_users:
        qpu = 20.0 / options.speed if options.speed < math.inf else 0.0
        every = max(qpu, 0.05) / options.other_users
        load = Load(every=every, qpu=qpu, prep=2.0 / options.speed, seed=options.seed + number)
    return Rules(
        lanes=options.lanes,
        queue_wait=options.queue_wait,
        max_ttl=options.max_ttl,
        interactive_ttl=options.interactive_ttl,
        active_ttl=options.active_ttl,
        empty_close=options.empty_close,
        calibration_every=options.calibration_every or None,
        calibration_seconds=options.calibration_seconds,
        other_users=load,
    )


def program(name: Any) -> str:
    """A program the service has."""
    if name not in PROGRAMS:
        said = f"Program not found. Program ID: {str(name)[:60]}"
        raise ServiceError(404, 1207, said, "Use one of " + ", ".join(PROGRAMS))
    return str(name)


def tags(given: Any) -> list[str]:
    """A job's tags."""
    if given is None:
        return []
    if not isinstance(given, list) or not all(isinstance(tag, str) for tag in given):
        raise bad_request("tags must be a list of strings")
    if len(given) > MAX_TAGS:
        raise ServiceError(400, 1204, f"{len(given)} tags are too many.", f"Use at most {MAX_TAGS}.")
    if any(len(tag) > MAX_TAG_LENGTH for tag in given):
        raise ServiceError(400, 1205, "A tag is too long.", f"Use at most {MAX_TAG_LENGTH} characters.")
    return list(given)


def cost(given: Any) -> int | None:
    """A job's maximum execution time in seconds."""
    if given is not None and not (type(given) is int and 0 < given <= MAX_EXECUTION_TIME):
        raise bad_request(f"cost must be whole seconds between 1 and {MAX_EXECUTION_TIME}, not {str(given)[:60]}")
    return given
