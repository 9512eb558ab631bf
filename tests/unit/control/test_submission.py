"""Exactly once: whatever the service answers to a POST and however its listing lags, one attempt makes one job."""

from __future__ import annotations

import asyncio
import json
import queue

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmode_widgets.control.engine.attempt import (
    ABSENT_AFTER,
    LAG,
    LONGEST_ATTEMPT,
    LONGEST_DOUBT,
    MOST_POSTS,
    SLOW_BODY,
    Attempt,
    Outbox,
)
from qmode_widgets.errors import ServiceError, UnreachableError
from qmode_widgets.ibm.wire import Job, JobPage
from qmode_widgets.portal import portal
from tests.examples import examples


class Service:
    """The little of a service that a submission meets, on a virtual clock, with answers drawn by the test."""

    def __init__(self, answers, lag):
        self.now, self.answers, self.lag = 0.0, list(answers), lag
        self.jobs_made: list[tuple[float, str]] = []
        self.posts = 0

    def clock(self):
        return self.now

    async def post_job(self, body):
        self.now += 0.05
        self.posts += 1
        answer = self.answers.pop(0) if self.answers else "ok"
        if answer in ("ok", "504 after", "dropped after", "cut short", "too slow after"):
            self.jobs_made.append((self.now, json.loads(body)["tag"]))
        match answer:
            case "ok":
                return f"j{len(self.jobs_made) - 1}"
            case "504 after" | "504 before":
                raise ServiceError("gateway time-out", status=504)
            case "dropped after" | "dropped before" | "cut short":
                raise UnreachableError("the connection to the service was lost", sent=True)
            case "too slow" | "too slow after":
                raise UnreachableError("no whole answer in time", sent=True, timed_out=True)
            case "no connection":
                raise UnreachableError("the service cannot be reached", sent=False)
            case "429":
                raise ServiceError("too many requests", status=429, code=1202)
            case "429 Retry-After":
                raise ServiceError("too many requests", status=429, code=1202, retry_after=3.0)
            case "refused":
                raise ServiceError("session has been closed", status=400, code=1217)
        raise AssertionError(answer)

    async def jobs(self, *, session_id=None, tags=(), limit=200, oldest_first=False):
        self.now += 0.05
        answer = self.answers.pop(0) if self.answers and self.answers[0].startswith("listing") else None
        if answer == "listing 500":
            raise ServiceError("internal error", status=500)
        seen = [
            Job(f"j{i}", "Queued", tags=(tag,))
            for i, (at, tag) in enumerate(self.jobs_made)
            if (not tags or tag in tags) and at + self.lag <= self.now
        ]
        shown = tuple(seen if oldest_first else reversed(seen))[:limit]
        return JobPage(shown, len(shown), len(seen))


class Outcome(Attempt):
    def __init__(self, tag, group="", **more):
        super().__init__(tag, group, **more)
        self.job, self.error, self.doubts, self.asked = None, None, 0, True
        self.why_held, self.jobs, self.bound, self.size = None, [], None, 0

    def body(self):
        return lambda: json.dumps({"tag": self.tag, "rest": "x" * self.size})

    def wanted(self):
        return self.asked and self.error is None

    def posted(self, job_id):
        assert self.job is None, "posted twice"
        self.job = job_id

    def refused(self, error):
        self.error = error

    def unknown(self, why):
        self.doubts += 1

    def waiting(self, why, pause=None):
        pass

    def held(self, why):
        self.why_held = why

    def found(self, jobs):
        self.jobs.append([j.id for j in jobs])

    def hold(self):
        return self.bound


async def steps(service, attempts, more=lambda: True):
    """Step while there is something to do and `more()`; the virtual clock goes on by each pause."""
    outbox = Outbox(service, now=service.clock)
    outbox.queue(attempts)
    for _ in range(5000):
        if not more():
            return
        pause = await outbox.step()
        if pause is None:
            return
        service.now += pause
    raise AssertionError("the submission does not come to an end")


def run(service, attempts, more=lambda: True):
    asyncio.run(steps(service, attempts, more))


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


@examples(150)
@given(st.lists(st.sampled_from(ANSWERS), max_size=25), st.floats(0, ABSENT_AFTER - 0.5), st.integers(1, 6))
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


