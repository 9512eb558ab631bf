"""What a controller shows at the end of a cell.

The output holds three forms of one state. In JupyterLab and Notebook our extension draws `saved.MIME`: live while a
kernel watches the workload, from the document's own snapshot otherwise, which it renews when the workload ends and when
the notebook is saved. The widget serves other frontends (VS Code, Colab, marimo). Text and HTML serve whatever draws
neither: nbconvert, a terminal, a notebook read on the web.

Where no page of ours follows, the kernel itself renews text and HTML, so that a notebook run by nbclient, papermill or
VS Code ends with what became of its workloads: after each cell, and when a workload is over.
"""

from __future__ import annotations

import contextlib
import uuid
import weakref
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..model.command import Controllable
from ..model.snapshot import WorkloadSnapshot, WorkloadState
from . import saved
from .hub import Hub, hub
from .kernel import has_page, running_kernel

if TYPE_CHECKING:
    from .widget import WorkloadWidget

_widgets: dict[str, WorkloadWidget] = {}


def display(controller: Controllable, hub: Hub = hub) -> dict[str, Any]:
    """The MIME bundle of a controller. Registers it with the hub, so that it appears in the sidebar too."""
    hub.register(controller)
    kernel = running_kernel()
    page = kernel is not None and has_page(kernel)
    return _bundle(controller, hub, widget=page and not hub.followed)


def _bundle(controller: Controllable, hub: Hub, *, widget: bool) -> dict[str, Any]:
    state = controller.snapshot()
    bundle: dict[str, Any] = {
        "text/plain": saved.as_text(state),
        "text/html": saved.as_html(state),
        saved.MIME: saved.data(state, hub.process),
    }
    # Where our extension follows the kernel, a widget would be a second copy of every message that nobody looks at.
    if widget:
        bundle["application/vnd.jupyter.widget-view+json"] = {
            "version_major": 2,
            "version_minor": 0,
            "model_id": _widget(state.id, hub).model_id,
        }
        if hub.misunderstood:  # that page's extension would draw our JSON, and refuse what follows
            del bundle[saved.MIME]
    return bundle


def widget(controller: Controllable, hub: Hub = hub) -> WorkloadWidget:
    """The widget of a controller, for a layout of the user's own, wherever anywidget can be shown."""
    hub.register(controller)
    return _widget(controller.id, hub)


def _widget(workload: str, hub: Hub) -> WorkloadWidget:
    """One widget per workload: shown in several cells it is the same model with several views."""
    from .widget import WorkloadWidget

    widget = _widgets.get(workload)
    if widget is None or widget.comm is None:  # closed, for example by `Widget.close_all()`
        widget = _widgets[workload] = WorkloadWidget(hub, workload)
    return widget


# --- outputs that no page of ours renews --------------------------------------------------------------------------


@dataclass
class _Shown:
    """One output: its id in the document, whose it is, and what it shows."""

    display: str
    controller: weakref.ref[Controllable]
    state: WorkloadSnapshot
    told: WorkloadSnapshot  # what a program that runs the notebook has heard of for certain: a cell of its own said it
    widget: bool
    publish: Callable[..., object]  # in the context of the cell: ipykernel finds the message to answer to only there
    end: Callable[[], None] = lambda: None


_shown: list[_Shown] = []
_followed_cells: list[Any] = []  # the shells whose cells are followed


def show(controller: Controllable, hub: Hub = hub) -> bool:
    """Show it in an output that the kernel renews; False where a page of ours does that, or outside a kernel."""
    kernel = running_kernel()
    shell = getattr(kernel, "shell", None)
    if shell is None or hub.followed:
        return False
    hub.register(controller)
    page = has_page(kernel)
    state = controller.snapshot()
    shown = _Shown(f"qmode-{uuid.uuid4().hex}", weakref.ref(controller), state, state, page, copy_context().run)
    shell.display_pub.publish(
        data=_bundle(controller, hub, widget=page), metadata={}, transient={"display_id": shown.display}
    )
    _shown.append(shown)
    shown.end = controller.listen(lambda state: _renew(shown, hub, state) if _over(state) else None)
    if shell not in _followed_cells:
        _followed_cells.append(shell)
        shell.events.register("post_run_cell", lambda *_: _after_cell(hub))
    return True


def _after_cell(hub: Hub) -> None:
    """A cell has ended: programs that run notebooks hear of updates until then, and no longer."""
    for shown in list(_shown):
        controller = shown.controller()
        if controller is None:
            _shown.remove(shown)
        elif not shown.widget:  # where a page shows the widget, that is live by itself
            shown.publish = lambda function, *args: function(*args)
            _renew(shown, hub, controller.snapshot(), certain=True)


def _over(state: WorkloadSnapshot) -> bool:
    ended = all(job.state.final for job in state.jobs)
    return ended and (state.state is WorkloadState.CLOSED or state.accepting_jobs is False or state.mode == "job")


def _renew(shown: _Shown, hub: Hub, state: WorkloadSnapshot, *, certain: bool = False) -> None:
    controller, kernel = shown.controller(), running_kernel()
    last = shown.told if certain else shown.state
    if controller is None or kernel is None or hub.followed or saved.same_to_read(last, state):
        return
    shown.state = state
    if certain:
        shown.told = state
    bundle = _bundle(controller, hub, widget=shown.widget)
    publish = kernel.shell.display_pub.publish
    with contextlib.suppress(Exception):  # the kernel goes down, or its frontend is gone: nothing to show it on
        shown.publish(lambda: publish(data=bundle, metadata={}, transient={"display_id": shown.display}, update=True))
