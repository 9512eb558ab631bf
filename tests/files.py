"""Which files of tests run in one process, after the other, where several processes run tests."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling

_WITH_MCP_SERVER = {
    f"tests/contract/mcp/test_{name}.py" for name in ("account", "agent", "arguments", "ownership", "transcript")
}


class Files(LoadFileScheduling):
    """By file, and those that use one MCP server go to the process that has started it."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "one MCP server" if file in _WITH_MCP_SERVER else file
