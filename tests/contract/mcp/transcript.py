"""The agent's session of docs/agents.md: `python -m tests.contract.mcp.transcript` prints it as it runs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qmode_widgets import emulator

from .conftest import BELL, RefusedError, connected

START, END = "<!-- transcript: begin -->\n", "<!-- transcript: end -->\n"
WORK = {"circuits": [{"qasm": BELL}], "backend": "emu_fez", "shots": 1000, "transpile": True}

# What is asked, and which parts of the answer are shown.
STEPS: tuple[tuple[str, str, dict[str, Any], tuple[str, ...]], ...] = (
    ("Which instance pays?", "usage", {}, ("instances",)),
    ("What would it cost?", "plan", WORK, ("mode", "why", "bill", "instance", "instance_plan")),
    ("A typing error is no bill.", "submit", WORK | {"usage_cap_seconds": 30, "shot": 100}, ()),
    (
        "Submitted, for at most 30 seconds.",
        "submit",
        WORK | {"usage_cap_seconds": 30, "key": "bell on fez"},
        ("run", "key", "repeated", "mode", "counts", "planned_bill"),
    ),
    (
        "The answer did not come in time, so the same call again: it gives the same run.",
        "submit",
        WORK | {"usage_cap_seconds": 30, "key": "bell on fez"},
        ("run", "repeated", "note"),
    ),
    (
        "The result.",
        "watch",
        {"id": "{run}", "wait_seconds": 60, "outcomes": 4},
        ("state", "finished", "counts", "usage", "result"),
    ),
)


def session(agent: Any) -> Iterator[tuple[str, str, dict[str, Any], Any]]:
    """Run it: what was said, the tool, its arguments, and the parts of the answer, or the refusal as text."""
    run = ""
    for said, tool, given, shown in STEPS:
        asked = {k: run if v == "{run}" else v for k, v in given.items()}
        try:
            answer = agent(tool, **asked)
        except RefusedError as error:
            yield said, tool, asked, str(error)
            continue
        run = answer.get("run", run)
        yield said, tool, asked, {name: answer[name] for name in shown}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, emulator.start(shared=False, speed=float("inf")) as running:
        environment = dict(running.environment)
        with connected(Path(folder) / "log", environment, "--instance", "emulator-payg") as agent:
            for said, tool, asked, told in session(agent):
                shown = {k: "…" if k == "circuits" and tool != "usage" else v for k, v in asked.items()}
                answer = told if isinstance(told, str) else json.dumps(told, indent=2, ensure_ascii=False)
                print(f"{said}\n\n```text\n> {tool} {json.dumps(shown, ensure_ascii=False)}\n{answer}\n```\n")


if __name__ == "__main__":
    main()
