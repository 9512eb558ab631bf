"""The twin of a service: what it serves, what its file holds, and what was read for it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys

import numpy as np
import pytest
import requests
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import Batch, QiskitRuntimeService, Session
from qiskit_ibm_runtime.executor_sampler import Sampler

import qmode_widgets as qmode
from qmode_widgets import emulator as package
from qmode_widgets.emulator.backends import available, devices
from qmode_widgets.emulator.client.recorder import record
from qmode_widgets.emulator.twin import Twin
from tests.examples import PROFILE

TTLS = {"max_ttl": 7200.0, "interactive_ttl": 45.0, "active_ttl": 3600.0}


@pytest.fixture(scope="module")
def original():
    """A service with terms of its own, on which a session ran."""
    with package.start(shared=False, speed=float("inf"), backends="ibm_fez,ibm_torino", **TTLS) as running:
        backend = running.service.backend("ibm_fez")
        circuit = QuantumCircuit(1)
        circuit.measure_all()
        with Batch(backend=backend) as batch:
            Sampler(mode=batch).run([circuit], shots=10).result()
        with Session(backend=backend) as session:
            Sampler(mode=session).run([circuit], shots=10).result()
        running.faults.use_up("emulator-payg", 123)
        yield running


@pytest.fixture(scope="module")
def twin(original):
    with package.start(shared=False, speed=float("inf"), like=original.service) as running:
        yield running


def answer(emulator, path):
    login = requests.post(f"{emulator.url}/identity/token", data={"apikey": emulator.token}, timeout=10).json()
    headers = {
        "Authorization": f"Bearer {login['access_token']}",
        "Service-CRN": emulator.environment["QISKIT_IBM_INSTANCE"],
    }
    return requests.get(f"{emulator.environment['QISKIT_IBM_URL']}{path}", headers=headers, timeout=10).json()


def same(one, other):
    """Equal JSON, but for what the client does to it: it converts units and back, and drops the time zones of dates."""
    if isinstance(one, dict) and isinstance(other, dict):
        return all(same(one.get(k), other.get(k)) for k in one.keys() | other.keys() if "date" not in k)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) or isinstance(other, float):
        return one is not None and other is not None and np.isclose(one, other, rtol=1e-12)
    return one == other or (not one and not other)  # left out, null and empty mean the same


@pytest.mark.parametrize("name", ["ibm_fez", "ibm_torino"])
@pytest.mark.parametrize("part", ["configuration", "properties"])
def test_it_serves_the_same_backends(original, twin, name, part):
    assert [b.name for b in twin.service.backends()] == [b.name for b in original.service.backends()]
    path = f"/backends/{name}/{part}"
    assert same(answer(twin, path), answer(original, path))


def test_targets_are_the_same(original, twin):
    # New clients: one that has read a backend with a selection of its gates keeps that.
    services = [e.connect(e.home.name) for e in (original, twin)]
    one, other = (service.backend("ibm_fez", use_fractional_gates=None).target for service in services)
    assert one.operation_names == other.operation_names
    for name in one.operation_names:
        assert (one[name] is None) == (other[name] is None)
        for qubits, properties in (one[name] or {}).items():
            assert same(getattr(properties, "error", None), getattr(other[name][qubits], "error", None))
            assert same(getattr(properties, "duration", None), getattr(other[name][qubits], "duration", None))


def test_its_instance_has_the_same_terms(original, twin):
    plans = [
        {i["crn"]: (i["plan"], i["pricing_type"]) for i in e.service.instances()}[e.service.active_instance()]
        for e in (original, twin)
    ]
    assert plans[0] == plans[1]
    usage = [e.service.usage() for e in (original, twin)]
    for name in ("usage_consumed_seconds", "usage_limit_seconds", "usage_allocation_seconds", "usage_limit_reached"):
        assert usage[0].get(name) == usage[1].get(name)
    with Session(backend=twin.service.backend("ibm_fez")) as session:
        details = session.details()
    told = (details["max_time"], details["interactive_timeout"], details["active_timeout"])
    assert told == tuple(TTLS.values())


def test_plans_agree(original, twin):
    def plan(emulator):
        backend = emulator.service.backend("ibm_fez")
        pm = generate_preset_pass_manager(backend=backend, optimization_level=1, seed_transpiler=1)
        circuit = QuantumCircuit(20)
        circuit.h(0)
        for q in range(19):
            circuit.cx(q, q + 1)
        isa = pm.run(circuit)
        observable = SparsePauliOp("Z" * 20).apply_layout(isa.layout)
        return qmode.plan([(isa, observable)] * 12, backend, primitive="estimator")

    one, other = plan(original), plan(twin)
    assert (one.mode, one.usage) == (other.mode, other.usage)
    assert one.to_dict()["forecasts"] == other.to_dict()["forecasts"]
    assert "the service says jobs waited" in one.conditions.why_wait
    assert one.conditions == other.conditions


def waits(emulator, name):
    """What a service tells of the jobs before: how long they waited, and how many wait."""
    told = answer(emulator, "/backends?fields=wait_time_seconds")["devices"]
    entry = next(device for device in told if device["name"] == name)
    return entry["wait_time_seconds"], entry["queue_length"], emulator.service.backend(name).status().pending_jobs


def test_it_tells_the_recorded_waits_until_its_own_jobs_have_run(twin, tmp_path):
    recorded = json.loads(twin.save(tmp_path / "quiet.twin").read_text())
    told = {"average": 700.0, "p50": 600.0, "p95": 5400.0}
    recorded["backends"][0] |= {"wait_time_seconds": told, "queue_length": 7}
    del recorded["backends"][1]["wait_time_seconds"], recorded["backends"][1]["queue_length"]  # as an older file
    (tmp_path / "busy.twin").write_text(json.dumps(recorded))
    busy, older = (backend["name"] for backend in recorded["backends"])
    circuit = QuantumCircuit(1)
    circuit.measure_all()
    with package.start(shared=False, speed=float("inf"), like=tmp_path / "busy.twin") as short:
        assert waits(short, busy) == (told, 7, 7)
        assert waits(short, older) == (None, 0, 0)
        assert "600 s in the queue" in qmode.plan([circuit], short.service.backend(busy)).conditions.why_wait
        Sampler(mode=short.service.backend(busy)).run([circuit], shots=10).result()
        own, waiting, pending = waits(short, busy)
        assert own["p95"] < 600
        assert (waiting, pending) == (0, 0)


def test_waits_that_cannot_be_read_are_noted(original):
    original.faults.fail_requests(503, path="/backends")  # the waits are read first
    made = record(original.service, ["ibm_fez"])
    original.faults.clear()
    assert made.backends[0].wait_time_seconds is None
    assert any(note.startswith("waiting times: not known") for note in made.notes)


def test_it_is_read_by_get_only(original):
    original.faults.forget_requests()
    record(original.service, ["ibm_fez"])
    asked = original.faults.requests()
    assert len(asked) >= 4
    assert {method for method, _, _ in asked} == {"GET"}


def test_the_file_holds_no_key_and_no_name_and_needs_no_account(original, twin, tmp_path):
    file = twin.save(tmp_path / "tonight.twin")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text()
    for secret in (original.token, twin.token, "crn:", "emulator-payg", "IBMid"):
        assert secret not in text
    code = (
        "import sys; from qmode_widgets import emulator\n"
        "with emulator.start(shared=False, like=sys.argv[1]) as twin:\n"
        "    print(*sorted(b.name for b in twin.service.backends()), twin.options.max_ttl)"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("QISKIT_")}
    env |= {"HOME": str(tmp_path), "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}
    command = [sys.executable, "-c", code, str(file)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=env, timeout=120, cwd=tmp_path)
    assert said.stdout.split() == ["ibm_fez", "ibm_torino", "7200.0"]


def test_what_was_recorded_goes_with_its_service(original, tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    with package.start(shared=False, like=original.service, backends=["ibm_fez"]) as short:
        assert [path.suffix for path in (tmp_path / "runtime").iterdir()] == [".twin"]
    assert list((tmp_path / "runtime").iterdir()) == []
    saved = short.save(tmp_path / "kept.twin")
    with package.start(shared=False, like=saved):
        pass
    assert Twin.load(saved).backends[0].name == "ibm_fez"


def test_a_record_with_a_crn_is_refused(original, monkeypatch):
    service = original.connect("emulator-payg")
    original.faults.rewrite({"sample_name": "crn:v1:somebody"}, path="/backends/.*/configuration", count=2)
    with pytest.raises(ValueError, match="hold a key or a CRN"):
        record(service, ["ibm_fez"])
    original.faults.clear()


def test_jobs_run_on_it(twin):
    backend = twin.service.backend("ibm_torino")
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    isa = generate_preset_pass_manager(backend=backend, optimization_level=1).run(circuit)
    counts = Sampler(mode=backend).run([isa], shots=100).result()[0].data.meas.get_counts()
    assert set(counts) <= {"00", "11"}


def test_each_fake_backend_has_a_twin():
    every = 1 if PROFILE == "nightly" else 12  # all of them in `make soak`
    names = [f"ibm_{name}" for name in available()][::every]
    with package.start(shared=False, backends=",".join(names), workers=1) as emulator:
        twin = record(emulator.service)
    served = devices(names, twin)
    assert len(names) > 60 // every
    for name, device in devices(names).items():
        assert same(served[name].configuration, device.configuration), name
        mine, theirs = served[name].properties, device.properties
        assert same(mine["qubits"], theirs["qubits"]), name
        assert same(mine["gates"], theirs["gates"]), name


def test_the_command_line_takes_a_saved_account(original, tmp_path, monkeypatch):
    for name, value in original.environment.items():
        monkeypatch.setenv(name, value)
    env = {name: value for name, value in os.environ.items() if not name.startswith("QISKIT_")}
    env |= {"HOME": str(tmp_path), "JUPYTER_RUNTIME_DIR": str(tmp_path)}
    accounts = tmp_path / ".qiskit" / "qiskit-ibm.json"
    accounts.parent.mkdir()
    QiskitRuntimeService.save_account(
        token=original.token,
        url=original.environment["QISKIT_IBM_URL"],
        instance=original.environment["QISKIT_IBM_INSTANCE"],
        channel="ibm_quantum_platform",
        filename=str(accounts),
        name="lab",
    )
    command = [sys.executable, "-m", "qmode_widgets.emulator", "--backends=ibm_fez", "--like"]
    runtime = tmp_path / "runtime.json"
    with subprocess.Popen(
        [*command, "lab", "--runtime-file", str(runtime)], stdout=subprocess.PIPE, env=env
    ) as running:
        assert running.stdout.readline().startswith(b"export")
        options = json.loads(runtime.read_text())["options"]
        running.terminate()
    assert (options["backends"], options["max_ttl"]) == ("ibm_fez", 7200.0)
    wrong = subprocess.run([*command, "nowhere"], capture_output=True, text=True, check=False, env=env, timeout=60)
    assert wrong.returncode == 2
    assert "no such saved account; saved are: lab" in wrong.stderr


def test_what_is_no_twin_is_said(emulator, tmp_path):
    with pytest.raises(ValueError, match="this embedded service is no twin"):
        emulator.save(tmp_path / "file")
    with pytest.raises(ValueError, match="cannot be read"):
        package.start(shared=False, like=tmp_path / "nothing")
    for text, said in (("no json", "not JSON"), ("{}", "instance: Field required")):
        (tmp_path / "wrong").write_text(text)
        with pytest.raises(ValueError, match=f"not the file of a twin: .*{said}"):
            Twin.load(tmp_path / "wrong")