@examples(50)
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

    async def odd(body):
        job = await post(body)
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

    def broken():
        raise TypeError("not JSON")

    outcomes[0].body = lambda: broken
    run(service, outcomes)
    assert "not JSON" in str(outcomes[0].error)
    assert outcomes[1].job == "j0"


def test_workloads_take_turns():
    """An active session, billed by the clock, does not wait behind a batch's hundreds."""
    service = Service([], lag=0.0)
    names = [f"batch{i}" for i in range(5)] + ["session0", "session1"]
    run(service, [Outcome(name, group=name[:-1]) for name in names])
    made = [tag for _, tag in service.jobs_made]
    assert made == ["batch0", "session0", "batch1", "session1", "batch2", "batch3", "batch4"]


@examples(100)
@given(st.lists(st.sampled_from(ANSWERS[:9]), min_size=20, max_size=60), st.floats(0, 600), st.integers(5, 20))
def test_however_late_the_listing_an_attempt_is_not_posted_again_while_other_jobs_are_missing_too(answers, lag, n):
    """The first submissions are taken: their jobs show how far behind the listing is."""
    service = Service(["ok", "ok", *answers], lag)
    outcomes = [Outcome(f"t{i}") for i in range(n)]
    run(service, outcomes)
    for o in outcomes:
        made = [i for i, (_, tag) in enumerate(service.jobs_made) if tag == o.tag]
        assert len(made) == (o.error is None and o.why_held is None) or (o.why_held and len(made) <= 1)


def test_ten_lost_answers_and_a_listing_28_s_late_make_no_double():
    service = Service(["504 after"] * 10, lag=28.0)
    outcomes = [Outcome(f"t{i}") for i in range(10)]
    run(service, outcomes)
    assert service.posts == len(service.jobs_made) == 10
    assert {o.job for o in outcomes} == {f"j{i}" for i in range(10)}


def reposted_at(answers, outcomes, lag=0.0):
    """When the first attempt, whose answer is lost, is posted again."""
    service = Service(answers, lag)
    run(service, outcomes, lambda: "t0" not in [tag for _, tag in service.jobs_made])
    return next(at for at, tag in service.jobs_made if tag == "t0")


def test_a_job_that_is_younger_proves_that_the_listing_has_caught_up():
    late = ["504 before", *["429 Retry-After"] * 6, "ok"]  # the second job is made 18 s after the doubt
    assert LAG <= reposted_at(late, [Outcome("t0"), Outcome("t1")]) < ABSENT_AFTER / 2


def test_a_younger_job_is_recognised_in_a_listing_that_hides_hundreds():
    """20 jobs a second, listed 10 s late: the youngest that is shown is 200 jobs old."""
    assert reposted_at(["504 before"], [Outcome(f"t{i}") for i in range(1500)], lag=10.0) < ABSENT_AFTER / 2


def test_a_job_of_about_the_same_time_proves_nothing_for_a_request_may_arrive_after_it_was_given_up():
    assert reposted_at(["504 before", "ok"], [Outcome("t0"), Outcome("t1")]) >= ABSENT_AFTER


def test_without_such_a_proof_it_is_posted_again_after_a_longer_time():
    assert ABSENT_AFTER <= reposted_at(["504 before"], [Outcome("t0")]) < ABSENT_AFTER + 10


def test_what_must_not_be_posted_again_is_held():
    service = Service(["504 before"], lag=0.0)
    outcome = Outcome("t0", resend=False)
    run(service, [outcome])
    assert service.posts == 1
    assert "no listing shows it" in outcome.why_held


def test_a_listing_that_never_catches_up_proves_nothing_and_holds_nobody_for_ever():
    service = Service(["ok", "504 after"], lag=1e9)
    outcomes = [Outcome("t0"), Outcome("t1")]
    run(service, outcomes)
    assert service.posts == 2
    assert "lag" in outcomes[1].why_held
    assert service.now < LONGEST_DOUBT + 60


def test_after_posting_again_the_first_job_is_looked_for_twice_more():
    service = Service(["504 after"], lag=ABSENT_AFTER + 20)
    outcome = Outcome("t0")
    run(service, [outcome])
    assert [tag for _, tag in service.jobs_made] == ["t0", "t0"]
    assert outcome.jobs[0] == ["j0"]
    assert outcome.jobs[-1] == ["j0", "j1"]


