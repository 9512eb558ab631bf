"""What a bound asks for is asked for until the service took it, and one bound never keeps another from acting."""

from __future__ import annotations

import pytest

from qmode_widgets.control import actions
from qmode_widgets.control.engine.guards import Guards
from qmode_widgets.control.engine.look import refresh
from qmode_widgets.control.state.ledger import Ledger
from qmode_widgets.control.state.record import Record
from qmode_widgets.errors import QmodeError, ServiceError, UnreachableError
from qmode_widgets.ibm.wire import Job, seconds
from qmode_widgets.model.snapshot import JobState
from qmode_widgets.model.tags import AttemptKey
from tests.unit.control.account import Account, at, refuse


class Answers:
    """Results by job, or the errors that come instead of them; the last one stays."""

    def __init__(self, ledger, answers):
        self.ledger, self._answers = ledger, answers

    def of(self, record, *, patient=True):
        answers = self._answers[record.job_id]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Desk:
    def __init__(self, mode="batch", retries=0):
        self.account = Account()
        self.ledger = Ledger(self.account, "s", mode, "b")
        self.did = []
        self.guards = Guards(self.ledger, self.act, retries=retries)

    def act(self, what):
        self.did.append(what)
        match what:
            case "close":
                self.account.close("s")
                self.ledger.refuse_jobs()
            case "cancel_remaining":
                actions.cancel(self.ledger, actions.remaining(self.ledger))
            case "cancel_stopped":
                actions.cancel(self.ledger, self.guards.to_cancel())

    def look(self):
        refresh(self.ledger)
        self.guards.look()

    def texts(self):
        return [e.text for e in self.ledger.snapshot().events]


@pytest.fixture(autouse=True)
def _hasty(monkeypatch):
    monkeypatch.setattr("qmode_widgets.ibm.link.PAUSES", ())


def test_a_cap_goes_on_until_the_service_took_it():
    desk = Desk()
    desk.guards.cap(5)
    desk.account.add("done", "Completed")
    desk.account.told["done"] = {"usage": {"status": "complete", "qpu_charge_time_seconds": 6}, "timestamps": {}}
    desk.account.add("left")
    desk.account.spoil |= {"cancel_job": refuse(503, times=1), "close": refuse(503, times=2)}
    for _ in range(3):
        desk.look()
    assert desk.account.cancelled == ["left"]
    assert desk.account.closed == ["s"]
    assert sum("is reached" in t for t in desk.texts()) == 1
    assert any("spoiled" in t and "tried again" in t for t in desk.texts())
    before = len(desk.did)
    desk.look()
    assert len(desk.did) == before


def test_a_sessions_cap_acts_while_it_idles_and_the_service_tells_no_usage():
    desk = Desk("session")
    desk.guards.cap(60)
    desk.account.sessions["s"] = {
        "id": "s",
        "state": "active",
        "accepting_jobs": True,
        "elapsed_time": None,
        "started_at": at(0),
        "activated_at": at(0),
        "timestamps": [{"status": "active", "timestamp": at(0)}],
    }
    desk.account.time = seconds(at(50))
    desk.look()
    assert desk.guards.stopped is None
    assert desk.guards.alarm == pytest.approx(seconds(at(60)))
    desk.account.time = seconds(at(61))
    desk.look()
    assert desk.account.closed == ["s"]


def test_a_higher_cap_lets_work_go_on():
    desk = Desk("job")
    desk.guards.cap(5)
    desk.account.add("done", "Completed", tags=["qmode:aaaaaa", "qmode:aaaaaa:0.1.0"], session_id=None)
    desk.ledger.add_run("aaaaaa")
    desk.account.told["done"] = {"usage": {"status": "complete", "qpu_charge_time_seconds": 6}, "timestamps": {}}
    desk.look()
    assert desk.guards.stopped
    desk.guards.cap(10)
    desk.look()
    assert desk.guards.stopped is None


