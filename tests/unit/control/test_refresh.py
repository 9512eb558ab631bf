"""Few requests, whole listings, and no answer of the service that stops the watching."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmode_widgets.control.engine import look
from qmode_widgets.control.state.ledger import Ledger
from qmode_widgets.control.state.record import Record
from qmode_widgets.ibm.wire import JobPage, Metrics, Session, seconds
from qmode_widgets.model.snapshot import JobState, WorkloadState
from qmode_widgets.model.tags import AttemptKey
from qmode_widgets.portal import clock
from tests.examples import examples
from tests.unit.control.account import Account, at, refuse


@pytest.fixture
def account():
    return Account()


@pytest.fixture
def ledger(account):
    return Ledger(account, "s", "batch", "b")


def refresh(ledger, **how):
    asyncio.run(look.refresh(ledger, **how))


def pace(ledger):
    """Seconds until the watch looks again; None when nothing is left to learn."""
    return look.Watch(ledger, awaited=lambda: False, after=lambda: None, settled=lambda: None)._pace()


def answering(answer):
    async def asked(*_, **__):
        return answer()

    return asked


def ids(ledger):
    return {j.job_id for j in ledger.snapshot().jobs}


def test_more_than_a_page_of_pending_and_of_ended_jobs(account, ledger):
    for i in range(450):
        account.add(f"p{i}")
    for i in range(450):
        account.add(f"e{i}", "Completed")
    refresh(ledger)
    assert len(ids(ledger)) == 900


def test_many_that_end_at_once_are_all_found(account, ledger):
    for i in range(450):
        account.add(f"j{i}")
    refresh(ledger)
    for job in account.listed.values():
        job["state"] = {"status": "Completed"}
    refresh(ledger)
    assert {j.state for j in ledger.snapshot().jobs} == {JobState.DONE}


def test_a_page_without_a_count_is_no_last_page(account, ledger):
    for i in range(250):
        account.add(f"j{i}")
    whole = account.jobs

    async def without_count(**query):
        return replace(await whole(**query), count=None)

    account.jobs = without_count
    refresh(ledger)
    assert len(ids(ledger)) == 250


def test_a_service_that_ignores_the_offset_does_not_hold_us_for_ever(account, ledger):
    for i in range(250):
        account.add(f"j{i}")
    whole = account.jobs

    async def from_the_start(**query):
        return await whole(**query | {"offset": 0})

    account.jobs = from_the_start
    refresh(ledger)
    assert len(ids(ledger)) == 200


def test_jobs_that_leave_between_two_pages_are_not_lost(account, ledger):
    for i in range(401):
        account.add(f"j{i}")
    refresh(ledger)

    def leave(_scope, pending, offset):
        if pending and offset == 200:
            for i in range(50):
                account.listed[f"j{i}"]["state"] = {"status": "Completed"}

    account.spoil["jobs"] = leave
    refresh(ledger)
    refresh(ledger)
    states = [j.state for j in ledger.snapshot().jobs]
    assert len(states) == 401
    assert states.count(JobState.DONE) == 50
    assert states.count(JobState.QUEUED) == 351


def test_a_job_that_came_and_went_between_two_looks_is_seen(account, ledger):
    """Another kernel's: its usage is part of the batch's."""
    account.sessions["s"] = {"id": "s", "state": "active", "last_job_completed": None}
    refresh(ledger)
    account.add("theirs", "Completed")
    account.sessions["s"] = {"id": "s", "state": "active", "last_job_completed": at(9)}
    refresh(ledger)
    assert ids(ledger) == {"theirs"}


def test_runs_in_job_mode_are_listed_each_for_its_own_jobs_and_not_when_they_ended(account):
    ledger = Ledger(account, "aaaaaa", "job", "b")
    for run, status in (("aaaaaa", "Completed"), ("bbbbbb", "Queued"), ("cccccc", "Queued")):
        account.add(run, status, tags=[f"qmode:{run}", f"qmode:{run}:0.2.0"], session_id=None)
        ledger.add_run(run)
    refresh(ledger)
    refresh(ledger)
    account.asked.clear()
    refresh(ledger)
    assert [a for a in account.asked if a[0] == "jobs"] == [
        ("jobs", ("qmode:bbbbbb",), True, 0),
        ("jobs", ("qmode:cccccc",), True, 0),
    ]


@pytest.mark.parametrize(("jobs", "asked"), [(2, ["job", "job"]), (5, ["jobs"])])
def test_single_jobs_are_asked_for_one_by_one_or_where_there_are_many_by_one_listing(account, jobs, asked):
    ledger = Ledger(account, "aaaaaa", "job", "b")
    for i in range(jobs):
        account.add(f"aaaaa{i}", "Queued", tags=[f"qmode:aaaaa{i}", f"qmode:aaaaa{i}:0.1.0"], session_id=None)
        ledger.add_run(f"aaaaa{i}")
    refresh(ledger)  # each is found by its run
    account.asked.clear()
    refresh(ledger)
    assert [a[0] for a in account.asked if a[0] in ("job", "jobs")] == asked


@pytest.mark.parametrize(("method", "status"), [("metrics", 500), ("metrics", 400), ("usage_left", 403)])
def test_what_is_asked_besides_does_not_keep_the_rest_from_view(account, ledger, method, status):
    account.add("j", "Completed")
    account.spoil[method] = refuse(status)
    refresh(ledger)
    assert ledger.snapshot().jobs[0].state is JobState.DONE
    assert ledger.seen_at is not None


def test_a_usage_that_is_late_is_asked_for_ever_later(account, ledger, monkeypatch):
    now = 1e6
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    account.add("j", "Completed")
    account.told["j"] = {"usage": {"status": "pending"}, "timestamps": {"finished": at(5)}}
    asked = []
    for _ in range(60):
        before = len(account.asked)
        refresh(ledger)
        if any(a[0] == "metrics" for a in account.asked[before:]):
            asked.append(now)
        now += 1.0
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert len(asked) > 2
    assert pauses == sorted(pauses)
    assert pauses[-1] > pauses[0]
    now += 3600.0
    account.told["j"] = {"usage": {"status": "complete", "qpu_charge_time_seconds": 7}, "timestamps": {}}
    refresh(ledger)
    assert ledger.snapshot().usage.reported == 7


def test_what_the_instance_has_left_is_asked_when_a_job_was_billed_and_at_most_every_half_minute(
    account, ledger, monkeypatch
):
    now = 1e6
    monkeypatch.setattr(clock, "monotonic", lambda: now)

    def asked_at_a_refresh():
        before = len(account.asked)
        refresh(ledger)
        return sum(a[0] == "usage_left" for a in account.asked[before:])

    assert asked_at_a_refresh() == 1
    now += 3600.0
    assert asked_at_a_refresh() == 0  # nothing was billed meanwhile
    for name in ("j", "k"):
        account.add(name, "Completed")
        account.told[name] = {"usage": {"status": "complete", "qpu_charge_time_seconds": 7}, "timestamps": {}}
        account.sessions["s"] = {
            "state": "active",
            "accepting_jobs": True,
            "last_job_completed": at(len(account.listed)),
        }
        assert asked_at_a_refresh() == (name == "j")
    now += 31.0
    assert asked_at_a_refresh() == 1


def test_a_workload_that_has_jobs_of_a_run_counts_as_one_that_this_one_continues(account, ledger):
    ledger.include("before")
    refresh(ledger)
    assert ledger.lineage == ("before",)
    assert ("session", "before") in account.asked
    jobs = Ledger(account, "r", "job", "b")
    jobs.include("before")
    assert jobs.lineage == ()  # job mode continues none


def test_an_answer_of_the_workload_before_is_not_taken_for_the_present_one(account, ledger):
    refresh(ledger)
    ledger.continue_in("t")
    ledger.read_session(Session("elsewhere", state="closed", accepting_jobs=False))
    ledger.read_session(Session("s", state="closed", accepting_jobs=False, elapsed_time=1))
    assert not ledger.closed


def test_the_workloads_it_continues_are_followed_to_their_end(account):
    ledger = Ledger(account, "s", "session", "b")
    account.sessions["s"] = {"id": "s", "state": "active", "accepting_jobs": False, "elapsed_time": 10}
    refresh(ledger)
    ledger.continue_in("t")
    account.sessions["t"] = {"id": "t", "state": "active", "accepting_jobs": True, "elapsed_time": None}
    account.sessions["s"] = {"id": "s", "state": "closed", "accepting_jobs": False, "elapsed_time": 25}
    refresh(ledger)
    assert ledger.snapshot().usage.reported == 25
    account.sessions["t"] = {"id": "t", "state": "closed", "accepting_jobs": False, "elapsed_time": 4}
    refresh(ledger)
    assert ledger.snapshot().usage.reported == 29
    account.asked.clear()
    refresh(ledger)
    assert not [a for a in account.asked if a[0] == "session"]


def test_watching_a_closed_workload_that_never_tells_its_usage_comes_to_an_end(account, ledger):
    account.add("j", "Cancelled")
    account.sessions["s"] = {"id": "s", "state": "closed", "accepting_jobs": False, "elapsed_time": None}
    looks = 0
    while pace(ledger) is not None:
        refresh(ledger)
        looks += 1
        assert looks < 100
    assert looks > 1
    assert ledger.snapshot().state is WorkloadState.CLOSED


def test_a_job_of_a_lost_answer_may_turn_up_after_all_others_ended(account):
    """In job mode watching ends with the last job: not while a duplicate may still appear."""
    ledger = Ledger(account, "aaaaaa", "job", "b")
    record = Record(JobState.REFUSED, key=AttemptKey("aaaaaa", 0, 1))
    ledger.add([record])
    ledger.add_run("aaaaaa")
    refresh(ledger)
    assert pace(ledger) is None
    record.doubted = clock.monotonic()
    assert pace(ledger) is not None
    account.add("late", tags=["qmode:aaaaaa", record.key.tag], session_id=None)
    refresh(ledger)
    assert record.job_id == "late"


def test_times_without_a_zone_are_utc():
    assert seconds("2026-01-01T00:00:00") == seconds("2026-01-01T00:00:00Z") == 1767225600.0


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 10**12)
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["Queued", "Completed", "active", "closed", at(3), "complete"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["status", "id", "timestamp"]), inner),
    max_leaves=6,
)
SESSION = (
    "state",
    "state_reason",
    "accepting_jobs",
    "interactive_ttl",
    "max_ttl",
    "active_ttl",
    "started_at",
    "activated_at",
    "closed_at",
    "last_job_started",
    "last_job_completed",
    "elapsed_time",
    "timestamps",
    "id",
)
JOB = (
    "id",
    "state",
    "status",
    "created",
    "tags",
    "session_id",
    "program",
    "usage",
    "private",
    "cost",
    "ended",
    "estimated_running_time_seconds",
)
METRICS = ("timestamps", "usage")


def some(names):
    return st.dictionaries(st.sampled_from(names), JSON)


@examples(100)
@given(some(SESSION), st.lists(some(JOB), max_size=3), some(METRICS), st.sampled_from(["batch", "session"]))
def test_no_answer_stops_the_watching(session, jobs, metrics, mode):
    """Fields may be null, missing, or of a kind nobody foresaw."""
    account = Account()
    ledger = Ledger(account, "s", mode, "b")
    account.session = answering(lambda: Session.of(session))
    account.jobs = answering(lambda: JobPage.of({"jobs": jobs, "count": None}))
    account.metrics = answering(lambda: Metrics.of(metrics))
    for _ in range(2):
        refresh(ledger)
        ledger.changed()
        ledger.used()
        ledger.idle_since()
        pace(ledger)
    shown = ledger.snapshot()
    assert {j.job_id for j in shown.jobs} <= {id_ for job in jobs if isinstance(id_ := job.get("id"), str)}
    assert shown.seen_at is not None


def test_a_job_that_ends_between_the_two_requests_of_a_refresh_is_not_missed(account):
    ledger = Ledger(account, "s", "batch", "b")
    account.sessions["s"] = {"id": "s", "state": "active", "last_job_completed": None}
    refresh(ledger)
    account.add("theirs", "Queued")
    asked = []

    def ends(*_):
        asked.append(1)
        if len(asked) == 2:  # after the first request of this refresh, whichever that is
            account.listed["theirs"]["state"] = {"status": "Completed"}
            account.sessions["s"] = {"id": "s", "state": "active", "last_job_completed": at(9)}

    account.spoil = {"jobs": ends, "session": ends}
    refresh(ledger)
    assert [j.job_id for j in ledger.snapshot().jobs] == ["theirs"]


def test_a_workload_with_hundreds_of_thousands_of_jobs_does_not_fill_the_memory(account, ledger, monkeypatch):
    monkeypatch.setattr("qmode_widgets.control.engine.look.MOST", 400)
    for i in range(1000):
        account.add(f"j{i}", "Completed")
    refresh(ledger)
    assert len(ids(ledger)) == 400
    assert any("only the newest are shown" in e.text for e in ledger.snapshot().events)


def test_what_of_a_page_cannot_be_read_is_named_and_hides_nothing_else(account, ledger):
    account.add("good", "Completed")
    account.add("odd", "Running")["usage"] = {"status": "complete", "qpu_charge_time_seconds": -5}
    account.add("none")["state"]["reason"] = 5
    refresh(ledger)
    assert set(ids(ledger)) == {"good", "odd", "none"}
    assert "qpu_charge_time_seconds -5: not a number of seconds" in ledger.snapshot().problem
    account.listed["odd"]["usage"] = account.listed["none"]["state"]["reason"] = None
    refresh(ledger)
    assert ledger.snapshot().problem is None


def test_a_quick_look_is_one_request_while_no_job_leaves_the_list_of_pending_ones(account, ledger):
    account.add("j", "Running")
    refresh(ledger)
    account.asked.clear()
    refresh(ledger, quick=True)
    assert [a[0] for a in account.asked] == ["jobs"]
    assert not ledger.looked_after(ledger.look)
    account.add("j", "Completed")
    refresh(ledger, quick=True)
    assert ledger.snapshot().jobs[0].state is JobState.DONE
