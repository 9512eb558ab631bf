"""A real MCP client, and the server in a process of its own, over standard input and output."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from mcp import StdioServerParameters
from mcp.client.client import Client
from mcp.client.stdio import stdio_client

ROOT = Path(__file__).resolve().parents[3]

BELL = 'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; bit[2] c; h q[0]; cx q[0], q[1]; c = measure q;'


class RefusedError(Exception):
    """The tool answered with an error."""


class Agent:
    """Calls tools, and keeps all that it was ever told."""

    def __init__(self, portal: Any, client: Client, log: Path) -> None:
        self._portal, self._client, self.log = portal, client, log
        self.heard = ""

    def tools(self) -> dict[str, Any]:
        found = self._portal.call(self._client.list_tools)
        return {tool.name: tool for tool in found.tools}

    def resource(self, uri: str) -> str:
        found = self._portal.call(lambda: self._client.read_resource(uri))
        return "".join(part.text for part in found.contents)

    def prompt(self, name: str, **arguments: str) -> str:
        found = self._portal.call(lambda: self._client.get_prompt(name, arguments))
        return "".join(message.content.text for message in found.messages)

    def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]:
        answer = self._portal.call(lambda: self._client.call_tool(tool, arguments))
        text = "".join(part.text for part in answer.content)
        self.heard += text + str(answer.structured_content)
        if answer.is_error:
            raise RefusedError(text)
        return answer.structured_content


@contextlib.contextmanager
def connected(log: Path, environment: dict[str, str], *arguments: str) -> Iterator[Agent]:
    """An agent with a server of its own."""
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "qmode_widgets.mcp", *arguments],
        # Of its own: that a key was used a short while ago is kept there, and each service begins without jobs.
        env={"JUPYTER_RUNTIME_DIR": str(log.parent / "runtime")}
        | environment
        | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default", "PYTHONFAULTHANDLER": "1"},
        cwd=ROOT,
    )
    with (
        log.open("w") as errors,
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(Client(stdio_client(server, errlog=errors))) as client,
    ):
        yield Agent(portal, client, log)


@pytest.fixture(scope="session")
def shared_agent(shared_emulator, tmp_path_factory):
    """An agent on the account of the exported environment."""
    log = tmp_path_factory.mktemp("mcp") / "log"
    with connected(log, shared_emulator.environment, "--instance", "emulator-payg") as agent:
        yield agent


@pytest.fixture
def agent(shared_agent, emulator):
    """The same, on a service without faults."""
    return shared_agent
