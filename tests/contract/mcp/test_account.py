"""What an agent reads before it spends: backends, usage, ended jobs, options by name, QPY, resources and prompts."""

from __future__ import annotations

import base64
import io
import secrets
from datetime import datetime

import pytest
from qiskit import QuantumCircuit, qpy

from .conftest import BELL, RefusedError


def test_backends_are_told_with_queue_and_status(agent):
    rows = {b["name"]: b for b in agent("backends")["backends"]}
    assert rows["emu_fez"]["qubits"] == 156
    assert rows["emu_fez"]["operational"] is True
    assert rows["emu_fez"]["pending_jobs"] >= 0


def test_a_backends_properties_come_from_its_calibration(agent, backend):
    found = agent("backend", name="emu_fez", qubits=[0, 7])
    assert {"cz", "rz", "sx"} <= set(found["basis_gates"])
    assert found["two_qubit_gate"] == "cz"
    assert 0 < found["median_two_qubit_error"] < 0.1
    assert [q["qubit"] for q in found["qubit_properties"]] == [0, 7]
    assert found["qubit_properties"][1]["t1_seconds"] == pytest.approx(backend.target.qubit_properties[7].t1)
    assert datetime.fromisoformat(found["calibrated"]).tzinfo is not None
    with pytest.raises(RefusedError, match="has the qubits 0 to 155, not 156"):
        agent("backend", name="emu_fez", qubits=[156])


def test_the_instances_usage_is_told_with_its_period(agent):
    (row,) = agent("usage")["instances"]
    assert row["instance"] == "emulator-payg"
    assert row["used"] >= 0
    assert row["period_start"] is None or datetime.fromisoformat(row["period_start"])


def test_ended_jobs_are_listed_with_times_usage_and_the_users_own_tags(agent):
    key = secrets.token_hex(8)
    work = {"circuits": [{"qasm": BELL}], "backend": "emu_fez", "transpile": True, "usage_cap_seconds": 60}
    done = agent("submit", **work, key=key, wait_seconds=60)
    row = next(j for j in agent("jobs", limit=5)["jobs"] if j["job"] == done["jobs"][0]["job"])
    assert row["status"] == "Completed"
    assert row["tags"] == []
    assert datetime.fromisoformat(row["created"]).tzinfo is not None
    assert row["usage"] is None or row["usage"] > 0
    assert agent("jobs", ended=False)["jobs"] == []


def test_options_are_listed_and_mitigation_has_names(agent):
    names = {o["name"]: o for o in agent("options", primitive="estimator")["options"]}
    assert {"resilience_level", "resilience.zne_mitigation", "twirling.enable_gates"} <= set(names)
    assert names["resilience_level"]["default"] == 1
    work = {
        "circuits": [{"qasm": BELL.replace("c = measure q;", ""), "observables": [{"ZZ": 1.0}]}],
        "backend": "emu_fez",
        "primitive": "estimator",
        "transpile": True,
    }
    plain = agent("estimate", **work)
    more = agent("estimate", **work, mitigation={"zne_noise_factors": [1, 3, 5], "gate_twirling": True})
    assert more["expected"] > plain["expected"]


def test_a_circuit_may_be_qpy(agent):
    circuit = QuantumCircuit(1)
    circuit.x(0)
    circuit.measure_all()
    out = io.BytesIO()
    qpy.dump(circuit, out)
    text = base64.b64encode(out.getvalue()).decode()
    work = {"backend": "emu_fez", "transpile": True, "usage_cap_seconds": 60, "shots": 50, "wait_seconds": 60}
    found = agent("submit", circuits=[{"qpy": text}], key=secrets.token_hex(8), **work)
    assert found["result"]["pubs"][0]["meas"]["counts"]["1"] > 40
    for given, said in (
        ({"qpy": "no base64!"}, "its qpy is not base64 text"),
        ({"qpy": base64.b64encode(b"something else").decode()}, "not the output of qiskit.qpy.dump"),
        ({"qpy": base64.b64encode(b"QISKIT\x0c" + bytes(40)).decode()}, "it is QPY version 12"),
        ({"qpy": text[:-40]}, "its QPY cannot be read"),
        ({"qpy": text, "qasm": BELL}, "give its circuit as qasm or as qpy"),
        ({}, "give its circuit as qasm or as qpy"),
    ):
        with pytest.raises(RefusedError, match=said):
            agent("estimate", circuits=[given], backend="emu_fez", transpile=True)


def test_the_guide_is_a_resource_and_a_bounded_task_a_prompt(agent):
    assert "interactive TTL" in agent.resource("qmode://guide/modes")
    assert "usage_cap_seconds" in agent.resource("qmode://guide/usage")
    said = agent.prompt("spend_at_most", seconds="20", task="a Bell pair")
    assert "at most 20 QPU seconds" in said
    assert "a Bell pair" in said
    assert "Cancel nothing" in agent.prompt("review_open_workloads")


def test_every_answer_has_the_form_that_the_tool_promises(agent):
    """The client checks structured content against the tool's output schema."""
    from jsonschema import validate

    tools = agent.tools()
    for name in ("list", "backends", "usage", "jobs", "options"):
        validate(agent(name), tools[name].output_schema)
