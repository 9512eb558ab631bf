"""The agent's session in docs/agents.md is what the server answers: `python -m tests.contract.mcp.transcript`."""

from __future__ import annotations

import json
import re

from .conftest import ROOT
from .transcript import END, START, session


def written():
    """What the page says of each step: the call, and the answer."""
    page = (ROOT / "docs" / "agents.md").read_text()
    transcript = page[page.index(START) : page.index(END)]
    for said, call, answer in re.findall(r"\n(.*)\n\n```text\n> (.*)\n((?:.*\n)+?)```", transcript):
        yield said, call, json.loads(answer) if answer.startswith("{") else answer.strip()


def shape(told):
    """Without what differs from run to run: numbers, moments, how far the jobs are, which outcomes a sampler saw."""
    if isinstance(told, dict):
        return {name: None if name == "counts" else shape(value) for name, value in told.items()}
    if isinstance(told, list):
        return [shape(value) for value in told]
    if isinstance(told, str):
        return re.sub(r"\d+", "0", told)
    return told if told is None or isinstance(told, bool) else 0


def test_the_transcript_is_what_the_server_answers(agent, emulator):
    told = [(said, tool, answer) for said, tool, _, answer in session(agent)]
    page = [(said, call.partition(" ")[0], answer) for said, call, answer in written()]
    assert [shape(answer) for *_, answer in told] == [shape(answer) for *_, answer in page]
    assert [step[:2] for step in told] == [step[:2] for step in page]
