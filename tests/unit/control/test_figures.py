"""What figures and the report draw of each job: from when to when, in which phase, under which name."""

from __future__ import annotations

import pytest

from qmode_widgets.control.runs.figures import workload_figure
from qmode_widgets.control.runs.report import _bars
from qmode_widgets.model.snapshot import JobSnapshot, JobState, Usage, WorkloadSnapshot

SEEN = 200.0
JOBS = (
    JobSnapshot(
        "r:0.0", JobState.DONE, "a", run="r", partition=0, of=3, number=1, created=100.0, running=110.0, finished=150.0,
        spans=((120.0, 125.0), (130.0, 140.0)), usage=Usage(estimated=16.0, reported=15.0, status="final"),
    ),
    JobSnapshot("r:1.0", JobState.FAILED, "b", run="r", partition=1, of=3, number=2, created=101.0, running=150.0,
                finished=160.0),
    JobSnapshot("r:1.1", JobState.RUNNING, "c", run="r", partition=1, of=3, number=2, attempt=1, created=165.0,
                running=170.0),
    JobSnapshot("r:2.0", JobState.QUEUED, "d", run="r", partition=2, of=3, number=3, created=102.0),
    JobSnapshot("s:0.0", JobState.WAITING, run="s", partition=0, of=1, number=4),
    JobSnapshot("e", JobState.QUEUED, "e<b>", created=190.0),
    JobSnapshot("t:0.0", JobState.QUEUED, "f", run="t", partition=0, of=1, number=5, label="<i>ansatz", created=191.0),
    JobSnapshot("u:1.0", JobState.QUEUED, "g", run="u", partition=1, of=2, number=7, group="step 2", created=192.0),
)  # fmt: skip


@pytest.fixture
def timeline():
    figure = workload_figure(WorkloadSnapshot("w", "batch", "ibm_fez", jobs=JOBS, seen_at=SEEN), "timeline")
    return {trace.name: list(zip(trace.y, trace.base, trace.x, strict=True)) for trace in figure.data}


def test_a_job_waits_runs_and_is_on_the_qpu_in_seconds_since_the_first_submission(timeline):
    assert timeline["waiting"] == [
        ("partition 1", 0.0, 10.0),
        ("partition 2", 1.0, 49.0),
        ("partition 2 · attempt 2", 65.0, 5.0),
        ("partition 3", 2.0, SEEN - 102.0),  # one that waits yet: until the service was seen last
        ("job e&lt;b&gt;", 90.0, 10.0),
        ("&lt;i&gt;ansatz: partition 5", 91.0, 9.0),
        ("step 2.2", 92.0, 8.0),
    ]
    assert timeline["running"] == [("partition 1", 10.0, 40.0), ("partition 2 · attempt 2", 70.0, 30.0)]
    assert timeline["failed"] == [("partition 2", 50.0, 10.0)]
    assert timeline["on the QPU"] == [("partition 1", 20.0, 5.0), ("partition 1", 30.0, 10.0)]


def test_what_is_not_sent_is_in_no_time_line(timeline):
    assert not any(name == "partition 4" for bars in timeline.values() for name, *_ in bars)


def test_the_reports_bars_are_the_same_stretches():
    def bars(i):
        return list(_bars(JOBS[i], SEEN))

    assert bars(0) == [
        ("waiting", 100.0, 110.0),
        ("running", 110.0, 150.0),
        ("qpu", 120.0, 125.0),
        ("qpu", 130.0, 140.0),
    ]
    assert bars(1) == [("waiting", 101.0, 150.0), ("failed", 150.0, 160.0)]
    assert bars(2) == [("waiting", 165.0, 170.0), ("running", 170.0, SEEN)]
    assert bars(3) == [("waiting", 102.0, SEEN)]
    assert bars(4) == []
