"""Plotly figures. They take their data from the floors below, and follow the page's light or dark theme."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from ..model.snapshot import JobSnapshot, JobState, WorkloadSnapshot
from ..planning.plan import Plan, hooks
from ..planning.timelines import Timeline, timelines

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Okabe and Ito's colours: told apart on light and dark ground, and by colour-blind eyes; each phase has its own row
# height and hatching besides.
_COLOURS = {
    "waiting": "#999999", "idle, billed": "#E69F00", "preparing": "#56B4E9", "on the QPU": "#0072B2",
    "failed": "#D55E00",
}  # fmt: skip
_HATCH = {"waiting": "", "idle, billed": "\\", "preparing": "/", "on the QPU": "", "failed": "x"}
_WIDTH = {"waiting": 0.15, "idle, billed": 0.5, "preparing": 0.5, "on the QPU": 0.8, "failed": 0.5}


def lend() -> None:
    """Give the planning floor its figures. Runs when the package is wired."""
    hooks.figure = plan_figure
    hooks.comparison = comparison_figure


def _layout(figure: go.Figure, **more: Any) -> None:
    grid = "rgba(128,128,128,0.25)"
    figure.update_layout(
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": "#808080"},                 # readable on both grounds
        margin={"l": 70, "r": 30, "t": 40, "b": 45},
        **more,
    )
    figure.update_xaxes(gridcolor=grid, zerolinecolor=grid)
    figure.update_yaxes(gridcolor=grid, zerolinecolor=grid)


def plan_figure(plan: Plan) -> go.Figure:
    """One time line per mode on a common axis of seconds; usage as numbers at the end."""
    from plotly.subplots import make_subplots

    lines = timelines(plan)
    titles = [f"{t.mode.capitalize()}{' ✓ advised' * t.advised}" for t in lines]
    figure = make_subplots(rows=len(lines), shared_xaxes=True, subplot_titles=titles, vertical_spacing=0.09)
    end = max((t.end for t in lines), default=0.0)
    named: set[str] = set()                                  # phases that have their entry in the legend
    lanes = plan.conditions.lanes
    for row, line in enumerate(lines, start=1):
        _draw(figure, line, row, named)
        text = line.caption.replace(", ", "<br>") + ("" if line.complete else "<br>(the first jobs only)")
        figure.add_annotation(
            text=text, x=line.end, y=(lanes + 1) / 2, xanchor="left", xshift=8, align="left", showarrow=False, row=row,
            col=1,
        )  # fmt: skip
    figure.update_xaxes(range=[0, end * 1.3 or 1])           # room for the numbers at the end
    figure.update_xaxes(title="seconds from submission", row=len(lines))
    names = ["queue", *map(str, range(1, lanes + 1))]
    figure.update_yaxes(title="lane", tickvals=list(range(lanes + 1)), ticktext=names, range=[lanes + 0.6, -0.6])
    _layout(figure, barmode="overlay", height=170 * len(lines) + 90, legend={"orientation": "h", "y": -0.12})
    return figure


def _draw(figure: go.Figure, line: Timeline, row: int, named: set[str]) -> None:
    import plotly.graph_objects as go

    for phase, colour in _COLOURS.items():
        found = [s for s in line.stretches if s.phase == phase]
        figure.add_trace(
            go.Bar(
                orientation="h",
                base=[s.start for s in found],
                x=[s.length for s in found],
                y=[s.lane for s in found] if phase != "waiting" else [0] * len(found),
                width=_WIDTH[phase],
                name=phase,
                legendgroup=phase,
                showlegend=bool(found) and phase not in named,
                marker={"color": colour, "pattern": {"shape": _HATCH[phase]}, "line": {"width": 0}},
                hovertext=[f"job {s.job}, iteration {s.iteration}: {phase} for {s.length:,.1f} s" for s in found],
                hoverinfo="text",
            ),
            row=row,
            col=1,
        )
        if found:
            named.add(phase)


def comparison_figure(results: Mapping[str, Any]) -> go.Figure:
    """Results per setting: expectation values with their standard errors, else the most frequent outcomes.

    Args:
        results: a `PrimitiveResult` by label.

    Raises:
        ValueError: no results.
    """
    import numpy as np
    import plotly.graph_objects as go

    if not results:
        raise ValueError("no results to draw")
    figure = go.Figure()
    titles = {"x": "PUB and element", "y": "expectation value"}
    for label, result in results.items():
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
        figure.add_trace(
            go.Bar(x=names, y=values, name=escape(label), error_y={"array": errors} if errors else None)
        )
    _layout(figure, barmode="group", xaxis={"title": titles["x"], "type": "category"}, yaxis={"title": titles["y"]})
    return figure


def _most_frequent(result: Any, most: int = 16) -> list[tuple[str, float]]:
    counts = result.join_data().get_counts()
    total = sum(counts.values())
    return [(k, n / total) for k, n in sorted(counts.items(), key=lambda item: -item[1])[:most]]


def workload_figure(state: WorkloadSnapshot, kind: str) -> go.Figure:
    """What ran when (`"timeline"`), or what each partition used beside what was expected (`"usage"`).

    Times and usage are the service's own; a job's time on the QPU is known once its result was read.

    Raises:
        ValueError: another kind.
    """
    if kind == "timeline":
        return _ran(state)
    if kind == "usage":
        return _used(state)
    raise ValueError(f'figure({kind!r}): pass "timeline" or "usage"')


def _name(job: JobSnapshot) -> str:
    """A row's name; ids are the service's text, and plotly reads its labels as HTML."""
    if job.partition is None:
        return f"job {escape(str(job.job_id))}"
    again = f" · attempt {job.attempt + 1}" if job.attempt else ""
    return f"partition {job.partition + 1}{again}"


def _ran(state: WorkloadSnapshot) -> go.Figure:
    import plotly.graph_objects as go

    figure = go.Figure()
    shown = [j for j in state.jobs if j.created is not None]
    start = min((j.created for j in shown if j.created is not None), default=0.0)
    bars: dict[str, list[tuple[str, float, float]]] = {"waiting": [], "preparing": [], "on the QPU": [], "failed": []}
    for job in shown:
        created = job.created or start
        running = job.running or job.finished or state.seen_at or created
        bars["waiting"].append((_name(job), created, running))
        if job.running is not None:
            phase = "failed" if job.state is JobState.FAILED else "preparing"
            bars[phase].append((_name(job), job.running, job.finished or state.seen_at or job.running))
        bars["on the QPU"] += [(_name(job), a, b) for a, b in job.spans]
    for phase, found in bars.items():
        figure.add_trace(
            go.Bar(
                orientation="h",
                base=[a - start for _, a, _ in found],
                x=[b - a for _, a, b in found],
                y=[name for name, _, _ in found],
                width=_WIDTH[phase],
                name="running" if phase == "preparing" else phase,
                marker={"color": _COLOURS[phase], "pattern": {"shape": _HATCH[phase]}},
                hovertext=[f"{name}: {phase}, {b - a:,.1f} s" for name, a, b in found],
                hoverinfo="text",
                showlegend=bool(found),
            )
        )
    figure.update_xaxes(title="seconds since the first submission")
    figure.update_yaxes(autorange="reversed")
    _layout(figure, barmode="overlay", height=120 + 26 * len(shown), legend={"orientation": "h", "y": 1.12})
    return figure


def _used(state: WorkloadSnapshot) -> go.Figure:
    import plotly.graph_objects as go

    names = [_name(j) for j in state.jobs]
    figure = go.Figure(
        [
            go.Bar(x=names, y=[j.usage.estimated for j in state.jobs], name="≈ expected", marker={"color": "#56B4E9"},
                   opacity=0.5),
            go.Bar(x=names, y=[j.usage.reported for j in state.jobs], name="reported", marker={"color": "#0072B2"}),
        ]
    )
    figure.update_yaxes(title="QPU seconds")
    _layout(figure, barmode="group", height=340, legend={"orientation": "h", "y": 1.12})
    return figure
