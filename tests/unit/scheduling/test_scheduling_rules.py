"""The rules of the execution-modes guide, one by one, on small histories."""

from __future__ import annotations

import pytest

from qmode_widgets.model.scheduler import Load, Rules, Scheduler, Stage, What
from qmode_widgets.model.snapshot import WorkloadState


def of(happened, what):
    return [(h.time, h.id) for h in happened if h.what is what]


def test_a_batch_queues_once_and_prepares_in_parallel():
    s = Scheduler(Rules(queue_wait=100))
    s.open(0, "b", "batch")
    for name in "uvw":
        s.submit(0, name, "b", prep=3, qpu=20)
    s.submit(150, "x", "b", prep=3, qpu=20)
    s.drain()
    assert [(s.jobs[n].prep_start, s.jobs[n].qpu_start, s.jobs[n].qpu_end) for n in "uvwx"] == [
        (100, 103, 123), (100, 123, 143), (100, 143, 163), (150, 163, 183),
    ]  # fmt: skip
    assert len({s.jobs[n].lane for n in "uvw"}) == 3
    assert s.workloads["b"].usage(s.now) == 80


def test_each_job_in_job_mode_queues_alone():
    s = Scheduler(Rules(queue_wait=100))
    s.submit(0, "a", prep=0, qpu=10)
    s.submit(50, "b", prep=0, qpu=10)
    s.drain()
    assert (s.jobs["a"].qpu_start, s.jobs["b"].qpu_start) == (100, 150)


def test_a_session_has_the_qpu_for_itself_and_is_billed_while_idle():
    s = Scheduler(Rules(interactive_ttl=60, calibration_every=15, calibration_seconds=5))
    s.open(0, "s", "session")
    s.submit(0, "a", "s", prep=0, qpu=10)
    s.submit(1, "stranger", prep=0, qpu=10)
    s.submit(30, "b", "s", prep=0, qpu=10)
    happened = s.advance(200)
    w = s.workloads["s"]
    assert w.stretches == [(0, 100)]
    assert w.state is WorkloadState.INACTIVE
    assert w.why == "interactive_ttl"
    assert w.usage(200) == 100
    assert w.idle_seconds(200) == 20 + 60
    assert of(happened, What.CALIBRATING)[0][0] == 100  # due at 15, kept waiting by the session
    assert s.jobs["stranger"].qpu_start == 105


def test_a_session_waits_for_those_who_hold_lanes():
    s = Scheduler()
    s.submit(0, "a", prep=5, qpu=10)
    s.open(1, "s", "session")
    s.submit(1, "b", "s", prep=0, qpu=1)
    s.submit(2, "late", prep=0, qpu=1)
    s.advance(100)
    assert s.workloads["s"].stretches[0][0] == 15
    assert s.jobs["late"].prep_start == s.workloads["s"].stretches[0][1]


@pytest.mark.parametrize(("mode", "between"), [("batch", True), ("session", False)])
def test_other_users_run_between_the_jobs_of_a_batch_but_not_of_a_session(mode, between):
    s = Scheduler(Rules(lanes=1, other_users=Load(every=5, qpu=2, seed=3)))
    s.open(0, "w", mode)
    for i in range(20):
        s.submit(i, f"j{i}", "w", prep=0, qpu=4)
    order = [h.id for h in s.drain() if h.what is What.ON_QPU]
    ours = [i for i, id_ in enumerate(order) if id_.startswith("j")]
    assert len(ours) == 20
    assert any("other" in order[i] for i in range(ours[0], ours[-1])) is between


def test_an_inactive_batch_goes_through_the_queue_again():
    s = Scheduler(Rules(queue_wait=50, interactive_ttl=5))
    s.open(0, "b", "batch")
    s.submit(0, "a", "b", prep=0, qpu=10)
    s.submit(64, "in time", "b", prep=0, qpu=1)
    s.submit(100, "late", "b", prep=0, qpu=1)
    s.drain()
    assert s.jobs["in time"].prep_start == 64
    assert s.jobs["late"].prep_start == 150
    assert s.workloads["b"].stretches == [(50, 70)]


def test_max_ttl_fails_what_is_queued_and_lets_what_runs_finish():
    s = Scheduler(Rules(lanes=1))
    s.open(0, "b", "batch", max_ttl=15)
    for name in "uvw":
        s.submit(0, name, "b", prep=0, qpu=10)
    happened = s.advance(100)
    assert [s.jobs[n].stage for n in "uvw"] == [Stage.COMPLETED, Stage.COMPLETED, Stage.FAILED]
    assert (s.jobs["w"].ended, s.jobs["w"].why, s.jobs["w"].billed) == (15, "max_ttl", 0)
    assert of(happened, What.CLOSED) == [(20, "b")]


def test_a_workload_taken_up_again_is_inactive_and_its_max_ttl_has_gone_on():
    s = Scheduler(Rules(queue_wait=5), now=1000)
    s.open(1000, "b", "batch", max_ttl=100, created=930, started=940, usage=7)
    s.submit(1001, "a", "b", prep=0, qpu=10)
    s.advance(1030)
    w = s.workloads["b"]
    assert (w.created, w.started, w.state) == (930, 940, WorkloadState.ACTIVE)
    assert s.jobs["a"].prep_start == 1006
    assert w.usage(1030) == 17
    s.advance(1100)
    assert (w.closed, w.why) == (1040, "max_ttl")


def test_what_has_ended_can_be_forgotten():
    s = Scheduler()
    s.open(0, "b", "batch")
    s.submit(0, "a", "b", prep=0, qpu=1)
    s.forget("a")
    s.forget("b")
    assert set(s.jobs) | set(s.workloads) == {"a", "b"}
    s.close(2, "b")
    s.advance(3)
    s.forget("a")
    s.forget("b")
    s.forget("never there")
    assert not s.jobs
    assert not s.workloads


