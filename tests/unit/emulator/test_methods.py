"""How circuits of any size are simulated, and what is said of it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter
from qiskit.quantum_info import Statevector
from qiskit.transpiler import PassManager
from qiskit_ibm_runtime.transpiler.passes import ConvertISAToClifford

from qmode_widgets.emulator.backends import devices
from qmode_widgets.emulator.simulation.errors import JobError
from qmode_widgets.emulator.simulation.methods import CLIFFORD, MPS, Inexact, Settings, Simulated, worst
from qmode_widgets.emulator.simulation.simulator import Simulator, along_line, nearest_clifford

NOTHING = np.zeros((0,))


@pytest.fixture(scope="module")
def device():
    return devices(["emu_fez"])["emu_fez"]


def chain(n, angle=0.0, order=None):
    """A GHZ state along a line of qubits, then a rotation of each."""
    order = list(range(n)) if order is None else order
    circuit = QuantumCircuit(n)
    circuit.h(order[0])
    for a, b in pairwise(order):
        circuit.cx(a, b)
        if angle:
            circuit.rx(angle, b)
    circuit.measure_all()
    return circuit


def frequencies(simulator, circuit, values=NOTHING, shots=4000):
    return simulator.sample(circuit, values, shots, seed=3)["meas"].mean(axis=-2)


def marginals(circuit):
    state = Statevector(circuit.remove_final_measurements(inplace=False))
    return np.array([state.probabilities([q])[1] for q in range(circuit.num_qubits)])


@pytest.mark.parametrize(
    ("circuit", "choice", "method", "exact"),
    [
        (chain(6, 0.7), "auto", "statevector", True),
        (chain(40), "auto", "stabilizer", True),
        (chain(9, 0.7), "auto", "matrix_product_state", False),
        (chain(9, 0.7), "matrix_product_state", "matrix_product_state", False),
        (chain(6), "stabilizer", "stabilizer", True),
        (chain(9, 0.7), "nearest_clifford", "nearest_clifford", False),
        (chain(9), "nearest_clifford", "stabilizer", True),
        (chain(9), "shapes", "shapes", False),
    ],
)
def test_each_method_is_taken_and_told(device, circuit, choice, method, exact):
    simulator = Simulator(device, Settings(choice, max_qubits=8, inexact=MPS))
    bits = simulator.sample(circuit, NOTHING, 50)["meas"]
    assert bits.shape == (50, circuit.num_qubits)
    used = simulator.used()
    assert (used.method, used.exact) == (method, exact)
    assert used.to_dict()["exact"] is exact
    assert simulator.used() is None
    assert simulator.used_by_job() == used


def test_a_matrix_product_state_agrees_with_the_state_vector(device):
    circuit = chain(8, 0.7, order=[3, 1, 7, 0, 5, 2, 6, 4])
    simulator = Simulator(device, Settings(MPS, bond_dimension=16))
    assert np.allclose(frequencies(simulator, circuit), marginals(circuit), atol=5 * 0.5 / 4000**0.5)
    assert simulator.used() == Simulated(MPS, 16)


def test_each_parameter_set_of_a_matrix_product_state_has_its_own_bits(device):
    circuit, angle = QuantumCircuit(6), Parameter("t")
    circuit.rx(angle, 0)
    for q in range(5):
        circuit.cx(q, q + 1)
    circuit.measure_all()
    simulator = Simulator(device, Settings(MPS))
    bits = simulator.sample(circuit, np.array([[0.0], [np.pi], [0.0], [np.pi]]), 5)["meas"]
    assert np.array_equal(bits, np.repeat([[False], [True], [False], [True]], 30, axis=1).reshape(4, 5, 6))


def test_auto_asks_before_it_is_inexact(device):
    simulator = Simulator(device, Settings(max_qubits=8, inexact=None))
    with pytest.raises(Inexact) as caught:
        simulator.sample(chain(9, 0.7), NOTHING, 10)
    assert not caught.value.slow
    too_small = Simulator(device, Settings(max_qubits=8, inexact=None, bond_dimension=4096, memory=2**20))
    with pytest.raises(Inexact) as caught:
        too_small.sample(chain(9, 0.7), NOTHING, 10)
    assert caught.value.slow


def test_parameter_sets_that_would_take_too_long_are_given_up(device):
    circuit, angle = chain(9, 0.7), Parameter("t")
    circuit = circuit.remove_final_measurements(inplace=False)
    circuit.rz(angle, 0)
    circuit.measure_all()
    simulator = Simulator(device, Settings(max_qubits=8, inexact=MPS, seconds=0.0))
    with pytest.raises(Inexact) as caught:
        simulator.sample(circuit, np.zeros((3, 1)), 10)
    assert caught.value.slow


def test_small_parts_of_a_wide_circuit_stay_exact(device):
    circuit = QuantumCircuit(12, 12)
    circuit.compose(chain(9, 0.7).remove_final_measurements(inplace=False), range(9), inplace=True)
    circuit.ry(0.4, 9)
    circuit.cx(9, 10)
    circuit.measure(range(12), range(12))
    simulator = Simulator(device, Settings(max_qubits=8, inexact=CLIFFORD))
    bits = simulator.sample(circuit, NOTHING, 4000, seed=1)["c"]
    assert np.array_equal(bits[:, 9], bits[:, 10])
    assert abs(bits[:, 9].mean() - np.sin(0.2) ** 2) < 5 * 0.5 / 4000**0.5
    assert simulator.used().method == CLIFFORD


ROTATIONS = st.sampled_from(["rz", "rx", "rzz", "sx", "x", "cz"])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(ROTATIONS, st.floats(-9, 9), st.integers(0, 3)), max_size=12))
def test_the_nearest_clifford_circuit_is_the_clients(gates):
    circuit = QuantumCircuit(5)
    for name, angle, q in gates:
        if name in ("rz", "rx"):
            getattr(circuit, name)(angle, q)
        elif name == "rzz":
            circuit.rzz(angle, q, q + 1)
        elif name == "cz":
            circuit.cz(q, q + 1)
        else:
            getattr(circuit, name)(q)
    [(_, found, _)], _ = nearest_clifford(circuit, np.zeros((1, 0)))
    expected = PassManager([ConvertISAToClifford()]).run(circuit)
    assert found == expected


def test_parameters_and_expressions_are_rounded_alike():
    theta = Parameter("t")
    bare, expression = QuantumCircuit(1), QuantumCircuit(1)
    bare.rz(theta, 0)
    expression.rz(theta + 0.0 + 1 * np.pi, 0)
    values = np.array([[0.7], [0.9]])
    [(where, circuit, rounded)], changed = nearest_clifford(bare, values)
    assert (where, circuit, changed) == (slice(0, 2), bare, True)
    assert np.allclose(rounded, [[0.0], [np.pi / 2]])
    found, changed = nearest_clifford(expression, values)
    assert changed
    assert [where for where, _, _ in found] == [slice(0, 1), slice(1, 2)]
    assert np.allclose([c.data[0].operation.params[0] for _, c, _ in found], [np.pi, 3 * np.pi / 2])


def test_branches_are_rounded_too(device):
    circuit = QuantumCircuit(10, 10)
    circuit.h(0)
    circuit.measure(0, 0)
    with circuit.if_test((0, 1)):
        circuit.rx(3.0, 9)
    for q in range(9):
        circuit.cx(q, q + 1)
    circuit.measure(9, 9)
    simulator = Simulator(device, Settings(max_qubits=8))
    bits = simulator.sample(circuit, NOTHING, 200)["c"]
    assert simulator.used().method == CLIFFORD
    assert not bits[:, 9].any()  # the branch flips qubit 9 whenever the chain does


@pytest.mark.parametrize(("angle", "method"), [(0.0, "stabilizer"), (0.3, "statevector")])
def test_a_circuit_that_goes_by_its_measurements_needs_a_state_vector_a_shot_only_if_it_is_not_clifford(
    device, angle, method
):
    circuit = QuantumCircuit(QuantumRegister(12, "q"), ClassicalRegister(1, "c"), ClassicalRegister(12, "meas"))
    circuit.h(0)
    for q in range(11):
        circuit.cx(q, q + 1)
    circuit.rx(angle, 11)
    circuit.measure(0, 0)
    with circuit.if_test((0, 1)):
        circuit.x(range(11))
    circuit.measure(range(12), range(1, 13))
    simulator = Simulator(device, Settings())
    bits = simulator.sample(circuit, NOTHING, 50, seed=1)
    assert not bits["meas"][:, :11].any()
    assert 5 < bits["c"].sum() < 45
    assert simulator.used().method == method


def test_fractional_gates_at_clifford_angles_are_exact(device):
    circuit = QuantumCircuit(30)
    circuit.rx(np.pi, 0)
    for q in range(29):
        circuit.h(q + 1)
        circuit.rzz(np.pi / 2, q, q + 1)
        circuit.rz(-np.pi / 2, q)
        circuit.rz(-np.pi / 2, q + 1)
        circuit.h(q + 1)
    circuit.measure_all()
    simulator = Simulator(device, Settings(inexact=None))
    bits = simulator.sample(circuit, NOTHING, 20)["meas"]
    assert bits.all()
    assert simulator.used().exact


def test_a_state_vector_that_does_not_fit_fails_before_it_starts(device):
    simulator = Simulator(device, Settings("statevector", max_qubits=30, memory=2**20))
    with pytest.raises(
        JobError, match=r"ran out of memory\. A state vector of 20 entangled qubits needs 0\.015625 GiB"
    ):
        simulator.sample(chain(20, 0.3), NOTHING, 10)
    assert simulator.used() is None


def test_auto_leaves_out_a_state_vector_that_does_not_fit(device):
    simulator = Simulator(device, Settings(max_qubits=24, memory=2**20, bond_dimension=8, inexact=MPS))
    simulator.sample(chain(20, 0.3), NOTHING, 10)
    assert simulator.used().method == MPS


def test_results_that_do_not_fit_fail_before_they_are_made(device):
    simulator = Simulator(device, Settings(memory=2**30))
    simulator.hold([2**28])
    with pytest.raises(JobError, match=r"Its results need 4\.0 GiB, a simulation may use 1\.0 GiB"):
        simulator.hold([2**28, 2**29, 2**28])


def test_a_matrix_product_state_that_does_not_fit_fails(device):
    simulator = Simulator(device, Settings(MPS, bond_dimension=4096, memory=2**30))
    with pytest.raises(JobError, match="bond dimension 4096 does not fit"):
        simulator.sample(chain(30, 0.3), NOTHING, 10)


def test_qubits_are_ordered_along_their_line():
    order = [3, 1, 7, 0, 5, 2, 6, 4]
    circuit = chain(8, 0.7, order=order).remove_final_measurements(inplace=False)
    part, physical = along_line(circuit, tuple(range(100, 108)))
    pairs = [sorted(part.find_bit(q).index for q in i.qubits) for i in part.data if i.operation.name == "cx"]
    assert [b - a for a, b in pairs] == [1] * len(pairs) != []
    assert [q - 100 for q in physical] in (order, order[::-1])


def test_noise_of_a_large_clifford_circuit_is_told_to_be_incomplete(device):
    a, b = device.configuration["coupling_map"][0]
    circuit = QuantumCircuit(device.qubits, 2)
    for q in (a, b):
        for _ in range(20):
            circuit.x(q)
    circuit.cz(a, b)
    circuit.measure([a, b], [0, 1])
    simulator = Simulator(device, Settings("stabilizer", noise=True))
    bits = simulator.sample(circuit, NOTHING, 3000)["c"]
    assert 0 < bits.mean() < 0.2
    used = simulator.used()
    assert not used.exact
    assert used.to_dict()["description"] == (
        "simulated by stabilizer, with the noise of gates and readout, without relaxation"
    )


def test_a_job_is_told_by_its_least_exact_circuit():
    some = [Simulated("stabilizer"), Simulated(CLIFFORD), Simulated(MPS, 64), Simulated("statevector")]
    assert worst(some).method == CLIFFORD
    assert worst([]) is None
