"""What a controller shows at the end of a cell.

The output holds three forms of one state. In JupyterLab and Notebook our extension draws `saved.MIME`: live while a
kernel watches the workload, from the document's own snapshot otherwise, which it renews when the workload ends and when
the notebook is saved. The widget serves other frontends (VS Code, Colab). Text and HTML serve whatever draws neither:
nbconvert, a terminal, a notebook read on the web.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..model.command import Controllable
from . import saved
from .hub import Hub, hub
from .kernel import has_page, running_kernel

if TYPE_CHECKING:
    from .widget import WorkloadWidget

_widgets: dict[str, WorkloadWidget] = {}


def display(controller: Controllable, hub: Hub = hub) -> dict[str, Any]:
    """The MIME bundle of a controller. Registers it with the hub, so that it appears in the sidebar too."""
    hub.register(controller)
    state = controller.snapshot()
    bundle: dict[str, Any] = {
        "text/plain": saved.as_text(state),
        "text/html": saved.as_html(state),
        saved.MIME: saved.data(state, hub.process),
    }
    kernel = running_kernel()
    # Where our extension follows the kernel, a widget would be a second copy of every message that nobody looks at.
    if kernel is not None and has_page(kernel) and not hub.followed:
        widget = _widget(state.id, hub)
        bundle["application/vnd.jupyter.widget-view+json"] = {
            "version_major": 2,
            "version_minor": 0,
            "model_id": widget.model_id,
        }
        if hub.misunderstood:  # that page's extension would draw our JSON, and refuse what follows
            del bundle[saved.MIME]
    return bundle


def widget(controller: Controllable, hub: Hub = hub) -> WorkloadWidget | None:
    """The widget of a controller, for a layout of the user's own; None where no page can show one."""
    kernel = running_kernel()
    if kernel is None or not has_page(kernel):
        return None
    hub.register(controller)
    return _widget(controller.id, hub)


def _widget(workload: str, hub: Hub) -> WorkloadWidget:
    """One widget per workload: shown in several cells it is the same model with several views."""
    from .widget import WorkloadWidget

    widget = _widgets.get(workload)
    if widget is None or widget.comm is None:  # closed, for example by `Widget.close_all()`
        widget = _widgets[workload] = WorkloadWidget(hub, workload)
    return widget