def test_drain_stops_where_it_is_told():
    s = Scheduler(Rules(other_users=Load(every=3, qpu=1)))
    s.pause(0)
    s.submit(0, "a", prep=0, qpu=1)
    s.drain(until=50)
    assert s.jobs["a"].stage is Stage.PREPARED
    assert s.queue_length >= 1
    s.resume(60)
    s.drain()
    assert s.jobs["a"].stage is Stage.COMPLETED


def test_max_ttl_never_pauses():
    s = Scheduler(Rules(interactive_ttl=1))
    s.open(0, "b", "batch", max_ttl=100)
    s.submit(10, "a", "b", prep=0, qpu=1)
    s.advance(500)
    assert s.workloads["b"].closed == 110


def test_active_ttl_sends_the_rest_of_a_session_through_the_queue():
    s = Scheduler(Rules(lanes=1, queue_wait=10, active_ttl=15))
    s.open(0, "s", "session")
    for name in "uvw":
        s.submit(0, name, "s", prep=0, qpu=10)
    s.drain()
    assert [s.jobs[n].qpu_start for n in "uvw"] == [10, 20, 40]
    assert s.workloads["s"].stretches == [(10, 30)]


@pytest.mark.parametrize(
    ("command", "queued", "longer"), [("close", Stage.COMPLETED, 10), ("cancel_workload", Stage.CANCELLED, 0)]
)
def test_close_runs_the_queue_and_cancel_empties_it(command, queued, longer):
    s = Scheduler(Rules(lanes=1))
    s.open(0, "b", "batch")
    s.submit(0, "a", "b", prep=0, qpu=10)
    s.submit(0, "b1", "b", prep=0, qpu=10)
    getattr(s, command)(5, "b")
    s.submit(6, "late", "b", prep=0, qpu=1)
    s.advance(100)
    assert s.jobs["a"].stage is Stage.COMPLETED
    assert s.jobs["b1"].stage is queued
    assert (s.jobs["late"].stage, s.jobs["late"].why) == (Stage.FAILED, "closed")
    assert s.workloads["b"].closed == s.jobs["a"].ended + longer


@pytest.mark.parametrize("mode", ["session", "batch"])
def test_a_workload_without_jobs_closes_after_half_an_hour(mode):
    s = Scheduler()
    s.open(0, "w", mode)
    s.advance(0)
    assert s.next_event_time() == 1800
    s.advance(1800)
    assert (s.workloads["w"].state, s.workloads["w"].why) == (WorkloadState.CLOSED, "empty")


@pytest.mark.parametrize(
    ("end", "billed", "stage"),
    [
        (lambda s: s.cancel(6, "a"), 4, Stage.CANCELLED),
        (lambda s: s.fail(6, "a", "bad"), 4, Stage.FAILED),
        (lambda s: s.fail(6, "a", "broken", system=True), 0, Stage.FAILED),
        (lambda s: s.cancel(1, "a"), 0, Stage.CANCELLED),
    ],
)
def test_what_an_unfinished_job_is_billed(end, billed, stage):
    s = Scheduler()
    s.submit(0, "a", prep=2, qpu=10)
    end(s)
    s.advance(20)
    assert (s.jobs["a"].billed, s.jobs["a"].stage) == (billed, stage)


def test_the_cost_limit_cuts_a_job_off():
    s = Scheduler()
    s.submit(0, "a", prep=0, qpu=10, limit=7)
    s.advance(20)
    job = s.jobs["a"]
    assert (job.stage, job.why, job.billed, job.qpu_end) == (Stage.CANCELLED, "limit", 7, 7)


def test_a_held_job_waits_for_what_it_needs():
    s = Scheduler()
    s.submit(0, "a", prep=2, qpu=1, held=True)
    s.submit(0, "b", prep=2, qpu=1)
    s.advance(50)
    assert s.jobs["a"].stage is Stage.PREPARING
    assert s.jobs["b"].stage is Stage.COMPLETED
    s.ready(50, "a")
    s.advance(60)
    assert (s.jobs["a"].qpu_start, s.jobs["a"].billed) == (50, 1)


def test_a_pause_holds_the_qpu_and_with_queue_also_the_lanes():
    s = Scheduler()
    s.pause(0)
    s.submit(0, "a", prep=1, qpu=1)
    s.advance(10)
    assert s.jobs["a"].stage is Stage.PREPARED
    s.pause(10, queue=True)
    s.submit(10, "b", prep=1, qpu=1)
    s.advance(20)
    assert s.jobs["b"].stage is Stage.QUEUED
    s.resume(20)
    s.advance(30)
    assert s.jobs["a"].stage is s.jobs["b"].stage is Stage.COMPLETED


def test_usage_of_a_run_sped_up_is_what_it_would_have_been():
    s = Scheduler()
    s.open(0, "s", "session")
    s.submit(0, "a", "s", prep=0, qpu=1, bill=10)
    s.advance(0.5)
    assert s.workloads["s"].usage(0.5) == pytest.approx(5)
    s.close(1, "s")
    s.advance(3)
    assert s.workloads["s"].usage(3) == pytest.approx(10)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda s: s.submit(0, "a", "nowhere", prep=1, qpu=1),
        lambda s: s.submit(0, "a", prep=-1, qpu=1),
        lambda s: s.submit(0, "a", prep=1, qpu=float("nan")),
        lambda s: s.pause(-1),
        lambda s: s.advance(-1),
        lambda s: Rules(lanes=0),
    ],
)
def test_nonsense_is_refused(wrong):
    s = Scheduler()
    with pytest.raises(ValueError, match=r".+"):
        wrong(s)
