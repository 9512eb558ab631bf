"""The real client against an embedded service. Nothing of the client is mocked, nothing sleeps: tests await states."""

from __future__ import annotations

import os
import warnings

import pytest
from qiskit import QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager

from qmode_widgets import emulator as package
from qmode_widgets.control.registry import registry
from qmode_widgets.planning import calibration
from qmode_widgets.portal import clock
from tests import examples  # noqa: F401 - hypothesis' profile
from tests.elsewhere import Elsewhere


def legacy(primitive, *args, **kwargs):
    """Build one of the deprecated primitives without its deprecation warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return primitive(*args, **kwargs)


def bell_on(backend):
    """A Bell circuit as an ISA circuit of this backend, measured into `meas`."""
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    return generate_preset_pass_manager(backend=backend, optimization_level=1).run(circuit)


@pytest.fixture(scope="module", autouse=True)
def watch_often():
    """The embedded service runs as fast as it can: looking at it once a second would be what tests wait for.

    For a module, not for the run: a unit test that comes next in the same process has its own idea of a second.
    """
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
        running.faults.advance_clock = _refused
        yield running


def _refused(seconds):
    raise AssertionError("the clock never goes back, and other tests read it: start a service of your own")


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
    return bell_on(backend)


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
