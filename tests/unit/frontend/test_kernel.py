"""The hub in a real kernel, over real sockets: what a sidebar relies on while a cell blocks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

from qmode_widgets.frontend import saved
from qmode_widgets.frontend.kernel import BEACON, REPLY, REQUEST, TARGET
from qmode_widgets.frontend.protocol import PROTOCOL

ROOT = Path(__file__).parents[3]
BEGIN = """
import threading, time, scripted
from qmode_widgets.frontend.hub import hub
batch = scripted.batch()
"""
BLOCK = "print('blocking', flush=True); print('clicked:', batch.wait_click(20), batch.said)"


class Page:
    """A page, as far as messages go: it knows the control channel and iopub."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self.client = client
        self.out = ""

    def run(self, code: str) -> None:
        """Run a cell as a page does: with an id of its own for the message."""
        message = self.client.session.msg("execute_request", {"code": code, "silent": False, "store_history": False})
        message["header"]["msg_id"] = message["msg_id"] = str(uuid.uuid4())
        self.client.shell_channel.send(message)
        while (reply := self.client.get_shell_msg(timeout=60))["parent_header"]["msg_id"] != message["msg_id"]:
            pass
        assert reply["content"]["status"] == "ok", reply["content"]

    def request(self, kind: str, /, **content: Any) -> dict[str, Any]:
        """Send on the control channel and wait for the answer."""
        message = self.client.session.msg(kind, content)
        self.client.control_channel.send(message)
        while True:
            reply: dict[str, Any] = self.client.get_control_msg(timeout=60)
            if reply["parent_header"]["msg_id"] == message["header"]["msg_id"]:
                assert reply["msg_type"] == (REPLY if kind == REQUEST else kind.replace("request", "reply"))
                return dict(reply["content"])

    def hear(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next broadcast that is wanted."""
        while True:
            message = self._next()
            content = message["content"]
            if message["msg_type"] == "comm_msg" and content["comm_id"] == BEACON and wanted(content["data"]):
                return dict(content["data"])

    def wait_printed(self, text: str) -> None:
        """Until the cells have printed a text, in whatever pieces."""
        while text not in self.out:
            self._next()

    def _next(self) -> dict[str, Any]:
        message: dict[str, Any] = self.client.get_iopub_msg(timeout=60)
        if message["msg_type"] == "stream":
            self.out += message["content"]["text"]
        return message


@pytest.fixture(scope="module")
def manager() -> Iterator[KernelManager]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "browser")])
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env={**os.environ, "PYTHONPATH": path}, cwd=str(ROOT))
    yield manager
    manager.shutdown_kernel(now=True)
    manager.cleanup_resources()


@pytest.fixture
def page(manager: KernelManager) -> Iterator[Page]:
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=120)
    yield Page(client)
    client.stop_channels()


def test_a_kernel_is_found_followed_and_obeyed_while_a_cell_blocks(page: Page) -> None:
    assert page.request("comm_info_request", target_name=TARGET)["comms"] == {}
    page.run(BEGIN)
    page.run("hub.register(batch)")
    page.client.execute(BLOCK)
    page.wait_printed("blocking")

    assert list(page.request("comm_info_request", target_name=TARGET)["comms"]) == [BEACON]
    hello = page.request(REQUEST, kind="attach", protocol=PROTOCOL)
    assert hello["busy"]
    assert (hello["protocol"], hello["workloads"], hello["problem"]) == (PROTOCOL, ["d2f0b8c4k3a0008v77a1"], None)
    snapshot = page.hear(lambda m: m["kind"] == "snapshot")
    key = snapshot["jobs"][5]["key"]
    assert abs(snapshot["now"] - time.time()) < 60

    click = {"kind": "command", "id": "c1", "workload": snapshot["workload"], "action": "cancel", "target": key}
    page.request(REQUEST, **click)
    patch = page.hear(lambda m: m["kind"] == "patch")
    assert patch["seq"] == snapshot["seq"] + 1
    assert {k: v["state"] for k, v in patch["jobs"].items()} == {key: "cancelled"}
    page.wait_printed("clicked: True [('cancel'")


def test_another_page_sees_the_same_and_leaves_nothing_behind(page: Page) -> None:
    comms = page.request("comm_info_request")["comms"]
    for _ in range(3):
        page.request(REQUEST, kind="attach", protocol=PROTOCOL)
        page.hear(lambda m: m["kind"] == "snapshot")
    assert page.request("comm_info_request")["comms"] == comms


def test_a_bad_request_is_answered_and_harms_nothing(page: Page) -> None:
    page.request(REQUEST, kind="command", id="c2", workload="w", action="explode")
    refused = page.hear(lambda m: m["kind"] == "ack" and m["id"] == "c2")
    assert (refused["status"], refused["message"]) == ("failed", refused["message"])
    assert "unknown action 'explode'" in refused["message"]
    page.request(REQUEST, kind="command", id="c3", workload="nowhere", action="close")
    refused = page.hear(lambda m: m["kind"] == "ack" and m["id"] == "c3")
    assert "nowhere is not watched in this kernel" in refused["message"]
    page.request(REQUEST, nonsense=True)
    hello = page.request(REQUEST, kind="attach", protocol=PROTOCOL)
    assert (hello["kind"], hello["busy"]) == ("hello", False)


def test_a_displayed_controller_is_an_output_that_lasts_and_a_widget_where_nobody_draws_it(page: Page) -> None:
    page.run("from qmode_widgets.frontend.display import display; from qmode_widgets.frontend.saved import MIME")
    page.run("view = 'application/vnd.jupyter.widget-view+json'")
    page.run("followed = display(batch)")
    page.run("assert sorted(followed) == [MIME, 'text/html', 'text/plain'], sorted(followed)")
    page.request(REQUEST, kind="attach", protocol=PROTOCOL - 1)  # an older extension, which refuses our messages
    page.hear(lambda m: m["kind"] == "snapshot")
    page.run("bundle, again = display(batch), display(batch)")
    page.run("assert sorted(bundle) == [view, 'text/html', 'text/plain'], sorted(bundle)")
    page.run("assert bundle[view] == again[view]")
    page.client.execute("hub.unregister(batch)")
    assert page.hear(lambda m: m["kind"] == "gone")["workload"] == "d2f0b8c4k3a0008v77a1"


def test_messages_sent_from_a_thread_do_not_pin_the_widget_to_the_busy_shell(page: Page) -> None:
    """ipykernel 7.4 routes a comm's messages to the shell that last sent on it; see `free_of_shell`."""
    routes = "hasattr(type(w.comm), '_reply_subshell_for')"  # no such routing, under no such name: look at it again
    page.run("w = __import__('qmode_widgets.frontend.display', fromlist=['_widgets'])._widgets['d2f0b8c4k3a0008v77a1']")
    page.run(f"import ipykernel; assert {routes} is (ipykernel.version_info[:2] >= (7, 4))")
    page.run("w.send({'kind': 'gone', 'workload': 'x'}); assert not getattr(w.comm, '_reply_subshell_for', None)")


def test_a_notebook_run_by_a_program_keeps_the_table_and_stores_no_widget(tmp_path: Path) -> None:
    cells = [BEGIN, "from qmode_widgets.frontend.display import display; import IPython.display as d",
             "d.display(display(batch), raw=True)"]  # fmt: skip
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(notebook, timeout=240)
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "browser")])
    client.execute(env={**os.environ, "PYTHONPATH": path})
    assert "widgets" not in notebook.metadata
    assert sorted(notebook.cells[-1].outputs[0].data) == [saved.MIME, "text/html", "text/plain"]


def test_the_hub_imports_nothing_that_costs() -> None:
    costly = "{'anywidget', 'qiskit', 'ipywidgets', 'IPython'}"
    code = f"import sys, qmode_widgets.frontend.hub; print({costly} & {{*sys.modules}})"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"
