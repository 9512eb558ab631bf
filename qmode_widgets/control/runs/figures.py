"""Plotly figures of a workload: what ran when, and usage beside what was expected."""

from __future__ import annotations

from html import escape
from itertools import accumulate

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ...errors import ArgumentError
from ...model.snapshot import JobSnapshot, JobState, WorkloadSnapshot
from ...planning.figures import COLOURS, HATCH, WIDTH, layout


def workload_figure(state: WorkloadSnapshot, kind: str) -> go.Figure:
    """What ran when (`"timeline"`), what each partition used beside what was expected (`"usage"`), or how well the
    expectation was met (`"forecast-vs-actual"`).

    Times and usage are the service's own; a job's time on the QPU is known once its result was read.

    Raises:
        ValueError: another kind.
    """
    if kind == "timeline":
        return _ran(state)
    if kind == "usage":
        return _used(state)
    if kind == "forecast-vs-actual":
        return _forecast(state)
    raise ArgumentError(f'figure({kind!r}): pass "timeline", "usage" or "forecast-vs-actual"')


def _name(job: JobSnapshot) -> str:
    """A row's name; ids are the service's text, and plotly reads its labels as HTML."""
    if job.partition is None:
        return f"job {escape(str(job.job_id))}"
    again = f" · attempt {job.attempt + 1}" if job.attempt else ""
    if job.group is not None:
        part = f".{job.partition + 1}" if (job.of or 1) > 1 else ""
        return f"{escape(job.group)}{part}{again}"
    label = f"{escape(job.label)}: " if job.label else ""
    return f"{label}partition {job.number or job.partition + 1}{again}"


def _ran(state: WorkloadSnapshot) -> go.Figure:
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


def _forecast(state: WorkloadSnapshot) -> go.Figure:
    """Left, each job's usage over what was expected of it: on the line it was met. Right, both as they added up."""
    told = [job for job in state.jobs if job.usage.status == "final" and job.usage.reported is not None]
    known = [job for job in told if job.usage.estimated is not None]
    expected = [job.usage.estimated or 0.0 for job in known]
    reported = [job.usage.reported or 0.0 for job in known]
    most = 1.05 * max([*expected, *reported], default=1.0)
    figure = make_subplots(
        cols=2,
        subplot_titles=[_met(sum(expected), sum(reported), len(known), len(state.jobs)), "as it added up"],
    )
    figure.add_trace(
        go.Scatter(
            x=[0, most], y=[0, most], mode="lines", name="as expected", line={"color": "#999999", "dash": "dash"}
        ),
        row=1,
        col=1,
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=expected,
            y=reported,
            mode="markers",
            name="a job",
            marker={"color": "#0072B2", "size": 9, "symbol": "circle-open", "line": {"width": 2}},
            hovertext=[f"{_name(job)}: {job.usage.reported:,.1f} s of ≈ {job.usage.estimated:,.1f} s" for job in known],
            hoverinfo="text",
        ),
        row=1,
        col=1,
    )
    ended = sorted((job for job in known if job.finished is not None), key=lambda job: job.finished or 0.0)
    start = min((job.created for job in state.jobs if job.created is not None), default=0.0)
    times = [(job.finished or start) - start for job in ended]
    sums = (
        ("≈ expected", "#56B4E9", "dash", [job.usage.estimated for job in ended]),
        ("reported", "#0072B2", "solid", [job.usage.reported for job in ended]),
    )
    for name, colour, dash, amounts in sums:
        figure.add_trace(
            go.Scatter(
                x=[0.0, *times],
                y=[0.0, *accumulate(amount or 0.0 for amount in amounts)],
                mode="lines",
                name=name,
                line={"color": colour, "shape": "hv", "dash": dash},
            ),
            row=1,
            col=2,
        )
    if state.usage.cap is not None:
        figure.add_hline(
            y=state.usage.cap, line={"color": "#D55E00", "dash": "dot"}, annotation_text="cap", row=1, col=2
        )
    figure.update_xaxes(title="expected, QPU seconds", row=1, col=1)
    figure.update_yaxes(title="reported, QPU seconds", row=1, col=1)
    figure.update_xaxes(title="seconds since the first submission", row=1, col=2)
    figure.update_yaxes(title="QPU seconds", row=1, col=2)
    layout(figure, height=380, legend={"orientation": "h", "y": -0.25})
    return figure


def _met(expected: float, reported: float, jobs: int, of: int) -> str:
    if not jobs or not expected:
        return "no job's bill is complete yet"
    return f"{reported:,.1f} s of ≈ {expected:,.1f} s: × {reported / expected:.2f} ({jobs} of {of} jobs)"
