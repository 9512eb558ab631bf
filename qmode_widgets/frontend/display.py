"""What a controller shows at the end of a cell: the live widget where a notebook can show one, and always a table."""

from __future__ import annotations

import html
import time
from typing import TYPE_CHECKING, Any

from ..model.command import Controllable
from ..model.snapshot import JobSnapshot, JobState, Usage, WorkloadSnapshot
from .hub import Hub, hub
from .kernel import running_kernel

if TYPE_CHECKING:
    from .widget import WorkloadWidget

# Words and shapes as on the screens (js/core/facts.ts): state is never colour alone.
_SHAPES = {
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
_HEAD = ("#", "PUBs", "State", "Job", "Usage")
_ROWS = 60           # a fallback stays readable: beyond, it says how many more there are

_widgets: dict[str, WorkloadWidget] = {}


def display(controller: Controllable, hub: Hub = hub) -> dict[str, Any]:
    """The MIME bundle of a controller. Registers it with the hub, so that it appears in the sidebar too.

    Text and HTML are for places without widgets (nbconvert, a terminal, a notebook read on the web): the state of this
    moment, with its time.
    """
    hub.register(controller)
    state = controller.snapshot()
    bundle: dict[str, Any] = {"text/plain": as_text(state), "text/html": as_html(state)}
    if running_kernel() is not None:
        widget = _widget(state.id, hub)
        bundle["application/vnd.jupyter.widget-view+json"] = {
            "version_major": 2,
            "version_minor": 0,
            "model_id": widget.model_id,
        }
    return bundle


def _widget(workload: str, hub: Hub) -> WorkloadWidget:
    """One widget per workload: shown in several cells it is the same model with several views."""
    from .widget import WorkloadWidget

    widget = _widgets.get(workload)
    if widget is None or widget.comm is None:        # closed, for example by `Widget.close_all()`
        widget = _widgets[workload] = WorkloadWidget(hub, workload)
    return widget


def as_text(state: WorkloadSnapshot) -> str:
    """The workload as a plain table."""
    rows = [_HEAD, *_rows(state)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([_title(state), *lines, *_rest(state)])


def as_html(state: WorkloadSnapshot) -> str:
    """The workload as a static HTML table; everything in it is escaped."""

    def line(cells: tuple[str, ...], tag: str) -> str:
        return "<tr>" + "".join(f'<{tag} style="text-align:left">{html.escape(c)}</{tag}>' for c in cells) + "</tr>"

    body = "".join(line(row, "td") for row in _rows(state))
    rest = "".join(f"<p>{html.escape(text)}</p>" for text in _rest(state))
    title = f"<caption style='text-align:left'>{html.escape(_title(state))}</caption>"
    return f"<table>{title}<thead>{line(_HEAD, 'th')}</thead><tbody>{body}</tbody></table>{rest}"


def _shown(state: WorkloadSnapshot) -> list[JobSnapshot]:
    return [job for job in state.jobs if not job.superseded]


def _title(state: WorkloadSnapshot) -> str:
    seen = time.strftime("%H:%M:%S", time.localtime(state.seen_at - state.clock_offset)) if state.seen_at else "not seen yet"
    name = state.mode.capitalize()
    return f"{name} {state.id} on {state.backend}: {state.state.value}, usage {_usage(state.usage)} (as of {seen})"


def _rows(state: WorkloadSnapshot) -> list[tuple[str, ...]]:
    return [
        (
            str(number if job.partition is None else job.partition + 1),
            job.pubs or "–",
            " ".join(filter(None, (_SHAPES[job.state], str(job.reason_code or ""), job.reason or job.note))),
            job.job_id or "–",
            _usage(job.usage),
        )
        for number, job in enumerate(_shown(state)[:_ROWS], start=1)
    ]


def _rest(state: WorkloadSnapshot) -> list[str]:
    more = len(_shown(state)) - _ROWS
    return [f"and {more} more"] if more > 0 else []


def _usage(usage: Usage) -> str:
    if usage.reported is not None and usage.status != "none":
        return f"{usage.reported:g} s"
    return "–" if usage.estimated is None else f"≈ {usage.estimated:.3g} s"
