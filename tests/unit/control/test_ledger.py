"""Observers hear what is newest last; a session's figures are right whatever the service leaves out."""

from __future__ import annotations

import queue
import threading

import pytest

from qmode_widgets.control.engine.look import refresh
from qmode_widgets.control.state.ledger import Ledger
from qmode_widgets.control.state.record import Record
from qmode_widgets.ibm.wire import Job, JobUsage, Metrics, seconds
from qmode_widgets.model.partition import Partition, Piece
from qmode_widgets.model.snapshot import JobState
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


def say(ledger, text):
    ledger.event("info", text)
    ledger.changed()


class Heard:
    """An observer that keeps the newest event of each snapshot it hears."""

    def __init__(self, ledger):
        self._queue = queue.SimpleQueue()
        ledger.observe(lambda shot: self._queue.put(shot.events[-1].text if shot.events else None))

    def until(self, text):
        found = []
        while text not in found:
            found.append(self._queue.get(timeout=60))
        return found


def test_an_observer_that_changes_the_workload_lets_the_others_hear_the_newest_last(ledger):
    def meddle(shot):
        if shot.events[-1].text == "first":
            say(ledger, "second")

    ledger.observe(meddle)
    heard = Heard(ledger)
    say(ledger, "first")
    assert heard.until("second") == ["first", "second"]


def test_a_slow_observer_holds_up_nobody_and_misses_nothing_that_stays(ledger):
    entered, release = threading.Event(), threading.Event()

    def slow(_):
        entered.set()
        release.wait(60)

    ledger.observe(slow)
    heard = Heard(ledger)
    say(ledger, "first")
    assert entered.wait(60)
    for text in ("a", "b", "c"):
        say(ledger, text)  # returns at once
    release.set()
    assert heard.until("c") == ["first", "c"]


def test_an_observer_that_raises_does_not_silence_the_others(ledger):
    def broken(_):
        raise RuntimeError("mine")

    ledger.observe(broken)
    heard = Heard(ledger)
    say(ledger, "first")
    say(ledger, "after")
    assert heard.until("after")[-1] == "after"


def test_an_observer_may_refresh_while_another_thread_holds_the_look(account, ledger):
    """A callback that refreshes, while the watcher looks and waits for it: neither waits for ever."""
    refreshed, looking = threading.Event(), threading.Event()

    def refreshing(_):
        looking.wait(60)
        refresh(ledger)
        refreshed.set()

    ledger.observe(refreshing)
    with ledger.looking:
        say(ledger, "first")  # the watcher's way: it tells while it holds the look
        looking.set()
    assert refreshed.wait(60)


def test_an_observer_is_known_as_one(ledger):
    found = queue.SimpleQueue()
    ledger.observe(lambda _: found.put(ledger.telling))
    say(ledger, "first")
    assert found.get(timeout=60)
    assert not ledger.telling


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
        ledger.read_session(account.session("s"))
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
    assert ledger.used() == pytest.approx(150)
