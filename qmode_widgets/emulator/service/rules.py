"""The service's limits, and the codes and sentences it gives when it refuses or ends something."""

from __future__ import annotations

import math
from datetime import date
from typing import Any

from ...model.scheduler import Load, Rules
from ..options import Options
from .errors import ApiError, bad_request

PROGRAMS = ("sampler", "estimator", "executor", "noise-learner", "calibrate")
LOG_LEVELS = ("critical", "error", "warning", "info", "debug")
MAX_TAGS, MAX_TAG_LENGTH = 8, 86
MAX_EXECUTION_TIME = 3 * 3600
MAX_EXECUTIONS = 10_000_000
MAX_TTL = 2**31 - 1
SUBMISSIONS_A_MINUTE = 5

# The versions of IBM's REST API and, where it has been announced, the day after which support may end.
API_VERSIONS = {
    "2024-01-01": "2027-01-01",
    "2025-01-01": "2027-01-01",
    "2025-05-01": "2027-01-01",
    "2026-02-01": "2027-02-01",
    "2026-02-15": "2027-02-15",
    "2026-03-15": "2027-03-15",
    "2026-04-15": None,
}
USAGE_AT_ROOT = "2026-04-15"  # before: the execution time of the circuits is in the metrics' `usage`
USAGE_IN_CHARGES = "2026-03-15"  # before: usage is told as `seconds`, in metrics also as `bss` and `quantum_seconds`

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

# Why the scheduler ended a job: code, reason, solution. 1305 with its words and 1217 are the service's, the other
# sentences ours.
JOB_ENDS = {
    "limit": (
        1305,
        "Ran too long",
        "Raise max_execution_time.",
    ),
    "max_ttl": (
        1217,
        "The session's max TTL ended before the job started.",
        "Submit the job in a new session or batch.",
    ),
    "closed": (1217, "Session has been closed.", "Submit the job in a new session or batch."),
    "usage_limit": (
        4317,
        "The instance reached its usage limit before the job started.",
        "Wait until time is available, or use another plan.",
    ),
}


def scheduling(options: Options, number: int) -> Rules:
    """Return the scheduling rules of the `number`-th backend."""
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


def api_version(given: str | None) -> str:
    """Return the version of the `IBM-API-Version` header, a date not before the oldest version; without it the newest.

    A later version answers as the last one before it.
    """
    if given is None:
        return max(API_VERSIONS)
    try:
        good = date.fromisoformat(given).isoformat() == given >= min(API_VERSIONS)
    except ValueError:
        good = False
    if not good:
        known = ", ".join(API_VERSIONS)
        raise bad_request(f"IBM-API-Version must be one of {known}, not {given[:60]!r}")
    return given


def program(name: Any) -> str:
    """Return the program that a submission names."""
    if name is None:
        raise bad_request("program_id is missing")
    if name not in PROGRAMS:
        said = f"Program not found. Program ID: {str(name)[:60]}"
        raise ApiError(404, 1207, said, "Use one of " + ", ".join(PROGRAMS))
    return str(name)


def tags(given: Any) -> list[str]:
    """Return a job's tags."""
    if not isinstance(given, list) or not all(isinstance(tag, str) for tag in given):
        raise bad_request("tags must be a list of strings")
    if len(given) > MAX_TAGS:
        raise ApiError(400, 1204, f"{len(given)} tags are too many.", f"Use at most {MAX_TAGS}.")
    if any(len(tag) > MAX_TAG_LENGTH for tag in given):
        raise ApiError(400, 1205, "A tag is too long.", f"Use at most {MAX_TAG_LENGTH} characters.")
    return list(given)


def cost(given: Any) -> int:
    """Return a job's maximum execution time in seconds; 0 and values above the maximum mean the maximum."""
    if given is None:
        return MAX_EXECUTION_TIME
    if type(given) is not int or given < 0:
        raise bad_request(f"cost must be whole seconds, 0 to {MAX_EXECUTION_TIME}, not {str(given)[:60]}")
    return min(given or MAX_EXECUTION_TIME, MAX_EXECUTION_TIME)


def max_ttl(given: Any, longest: float) -> float:
    """Return a workload's max TTL in seconds."""
    if given is None:
        return longest
    if type(given) is not int or not 1 <= given <= MAX_TTL:
        raise bad_request(f"max_ttl must be whole seconds, at least 1, not {str(given)[:60]!r}")
    if given > longest:
        raise bad_request(f"max_ttl must be at most {longest:g} seconds, not {given}")
    return given


def private(given: Any) -> bool:
    """Return whether a job is private."""
    if given is not None and not isinstance(given, bool):
        raise bad_request(f"private must be true or false, not {str(given)[:60]!r}")
    return bool(given)


def log_level(given: Any) -> None:
    """Check the log level of a submission; it changes nothing here. The client sends it in capitals."""
    if given is not None and str(given).lower() not in LOG_LEVELS:
        raise bad_request(f"log_level must be one of {', '.join(LOG_LEVELS)}, not {str(given)[:60]!r}")


def executions(count: int) -> None:
    """Refuse a job with more executions than the service allows."""
    if count > MAX_EXECUTIONS:
        raise bad_request(
            f"The job has {count} executions, more than {MAX_EXECUTIONS}.",
            "Use fewer shots, parameter sets or circuits, or split the job.",
            code=1211,
        )
