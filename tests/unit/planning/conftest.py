import importlib.util
import sys
from pathlib import Path

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime.fake_provider import FakeFez

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def loaded(name):
    """A benchmark as a module."""
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def usage_table():
    """What was really billed beside our estimates."""
    return loaded("usage_table")


@pytest.fixture(scope="session")
def usage_fit(usage_table):
    """The fit of the bill's constants, held out by source."""
    return loaded("usage_fit")


@pytest.fixture(scope="session")
def workloads():
    """The library of published workloads."""
    return loaded("workloads")


@pytest.fixture(scope="session")
def backend():
    return FakeFez()


@pytest.fixture(scope="session")
def transpile(backend):
    manager = generate_preset_pass_manager(1, backend, initial_layout=[0, 1], seed_transpiler=1)
    return manager.run


@pytest.fixture(scope="session")
def sampled(transpile):
    """Two qubits, one parameter, measured."""
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.rx(Parameter("x"), 0)
    circuit.cx(0, 1)
    circuit.measure_all()
    return transpile(circuit)


@pytest.fixture(scope="session")
def bell(transpile):
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    return transpile(circuit)


@pytest.fixture(scope="session")
def ansatz(transpile):
    """Two qubits, two parameters, not measured."""
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.rx(Parameter("x"), 0)
    circuit.cx(0, 1)
    circuit.ry(Parameter("y"), 1)
    return transpile(circuit)


@pytest.fixture(scope="session")
def observable(ansatz):
    def laid_out(*labels):
        return SparsePauliOp(list(labels)).apply_layout(ansatz.layout)

    return laid_out
