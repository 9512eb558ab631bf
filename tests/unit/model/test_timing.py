import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit_ibm_runtime.fake_provider import FakeFez

from qmode_widgets.model.timing import (
    UNBOUND_DELAY,
    NotIsaError,
    Timing,
    bill,
    quick,
    randomized_seconds,
    sub_jobs,
    whole_seconds,
)


@pytest.fixture(scope="module")
def timing():
    return Timing.of(FakeFez())


def test_what_a_backend_tells(timing):
    assert timing.rep_delay == 250e-6
    assert timing.rep_delay_range == (0.0, 500e-6)
    assert timing.initialisation == pytest.approx(3 * 1584e-9)
    assert timing.assumed == ()
    assert timing.dressed_layer() == pytest.approx(24e-9 + 24e-9 + 84e-9)
    assert timing.typical_layer() == pytest.approx(timing.dressed_layer() / 5)


def test_a_backend_without_rep_delay_says_what_is_assumed():
    timing = Timing.of(GenericBackendV2(3, seed=1))
    assert timing.rep_delay == 250e-6
    assert "no default rep_delay" in timing.assumed[0]


def test_delays_with_parameters_are_timed_at_their_values(timing):
    time, circuit = Parameter("t"), QuantumCircuit(1)
    circuit.delay(2 * time, 0, "us")
    assert UNBOUND_DELAY in timing.length(circuit).assumed
    bound = timing.bound_length(circuit, {time: 50.0})
    assert bound.seconds == pytest.approx(100e-6)
    assert bound.assumed == ()


def test_loops_and_branches_have_a_high_end(timing):
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    with circuit.if_test((0, 1)):
        circuit.x(0)
    branch = timing.length(circuit)
    assert branch.high == pytest.approx(branch.seconds + 5e-6)
    plain = QuantumCircuit(1)
    plain.x(0)
    assert timing.length(plain).high == timing.length(plain).seconds


def test_static_circuits_are_timed_by_qiskit(timing):
    circuit = QuantumCircuit(2, 1)
    circuit.x(0)
    circuit.cz(0, 1)
    circuit.measure(0, 0)
    length = timing.length(circuit)
    assert length.seconds == pytest.approx(24e-9 + 84e-9 + 1560e-9)
    assert length.stretched(3) == pytest.approx(3 * (24e-9 + 84e-9) + 1560e-9)
    assert length.assumed == ()


def test_control_flow_takes_the_longest_branch(timing):
    circuit = QuantumCircuit(2, 1)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)) as otherwise:
        circuit.x(1)
    with otherwise:
        circuit.x(1)
        circuit.cz(0, 1)
    length = timing.length(circuit)
    assert length.seconds == pytest.approx(1560e-9 + 24e-9 + 84e-9)
    assert "longest branch" in length.assumed[0]


def test_loops(timing):
    circuit = QuantumCircuit(1, 1)
    with circuit.for_loop(range(5)):
        circuit.x(0)
    with circuit.while_loop((circuit.clbits[0], 1)):
        circuit.measure(0, 0)
    length = timing.length(circuit)
    assert length.seconds == pytest.approx(5 * 24e-9 + 1560e-9)
    assert "one round" in length.assumed[0]


def test_boxes_delays_and_barriers(timing):
    circuit = QuantumCircuit(2)
    with circuit.box():
        circuit.x(0)
        circuit.delay(1, 0, "us")
    circuit.delay(250, 1, "ns")
    circuit.barrier()
    circuit.delay(100, 0, "dt")
    circuit.delay(Parameter("t"), 1)
    length = timing.length(circuit)
    assert length.seconds == pytest.approx(24e-9 + 1e-6 + 100 * 4e-9)
    assert any("delay of unbound" in a for a in length.assumed)


def test_parallel_work_is_not_added_up(timing):
    circuit = QuantumCircuit(4, 2)
    circuit.delay(2, 0, "us")
    circuit.delay(3, 1, "us")
    circuit.measure(2, 0)
    assert timing.length(circuit).seconds == pytest.approx(3e-6)


def test_not_isa(timing):
    circuit = QuantumCircuit(2, 1)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.h(0)
    with pytest.raises(NotIsaError, match="'h' is not one of fake_fez's"):
        timing.length(circuit)


def test_walking_agrees_with_qiskit(timing):
    from qmode_widgets.model.timing import _Walk

    circuit = QuantumCircuit(4, 4)
    for a, b in ((0, 1), (2, 3), (1, 2)):
        circuit.sx(a)
        circuit.cz(a, b)
        circuit.rz(0.3, b)
    circuit.barrier()
    circuit.measure(range(4), range(4))
    circuit.reset(2)
    walked = _Walk(timing.target, timing.backend).block(circuit, range(4))
    assert walked == pytest.approx(circuit.estimate_duration(timing.target))


def test_quick_formula():
    assert quick(1_000_000) == pytest.approx(352)


def test_missing_durations_are_guessed_and_said():
    from qiskit.circuit.library import SXGate, XGate
    from qiskit.circuit.measure import Measure
    from qiskit.transpiler import InstructionProperties, Target

    class Backend:
        name = "half told"
        target = Target(num_qubits=2)

    Backend.target.add_instruction(XGate(), {(0,): InstructionProperties(duration=5e-8), (1,): InstructionProperties()})
    Backend.target.add_instruction(SXGate(), {(0,): InstructionProperties(), (1,): None})
    Backend.target.add_instruction(Measure(), {(0,): InstructionProperties(duration=1e-6)})
    timing = Timing.of(Backend())
    assert any("no reset" in a for a in timing.assumed)
    circuit = QuantumCircuit(2)
    circuit.x(1)
    circuit.sx(1)
    length = timing.length(circuit)
    assert length.seconds == pytest.approx(5e-8)
    assert any("median of x" in a for a in length.assumed)
    assert any("counted as 0" in a for a in length.assumed)
    circuit.measure_all()
    with pytest.raises(NotIsaError, match=r"'measure' on qubits \(1,\)"):
        timing.length(circuit.copy())


def test_bills_are_whole_seconds_rounded_up():
    assert bill(0.0) == 2  # the overhead alone
    assert bill(0.4) == 2
    assert bill(0.41) == 3
    assert bill(10.0, parts=2) == 14
    assert whole_seconds(0.0) == 1


def test_a_job_is_split_into_sub_jobs_beyond_ten_million_executions():
    assert [sub_jobs(n) for n in (1, 10_000_000, 10_000_001, float("inf"))] == [1, 1, 2, 1]


def test_randomised_circuits_cost_time_except_on_nighthawks():
    assert randomized_seconds("Heron") == randomized_seconds(None) == 2.5e-3
    assert randomized_seconds("Nighthawk") == 0
    assert Timing.of(FakeFez()).randomized == 2.5e-3
