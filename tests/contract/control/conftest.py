"""What the controllers' tests share: ISA circuits of the emulator's backend, and a primitive."""

from __future__ import annotations

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime.executor_sampler import Sampler

from tests.proxy import Proxy


@pytest.fixture(scope="session")
def isa(backend):
    """Transpile for the backend."""
    manager = generate_preset_pass_manager(backend=backend, optimization_level=1, seed_transpiler=1)

    def run(circuit):
        return manager.run(circuit)

    return run


@pytest.fixture(scope="session")
def rotations(isa):
    """PUBs whose result tells which PUB it was: PUB i of n turns a qubit so that P(1) = i / (n - 1)."""
    import numpy as np

    theta = Parameter("θ")
    circuit = QuantumCircuit(1)
    circuit.rx(theta, 0)
    circuit.measure_all()
    turned = isa(circuit)

    def make(n):
        return [(turned, [2 * np.arcsin(np.sqrt(i / max(1, n - 1)))]) for i in range(n)]

    return make


@pytest.fixture(scope="module")
def proxy(shared_emulator):
    """A proxy between the client and the embedded service, which misbehaves when it is told to."""
    with Proxy(shared_emulator.url) as running:
        yield running


@pytest.fixture
def far(proxy, emulator):
    """A backend all of whose requests pass the proxy; its threads and caches are this test's alone."""
    proxy.clear()
    service = proxy.connect(emulator)
    found = service.backend("emu_fez")
    found.target  # the client fetches it here  # noqa: B018
    yield found
    proxy.clear()
    emulator.faults.clear()


@pytest.fixture
def sampler():
    """A Sampler for a mode."""

    def make(mode, shots=400):
        primitive = Sampler(mode=mode)
        primitive.options.default_shots = shots
        return primitive

    return make


def ones(result):
    """The fraction of ones of each PUB of a result."""
    return [pub.data.meas.get_counts().get("1", 0) / pub.data.meas.num_shots for pub in result]


@pytest.fixture
def in_pub_order():
    """The result is that of `rotations(n)`, in order."""

    def check(result, n):
        found = ones(result)
        assert len(found) == n
        for i, value in enumerate(found):
            assert value == pytest.approx(i / max(1, n - 1), abs=0.15)

    return check
