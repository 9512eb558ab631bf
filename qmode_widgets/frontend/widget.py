"""The live widget of one controller in notebook cells. It holds a reference and no data of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from .hub import Hub
from .kernel import free_of_shell
from .protocol import Message

_BUNDLE = Path(__file__).parent.parent / "static" / "widget.js"
if not _BUNDLE.exists():
    raise ImportError(f"{_BUNDLE} is missing: this tree's frontend is not built; run `python js/hatch_build.py`")


class WorkloadWidget(anywidget.AnyWidget):
    """One workload in a cell, over the widget's comm."""

    _esm = _BUNDLE
    # Read when a page asks for the widget's state: greeting and snapshot of that moment. The trait itself stays empty.
    _start = traitlets.Dict().tag(sync=True, to_json=lambda _value, widget: widget._greeting())

    def __init__(self, hub: Hub, workload: str) -> None:
        self._hub = hub
        self._workload = workload
        self.attached = False
        super().__init__()
        self.on_msg(self._on_request)
        hub.add_outlet(workload, self)

    def open(self) -> None:
        """Open the comm (ipywidgets calls this); see `free_of_shell`."""
        super().open()
        if self.comm is not None:
            free_of_shell(self.comm)

    def deliver(self, message: Message) -> None:
        """Send a message to the page; before the page has asked, keep its first state fresh instead.

        Until its module has loaded, a page drops messages; a trait it finds in its model whenever it is ready.
        """
        if self.attached or message["kind"] == "ack":
            self.send(message)
        else:
            self.send_state("_start")

    def _greeting(self) -> dict[str, Any]:
        """What a page that opens the widget finds; no state where our extension draws the output."""
        snapshot = None if self._hub.followed else self._hub.current(self._workload)
        return {"workload": self._workload, "hello": self._hub.greeting(), "snapshot": snapshot}

    def _on_request(self, _widget: object, content: object, _buffers: object) -> None:
        self._hub.receive(content, self)
