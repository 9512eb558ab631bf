"""What a tool takes is closed and bounded: a typing error is refused by name, before anything is connected or spent."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from .conftest import BELL, ROOT, RefusedError
from .test_reading import NEST, WIDE

CIRCUITS = [{"qasm": BELL}]
WORK = {"circuits": CIRCUITS}
PAID = WORK | {"usage_cap_seconds": 30}
NEEDED = {
    "plan": WORK,
    "estimate": WORK,
    "submit": PAID,
    "watch": {"id": "x"},
    "cancel": {"id": "x"},
    "resubmit": {"id": "x"},
    "list": {},
    "jobs": {},
    "backends": {},
    "backend": {"name": "emu_fez"},
    "usage": {},
    "options": {},
}


def refused(agent, tool, given, emulator):
    emulator.faults.forget_requests()
    with pytest.raises(RefusedError) as error:
        agent(tool, **given)
    said = str(error.value)
    assert not any(word in said for word in ("pydantic", "validation error", "Traceback", "input_value", "Error exec"))
    assert not [r for r in emulator.faults.requests() if r[0] == "POST"]
    return said


def test_every_tool_is_closed_and_says_its_units_defaults_and_bounds(agent):
    tools = agent.tools()
    assert set(tools) == set(NEEDED)
    for tool in tools.values():
        for schema in (tool.input_schema, *tool.input_schema.get("$defs", {}).values()):
            assert schema["additionalProperties"] is False
            for name, argument in schema["properties"].items():
                assert argument.get("description"), (tool.name, name)
        assert tool.output_schema["properties"], tool.name
    submit = tools["submit"].input_schema
    assert submit["required"] == ["circuits", "usage_cap_seconds"]
    cap = submit["properties"]["usage_cap_seconds"]
    assert "QPU seconds" in cap["description"]
    assert (cap["exclusiveMinimum"], cap["maximum"], cap["examples"]) == (0, 86400, [30])
    assert submit["properties"]["mode"]["default"] == "auto"
    assert tools["list"].output_schema["$defs"]["WorkloadRow"]["properties"]["created"]["format"] == "date-time"


@pytest.mark.parametrize("tool", NEEDED)
def test_an_argument_that_no_tool_knows_is_refused_with_the_names_it_knows(agent, emulator, tool):
    said = refused(agent, tool, NEEDED[tool] | {"shot": 100}, emulator)
    assert "shot: no such argument (its value was 100). The valid names are" in said
    assert all(name in said for name in agent.tools()[tool].input_schema["properties"])


@pytest.mark.parametrize("tool", [t for t, given in NEEDED.items() if given])
def test_what_is_missing_is_named(agent, emulator, tool):
    for name in NEEDED[tool]:
        said = refused(agent, tool, {k: v for k, v in NEEDED[tool].items() if k != name}, emulator)
        assert f"{name}: missing" in said or f"{name} is missing" in said


@pytest.mark.parametrize(
    ("tool", "given", "said"),
    [
        ("plan", {"jobs": 10**9}, "jobs: must be at most 1,000, not 1000000000"),
        ("plan", {"iterations": 10**9}, "iterations: must be at most 10,000"),
        ("plan", {"shots": 0}, "shots: must be at least 1, not 0"),
        ("plan", {"shots": 1.5}, "shots: must be a whole number, not 1.5"),
        ("plan", {"shots": True}, "shots: must be a whole number, not True"),
        ("plan", {"primitive": "samplr"}, "primitive: must be one of 'sampler' or 'estimator', not 'samplr'"),
        ("plan", {"circuits": []}, "circuits: must be at least 1 of them"),
        ("plan", {"circuits": [{"qsm": BELL}]}, r"circuits[0].qsm: no such argument"),
        (
            "plan",
            {"mitigation": {"pec": True}},
            "mitigation.pec: no such argument (its value was True). The valid names",
        ),
        ("plan", {"mitigation": {"zne_noise_factors": [1]}}, "zne_noise_factors: must be at least 2 of them"),
        ("estimate", {"precision": 0}, "precision: must be at least 0.0001"),
        ("estimate", {"backend": 5}, "backend: must be a text, not 5"),
        ("submit", {"usage_cap_seconds": 0}, "usage_cap_seconds: must be more than 0, not 0"),
        ("submit", {"usage_cap_seconds": -5}, "usage_cap_seconds: must be more than 0, not -5"),
        ("submit", {"usage_cap_seconds": 1e308}, "usage_cap_seconds: must be at most 86,400"),
        ("submit", {"usage_cap_seconds": "many"}, "usage_cap_seconds: must be a number, not 'many'"),
        ("submit", {"mode": "sesion"}, "mode: must be one of 'auto', 'job', 'batch' or 'session'"),
        ("submit", {"label": "x" * 31}, "label: must be a text of at most 30 characters"),
        ("submit", {"key": ""}, "key: must be a text of at least 1 characters"),
        ("submit", {"wait_seconds": 10**9}, "wait_seconds: must be at most 300"),
        ("submit", {"keep_open": "maybe"}, "keep_open: must be true or false"),
        ("watch", {"outcomes": 10**9}, "outcomes: must be at most 1,000"),
        ("cancel", {"whose": "mine"}, "whose: must be one of"),
        ("resubmit", {"usage_cap_seconds": 0}, "usage_cap_seconds: must be more than 0"),
        ("jobs", {"limit": 101}, "limit: must be at most 100"),
        ("jobs", {"skip": -1}, "skip: must be at least 0"),
        ("backend", {"qubits": []}, "qubits: must be at least 1 of them"),
        ("options", {"primitive": "executor"}, "primitive: must be one of"),
    ],
)
def test_what_is_out_of_range_or_of_another_kind_is_named_with_the_bound(agent, emulator, tool, given, said):
    assert said in refused(agent, tool, NEEDED[tool] | given, emulator)


def test_options_of_the_primitive_are_checked_in_the_same_words(agent, emulator):
    said = refused(agent, "plan", WORK | {"backend": "emu_fez", "options": {"twirlin": {}}}, emulator)
    assert "options of the sampler: twirlin: no such argument" in said
    assert "twirling" in said.partition("valid names")[2]
    nested = WORK | {"backend": "emu_fez", "options": {"twirling": {"enable_gate": True}}}
    assert "enable_gates" in refused(agent, "plan", nested, emulator).partition("valid names")[2]
    twice = {"mitigation": {"gate_twirling": True}, "options": {"twirling": {"enable_gates": False}}}
    assert "twirling.enable_gates" in refused(agent, "plan", WORK | {"backend": "emu_fez"} | twice, emulator)
    wrong = WORK | {"backend": "emu_fez", "mitigation": {"zne": True}}
    assert "zne is for primitive='estimator'" in refused(agent, "plan", wrong, emulator)


def test_a_circuit_that_cannot_be_read_is_refused_by_its_number_and_the_next_one_is_read(agent, emulator):
    for text, said in ((NEST, "PUB 1: its expressions are nested too deeply"), (WIDE, "PUB 1: it has 1,000 qubits")):
        bomb = {"circuits": [*CIRCUITS, {"qasm": text}], "backend": "emu_fez", "transpile": True}
        assert said in refused(agent, "estimate", bomb, emulator)
        assert agent("estimate", circuits=CIRCUITS, backend="emu_fez", transpile=True)["expected"] > 0


START = """
import json, sys, anyio
from mcp.client.client import Client
from qmode_widgets.mcp.connection import Connection
from qmode_widgets.mcp.server import Server

async def main():
    async with Client(Server(Connection(emulator=True))) as client:
        tools = await client.list_tools()
        await client.list_resources()
        await client.list_prompts()
        refused = await client.call_tool("submit", {"circuits": [], "usage_cap_seconds": 1, "shot": 1})
    print(json.dumps([len(tools.tools), refused.is_error, sorted({m.partition(".")[0] for m in sys.modules})]))

anyio.run(main)
"""


def test_the_server_starts_lists_and_refuses_without_importing_qiskit():
    done = subprocess.run([sys.executable, "-c", START], cwd=ROOT, capture_output=True, text=True, check=True)
    tools, is_error, modules = json.loads(done.stdout.splitlines()[-1])
    assert tools == len(NEEDED)
    assert is_error
    assert "mcp" in modules
    assert not {"qiskit", "qiskit_ibm_runtime", "numpy", "aiohttp", "anywidget"} & set(modules)
