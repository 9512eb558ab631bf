"""Exactly once: whatever the service answers to a POST and however its listing lags, one attempt makes one job."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmode_widgets.control.submission import LAG, Attempt, Submitter
from qmode_widgets.errors import ServiceError, UnreachableError
from qmode_widgets.ibm.wire import Job, JobPage


class Service:
    """The little of a service that a submission meets, on a virtual clock, with answers drawn by the test."""

    def __init__(self, answers, lag):
        self.now, self.answers, self.lag = 0.0, list(answers), lag
        self.jobs_made: list[tuple[float, str]] = []
        self.posts = 0

    def clock(self):
        return self.now

    def post_job(self, body):
        self.now += 0.05
        self.posts += 1
        answer = self.answers.pop(0) if self.answers else "ok"
        if answer in ("ok", "504 after", "dropped after", "cut short"):
            self.jobs_made.append((self.now, json.loads(body)["tag"]))
        match answer:
            case "ok":
                return f"j{len(self.jobs_made) - 1}"
            case "504 after" | "504 before":
                raise ServiceError("gateway time-out", status=504)
            case "dropped after" | "dropped before" | "cut short":
                raise UnreachableError("the connection to the service was lost", sent=True)
            case "no connection":
                raise UnreachableError("the service cannot be reached", sent=False)
            case "429":
                raise ServiceError("too many requests", status=429, code=1202)
            case "429 Retry-After":
                raise ServiceError("too many requests", status=429, code=1202, retry_after=3.0)
            case "refused":
                raise ServiceError("session has been closed", status=400, code=1217)
        raise AssertionError(answer)

    def jobs(self, *, tags=(), limit=200, oldest_first=False):
        self.now += 0.05
        answer = self.answers.pop(0) if self.answers and self.answers[0].startswith("listing") else None
        if answer == "listing 500":
            raise ServiceError("internal error", status=500)
        seen = [i for i, (at, tag) in enumerate(self.jobs_made) if tag in tags and at + self.lag <= self.now]
        return JobPage(tuple(Job(f"j{i}", "Queued") for i in seen[:limit]), len(seen[:limit]), len(seen))


class Outcome(Attempt):
    def __init__(self, tag, group=""):
        super().__init__(tag, group)
        self.job, self.error, self.doubts, self.asked = None, None, 0, True

    def attempt(self):
        return self

    def body(self):
        return json.dumps({"tag": self.tag})

    def wanted(self):
        return self.asked and self.error is None

    def posted(self, job_id):
        assert self.job is None, "posted twice"
        self.job = job_id

    def refused(self, error):
        self.error = error

    def unknown(self, why):
        self.doubts += 1

    def waiting(self, why):
        pass


def run(service, outcomes, steps=5000):
    submitter = Submitter(service, clock=service.clock)
    submitter._due = [(0.0, i, o.attempt()) for i, o in enumerate(outcomes)]
    for _ in range(steps):
        pause = submitter.step()
        if pause is None:
            return
        service.now += pause
    raise AssertionError("the submission does not come to an end")


ANSWERS = (
    "ok",
    "504 after",
    "504 before",
    "dropped after",
    "dropped before",
    "cut short",
    "no connection",
    "429",
    "429 Retry-After",
    "refused",
    "listing 500",
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(ANSWERS), max_size=25), st.floats(0, LAG - 0.2), st.integers(1, 6))
def test_one_attempt_makes_one_job(answers, lag, partitions):
    service = Service([a for a in answers if a != "listing 500"], lag)
    outcomes = [Outcome(f"t{i}") for i in range(partitions)]
    run(service, outcomes)
    for o in outcomes:
        made = [i for i, (_, tag) in enumerate(service.jobs_made) if tag == o.tag]
        if o.error is not None:
            assert made == []
        else:
            assert made == [int(o.job[1:])]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 8), st.sampled_from(["504 after", "504 before"]))
def test_a_listing_that_fails_is_no_proof_that_the_job_is_not_there(failures, answer):
    service = Service([answer, *["listing 500"] * failures], lag=1.0)
    outcome = Outcome("t0")
    run(service, [outcome])
    assert len(service.jobs_made) == 1
    assert outcome.job == "j0"


def test_a_job_that_was_created_is_found_and_not_posted_again():
    service = Service(["dropped after"], lag=5.0)
    outcome = Outcome("t0")
    run(service, [outcome])
    assert service.posts == 1
    assert outcome.doubts == 1
    assert service.now < 10


def test_what_was_not_created_is_posted_again_only_after_the_listing_had_time_to_catch_up():
    service = Service(["504 before"], lag=0.0)
    run(service, [Outcome("t0")])
    assert service.posts == 2
    assert service.now >= LAG


def test_others_go_on_while_one_is_in_doubt():
    service = Service(["504 before"], lag=0.0)
    outcomes = [Outcome(f"t{i}") for i in range(4)]
    run(service, outcomes)
    assert [tag for _, tag in service.jobs_made] == ["t1", "t2", "t3", "t0"]


def test_partitions_go_in_pub_order_through_429s():
    service = Service(["ok", "429", "429 Retry-After", "ok", "429"], lag=0.0)
    run(service, [Outcome(f"t{i}") for i in range(5)])
    assert [tag for _, tag in service.jobs_made] == [f"t{i}" for i in range(5)]


@pytest.mark.parametrize("dropped", [0, 1, 2])
def test_a_dropped_partition_is_never_posted(dropped):
    service = Service([], lag=0.0)
    outcomes = [Outcome(f"t{i}") for i in range(3)]
    outcomes[dropped].asked = False
    run(service, outcomes)
    assert f"t{dropped}" not in [tag for _, tag in service.jobs_made]
    assert len(service.jobs_made) == 2


def test_an_error_nobody_foresaw_while_posting_is_no_proof_that_nothing_was_created():
    service = Service([], lag=0.0)
    post, failed = service.post_job, []

    def odd(body):
        job = post(body)
        if not failed:
            failed.append(job)
            raise RuntimeError("cut in the middle of a header")
        return job

    service.post_job = odd
    outcome = Outcome("t0")
    run(service, [outcome])
    assert outcome.error is None
    assert outcome.job == "j0"
    assert len(service.jobs_made) == 1


def test_a_body_that_cannot_be_made_is_refused_and_the_others_go_on():
    service = Service([], lag=0.0)
    outcomes = [Outcome("t0"), Outcome("t1")]
    attempts = [o.attempt() for o in outcomes]

    def broken():
        raise TypeError("not JSON")

    attempts[0].body = broken
    submitter = Submitter(service, clock=service.clock)
    submitter._due = [(0.0, i, a) for i, a in enumerate(attempts)]
    while submitter.step() is not None:
        pass
    assert "not JSON" in str(outcomes[0].error)
    assert outcomes[1].job == "j0"


def test_workloads_take_turns():
    """An active session, billed by the clock, does not wait behind a batch's hundreds."""
    service = Service([], lag=0.0)
    names = [f"batch{i}" for i in range(5)] + ["session0", "session1"]
    submitter = Submitter(service, clock=service.clock)
    for i, name in enumerate(names):
        attempt = Outcome(name).attempt()
        attempt.group = name[:-1]
        submitter._due.append((0.0, i, attempt))
    while submitter.step() is not None:
        pass
    made = [tag for _, tag in service.jobs_made]
    assert made == ["batch0", "session0", "batch1", "session1", "batch2", "batch3", "batch4"]
