"""What a document keeps of a workload: the last snapshot, folded, for our renderer and for places without one.

`js/core/saved.ts` is the mirror: it writes the same into the output when the workload ends and when the notebook is
saved. Both forms together stay below 50 kB, whatever the number of jobs.
"""

from __future__ import annotations

import html
import time
from dataclasses import replace
from typing import Any

from ..model.snapshot import JobSnapshot, JobState, WorkloadSnapshot
from ..model.text import SIGNS, state_word, table, usage_text, why
from . import protocol
from .protocol import Message

MIME = "application/vnd.qmode-widgets.workload+json"

VERSION = 1  # of what a document holds; a reader takes its own and earlier ones
ROWS_KEPT = 60  # rows a document keeps; beyond, the least urgent become a count and a sum
_EVENTS = 10
_LONGEST = 200  # of a reason, in HTML
# What needs a reader first; the same order as in js/core/facts.ts.
_URGENCY = (
    JobState.FAILED, JobState.REFUSED, JobState.UNKNOWN, JobState.RUNNING, JobState.QUEUED, JobState.WAITING,
    JobState.CANCELLED, JobState.DROPPED, JobState.DONE,
)  # fmt: skip
_HEAD = ("#", "PUBs", "State", "Job", "Usage", "")


def fold(state: WorkloadSnapshot) -> tuple[WorkloadSnapshot, list[dict[str, Any]]]:
    """The state with at most `ROWS_KEPT` jobs, and what the others come to: state, count, usage in seconds."""
    state = replace(state, events=state.events[-_EVENTS:])
    if len(state.jobs) <= ROWS_KEPT:
        return state, []
    shown = [job for job in state.jobs if not job.superseded]
    first = {job.key for job in sorted(shown, key=lambda job: _URGENCY.index(job.state))[:ROWS_KEPT]}
    folded = []
    for word in _URGENCY:
        rest = [job for job in shown if job.state is word and job.key not in first]
        if rest:
            used = [job.usage.reported for job in rest if job.usage.reported is not None]
            usage = round(sum(used), 3) if used else None
            folded.append({"state": word.value, "count": len(rest), "usage": usage})
    return replace(state, jobs=tuple(job for job in shown if job.key in first)), folded


def data(state: WorkloadSnapshot, process: str) -> Message:
    """The JSON for our renderer; `process` is the start of the kernel that watches the workload."""
    kept, folded = fold(state)
    now = state.seen_at if state.seen_at is not None else time.time() + state.clock_offset
    return {
        "kind": "snapshot",
        "version": VERSION,
        "workload": state.id,
        "epoch": 0,
        "seq": 0,
        "now": round(now, 3),
        **protocol.whole(kept),
        "folded": folded,
        "process": process,
    }


def same_to_read(a: WorkloadSnapshot, b: WorkloadSnapshot) -> bool:
    """Nothing that is read in a saved output differs: jobs, state, usage and problem."""
    return (a.jobs, a.state, a.accepting_jobs, a.usage, a.problem) == (
        b.jobs,
        b.state,
        b.accepting_jobs,
        b.usage,
        b.problem,
    )


def as_text(state: WorkloadSnapshot) -> str:
    """The workload as plain text."""
    kept, folded = fold(state)
    return "\n".join([table(kept), *(f"and {line}" for line in _lines(folded))])


def as_html(state: WorkloadSnapshot) -> str:
    """The workload as a static HTML table; everything in it is escaped."""
    kept, folded = fold(state)
    shown = [job for job in kept.jobs if not job.superseded]

    def line(cells: tuple[str, ...], tag: str) -> str:
        return "<tr>" + "".join(f'<{tag} style="text-align:left">{_text(c)}</{tag}>' for c in cells) + "</tr>"

    body = "".join(line(_row(job, number), "td") for number, job in enumerate(shown, start=1))
    more = f"<p>and {_text(', '.join(_lines(folded)))}</p>" if folded else ""
    title = f'<caption style="text-align:left">{_text(_title(state, kept, folded))}</caption>'
    head = f"<thead>{line(_HEAD, 'th')}</thead>" if shown else ""
    return f"<table>{title}{head}<tbody>{body}</tbody></table>{more}"


def _lines(folded: list[dict[str, Any]]) -> list[str]:
    return [
        f"{f['count']} {SIGNS[JobState(f['state'])][2:].lower()}" + (f" ({f['usage']:.1f} s)" if f["usage"] else "")
        for f in folded
    ]


def _title(state: WorkloadSnapshot, kept: WorkloadSnapshot, folded: list[dict[str, Any]]) -> str:
    seen = "not seen yet"
    if state.seen_at is not None:
        seen = time.strftime("as of %Y-%m-%d %H:%M:%S UTC", time.gmtime(int(state.seen_at - state.clock_offset)))
    shown = [job for job in kept.jobs if not job.superseded]
    total = len(shown) + sum(f["count"] for f in folded)
    done = sum(job.state is JobState.DONE for job in shown) + sum(f["count"] for f in folded if f["state"] == "done")
    failed = sum(job.state in (JobState.FAILED, JobState.REFUSED) for job in shown)
    failed += sum(f["count"] for f in folded if f["state"] in ("failed", "refused"))
    progress = f"{done} of {total} done" + (f", {failed} failed" if failed else "") if total else "no job yet"
    where = f"{state.mode.capitalize()} {state.workload_id or state.id} on {state.backend}"
    return f"{where}: {state_word(state)}, {progress}, usage {usage_text(state.usage)} ({seen})"


def _row(job: JobSnapshot, number: int) -> tuple[str, ...]:
    place = str(job.number or number)
    pubs = (f"{job.label}: " if job.label else "") + (job.pubs or "–")
    state = SIGNS[job.state] + (f" (attempt {job.attempt + 1})" if job.attempt else "")
    return place, pubs, state, job.job_id or "–", usage_text(job.usage), why(job)[:_LONGEST]


def _text(text: str) -> str:
    return html.escape(text, quote=True)
