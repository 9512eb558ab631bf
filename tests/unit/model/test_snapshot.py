"""The deadlines a screen counts down to."""

from __future__ import annotations

from qmode_widgets.model.snapshot import Ttl, WorkloadState

BASE = {
    "max_ttl": 28800,
    "interactive_ttl": 60,
    "active_ttl": 14400,
    "active_deadline": 15400.0,
    "started_at": 1000.0,
    "activated_at": 1000.0,
    "last_job_completed": None,
    "created_at": 900.0,
    "unfinished": 0,
    "empty_close": 1800,
}


def ttl(state=WorkloadState.ACTIVE, **changes):
    return Ttl.of(state=state, **(BASE | changes))


def test_max_ttl_runs_from_the_first_job_and_never_pauses():
    assert ttl().max_deadline == 29800
    assert ttl(WorkloadState.INACTIVE).max_deadline == 29800
    assert ttl(started_at=None).max_deadline is None
    assert ttl(WorkloadState.CLOSED).max_deadline is None


def test_interactive_ttl_counts_only_while_active_and_idle():
    assert ttl(last_job_completed=1100.0).interactive_deadline == 1160
    assert ttl(last_job_completed=1100.0, unfinished=1).interactive_deadline is None
    assert ttl(WorkloadState.INACTIVE, last_job_completed=1100.0).interactive_deadline is None


def test_after_a_reactivation_the_idle_time_counts_from_it():
    assert ttl(last_job_completed=1100.0, activated_at=2000.0).interactive_deadline == 2060


def test_a_session_without_any_job_closes_by_itself():
    empty = ttl(WorkloadState.OPEN, started_at=None, activated_at=None)
    assert empty.empty_deadline == 2700
    assert ttl(WorkloadState.OPEN, started_at=None, activated_at=None, unfinished=1).empty_deadline is None


def test_unknown_limits_give_no_deadline():
    nothing = ttl(max_ttl=None, interactive_ttl=None, active_ttl=None, active_deadline=None, last_job_completed=1100.0)
    assert (nothing.max_deadline, nothing.interactive_deadline, nothing.active_deadline) == (None, None, None)