@pytest.mark.parametrize("seconds", [25, 100, 300])
def test_of_two_machines_with_one_key_the_one_that_was_held_back_posts_nothing_that_the_other_has_sent(seconds):
    service = Service([], lag=2.0)
    waits, looks = ([Outcome(f"t{i}", machine) for i in range(3)] for machine in ("first", "second"))
    for attempt in (*waits, *looks):
        attempt.sent_again = True  # another kernel may have sent it
        attempt.bound = "the cap cannot be checked"

    async def both():
        first, second = (Outbox(service, now=service.clock) for _ in range(2))
        first.queue(waits)
        second.queue(looks)
        for attempt in looks:  # it waits for nothing, and looks for what the first one holds back
            attempt.doubt_since, attempt.bound = 0.0, None
        pauses = [0.0, 0.0]
        while pauses:
            if service.now >= seconds:
                for attempt in waits:
                    attempt.bound = None
            service.now += min(pauses)
            pauses = [p for outbox in (first, second) if (p := await outbox.step()) is not None]

    asyncio.run(both())
    assert sorted(tag for _, tag in service.jobs_made) == ["t0", "t1", "t2"]
    assert [a.job for a in waits] == [a.job for a in looks]


def test_what_waits_for_its_turn_is_looked_for_again_each_time_it_had_to_wait_long():
    """Another machine sends it between two looks, while the first look finds nothing."""
    service = Service(["429 Retry-After", *["no connection"] * 8], lag=0.0)
    outcome = Outcome("t0")
    outcome.sent_again = True
    elsewhere = []

    def more():
        if service.now > 90 and not elsewhere:
            elsewhere.append(service.now)
            service.jobs_made.append((service.now, "t0"))
        return True

    run(service, [outcome], more)
    assert [tag for _, tag in service.jobs_made] == ["t0"]
    assert outcome.job == "j0"


def test_what_is_taken_back_while_it_is_looked_for_stays_taken_back():
    service = Service([*["no connection"] * 6], lag=0.0)
    outcome = Outcome("t0")
    outcome.sent_again = True
    jobs = service.jobs

    async def taken_back(**asked):
        service.jobs_made.append((service.now, "t0"))  # another machine's
        outcome.asked = False
        return await jobs(**asked)

    service.jobs = taken_back
    run(service, [outcome])
    assert service.jobs_made != []
    assert outcome.job is None


def test_what_another_machine_sent_while_this_one_slept_is_not_posted():
    """The clock of pauses stands still while a laptop sleeps."""
    service = Service(["no connection"], lag=0.0)
    outcome, slept = Outcome("t0"), []
    outcome.sent_again = True

    async def overnight():
        outbox = Outbox(service, now=service.clock, wall=lambda: 1.8e9 + service.now + sum(slept))
        outbox.queue([outcome])
        while (pause := await outbox.step()) is not None:
            service.now += pause
            if not slept:
                slept.append(8 * 3600.0)
                service.jobs_made.append((service.now, "t0"))

    asyncio.run(overnight())
    assert service.posts == 1  # which did not reach the service
    assert outcome.job == "j0"


def test_a_401_that_outlives_a_fresh_token_is_held_and_not_refused_at_once():
    service = Service([], lag=0.0)
    post = service.post_job

    async def unauthorised(body):
        if service.now < 15.0:
            raise ServiceError("You are not authorized", status=401, code=1200)
        return await post(body)

    service.post_job = unauthorised
    outcomes = [Outcome(f"t{i}") for i in range(20)]
    run(service, outcomes)
    assert [o.error for o in outcomes] == [None] * 20
    assert service.posts == 20


def test_a_401_that_stays_is_refused_in_the_end():
    service = Service([], lag=0.0)

    async def unauthorised(body):
        raise ServiceError("You are not authorized", status=401, code=1200)

    service.post_job = unauthorised
    outcome = Outcome("t0")
    run(service, [outcome])
    assert outcome.error.status == 401


