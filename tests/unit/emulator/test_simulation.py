"""What happens in a worker: durations, cutting circuits, reading params."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import Statevector

from qmode_widgets.emulator.backends import available, devices
from qmode_widgets.emulator.simulation.errors import InvalidInputError, JobError
from qmode_widgets.emulator.simulation.methods import Settings
from qmode_widgets.emulator.simulation.payload import inflate, read
from qmode_widgets.emulator.simulation.program import Load, check_delays, check_values
from qmode_widgets.emulator.simulation.simulator import Simulator, parts
from qmode_widgets.emulator.simulation.timing import Timing
from qmode_widgets.model.timing import qpu_seconds


@pytest.fixture(scope="module")
def device():
    return devices(["emu_fez"])["emu_fez"]


@pytest.fixture(scope="module")
def simulator(device):
    return Simulator(device, Settings(max_qubits=10))


def edge(device):
    return tuple(device.configuration["coupling_map"][0])


def test_the_length_of_a_circuit_is_its_critical_path(device):
    timing = Timing(device)
    a, b = edge(device)
    circuit = QuantumCircuit(device.qubits, 2)
    circuit.sx(a)
    circuit.cz(a, b)
    circuit.rz(0.3, b)
    circuit.measure([a, b], [0, 1])
    gates = timing._gates
    readout = max(gates["measure", (a,)], gates["measure", (b,)])
    assert timing.length(circuit) == pytest.approx(gates["sx", (a,)] + gates["cz", (a, b)] + readout)
    assert 0.5e-6 < timing.length(circuit) < 10e-6


def test_blocks_count_at_their_longest_branch_and_loops_as_often_as_they_run(device):
    timing = Timing(device)
    circuit = QuantumCircuit(device.qubits, 1)
    with circuit.if_test((0, 1)) as otherwise:
        circuit.delay(1, 0, "us")
    with otherwise:
        circuit.delay(3, 0, "us")
    with circuit.for_loop(range(4)):
        circuit.delay(10, 0, "us")
    assert timing.length(circuit) == pytest.approx(43e-6)


def test_the_time_model(device):
    circuit = QuantumCircuit(device.qubits)
    circuit.delay(50, 0, "us")
    said = Timing(device).of([Load(circuit, sets=10, shots=1000, learning=500)], rep_delay=None)
    initialisation = Timing(device).initialisation
    assert said["qpu"] == qpu_seconds(10_500 * (300e-6 + initialisation))  # the planner's own function
    assert said["estimate"] == said["qpu"]
    assert Timing(device).of([Load(circuit, 1, 1000)], rep_delay=1e-6)["qpu"] < 2
    twirled = Timing(device).of([Load(circuit, sets=10, shots=1000, randomized=2000)], rep_delay=None)
    assert twirled["qpu"] == qpu_seconds(10_000 * (300e-6 + initialisation) + 2000 * 2.5e-3)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_circuit_cut_into_parts_gives_the_same_bits(device, simulator, data):
    """A random permutation of basis states over 12 qubits, most of them untouched or unmeasured: one outcome only."""
    circuit = QuantumCircuit(12, 12)
    value = [0] * 12
    measured = {}
    for _ in range(data.draw(st.integers(0, 25))):
        kind, a = data.draw(st.sampled_from(["x", "cx", "measure", "barrier", "reset"])), data.draw(st.integers(0, 11))
        b = data.draw(st.integers(0, 11).filter(lambda q, a=a: q != a))
        if kind == "x":
            circuit.x(a)
            value[a] ^= 1
        elif kind == "cx":
            circuit.cx(a, b)
            value[b] ^= value[a]
        elif kind == "reset":
            circuit.reset(a)
            value[a] = 0
        elif kind == "measure":
            circuit.measure(a, b)
            measured[b] = value[a]
        else:
            circuit.barrier()
    bits = simulator.sample(circuit, np.zeros((0,)), 3)["c"]
    assert bits.shape == (3, 12)
    assert np.array_equal(bits, [[bool(measured.get(i, 0)) for i in range(12)]] * 3)
    for part, physical in parts(circuit):
        assert part.num_qubits == len(physical)


def test_parameters_keep_their_order_in_the_parts(simulator):
    circuit, angles = QuantumCircuit(30), [Parameter(f"t{i}") for i in range(30)]
    for i, angle in enumerate(angles):
        circuit.rx(angle, i)
    circuit.measure_all()
    values = np.zeros((5, 30))
    column = {p: i for i, p in enumerate(circuit.parameters)}
    for row in range(5):
        for i in range(30):
            values[row, column[angles[i]]] = np.pi * ((i * (row + 1)) % 3 == 0)
    bits = simulator.sample(circuit, values, 4)["meas"]
    assert bits.shape == (5, 4, 30)
    for row in range(5):
        assert np.array_equal(bits[row, 0], [(i * (row + 1)) % 3 == 0 for i in range(30)])


def test_what_the_backend_cannot_run_fails_with_1517(device, simulator):
    circuit = QuantumCircuit(device.qubits)
    circuit.h(0)
    with pytest.raises(JobError, match="instruction h is not supported") as caught:
        simulator.check(circuit)
    assert caught.value.code == 1517
    circuit = QuantumCircuit(device.qubits)
    circuit.cz(0, 155)
    with pytest.raises(JobError, match=r"cz on qubits \(0, 155\)"):
        simulator.check(circuit)


def test_backends_carry_their_own_name_over_the_fake_ones_data():
    found = devices(["ibm_fez", "emu_torino"])
    assert list(found) == ["ibm_fez", "emu_torino", *sorted(n for n in found if n.startswith("mock_"))]
    assert found["ibm_fez"].configuration["backend_name"] == "ibm_fez"
    assert found["ibm_fez"].configuration["simulator"] is False
    assert found["mock_fez"].mock
    assert devices(["ibm_lab_2_fez"])["ibm_lab_2_fez"].recorded.name == "fez"
    for name in ("fez", "_fez", "emu_nowhere", "mock_fez", "EMU_fez", "emu_../secret", "emu__fez"):
        with pytest.raises(ValueError, match="no backend"):
            devices([name])
    assert "torino" in available()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=3), inner, max_size=3),
        max_leaves=8,
    )
)
def test_plain_json_is_read_as_it_is(value):
    assert read(value) == value


@pytest.mark.parametrize(
    "value", [{"__type__": "settings"}, {"__type__": None}, {"__type__": "ndarray", "__value__": {}}]
)
def test_what_no_program_takes_is_refused(value):
    with pytest.raises(InvalidInputError, match=r".+"):
        read(value)


def test_data_that_grows_beyond_the_bound_is_refused():
    import base64
    import zlib

    bomb = base64.b64encode(zlib.compress(b"0" * 10_000)).decode()
    assert len(inflate(bomb, limit=10_000)) == 10_000
    with pytest.raises(InvalidInputError, match="grows beyond 9999"):
        inflate(bomb, limit=9999)


def test_a_delay_with_a_parameter_is_named_wherever_it_is():
    circuit = QuantumCircuit(1, 1)
    with circuit.if_test((0, 1)):
        circuit.delay(Parameter("waiting"), 0, "dt")
    with pytest.raises(InvalidInputError, match="the parameter waiting as its duration: assign it"):
        check_delays(circuit)
    fixed = QuantumCircuit(1)
    fixed.delay(100, 0, "dt")
    check_delays(fixed)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(value):
    with pytest.raises(InvalidInputError, match=f"must be finite numbers, not {value}"):
        check_values(np.array([[0.1], [value]]))


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_qubit_alone_gives_what_the_state_vector_gives(simulator, data):
    """A chain of gates on one qubit is sampled without Aer: the frequencies are those of the state vector."""
    circuit, angle = QuantumCircuit(1, 1), Parameter("t")
    for _ in range(data.draw(st.integers(1, 8))):
        name = data.draw(st.sampled_from(["x", "sx", "h", "rx", "ry", "rz"]))
        if name.startswith("r"):
            getattr(circuit, name)(data.draw(st.sampled_from([angle, 0.7, -1.3])), 0)
        else:
            getattr(circuit, name)(0)
    values = np.array([[0.4], [2.0]]) if circuit.parameters else np.zeros((2, 0))
    expected = [Statevector(circuit.assign_parameters(row)).probabilities()[1] for row in values]
    circuit.measure(0, 0)
    bits = simulator.sample(circuit, values, 4000, seed=1)["c"]
    assert bits.shape == (2, 4000, 1)
    assert np.allclose(bits.mean(axis=(1, 2)), expected, atol=5 * 0.5 / 4000**0.5)


def test_qubits_that_are_measured_in_the_middle_are_left_to_aer(simulator):
    circuit = QuantumCircuit(2, 3)
    circuit.x(0)
    circuit.measure(0, 0)
    circuit.x(0)
    circuit.measure(0, 1)
    circuit.x(1)
    circuit.measure(1, 2)
    assert simulator.sample(circuit, np.zeros((0,)), 3)["c"].tolist() == [[True, False, True]] * 3
