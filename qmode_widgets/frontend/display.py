"""What a controller shows at the end of a cell: the live widget where a notebook can show one, and always a table."""

from __future__ import annotations

import html
import time
from typing import TYPE_CHECKING, Any

from ..model.command import Controllable
from ..model.snapshot import JobSnapshot, WorkloadSnapshot
from ..model.text import SIGNS, table, usage_text, why
from .hub import Hub, hub
from .kernel import has_page, running_kernel

if TYPE_CHECKING:
    from .widget import WorkloadWidget

_HEAD = ("#", "PUBs", "State", "Job", "Usage", "")
_ROWS = 60           # a fallback stays readable: beyond, it says how many more there are

_widgets: dict[str, WorkloadWidget] = {}


def display(controller: Controllable, hub: Hub = hub) -> dict[str, Any]:
    """The MIME bundle of a controller. Registers it with the hub, so that it appears in the sidebar too.

    Text and HTML are for places without widgets (nbconvert, a terminal, a notebook read on the web): the state of this
    moment, with its time.
    """
    hub.register(controller)
    state = controller.snapshot()
    bundle: dict[str, Any] = {"text/plain": table(state), "text/html": as_html(state)}
    kernel = running_kernel()
    if kernel is not None and has_page(kernel):
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


def as_html(state: WorkloadSnapshot) -> str:
    """The workload as a static HTML table; everything in it is escaped."""
    shown = [job for job in state.jobs if not job.superseded]

    def line(cells: tuple[str, ...], tag: str) -> str:
        return "<tr>" + "".join(f'<{tag} style="text-align:left">{html.escape(c)}</{tag}>' for c in cells) + "</tr>"

    body = "".join(line(_row(job, number), "td") for number, job in enumerate(shown[:_ROWS], start=1))
    more = f"<p>and {len(shown) - _ROWS} more</p>" if len(shown) > _ROWS else ""
    title = f'<caption style="text-align:left">{html.escape(_title(state))}</caption>'
    return f"<table>{title}<thead>{line(_HEAD, 'th')}</thead><tbody>{body}</tbody></table>{more}"


def _title(state: WorkloadSnapshot) -> str:
    seen = "not seen yet"
    if state.seen_at is not None:
        seen = time.strftime("as of %Y-%m-%d %H:%M:%S", time.localtime(state.seen_at - state.clock_offset))
    where = f"{state.mode.capitalize()} {state.workload_id or state.id} on {state.backend}"
    return f"{where}: {state.state}, usage {usage_text(state.usage)} ({seen})"


def _row(job: JobSnapshot, number: int) -> tuple[str, ...]:
    place = str(number if job.partition is None else job.partition + 1)
    return place, job.pubs or "–", SIGNS[job.state], job.job_id or "–", usage_text(job.usage), why(job)
