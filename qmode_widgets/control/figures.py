"""Plotly figures of a workload: what ran when, and usage beside what was expected."""

from __future__ import annotations

from html import escape

import plotly.graph_objects as go

from ..model.snapshot import JobSnapshot, JobState, WorkloadSnapshot
from ..planning.figures import COLOURS, HATCH, WIDTH, layout


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
                width=WIDTH[phase],
                name="running" if phase == "preparing" else phase,
                marker={"color": COLOURS[phase], "pattern": {"shape": HATCH[phase]}},
                hovertext=[f"{name}: {phase}, {b - a:,.1f} s" for name, a, b in found],
                hoverinfo="text",
                showlegend=bool(found),
            )
        )
    figure.update_xaxes(title="seconds since the first submission")
    figure.update_yaxes(autorange="reversed")
    layout(figure, barmode="overlay", height=120 + 26 * len(shown), legend={"orientation": "h", "y": 1.12})
    return figure


def _used(state: WorkloadSnapshot) -> go.Figure:
    import plotly.graph_objects as go

    names = [_name(j) for j in state.jobs]
    figure = go.Figure(
        [
            go.Bar(
                x=names,
                y=[j.usage.estimated for j in state.jobs],
                name="≈ expected",
                marker={"color": "#56B4E9"},
                opacity=0.5,
            ),
            go.Bar(x=names, y=[j.usage.reported for j in state.jobs], name="reported", marker={"color": "#0072B2"}),
        ]
    )
    figure.update_yaxes(title="QPU seconds")
    layout(figure, barmode="group", height=340, legend={"orientation": "h", "y": 1.12})
    return figure