@pytest.mark.parametrize("state", ["active", "inactive"])
def test_an_idle_session_is_closed_even_if_the_first_request_fails_and_no_interactive_ttl_is_told(state):
    desk = Desk("session")
    desk.guards.close_when_idle(30)
    desk.account.sessions["s"] = {
        "id": "s",
        "state": state,
        "accepting_jobs": True,
        "interactive_ttl": None,
        "last_job_completed": at(10),
    }
    desk.account.spoil["close"] = refuse(500, times=1)
    desk.account.time = seconds(at(39))
    desk.look()
    assert desk.guards.alarm == seconds(at(40))
    assert desk.did == []
    desk.account.time = seconds(at(41))
    for _ in range(3):
        desk.look()
    assert desk.account.closed == ["s"]
    assert sum("idle for 30 s" in t for t in desk.texts()) == 1


def judged(desk, answers, predicate=None):
    seen = []

    def remember(result, job):
        seen.append((job.job_id, result))
        return result == "bad"

    desk.guards.stop_when(predicate or remember, Answers(desk.ledger, answers))
    return seen


def test_a_result_that_cannot_be_fetched_now_is_judged_later():
    desk = Desk()
    desk.account.add("a", "Completed")
    desk.account.add("b")
    stumble = [ServiceError("busy", status=503), UnreachableError("gone", sent=True), "bad"]
    seen = judged(desk, {"a": stumble})
    for _ in range(4):
        desk.look()
    assert seen == [("a", "bad")]
    assert desk.account.cancelled == ["b"]


def test_a_result_that_cannot_be_decoded_is_said_once_and_the_others_are_judged():
    desk = Desk()
    for id_ in "ab":
        desk.account.add(id_, "Completed")
    desk.account.add("c")
    seen = judged(desk, {"a": [QmodeError("cannot be decoded")], "b": ["bad"]})
    desk.look()
    desk.look()
    assert seen == [("b", "bad")]
    assert desk.account.cancelled == ["c"]
    assert sum("cannot be decoded" in t for t in desk.texts()) == 1


def test_a_condition_that_is_met_cancels_until_the_service_took_it_and_ends_retries():
    desk = Desk(retries=2)
    desk.account.add("a", "Completed")
    desk.account.add("b")
    failed = {"status": "Failed", "reason_code": 9707}
    desk.account.add("f", "Failed", tags=["qmode:aaaaaa", "qmode:aaaaaa:0.1.0"], state=failed)
    judged(desk, {"a": ["bad"]})
    desk.account.spoil["cancel_job"] = refuse(503, times=1)
    for _ in range(3):
        desk.look()
    assert desk.account.cancelled == ["b"]
    assert "retry" not in desk.did


def test_one_broken_condition_leaves_the_other_on():
    desk = Desk()
    desk.account.add("a", "Completed")
    desk.account.add("b")

    def broken(result, job):
        raise KeyError("register")

    judged(desk, {"a": ["bad"]}, broken)
    judged(desk, {"a": ["bad"]})
    desk.look()
    assert desk.account.cancelled == ["b"]


def test_a_condition_may_refresh_without_being_asked_again():
    desk = Desk()
    desk.account.add("a", "Completed")
    calls = []

    def nosy(result, job):
        calls.append(job.job_id)
        desk.look()
        return False

    judged(desk, {"a": ["x"]}, nosy)
    desk.look()
    assert calls == ["a"]


def test_only_what_will_really_be_retried_counts_as_not_ended():
    desk = Desk(retries=1)
    record = Record(JobState.FAILED, key=AttemptKey("aaaaaa", 0, 1), job_id="j")
    record.read(Job("j", "Failed", reason_code=9707))
    desk.ledger.add([record])
    assert desk.guards.will_retry(record)
    desk.guards.give_up([record])
    assert not desk.guards.will_retry(record)


@pytest.mark.parametrize(
    ("code", "attempt", "again"), [(1217, 1, True), (1217, 0, False), (1217, 2, False), (1352, 1, False)]
)
def test_a_retry_that_a_closing_overtook_goes_on_and_nothing_else_that_was_refused(code, attempt, again):
    """The block ended between the failure and the retry's submission: the retry never ran."""
    ledger = Ledger(Account(), "s", "batch", "b")
    record = Record(JobState.REFUSED, key=AttemptKey("abcdef12", 0, 1, attempt))
    record.error = ServiceError("closed", status=400, code=code)
    ledger.add([record], "abcdef12")
    assert Guards(ledger, lambda _: None, retries=1).will_retry(record) is again
