"""The real client against an embedded service. Nothing of the client is mocked, nothing sleeps: tests await states."""

from __future__ import annotations

import os
import warnings

import pytest
import requests
from qiskit import QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager

from qmode_widgets import emulator as package
from qmode_widgets.control.registry import registry
from qmode_widgets.planning import calibration
from qmode_widgets.portal import clock
from tests import examples  # noqa: F401 - hypothesis' profile


def legacy(primitive, *args, **kwargs):
    """Build one of the deprecated primitives without its deprecation warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return primitive(*args, **kwargs)


@pytest.fixture(scope="session", autouse=True)
def watch_often():
    """The embedded service runs as fast as it can: looking at it once a second would be what tests wait for."""
    clock.run(20.0)
    yield
    clock.run(1.0)


@pytest.fixture(scope="module", autouse=True)
def nothing_left_behind():
    """What a module leaves open is no other's concern: opening a workload would warn of it."""
    yield
    for controller in registry.all():
        controller.forget()


@pytest.fixture(scope="session")
def shared_emulator():
    """One service for the whole run, as fast as the simulation. Use `emulator`, which resets its faults."""
    with package.start(shared=False, speed=float("inf")) as running:
        yield running


@pytest.fixture
def emulator(shared_emulator):
    """The service, with no fault left over and an empty record of requests."""
    shared_emulator.faults.clear()
    shared_emulator.faults.forget_requests()
    yield shared_emulator
    shared_emulator.faults.clear()


@pytest.fixture
def service(emulator):
    """A real client on the pay-as-you-go instance."""
    return emulator.service


@pytest.fixture(scope="session")
def backend(shared_emulator):
    """A 156-qubit backend."""
    return shared_emulator.service.backend("emu_fez")


@pytest.fixture(scope="session")
def bell(backend):
    """An ISA Bell circuit, measured into `meas`."""
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    return generate_preset_pass_manager(backend=backend, optimization_level=1).run(circuit)


class Elsewhere:
    """Another program on the same account, with an HTTP client of its own: qiskit-ibm-runtime has no part in it."""

    def __init__(self, emulator):
        self._url = emulator.environment["QISKIT_IBM_URL"]
        login = requests.post(f"{emulator.url}/identity/token", data={"apikey": emulator.token}, timeout=60).json()
        self._headers = {
            "Authorization": f"Bearer {login['access_token']}",
            "Service-CRN": emulator.environment["QISKIT_IBM_INSTANCE"],
        }

    def _post(self, path, body):
        answer = requests.post(self._url + path, json=body, headers=self._headers, timeout=60)
        answer.raise_for_status()
        return answer.json()["id"]

    def open(self, mode="batch"):
        """The id of a new session or batch."""
        return self._post("/sessions", {"mode": mode, "backend": "emu_fez"})

    def job(self, **more):
        """The id of a new job."""
        params = {"pubs": [[QASM, None, 100]], "version": 2, "support_qiskit": False}
        return self._post("/jobs", {"program_id": "sampler", "backend": "emu_fez", "params": params} | more)


QASM = 'OPENQASM 3.0; include "stdgates.inc"; bit[2] c; x $0; c[0] = measure $0; c[1] = measure $1;'


@pytest.fixture
def elsewhere(emulator):
    """See Elsewhere."""
    return Elsewhere(emulator)


@pytest.fixture
def environment(emulator, monkeypatch):
    """The exported environment, for this test only."""
    for name in list(os.environ):
        if name.startswith("QISKIT_"):
            monkeypatch.delenv(name)
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    return emulator.environment


@pytest.fixture(autouse=True)
def no_bills_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test's bills teach the estimates of this process is unknown to the next."""
    monkeypatch.setattr(calibration, "_known", {})
