"""What a bound asks for is asked for until the service took it, and one bound never keeps another from acting."""

from __future__ import annotations

import asyncio
import queue
import threading

import pytest

from qmode_widgets.control.engine import actions
from qmode_widgets.control.engine.guards import Guards
from qmode_widgets.control.engine.look import refresh
from qmode_widgets.control.engine.observers import News
from qmode_widgets.control.state.ledger import Ledger
from qmode_widgets.control.state.record import Record
from qmode_widgets.errors import QmodeError, ServiceError, UnreachableError
from qmode_widgets.ibm.wire import Job, seconds
from qmode_widgets.model.snapshot import JobState
from qmode_widgets.model.tags import AttemptKey
from qmode_widgets.portal import portal
from tests.unit.control.account import Account, at, refuse


class Answers:
    """Results by job, or the errors that come instead of them; the last one stays. An error of decoding comes late."""

    def __init__(self, ledger, answers):
        self.ledger, self._answers = ledger, answers

    async def fetch(self, record):
        answers = self._answers[record.job_id]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, ServiceError | UnreachableError):
            raise answer
        return "sampler", answer

    def decoded(self, record, raw):
        if isinstance(raw[1], Exception):
            raise raw[1]
        return raw[1]


class Desk:
    """A workload with guards and nothing else: what they ask for is begun, and `look` waits for its end."""

    def __init__(self, mode="batch", retries=0):
        self.account = Account()
        self.ledger = Ledger(self.account, "s", mode, "b")
        self.news = portal().call(News, self.ledger)
        self.did, self._begun = [], {}
        self.guards = Guards(self.ledger, self.act, retries=retries)

    def act(self, what):
        self.did.append(what)
        if what not in self._begun:
            self._begun[what] = portal().spawn(self._do(what))

    async def _do(self, what):
        try:
            match what:
                case "close":
                    await self.account.close("s")
                    self.ledger.refuse_jobs()
                case "cancel_remaining":
                    await self._cancel(actions.remaining(self.ledger))
                case "cancel_stopped":
                    await self._cancel(self.guards.to_cancel())
        except QmodeError as error:
            self.guards.failed(what, error)
        finally:
            del self._begun[what]
        self.ledger.changed()

    async def _cancel(self, chosen):
        outcomes = await actions.cancel(self.ledger, chosen)
        if outcomes.failed:
            raise QmodeError(str(outcomes))

    def look(self):
        portal().call(self._look)

    async def _look(self):
        await refresh(self.ledger)
        self.guards.look()
        await asyncio.gather(*self._begun.values())

    def think(self):
        """Look at what is known, without the service."""

        async def guards_alone():
            self.guards.look()
            await asyncio.gather(*self._begun.values())

        portal().call(guards_alone)

    def until(self, ready):
        portal().call(self.news.until, ready, timeout=60, waits=True)

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


ACTIVE = {
    "id": "s",
    "state": "active",
    "accepting_jobs": True,
    "elapsed_time": None,
    "started_at": at(0),
    "activated_at": at(0),
    "timestamps": [{"status": "active", "timestamp": at(0)}],
}


def test_a_sessions_cap_acts_while_it_idles_and_the_service_tells_no_usage():
    desk = Desk("session")
    desk.guards.cap(60)
    desk.account.sessions["s"] = ACTIVE
    desk.account.time = seconds(at(50))
    desk.look()
    assert desk.guards.stopped is None
    assert desk.guards.alarm == pytest.approx(seconds(at(60)))
    desk.account.time = seconds(at(61))
    desk.look()
    assert desk.account.closed == ["s"]


def test_by_the_clock_alone_a_cap_holds_and_ends_nothing_until_the_service_was_heard():
    """The laptop slept, or the network was away: the session may have been closed long ago."""
    desk = Desk("session")
    desk.guards.cap(60)
    desk.account.sessions["s"] = ACTIVE
    desk.account.add("queued")
    desk.account.time = seconds(at(50))
    desk.look()
    assert desk.guards.held is None
    desk.account.time = seconds(at(5000))
    desk.think()
    desk.think()
    assert "by the clock the usage cap of 60 s may be reached" in desk.guards.held
    assert desk.guards.stopped is None
    assert set(desk.did) == {"look"}  # it asks to hear the service
    assert (desk.account.cancelled, desk.account.closed) == ([], [])
    assert sum("nothing more is sent until it is" in t for t in desk.texts()) == 1
    # The service says: it was active for 55 s and waits since.
    desk.account.sessions["s"] = ACTIVE | {
        "state": "inactive",
        "elapsed_time": 55,
        "timestamps": [{"status": "active", "timestamp": at(0)}, {"status": "inactive", "timestamp": at(55)}],
    }
    desk.look()
    assert desk.guards.held is None
    assert desk.guards.stopped is None
    assert (desk.account.cancelled, desk.account.closed) == ([], [])
    assert any("what was held is sent" in t for t in desk.texts())


def test_what_the_clock_guessed_and_the_service_then_reports_ends_it():
    desk = Desk("session")
    desk.guards.cap(60)
    desk.account.sessions["s"] = ACTIVE
    desk.account.add("queued")
    desk.account.time = seconds(at(50))
    desk.look()
    desk.account.time = seconds(at(70))
    desk.think()
    assert desk.account.closed == []
    desk.account.sessions["s"] = ACTIVE | {"elapsed_time": 70}
    desk.look()
    assert desk.account.closed == ["s"]
    assert desk.account.cancelled == ["queued"]
    assert desk.guards.held is None  # it is stopped, which says more


