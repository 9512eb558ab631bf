"""What a user took back never runs, whatever the answer to its submission was; and no duplicate runs unseen."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmode_widgets.control.engine import actions, look
from qmode_widgets.control.engine.attempt import PartitionAttempt
from qmode_widgets.control.state.ledger import Ledger
from qmode_widgets.control.state.record import Record
from qmode_widgets.errors import ServiceError
from qmode_widgets.ibm.client import Captured
from qmode_widgets.model.outcome import Cancelled
from qmode_widgets.model.snapshot import JobState
from qmode_widgets.model.tags import AttemptKey
from tests.examples import examples
from tests.unit.control.account import Account, refuse


def refresh(ledger):
    asyncio.run(look.refresh(ledger))


def cancel_found(ledger):
    asyncio.run(actions.cancel_found(ledger))


def cancel_duplicates(ledger):
    asyncio.run(actions.cancel_duplicates(ledger))


def tidy(ledger):
    """What a workload begins when it is asked to tidy."""
    actions.report_doubles(ledger)
    if actions.to_tidy(ledger):
        cancel_found(ledger)
        cancel_duplicates(ledger)


class Desk:
    """A ledger with one partition about to be sent."""

    def __init__(self):
        self.account = Account()
        self.ledger = Ledger(self.account, "s", "batch", "b")
        self.key = AttemptKey("abcdef12", 0, 1)
        payload = Captured("sampler", "b", None, (), False, {"params": {}})
        self.record = Record(JobState.WAITING, key=self.key, captured=payload)
        self.ledger.add([self.record], self.key.run)
        self.stopped = None
        self.attempt = PartitionAttempt(
            self.ledger, self.record, stopped=lambda: self.stopped, wake=lambda: None, tidy=lambda: tidy(self.ledger)
        )

    def create(self, id_="j1"):
        return self.account.add(id_, tags=["qmode:abcdef12", self.key.tag])

    def cancel(self):
        return next(iter(asyncio.run(actions.cancel(self.ledger, [self.record])).values()))


@pytest.fixture
def desk():
    return Desk()


def test_taken_back_before_it_is_sent_nothing_is_posted(desk):
    assert desk.cancel().result is Cancelled.DROPPED
    assert desk.attempt.body() is None


def test_once_a_cap_has_acted_nothing_more_is_posted(desk):
    desk.stopped = "the usage cap is reached"
    assert desk.attempt.body() is None
    assert desk.record.state is JobState.DROPPED
    assert "usage cap" in desk.record.note


def test_taken_back_while_its_post_is_under_way_it_is_cancelled_when_the_answer_comes(desk):
    assert desk.attempt.body() is not None
    assert desk.cancel().result is Cancelled.WHEN_ANSWERED
    assert not desk.record.state.final
    desk.create()
    desk.attempt.posted("j1")
    assert desk.account.cancelled == ["j1"]


def test_taken_back_while_its_post_is_under_way_it_is_not_posted_again_when_the_answer_is_lost(desk):
    desk.attempt.body()
    desk.cancel()
    desk.attempt.unknown("504")
    desk.attempt.waiting("not on the service: sending it again")
    assert desk.record.state is JobState.DROPPED
    assert not desk.attempt.wanted()


def test_taken_back_and_then_refused_it_is_not_offered_for_resubmission(desk):
    desk.attempt.body()
    desk.cancel()
    desk.attempt.refused(ServiceError("no", status=400))
    assert desk.record.state is JobState.DROPPED
    assert actions.failed(desk.ledger) == []


def test_what_the_listing_of_the_workload_shows_is_cancelled_even_if_the_look_up_never_finds_it(desk):
    desk.attempt.body()
    desk.attempt.unknown("504")
    desk.cancel()
    desk.create()
    refresh(desk.ledger)
    cancel_found(desk.ledger)
    assert desk.account.cancelled == ["j1"]


def test_what_turns_up_after_it_was_given_up_is_cancelled(desk):
    desk.attempt.body()
    desk.attempt.unknown("504")
    desk.cancel()
    desk.attempt.waiting("not on the service")
    assert desk.record.state is JobState.DROPPED
    desk.create()
    refresh(desk.ledger)
    cancel_found(desk.ledger)
    assert desk.account.cancelled == ["j1"]


def test_an_error_after_the_answer_does_not_make_a_job_refused(desk):
    desk.attempt.body()
    desk.attempt.posted("j1")
    desk.attempt.refused(ServiceError("late", status=0))
    assert desk.record.state is JobState.QUEUED


def test_a_second_answer_to_one_attempt_is_a_duplicate_cancelled_at_once(desk):
    """The watcher found the first job while the second POST was on its way."""
    desk.attempt.body()
    desk.attempt.unknown("504")
    desk.create("j1")
    refresh(desk.ledger)
    desk.create("j2")
    desk.attempt.posted("j2")
    cancel_duplicates(desk.ledger)
    assert desk.account.cancelled == ["j2"]
    assert any("j2 is a duplicate of j1" in e.text for e in desk.ledger.snapshot().events)


def test_a_duplicate_that_cannot_be_cancelled_now_is_cancelled_later_and_said_once(desk, monkeypatch):
    monkeypatch.setattr("qmode_widgets.ibm.link.PAUSES", ())
    desk.attempt.body()
    desk.create("j1")
    desk.attempt.sent_again = True
    desk.attempt.posted("j1")
    refresh(desk.ledger)
    desk.create("j2")
    refresh(desk.ledger)
    desk.account.spoil["cancel_job"] = refuse(503, times=2)
    for _ in range(3):
        cancel_duplicates(desk.ledger)
    assert desk.account.cancelled == ["j2"]
    assert sum(": refused: 503" in e.text for e in desk.ledger.snapshot().events) == 1


STEPS = st.lists(st.sampled_from(["cancel", "look"]), max_size=2)


@examples(60)
@given(st.booleans(), st.booleans(), STEPS, STEPS, STEPS)
def test_cancelled_at_any_moment_it_does_not_run_and_is_not_left_open(created, answered, before, during, after):
    desk = Desk()

    def do(steps):
        for step in steps:
            if step == "cancel":
                desk.cancel()
            else:
                refresh(desk.ledger)
                cancel_found(desk.ledger)

    do(before)
    sent = desk.attempt.body() is not None
    assert sent is ("cancel" not in before)
    if sent:
        do(during)
        if created:
            desk.create()
        if answered and created:
            desk.attempt.posted("j1")
        elif answered:
            desk.attempt.refused(ServiceError("no", status=400))
        else:
            desk.attempt.unknown("504")
            do(after)
            if not created:
                desk.attempt.waiting("not on the service")
    do(["cancel", "look", "look"])
    assert desk.record.state.final
    assert [j["state"]["status"] for j in desk.account.listed.values()] == ["Cancelled"] * (sent and created)


STATUS = st.sampled_from(["Queued", "Running", "Completed", "Failed", "Cancelled"])


@examples(50)
@given(st.tuples(STATUS, STATUS), st.booleans())
def test_two_kernels_that_resubmitted_one_job_keep_the_same_one(states, older_first):
    """Each sees its own first: they must not cancel each other's."""
    stays = set()
    for own in ("j1", "j2"):
        desk = Desk()
        for id_, status in (("j1", states[0]), ("j2", states[1])):
            desk.create(id_)["state"] = {"status": status}
        desk.account.listed["j1"]["created"] = "2026-01-01T00:00:00Z" if older_first else "2026-01-01T00:00:09Z"
        desk.account.listed["j2"]["created"] = "2026-01-01T00:00:05Z"
        desk.attempt.body()
        desk.attempt.sent_again = True
        desk.attempt.posted(own)
        refresh(desk.ledger)
        refresh(desk.ledger)
        cancel_duplicates(desk.ledger)
        live = {j["id"] for j in desk.account.listed.values() if j["state"]["status"] in ("Queued", "Running")}
        assert len(live) <= 1
        assert desk.ledger.records[desk.key.row].job_id not in desk.account.cancelled
        stays.add(desk.ledger.records[desk.key.row].job_id)
    assert len(stays) == 1 or states == ("Completed", "Completed")


