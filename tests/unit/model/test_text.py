"""A workload as text: what others wrote can be read, and does nothing to the terminal that prints it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from qmode_widgets.errors import printable
from qmode_widgets.model.snapshot import Event, JobSnapshot, JobState, WorkloadSnapshot, WorkloadState
from qmode_widgets.model.text import table

HOSTILE = "\x1b]8;;http://evil\x07click\x1b]8;;\x07\x1b[2J\x00\r\n\u202egnp.exe\u2066\x9b31m"


def test_a_table_of_hostile_texts_is_a_table():
    job = JobSnapshot(key=HOSTILE, state=JobState.FAILED, job_id=HOSTILE, pubs=HOSTILE, reason=HOSTILE)
    plain = replace(job, key="k", job_id="j", pubs="0", reason="why")
    events = (Event(1, 0.0, "warning", HOSTILE),)
    shown = [
        table(
            WorkloadSnapshot(
                id=name,
                workload_id=name,
                mode="batch",
                backend=name,
                state=WorkloadState.OPEN,
                jobs=(j,),
                events=events,
            )
        )
        for name, j in ((HOSTILE, job), ("w", plain))
    ]
    hostile, harmless = (text.split("\n") for text in shown)
    assert len(hostile) == len(harmless) == 4
    assert [line for line in hostile if not line.isprintable()] == []
    assert "\\x1b]8;;http://evil\\x07click" in hostile[2]


@given(st.text())
def test_printable_text_stays_and_nothing_else_gets_through(text):
    shown = printable(text)
    assert shown.replace("\u200c", "").replace("\u200d", "").isprintable() or not text.isprintable()
    assert not set(shown) & set("\x00\x1b\x07\r\n\x7f\x9b\u061c\u200e\u200f\u202a\u202e\u2066\u2069\u2028\ufeff")
    if text.isprintable():
        assert shown == text
    assert printable(shown) == shown


def test_a_failure_that_was_made_good_is_history():
    first = JobSnapshot("r:0.0", JobState.FAILED, run="r", partition=0, superseded=True)
    again = JobSnapshot("r:0.1", JobState.DONE, run="r", partition=0, attempt=1)
    open_ = JobSnapshot("r:1.0", JobState.FAILED, run="r", partition=1)
    events = (
        Event(1, 0.0, "error", "partition 1 failed", "r:0.0"),
        Event(2, 0.0, "error", "partition 2 failed", "r:1.0"),
        Event(3, 0.0, "warning", "a duplicate was cancelled, which is billed"),
    )
    state = WorkloadSnapshot("w", "batch", "b", jobs=(first, again, open_), events=events)
    text = table(state)
    assert "partition 1 failed" not in text
    assert "partition 2 failed" in text
    assert "a duplicate was cancelled" in text
    assert "error: HTTP 503: what is shown may be old" in table(replace(state, problem="HTTP 503"))


def test_a_workload_that_takes_no_more_jobs_is_closing():
    state = WorkloadSnapshot("w", "batch", "b", state=WorkloadState.ACTIVE, accepting_jobs=True)
    assert "  active  " in table(state)
    assert "  closing  " in table(replace(state, accepting_jobs=False))
    assert "  closed  " in table(replace(state, state=WorkloadState.CLOSED, accepting_jobs=False))
