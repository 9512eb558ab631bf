"""A session's figures are right whatever the service leaves out."""

from __future__ import annotations

import asyncio

import pytest

from qmode_widgets.control.engine import look
from qmode_widgets.control.state.ledger import Ledger
from qmode_widgets.control.state.merge import merge
from qmode_widgets.control.state.record import Record, state_of
from qmode_widgets.ibm.wire import Job, JobUsage, Metrics, seconds
from qmode_widgets.model.partition import Partition, Piece
from qmode_widgets.model.snapshot import JobState
from qmode_widgets.model.tags import AttemptKey
from tests.unit.control.account import Account, at


@pytest.fixture
def account():
    return Account()


@pytest.fixture
def ledger(account):
    return Ledger(account, "s", "session", "b")


def session(account, **fields):
    account.sessions["s"] = {"id": "s", "state": "active", "accepting_jobs": True} | fields


def moves(*entries):
    return [{"status": status, "timestamp": at(t)} for status, t in entries]


def ran(account, id_, start, end):
    account.add(id_, "Completed")
    account.told[id_] = {
        "timestamps": {"running": at(start), "finished": at(end)},
        "usage": {"status": "complete", "qpu_charge_time_seconds": 1},
    }


def refresh(ledger):
    asyncio.run(look.refresh(ledger))


def test_what_a_job_used_stays_used_when_it_fails(ledger):
    """Its partial usage is left out of the answers from its failure until its bill is complete."""
    record = Record(JobState.RUNNING, job_id="j1", job=Job("j1", "Running", usage=JobUsage(3.0)))
    assert (record.usage().reported, record.usage().status) == (3.0, "running")
    record.read(Job("j1", "Failed"))
    assert (record.usage().reported, record.usage().status) == (3.0, "running")
    record.read_metrics(Metrics(usage=JobUsage(2.5, final=True)))
    assert (record.usage().reported, record.usage().status) == (2.5, "final")


def test_a_job_that_is_found_is_not_sent_again():
    record = Record(JobState.WAITING, job_id="j1", next_try=1e12)
    record.read(Job("j1", "Queued"))
    assert (record.snapshot().state, record.snapshot().next_try) == (JobState.QUEUED, None)


def test_a_batch_is_never_called_a_session(account):
    ledger = Ledger(account, "s", "batch", "b")
    for state in ("open", "active"):
        session(account, state=state, state_reason="session_activated")
        ledger.read_session(account.told_session("s"))
    assert [event.text for event in ledger.snapshot().events] == ["open → active: batch activated"]


def test_idle_time_leaves_out_inactive_stretches(account, ledger):
    session(
        account,
        started_at=at(0),
        activated_at=at(100),
        elapsed_time=70,
        timestamps=moves(("open", 0), ("active", 0), ("inactive", 40), ("active", 100)),
    )
    ran(account, "a", 0, 10)
    ran(account, "b", 100, 105)
    account.time = seconds(at(130))
    refresh(ledger)
    usage = ledger.snapshot().usage
    assert usage.idle == pytest.approx(40 - 10 + 30 - 5)
    assert usage.reported == 70


def test_idle_time_is_unknown_while_an_ended_jobs_times_are(account, ledger):
    session(account, started_at=at(0), activated_at=at(0), timestamps=moves(("active", 0)))
    ran(account, "a", 0, 10)
    account.time = seconds(at(30))
    account.told["a"] = {}
    refresh(ledger)
    assert ledger.snapshot().usage.idle is None


def test_without_transitions_idle_time_is_not_invented(account, ledger):
    session(account, state="inactive", started_at=at(0), activated_at=at(50))
    ran(account, "a", 0, 10)
    account.time = seconds(at(500))
    refresh(ledger)
    assert ledger.snapshot().usage.idle is None


def test_usage_for_the_cap_runs_by_the_clock_where_the_service_does_not_tell(account, ledger):
    session(account, elapsed_time=None, started_at=at(0), activated_at=at(0), timestamps=moves(("active", 0)))
    account.time = seconds(at(90))
    refresh(ledger)
    assert ledger.snapshot().usage.reported is None
    assert ledger.used() == pytest.approx(90)


def test_what_ended_badly_is_expected_to_cost_no_more(account):
    ledger = Ledger(account, "s", "batch", "b")
    part = Partition((Piece(0),), expected=10.0, formula="f")
    ledger.add(
        [
            Record(JobState.CANCELLED, partition=part, job_id="a", job=Job("a", "Cancelled")),
            Record(JobState.QUEUED, partition=part, job_id="b", job=Job("b", "Queued")),
        ]
    )
    assert ledger.snapshot().usage.estimated == 10.0


def test_idle_since_needs_no_interactive_ttl_and_goes_on_while_inactive(account, ledger):
    session(account, interactive_ttl=None, activated_at=at(0), last_job_completed=at(20))
    refresh(ledger)
    assert ledger.idle_since() == seconds(at(20))
    session(account, state="inactive", activated_at=at(0), last_job_completed=at(20))
    refresh(ledger)
    assert ledger.idle_since() == seconds(at(20))
    account.add("j")
    refresh(ledger)
    assert ledger.idle_since() is None


