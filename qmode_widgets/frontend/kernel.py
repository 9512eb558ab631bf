"""The kernel we run in, as the hub needs it. The only file that touches ipykernel's control handlers and comms.

Page to kernel: `qmode_request` on the control channel. It has a thread of its own, so it is served while a cell blocks,
on ipykernel 6 and 7, whatever JupyterLab's "comms over subshells" says, and after a page reload. Interrupt and shutdown
share that thread: the handler only hands over.

Kernel to page: comm messages under one fixed id, the beacon, on iopub. The comm is registered, so that a page finds it
with `comm_info_request`, but never opened: a page without our labextension would answer an open with a close, and the
notebook's own kernel connection ignores messages of a comm it does not know.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable
from typing import Any

from .protocol import Message

TARGET = "qmode_widgets"
BEACON = "qmode_widgets-beacon"
REQUEST, REPLY = "qmode_request", "qmode_reply"
ACCOUNT = "qmode_account"

_NEEDED = ("session", "iopub_socket", "comm_manager")


class KernelLink:
    """Receives requests from, and broadcasts messages to, every page that shows this kernel."""

    def __init__(self, kernel: Any, receive: Callable[[object, str], None], greeting: Callable[[], Message]) -> None:
        """Hook into `kernel`. `receive(content, page)` and `greeting` are called on the control thread: they must not
        block.

        Raises:
            RuntimeError: this kernel is not one whose comms we know how to reach.
        """
        if missing := [name for name in _NEEDED if getattr(kernel, name, None) is None]:
            raise RuntimeError(
                f"this kernel ({type(kernel).__name__}) has no {', '.join(missing)}: "
                "the sidebar cannot follow it; widgets in cells still work"
            )
        self._kernel = kernel
        self._receive = receive
        self._greeting = greeting
        self._lock = threading.Lock()
        self.problem: str | None = None
        self.listening = False  # nothing is broadcast until a page has asked
        handlers = getattr(kernel, "control_handlers", None)
        if isinstance(handlers, dict):
            handlers[REQUEST] = self._on_request
        else:
            self.problem = (
                f"ipykernel {_version()} takes no requests of ours on its control channel: the sidebar can show, "
                "but not cancel or resubmit; use the buttons in the cell or the controller's methods"
            )
            self.listening = True  # nobody can ask
        self._light_beacon()
        self.busy = False
        self._follow_cells()

    def take(self, name: str, receive: Callable[[object], None]) -> None:
        """Take requests of a further name on the control channel; each is answered `ok` and handed to `receive`."""

        def on_request(stream: Any, ident: Any, msg: dict[str, Any]) -> None:
            self.listening = True
            receive(msg.get("content"))
            self._kernel.session.send(stream, f"{name}_reply", {"status": "ok"}, msg, ident)

        handlers = getattr(self._kernel, "control_handlers", None)
        if isinstance(handlers, dict):
            handlers[name] = on_request

    @property
    def process(self) -> str:
        """This start of the kernel: the session id its messages carry."""
        return str(self._kernel.session.session)

    def broadcast(self, message: Message) -> None:
        """To all pages, from any thread.

        Not through `comm.send`: that stamps the running cell as parent, pins the comm to its shell (ipykernel 7.4) and
        fails in threads (7.0).
        """
        with self._lock:
            self._kernel.session.send(
                self._kernel.iopub_socket,
                "comm_msg",
                {"comm_id": BEACON, "data": message},
                ident=f"comm-{BEACON}".encode(),
            )

    def last_word(self, message: Message) -> None:
        """Broadcast while the process exits: wait until the sending thread has passed it on."""
        self.broadcast(message)
        schedule = getattr(getattr(self._kernel.iopub_socket, "io_thread", None), "schedule", None)
        if callable(schedule):
            sent = threading.Event()
            schedule(sent.set)
            sent.wait(1.0)

    def _light_beacon(self) -> None:
        from comm import create_comm

        beacon = create_comm(target_name=TARGET, comm_id=BEACON, primary=False)
        self._kernel.comm_manager.register_comm(beacon)

    def _follow_cells(self) -> None:
        """Know whether a cell runs: what the server tells a page just opened may be the state of our own requests."""
        events = getattr(getattr(self._kernel, "shell", None), "events", None)
        if events is None:
            return
        self.busy = True  # we are imported by a cell

        def begun(*_: object) -> None:
            self.busy = True

        def ended(*_: object) -> None:
            self.busy = False

        events.register("pre_run_cell", begun)
        events.register("post_run_cell", ended)

    def _on_request(self, stream: Any, ident: Any, msg: dict[str, Any]) -> None:
        self.listening = True
        self._receive(msg.get("content"), str((msg.get("header") or {}).get("session", "")))
        self._kernel.session.send(stream, REPLY, {"status": "ok", **self._greeting()}, msg, ident)


def running_kernel() -> Any | None:
    """The ipykernel this process is, or None (plain Python, terminal IPython). Imports nothing that is not loaded."""
    ipython = sys.modules.get("IPython")
    if ipython is None or "ipykernel" not in sys.modules:
        return None
    return getattr(ipython.get_ipython(), "kernel", None)


def has_page(kernel: Any) -> bool:
    """Whether a page asked for the running cell, rather than a program that runs notebooks (nbconvert, papermill).

    Such programs store the state of every widget that is opened, and nbconvert then prefers a widget that nobody can
    click to our static table. They speak through jupyter_client, whose message ids end in process id and count, and say
    nothing of cells; pages number their messages by UUID.
    """
    try:
        parent = kernel.get_parent()
        made_by_program = re.fullmatch(r".*_\d+_\d+", str(parent["header"]["msg_id"])) is not None
        return not made_by_program or bool(parent.get("metadata"))
    except (LookupError, TypeError, AttributeError):  # asked outside a cell, or of a kernel that does not tell
        return True


def free_of_shell(comm: Any) -> None:
    """Let a comm's messages go to the subshell the page addressed, not to the shell that last sent on it.

    ipykernel 7.4 routes them to the latter, the main shell that a cell keeps busy, if a cell ever sent. No effect on
    versions without that routing.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = None


def _version() -> str:
    return str(getattr(sys.modules.get("ipykernel"), "__version__", "of this environment"))
