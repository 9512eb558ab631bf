"""A snapshot as plain text: for terminals, logs, headless runs and wherever no widget can be shown."""

from __future__ import annotations

from ..errors import printable
from .snapshot import JobSnapshot, JobState, Usage, WorkloadSnapshot, WorkloadState

SIGNS = {
    JobState.WAITING: "· Not sent yet",
    JobState.UNKNOWN: "? Unknown",
    JobState.REFUSED: "! Refused",
    JobState.DROPPED: "⊘ Dropped",
    JobState.QUEUED: "· Queued",
    JobState.RUNNING: "▶ Running",
    JobState.DONE: "✓ Done",
    JobState.FAILED: "! Failed",
    JobState.CANCELLED: "⊘ Cancelled",
}


def usage_seconds(seconds: float) -> str:
    """8.0 s, from 300 s on in minutes, from 7,200 s on in hours: as the screens say it."""
    if seconds < 300:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def usage_text(usage: Usage) -> str:
    """What was reported, else what is expected (≈), else – : unknown is never 0."""
    if usage.reported is not None:
        return usage_seconds(usage.reported)
    return "–" if usage.estimated is None else f"≈ {usage_seconds(usage.estimated)}"


def duration(seconds: float | None) -> str:
    """0:16, 7:41:08."""
    if seconds is None:
        return ""
    whole = max(0, int(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def why(job: JobSnapshot) -> str:
    """The reason of a failure or of a wait."""
    said = " ".join(str(p) for p in (job.reason_code, job.reason) if p is not None)
    return said or job.note or ""


def state_word(snapshot: WorkloadSnapshot) -> str:
    """The workload's state; "closing" where it takes no more jobs and the service has not said that it is closed."""
    open_ = snapshot.state in (WorkloadState.OPEN, WorkloadState.ACTIVE)
    return "closing" if open_ and snapshot.accepting_jobs is False else str(snapshot.state)


def table(snapshot: WorkloadSnapshot) -> str:
    """A head line, a line for each partition's last attempt, and the problems that are still open."""
    rows = [["#", "PUBs", "State", "Job", "Usage", "Time", ""]]
    for number, job in enumerate((j for j in snapshot.jobs if not j.superseded), start=1):
        spent = None if job.running is None or job.finished is None else job.finished - job.running
        attempt = f" (attempt {job.attempt + 1})" if job.attempt else ""
        rows.append(
            [
                str(job.number or number),
                (f"{job.label}: " if job.label else "") + (job.pubs or "–"),
                SIGNS[job.state] + attempt,
                job.job_id or "–",
                usage_text(job.usage),
                duration(spent),
                why(job),
            ]
        )
    rows = [[printable(cell) for cell in row] for row in rows]  # names and reasons are anybody's text
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    home = printable(f"{snapshot.backend}  {snapshot.workload_id or snapshot.id}")
    head = f"{snapshot.mode.capitalize()} on {home}  {state_word(snapshot)}"
    total = f"usage {usage_text(snapshot.usage)}"
    if snapshot.usage.reported is not None and snapshot.usage.status != "final":
        total += " so far"
    return "\n".join([f"{head}  {total}", *lines, *(printable(problem) for problem in open_problems(snapshot))])


def open_problems(snapshot: WorkloadSnapshot) -> list[str]:
    """What still needs a reader: a failure that a later attempt has made good is history, and stays in the events."""
    found = [] if snapshot.problem is None else [f"error: {snapshot.problem}: what is shown may be old"]
    states = {job.key: job.state for job in snapshot.jobs if not job.superseded}
    settled = (JobState.DONE, None)
    return found + [
        f"{event.level}: {event.text}"
        for event in snapshot.events
        if event.level != "info" and not (event.job is not None and states.get(event.job) in settled)
    ]