def test_what_a_bound_holds_back_is_sent_when_it_is_let_go():
    service = Service([], lag=0.0)
    outcome = Outcome("t0")
    outcome.bound = "the usage is not known"
    outbox = Outbox(service, now=service.clock)
    outbox.queue([outcome])

    async def five():
        for _ in range(5):
            service.now += await outbox.step()

    asyncio.run(five())
    assert service.posts == 0
    outcome.bound = None
    assert asyncio.run(outbox.step()) is None
    assert service.posts == 1


def test_an_error_inside_loses_no_attempt():
    service = Service([], lag=0.0)
    outcome = Outcome("t0")
    hold, calls = outcome.hold, []

    def odd():
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError
        return hold()

    outcome.hold = odd
    run(service, [outcome])
    assert outcome.job == "j0"


def test_a_workload_whose_request_hangs_holds_up_no_other():
    made, free = queue.SimpleQueue(), asyncio.Event()

    class Hangs:
        async def post_job(self, body):
            tag = json.loads(body)["tag"]
            if tag == "a0":
                await free.wait()
            made.put(tag)
            return tag

    outcomes = [Outcome(name, name[0]) for name in ("a0", "a1", "b0", "b1", "c0")]
    outbox = portal().call(Outbox, Hangs())
    portal().call(outbox.add, outcomes)
    assert {made.get(timeout=60) for _ in range(3)} == {"b0", "b1", "c0"}
    portal().call(free.set)
    assert [made.get(timeout=60) for _ in range(2)] == ["a0", "a1"]  # a1 kept its place behind a0


@pytest.mark.parametrize("answer", ["504 before", "dropped before"])
def test_after_a_few_lost_answers_it_is_not_posted_again_and_its_user_is_told_what_to_do(answer):
    service = Service([answer] * 20, lag=0.0)
    outcome = Outcome("t0")
    run(service, [outcome])
    assert 1 < service.posts <= MOST_POSTS
    assert service.jobs_made == []
    assert "no job was created" in str(outcome.error)
    assert "resubmit() sends it again" in str(outcome.error)
    assert service.now < LONGEST_ATTEMPT + ABSENT_AFTER + 30


def test_a_listing_that_is_fast_to_catch_up_does_not_make_it_post_for_ever():
    """Younger jobs prove at once that nothing was created: then the number of posts ends it."""

    class Other(Service):
        async def post_job(self, body):
            if json.loads(body)["tag"] == "t0":
                self.posts += 1
                self.now += 0.05
                raise ServiceError("gateway time-out", status=504)
            return await super().post_job(body)

    service = Other([], lag=0.0)
    lost = Outcome("t0", "a")
    others = [Outcome(f"o{i}", f"w{i}") for i in range(10)]

    async def go():
        outbox = Outbox(service, now=service.clock)
        outbox.queue([lost])
        waiting = list(others)
        while (pause := await outbox.step()) is not None:
            service.now += pause
            if waiting and service.now > 17.0 * (len(others) - len(waiting) + 1):
                outbox.queue([waiting.pop(0)])

    asyncio.run(go())
    assert service.posts - sum(o.job is not None for o in others) == MOST_POSTS
    assert f"the answers to {MOST_POSTS} submissions were lost" in str(lost.error)
    assert service.now < LONGEST_ATTEMPT


@pytest.mark.parametrize(("size", "posts"), [(SLOW_BODY, 1), (10, 2)])
def test_a_large_payload_that_timed_out_is_not_uploaded_again(size, posts):
    service = Service(["too slow"], lag=0.0)
    outcome = Outcome("t0")
    outcome.size = size
    run(service, [outcome])
    assert service.posts == posts
    if posts == 1:
        assert "1 MB was not taken in time" in str(outcome.error)
        assert "resubmit() sends it again" in str(outcome.error)
    else:
        assert outcome.error is None


def test_a_large_payload_whose_connection_was_cut_is_posted_again():
    service = Service(["dropped before"], lag=0.0)
    outcome = Outcome("t0")
    outcome.size = SLOW_BODY
    run(service, [outcome])
    assert (service.posts, outcome.job) == (2, "j0")


def test_a_large_payload_that_timed_out_and_had_arrived_is_found():
    service = Service(["too slow after"], lag=5.0)
    outcome = Outcome("t0")
    outcome.size = SLOW_BODY
    run(service, [outcome])
    assert (service.posts, outcome.job, outcome.error) == (1, "j0", None)