def test_a_double_that_ran_is_reported_with_what_it_cost(desk):
    desk.attempt.body()
    desk.attempt.sent_again = True
    desk.attempt.posted("j1")
    desk.create("j1")["state"] = {"status": "Completed"}
    desk.create("j2")["state"] = {"status": "Completed"}
    desk.account.told["j2"] = {
        "usage": {"status": "complete", "qpu_charge_time_seconds": 2},
        "timestamps": {"finished": "2026-01-01T00:00:05Z"},
    }
    refresh(desk.ledger)
    refresh(desk.ledger)
    cancel_duplicates(desk.ledger)
    actions.report_doubles(desk.ledger)
    actions.report_doubles(desk.ledger)
    told = [e.text for e in desk.ledger.snapshot().events if e.level == "warning"]
    assert len(told) == 2
    assert "j2 is a duplicate of j1" in told[0]
    assert "the second job j2 of job j1 used 2 s, which is billed" in told[1]
    assert desk.account.cancelled == []
    assert desk.ledger.snapshot().usage.reported == 3  # both are billed


def test_a_held_partition_is_over_for_those_who_wait_and_can_be_resubmitted_by_its_user(desk):
    desk.attempt.body()
    desk.attempt.unknown("504")
    desk.attempt.held("no listing shows it")
    assert desk.record.over
    assert not desk.record.state.final
    assert actions.unsent(desk.ledger) == []
    assert actions.failed(desk.ledger) == []  # never by itself
    payload = asyncio.run(actions.payload_of(desk.ledger, desk.record))
    (fresh,) = actions.next_attempts(desk.ledger, [desk.record], [payload], lambda run: False)
    assert fresh.key.attempt == 1
    desk.create("j1")  # the lost one turns up after all
    refresh(desk.ledger)
    cancel_found(desk.ledger)
    assert desk.account.cancelled == ["j1"]


def test_what_is_taken_back_without_a_request_is_what_has_no_job_yet(desk):
    """`take_back` cannot wait: at an interrupt there is nobody to wait for."""
    sent = Record(JobState.QUEUED, key=AttemptKey("abcdef12", 1, 2), job_id="j9")
    desk.ledger.add([sent])
    actions.take_back(desk.ledger, [desk.record, sent])
    assert desk.record.state is JobState.DROPPED
    assert sent.state is JobState.QUEUED
    assert desk.account.asked == []
