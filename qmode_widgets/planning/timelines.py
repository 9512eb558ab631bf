"""The data of a plan's figure: plain lists of bars, one time line a mode. `frontend/figures.py` draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..model.snapshot import Mode
from .forecast import MODES, Bar

if TYPE_CHECKING:
    from .plan import Plan

Phase = Literal["waiting", "preparing", "on the QPU", "failed", "idle, billed"]


@dataclass(frozen=True, slots=True)
class Stretch:
    """One phase of one job: from `start` for `length` seconds, in a lane (from 1; 0 is the queue) of a time line."""

    job: int
    iteration: int
    lane: int
    phase: Phase
    start: float
    length: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """One mode: its stretches, what it says at the end, and whether all jobs are drawn."""

    mode: Mode
    advised: bool
    stretches: tuple[Stretch, ...]
    end: float
    caption: str
    complete: bool


def timelines(plan: Plan) -> list[Timeline]:
    """One time line a mode, on the same axis of seconds from submission."""
    out = []
    for mode in MODES:
        course = plan.forecasts[mode]
        stretches = tuple(s for bar in course.bars for s in _stretches(bar))
        if mode == "session":
            stretches += tuple(_idle(course.bars, plan.conditions.interactive_ttl))
        end = max((s.start + s.length for s in stretches), default=0.0)
        caption = f"≈ {course.usage:,.0f} s of usage"
        if course.idle:
            caption += f", {course.idle:,.0f} s of it idle"
        if course.failed:
            caption += f", {course.failed} jobs fail"
        if (price := plan.price(mode)) is not None:
            caption += f", ≈ {price:,.2f}"
        drawn = len(course.bars) == course.completed + course.failed
        out.append(Timeline(mode, mode == plan.mode, stretches, end, caption, drawn))
    return out


def _stretches(bar: Bar) -> list[Stretch]:
    lane = 0 if bar.lane is None else bar.lane + 1
    marks: list[tuple[Phase, float | None, float | None]] = [
        ("waiting", bar.submitted, bar.started if bar.started is not None else bar.ended),
        ("preparing" if bar.qpu_start is not None else "failed", bar.started, bar.qpu_start or bar.ended),
        ("on the QPU", bar.qpu_start, bar.qpu_end if bar.qpu_end is not None else bar.ended),
    ]
    return [
        Stretch(bar.job, bar.iteration, lane, phase, a, b - a)
        for phase, a, b in marks
        if a is not None and b is not None and b > a
    ]


def _idle(bars: Sequence[Bar], ttl: float) -> list[Stretch]:
    """Where a session waits for its next job, as long as its interactive TTL allows: it is billed for that."""
    out: list[Stretch] = []
    busy_until: float | None = None
    for bar in sorted(bars, key=lambda b: b.submitted):
        if bar.ended is None:
            continue
        if busy_until is not None and bar.submitted > busy_until:
            length = min(bar.submitted - busy_until, ttl)
            out.append(Stretch(bar.job, bar.iteration, 0, "idle, billed", busy_until, length))
        busy_until = max(bar.ended, busy_until or 0.0)
    return out