def test_thousands_of_remarks_push_no_warning_out(account, ledger):
    ledger.event("warning", "a double ran")
    for i in range(1000):
        ledger.event("info", f"remark {i}")
    events = ledger.snapshot().events
    assert events[0].text == "a double ran"
    assert [e.id for e in events] == sorted(e.id for e in events)
    assert len(events) == 201


def test_a_session_is_billed_on_while_the_service_does_not_answer(account, ledger):
    session(account, elapsed_time=None, started_at=at(0), activated_at=at(0), timestamps=moves(("active", 0)))
    account.time = seconds(at(90))
    refresh(ledger)
    account.time = seconds(at(150))
    assert ledger.used_by_the_clock() == pytest.approx(150)
    assert ledger.used() == pytest.approx(90)  # as far as the service has told: only this ends anything


@pytest.mark.parametrize(
    ("word", "reason_code", "ended", "state"),
    [
        ("Queued", None, False, JobState.QUEUED),
        ("Completed", None, False, JobState.DONE),
        ("Cancelled", None, False, JobState.CANCELLED),
        ("Cancelled - Ran too long", None, False, JobState.FAILED),
        ("Cancelled - Ran too long", None, True, JobState.FAILED),
        ("Cancelled", 1305, False, JobState.FAILED),
        ("Error: ran too long", None, False, JobState.FAILED),
        ("Expired", None, False, None),
        ("Expired", None, True, JobState.FAILED),
        ("Error: the backend stumbled", None, False, None),
        ("Error: the backend stumbled", None, True, JobState.FAILED),
        ("Canceled", None, True, JobState.CANCELLED),
        ("Done", None, True, JobState.DONE),
        ("Completing", None, False, None),
        ("Completing", None, True, JobState.FAILED),
    ],
)
def test_a_word_that_nobody_knows_is_an_end_only_where_the_job_is_known_to_have_ended(word, reason_code, ended, state):
    assert state_of(Job("j", word, reason_code=reason_code), ended=ended) is state
    if ended:  # or where it tells when
        assert state_of(Job("j", word, reason_code=reason_code, ended=1.0)) is state


def test_a_job_with_an_unknown_word_stays_as_it_was_until_it_has_ended_and_its_word_is_shown():
    record = Record(JobState.RUNNING, job_id="j1", job=Job("j1", "Running"))
    record.read(Job("j1", "Tuning"))
    assert record.state is JobState.RUNNING
    record.read(Job("j1", "Expired"), ended=True)
    assert record.state is JobState.FAILED
    assert "'Expired'" in record.snapshot().note
    assert record.snapshot().service_status == "Expired"


def listed(id_, *, session="s", run=None, run_tags=True):
    tags = (f"qmode:{run}", f"qmode:{run}:0.1.0") if run and run_tags else ()
    return Job(id_, "Queued", session_id=session, tags=tags)


@pytest.mark.parametrize("mode", ["batch", "session"])
def test_what_a_listing_shows_of_other_sessions_is_not_taken_over(account, mode):
    """A service that ignores the filter, and a job whose tags were copied into another workload."""
    ledger = Ledger(account, "s", mode, "b")
    ledger.add([Record(JobState.QUEUED, key=AttemptKey("aaaaaa", 0, 1), job_id="ours")], "aaaaaa")
    shown = [
        listed("ours", run="aaaaaa"),
        listed("users own", run=None),
        listed("a colleague's", session="theirs"),
        listed("copied", session="theirs", run="aaaaaa"),
        listed("no session", session=None),
        listed("no session, other run", session=None, run="bbbbbb"),
    ]
    seen = merge(ledger, shown, scope="s")
    assert seen == {j.id for j in shown}  # what was listed is known to be there, whosever it is
    assert {r.job_id for r in ledger.records.values()} == {"ours", "users own"}
    assert ledger.duplicates() == []


def test_a_listing_that_leaves_the_session_out_is_believed_where_our_tags_confirm_it(account):
    ledger = Ledger(account, "s", "batch", "b")
    ledger.add([Record(JobState.UNKNOWN, key=AttemptKey("aaaaaa", 0, 1))], "aaaaaa")
    merge(ledger, [listed("lost", session=None, run="aaaaaa")])
    assert ledger.find("lost") is None  # nobody asked for this session's jobs
    merge(ledger, [listed("lost", session=None, run="aaaaaa")], scope="s")
    assert ledger.find("lost") is not None


def test_in_job_mode_only_jobs_of_its_runs_without_a_session_are_taken_over(account):
    ledger = Ledger(account, "aaaaaa", "job", "b")
    ledger.add_run("aaaaaa")
    shown = [
        listed("ours", session=None, run="aaaaaa"),
        listed("another run", session=None, run="bbbbbb"),
        listed("copied", session="theirs", run="aaaaaa"),
        listed("untagged", session=None),
    ]
    merge(ledger, shown)
    assert {r.job_id for r in ledger.records.values()} == {"ours"}


def test_a_colleagues_job_in_a_listing_is_neither_billed_nor_waited_for(account, ledger):
    session(account, elapsed_time=5)
    account.add("ours", "Completed")
    account.add("theirs", "Running", session_id="t")
    real = account.jobs

    async def without_filter(**query):
        return await real(**query | {"session_id": None})

    account.jobs = without_filter
    refresh(ledger)
    assert [j.job_id for j in ledger.snapshot().jobs] == ["ours"]
