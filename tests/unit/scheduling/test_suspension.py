"""Jobs of an instance at its usage limit wait outside the queue until they are readmitted."""

from __future__ import annotations

import pytest

from qmode_widgets.model.scheduler import Rules, Scheduler, Stage
from qmode_widgets.model.snapshot import WorkloadState


def stages(s, names):
    return [s.jobs[name].stage.value for name in names]


def test_a_suspended_job_lets_others_pass_and_runs_when_it_is_readmitted():
    s = Scheduler(Rules(lanes=1))
    s.submit(0, "first", prep=0, qpu=10)
    s.submit(1, "held", prep=0, qpu=10)
    s.suspend(2, "held")
    s.submit(3, "other", prep=0, qpu=10)
    s.advance(100)
    assert stages(s, ["first", "held", "other"]) == ["completed", "queued", "completed"]
    s.readmit(100, "held")
    s.advance(200)
    assert (s.jobs["held"].qpu_start, s.jobs["held"].qpu_end) == (100, 110)


def test_a_job_that_holds_a_lane_is_not_suspended():
    s = Scheduler()
    s.submit(0, "running", prep=10, qpu=10)
    s.suspend(5, "running")
    s.advance(100)
    assert s.jobs["running"].stage is Stage.COMPLETED


def test_a_batch_stays_active_and_closes_only_after_its_suspended_jobs():
    s = Scheduler(Rules(lanes=1, interactive_ttl=5))
    s.open(0, "b", "batch")
    for name in "xyz":
        s.submit(0, name, "b", prep=0, qpu=10)
    for name in "yz":
        s.suspend(1, name)
    s.close(2, "b")
    s.advance(100)
    w = s.workloads["b"]
    assert (w.state, w.accepting) == (WorkloadState.ACTIVE, False)
    for name in "yz":
        s.readmit(100, name)
    s.advance(200)
    assert stages(s, "xyz") == ["completed"] * 3
    assert (w.state, w.closed) == (WorkloadState.CLOSED, 120)


@pytest.mark.parametrize("cut", [lambda s: s.cancel_workload(50, "w"), lambda s: s.cancel(50, "b")])
@pytest.mark.parametrize("mode", ["batch", "session"])
def test_suspended_jobs_can_be_cancelled(mode, cut):
    s = Scheduler(Rules(lanes=1))
    s.open(0, "w", mode)
    s.submit(0, "a", "w", prep=0, qpu=10)
    s.submit(0, "b", "w", prep=0, qpu=10)
    s.suspend(1, "b")
    cut(s)
    s.readmit(60, "b")
    s.advance(100)
    assert stages(s, "ab") == ["completed", "cancelled"]


def test_a_session_gives_the_qpu_back_while_its_jobs_are_suspended():
    s = Scheduler(Rules(lanes=1))
    s.open(0, "s", "session")
    s.submit(0, "a", "s", prep=0, qpu=10)
    s.submit(0, "b", "s", prep=0, qpu=10)
    s.suspend(1, "b")
    s.submit(2, "other", prep=0, qpu=10)
    s.advance(50)
    w = s.workloads["s"]
    assert (w.state, w.why, w.usage(50)) == (WorkloadState.INACTIVE, "suspended", 10)
    assert s.jobs["other"].qpu_start == 10
    s.readmit(50, "b")
    s.advance(70)
    assert s.jobs["b"].qpu_start == 50
    assert w.usage(60) == 20


def test_max_ttl_ends_suspended_jobs():
    s = Scheduler(Rules(lanes=1))
    s.open(0, "b", "batch", max_ttl=30)
    s.submit(0, "a", "b", prep=0, qpu=10)
    s.submit(0, "held", "b", prep=0, qpu=10)
    s.suspend(1, "held")
    s.advance(100)
    assert (s.jobs["held"].stage, s.jobs["held"].why) == (Stage.FAILED, "max_ttl")
    assert s.workloads["b"].state is WorkloadState.CLOSED
