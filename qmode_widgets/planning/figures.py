"""Plotly figures of a plan and of a comparison. They follow the page's light or dark theme."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import cycle
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..errors import ArgumentError
from ..model.snapshot import Mode
from .content import PlanContent
from .durations import duration
from .forecast import MODES, Bar

# Okabe and Ito's colours: told apart on light and dark ground, and by colour-blind eyes; each phase has its own row
# height and hatching besides.
COLOURS = {
    "waiting": "#999999", "idle, billed": "#E69F00", "preparing": "#56B4E9", "waiting for the QPU": "#CC79A7",
    "on the QPU": "#0072B2", "failed": "#D55E00",
}  # fmt: skip
HATCH = {
    "waiting": "",
    "idle, billed": "\\",
    "preparing": "/",
    "waiting for the QPU": ".",
    "on the QPU": "",
    "failed": "x",
}
WIDTH = {
    "waiting": 0.15,
    "idle, billed": 0.5,
    "preparing": 0.5,
    "waiting for the QPU": 0.3,
    "on the QPU": 0.8,
    "failed": 0.5,
}

SETTINGS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")  # of a comparison; the same palette

Phase = Literal["waiting", "preparing", "waiting for the QPU", "on the QPU", "failed", "idle, billed"]


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
    """A mode, or modes that come to the same: its stretches, its caption, and whether all jobs are drawn."""

    modes: tuple[Mode, ...]
    advised: bool
    stretches: tuple[Stretch, ...]
    end: float
    caption: str
    complete: bool


def timelines(plan: PlanContent) -> list[Timeline]:
    """One time line a mode, on the same axis of seconds from submission; modes that come to the same share one."""
    out: list[Timeline] = []
    for mode in MODES:
        course = plan.forecasts[mode]
        stretches = tuple(s for bar in course.bars for s in _stretches(bar))
        if mode == "session":
            stretches += tuple(_idle(course.bars, plan.conditions.interactive_ttl))
        end = max((s.start + s.length for s in stretches), default=0.0)
        caption = f"≈ {course.usage:,.0f} s of usage"
        if course.usage >= 120:
            caption += f" ({duration(course.usage)})"
        if course.idle:
            caption += f", {duration(course.idle)} of it idle"
        if course.failed:
            caption += f", {course.failed} jobs fail"
        if (price := plan.price(mode)) is not None:
            caption += f", ≈ {price:,.2f}"
        drawn = len(course.bars) == course.completed + course.failed
        advised = mode == plan.mode
        if out and (out[-1].stretches, out[-1].caption) == (stretches, caption):
            before = out.pop()
            out.append(replace(before, modes=(*before.modes, mode), advised=before.advised or advised))
        else:
            out.append(Timeline((mode,), advised, stretches, end, caption, drawn))
    return out


def _stretches(bar: Bar) -> list[Stretch]:
    lane = 0 if bar.lane is None else bar.lane + 1
    began = bar.qpu_start is not None
    marks: list[tuple[Phase, float | None, float | None]] = [
        ("waiting", bar.submitted, bar.started if bar.started is not None else bar.ended),
        ("preparing" if began else "failed", bar.started, bar.prepared if began else bar.ended),
        ("waiting for the QPU", bar.prepared if began else None, bar.qpu_start),
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


def layout(figure: go.Figure, **more: Any) -> None:
    """Colours and margins that suit a light and a dark page."""
    grid = "rgba(128,128,128,0.25)"
    figure.update_layout(
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": "#808080"},  # readable on both grounds
        margin={"l": 70, "r": 30, "t": 40, "b": 45},
        **more,
    )
    figure.update_xaxes(gridcolor=grid, zerolinecolor=grid)
    figure.update_yaxes(gridcolor=grid, zerolinecolor=grid)


def plan_figure(plan: PlanContent) -> go.Figure:
    """The time lines on a common axis of seconds; usage in their titles."""
    lines = timelines(plan)
    titles = [_title(t) for t in lines]
    figure = make_subplots(rows=len(lines), shared_xaxes=True, subplot_titles=titles, vertical_spacing=0.09)
    end = max((t.end for t in lines), default=0.0)
    named: set[str] = set()  # phases that have their entry in the legend
    lanes = plan.conditions.lanes
    for row, line in enumerate(lines, start=1):
        _draw(figure, line, row, named)
    figure.update_xaxes(range=[0, end * 1.03 or 1], **_ticks(end * 1.03))
    figure.update_xaxes(title="time from submission", row=len(lines))
    names = ["queue", *map(str, range(1, lanes + 1))]
    figure.update_annotations(font_size=13)  # the longest title fits where the figure is narrow
    figure.update_yaxes(title="in parallel", tickvals=list(range(lanes + 1)), ticktext=names, range=[lanes + 0.6, -0.6])
    layout(figure, barmode="overlay", height=170 * len(lines) + 90, legend={"orientation": "h", "y": -0.12})
    return figure


def _title(line: Timeline) -> str:
    advised = " ✓ advised" if line.advised else ""
    drawn = "" if line.complete else " (the first jobs only)"
    return f"<b>{', '.join(m.capitalize() for m in line.modes)}{advised}</b>: {line.caption}{drawn}"


STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600, 43200, 86400)


def _ticks(end: float) -> dict[str, Any]:
    """About six marks in seconds, minutes, hours or days, whichever is round."""
    step: float = next((s for s in STEPS if end / s <= 7), 86400 * math.ceil(end / 7 / 86400))
    at = [step * n for n in range(int(end // step) + 1)]
    return {"tickvals": at, "ticktext": ["0" if not t else duration(t) for t in at]}


def _draw(figure: go.Figure, line: Timeline, row: int, named: set[str]) -> None:
    for phase, colour in COLOURS.items():
        found = [s for s in line.stretches if s.phase == phase]
        figure.add_trace(
            go.Bar(
                orientation="h",
                base=[s.start for s in found],
                x=[s.length for s in found],
                y=[s.lane for s in found] if phase != "waiting" else [0] * len(found),
                width=WIDTH[phase],
                name=phase,
                legendgroup=phase,
                showlegend=bool(found) and phase not in named,
                # a line of the same colour: a job of seconds on an axis of hours is still seen
                marker={"color": colour, "pattern": {"shape": HATCH[phase]}, "line": {"width": 1, "color": colour}},
                hovertext=[f"{_name(s)}: {phase} for {duration(s.length)}" for s in found],
                hoverinfo="text",
            ),
            row=row,
            col=1,
        )
        if found:
            named.add(phase)


def _name(stretch: Stretch) -> str:
    return "learning the noise" if stretch.iteration < 0 else f"job {stretch.job}, iteration {stretch.iteration}"


def comparison_figure(
    results: Mapping[str, Any],
    costs: Mapping[str, float | None] | None = None,
    reference: float | Sequence[float] | None = None,
) -> go.Figure:
    """Results per setting: expectation values with their standard errors, else the most frequent outcomes.

    Args:
        results: a `PrimitiveResult` by label.
        costs: billed seconds by label, drawn beside the results; None: not known yet.
        reference: the value without noise, or one for each value, drawn as a line.

    Raises:
        ValueError: no results.
    """
    if not results:
        raise ArgumentError("no results to draw")
    billed = {label: seconds for label in results if (seconds := (costs or {}).get(label)) is not None}
    figure = make_subplots(cols=2, column_widths=[0.7, 0.3], horizontal_spacing=0.12) if billed else go.Figure()
    where = {"row": 1, "col": 1} if billed else {}
    titles = {"x": "PUB and element", "y": "expectation value"}
    names: list[str] = []
    for colour, (label, result) in zip(cycle(SETTINGS), results.items(), strict=False):
        names, values, errors = [], [], []
        for pub, one in enumerate(result):
            if "evs" in one.data:
                evs = np.atleast_1d(one.data.evs)
                stds = np.broadcast_to(one.data.stds if "stds" in one.data else np.nan, evs.shape)
                for at in np.ndindex(evs.shape):
                    names.append(f"{pub}{list(at) if evs.size > 1 else ''}")
                    values.append(float(evs[at]))
                    errors.append(float(stds[at]))
            else:
                titles = {"x": "PUB and outcome", "y": "probability"}
                for outcome, probability in _most_frequent(one):
                    names.append(f"{pub}: {outcome}")
                    values.append(probability)
        bars = {"name": escape(label), "legendgroup": label, "marker": {"color": colour}}
        figure.add_trace(go.Bar(x=names, y=values, error_y={"array": errors} if errors else None, **bars), **where)
        if label in billed:
            cost = go.Bar(x=[escape(label)], y=[billed[label]], showlegend=False, **bars)
            figure.add_trace(cost, row=1, col=2)
    if reference is not None:
        _draw_reference(figure, np.atleast_1d(np.asarray(reference, dtype=float)).ravel(), names, where)
    layout(figure, barmode="group")
    figure.update_xaxes(title=titles["x"], type="category", **where)
    figure.update_yaxes(title=titles["y"], **where)
    if billed:
        figure.update_yaxes(title="QPU usage in s", rangemode="tozero", row=1, col=2)
    return figure


def _draw_reference(figure: go.Figure, ideal: Any, names: Sequence[str], where: Mapping[str, int]) -> None:
    if ideal.size == 1:
        figure.add_hline(
            float(ideal[0]), line_dash="dash", line_color="#808080", annotation_text="without noise", **where
        )
        return
    if ideal.size != len(names):
        raise ArgumentError(f"reference has {ideal.size} values for {len(names)} results: pass one, or one for each")
    dash = {"symbol": "line-ew-open", "size": 30, "color": "#808080", "line": {"width": 2}}
    figure.add_trace(
        go.Scatter(x=list(names), y=ideal.tolist(), mode="markers", marker=dash, name="without noise"), **where
    )


def _most_frequent(result: Any, most: int = 16) -> list[tuple[str, float]]:
    counts = result.join_data().get_counts()
    total = sum(counts.values())
    return [(k, n / total) for k, n in sorted(counts.items(), key=lambda item: -item[1])[:most]]