def test_an_idle_close_that_is_due_by_the_clock_hears_the_service_first():
    """Another kernel may have submitted meanwhile."""
    desk = Desk("session")
    desk.guards.close_when_idle(30)
    desk.account.sessions["s"] = ACTIVE | {"last_job_completed": at(10)}
    desk.account.time = seconds(at(20))
    desk.look()
    desk.account.time = seconds(at(100))
    desk.think()
    assert desk.account.closed == []
    assert desk.did == ["look"]
    desk.account.add("theirs", "Running")
    desk.look()
    assert desk.account.closed == []


def test_what_waits_is_held_while_the_service_does_not_say_what_a_job_used():
    desk = Desk()
    desk.guards.cap(60)
    desk.account.add("j", "Completed")
    desk.account.told["j"] = {"usage": {"status": "pending"}, "timestamps": {"finished": at(5)}}
    desk.look()
    assert desk.guards.held is None  # asked once: it may be late
    desk.ledger.records["j"].metrics_due = 0.0
    desk.look()
    assert "does not say what" in desk.guards.held
    desk.account.told["j"] = {"usage": {"status": "complete", "qpu_charge_time_seconds": 7}, "timestamps": {}}
    desk.ledger.records["j"].metrics_due = 0.0
    desk.look()
    assert desk.guards.held is None


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
    seen = queue.SimpleQueue()

    def remember(result, job):
        seen.put((job.job_id, result))
        return result == "bad"

    desk.guards.stop_when(predicate or remember, Answers(desk.ledger, answers))
    return seen


def test_a_result_that_cannot_be_fetched_now_is_judged_later():
    desk = Desk()
    desk.account.add("a", "Completed")
    desk.account.add("b")
    stumble = [ServiceError("busy", status=503), UnreachableError("gone", sent=True), "bad"]
    seen = judged(desk, {"a": stumble})
    for _ in range(2):
        desk.look()
    assert seen.empty()
    desk.look()
    assert seen.get(timeout=60) == ("a", "bad")
    desk.until(lambda: desk.account.cancelled == ["b"])
    desk.look()
    assert seen.empty()


def test_a_result_that_cannot_be_decoded_is_said_once_and_the_others_are_judged():
    desk = Desk()
    for id_ in "ab":
        desk.account.add(id_, "Completed")
    desk.account.add("c")
    seen = judged(desk, {"a": [QmodeError("cannot be decoded")], "b": ["bad"]})
    desk.look()
    assert seen.get(timeout=60) == ("b", "bad")
    desk.until(lambda: desk.account.cancelled == ["c"])
    desk.look()
    assert seen.empty()
    assert sum("cannot be decoded" in t for t in desk.texts()) == 1


def test_a_condition_that_is_met_cancels_until_the_service_took_it_and_ends_retries():
    desk = Desk(retries=2)
    desk.account.add("a", "Completed")
    desk.account.add("b")
    failed = {"status": "Failed", "reason_code": 9707}
    desk.account.add("f", "Failed", tags=["qmode:aaaaaa", "qmode:aaaaaa:0.1.0"], state=failed)
    judged(desk, {"a": ["bad"]})
    desk.account.spoil["cancel_job"] = refuse(503, times=1)
    desk.look()
    desk.until(lambda: any("it is tried again" in t for t in desk.texts()))
    desk.did.clear()
    assert desk.account.cancelled == []
    desk.look()
    assert desk.account.cancelled == ["b"]
    assert set(desk.did) == {"cancel_stopped"}  # and what failed is not run again


def test_one_broken_condition_leaves_the_other_on():
    desk = Desk()
    desk.account.add("a", "Completed")
    desk.account.add("b")
    desk.account.add("c")

    def broken(result, job):
        raise KeyError("register")

    judged(desk, {"a": ["fine"]}, broken)
    seen = judged(desk, {"a": ["fine"], "c": ["bad"]})
    desk.look()
    desk.until(lambda: any("the stop condition failed and is off" in t for t in desk.texts()))
    assert seen.get(timeout=60) == ("a", "fine")
    desk.account.add("c", "Completed")
    desk.look()
    desk.until(lambda: desk.account.cancelled == ["b"])
    assert sum("is off" in t for t in desk.texts()) == 1


def test_a_condition_may_refresh_without_being_asked_again():
    """It waits for the loop on a thread of its own: the loop does not wait for it."""
    desk = Desk()
    desk.account.add("a", "Completed")
    calls, done = [], queue.SimpleQueue()

    def nosy(result, job):
        calls.append(job.job_id)
        desk.look()
        done.put(None)
        return False

    judged(desk, {"a": ["x"]}, nosy)
    desk.look()
    done.get(timeout=60)
    desk.look()
    assert calls == ["a"]


def test_a_condition_that_does_not_return_keeps_no_cap_from_acting():
    desk = Desk()
    desk.account.add("a", "Completed")
    desk.account.add("b")
    entered, free = threading.Event(), threading.Event()

    def thinks(result, job):
        entered.set()
        return free.wait(60)

    judged(desk, {"a": ["x"]}, thinks)
    desk.look()
    assert entered.wait(60)
    desk.guards.cap(0.5)
    desk.look()
    assert desk.account.cancelled == ["b"]
    free.set()


def test_what_is_still_to_be_judged_is_judged_no_more_once_the_condition_is_met():
    desk = Desk()
    for id_ in "abc":
        desk.account.add(id_, "Completed")
    seen = judged(desk, {id_: ["bad"] for id_ in "abc"})
    desk.look()
    desk.until(lambda: any("the stop condition was met" in t for t in desk.texts()))
    desk.look()
    assert seen.qsize() == 1


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
