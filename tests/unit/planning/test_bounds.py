"""What depends on values, on results, or is too much to count: bounded in time, with an interval."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import PauliList, SparsePauliOp

from qmode_widgets.planning import work
from qmode_widgets.planning.plan import plan
from qmode_widgets.planning.usage import estimate_usage
from qmode_widgets.planning.work import many_bases


def random_terms(count, qubits, seed=0):
    rng = np.random.default_rng(seed)
    return list(dict.fromkeys("".join(rng.choice(list("IXYZ"), qubits)) for _ in range(count)))


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 80), st.integers(1, 70), st.integers(0, 1000))
def test_thousands_of_terms_are_grouped_as_qiskit_groups_them(count, qubits, seed):
    labels = random_terms(count, qubits, seed)
    assert many_bases(labels).expected == len(PauliList(labels).group_commuting(qubit_wise=True))


def test_too_many_terms_are_estimated_with_an_interval(monkeypatch):
    labels = random_terms(2000, 8)
    exact = many_bases(labels).expected
    monkeypatch.setattr(work, "PAIRS", 1_000_000)
    found = many_bases(labels)
    assert found.low < exact < found.high
    assert found.expected == pytest.approx(exact, rel=0.2)


def test_many_bases_are_said(backend):
    labels = ["".join(label) for label in product("XYZ", repeat=4)]
    circuit = QuantumCircuit(4)
    usage = estimate_usage([(circuit, SparsePauliOp(labels))], backend, "estimator")
    assert "PUB 0: its 81 terms are measured in 81 bases" in usage.assumed


# --- delays ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def t1_sweep():
    time, circuit = Parameter("t"), QuantumCircuit(1)
    circuit.x(0)
    circuit.delay(time, 0, "dt")
    circuit.measure_all()
    return circuit


def test_delays_are_timed_with_the_pubs_values(backend, t1_sweep):
    values = np.array([0, 250_000, 500_000, 1_000_000])
    swept = estimate_usage([(t1_sweep, values[:, None])], backend)
    bound = estimate_usage([t1_sweep.assign_parameters([v]) for v in values.tolist()], backend)
    assert swept.expected == bound.expected > 30
    assert swept.breakdown.circuit == pytest.approx(bound.breakdown.circuit)
    assert not any("delay" in note for note in swept.assumed)


def test_a_sweep_of_many_delays_is_timed_at_some_of_them(backend, t1_sweep, monkeypatch):
    monkeypatch.setattr(work, "TIMED_INSTRUCTIONS", 100)
    values = np.linspace(0, 1_000_000, 1000)[:, None]
    found = estimate_usage([(t1_sweep, values, 100)], backend)
    mean = 500_000 * backend.target.dt
    assert found.breakdown.circuit == pytest.approx(100_000 * mean, rel=0.05)
    assert found.high > found.expected


def test_estimator_delays_as_well(backend):
    time, circuit = Parameter("t"), QuantumCircuit(1)
    circuit.delay(time, 0, "dt")
    short, long = (estimate_usage([(circuit, "Z", [v])], backend, "estimator") for v in (0, 1_000_000))
    assert long.breakdown.circuit - short.breakdown.circuit == pytest.approx(4096 * 1e6 * backend.target.dt)


# --- loops and branches ------------------------------------------------------------------------------------------


def test_while_loops_and_branches_widen_the_high_end(backend):
    plain, loop = QuantumCircuit(1, 1), QuantumCircuit(1, 1)
    for circuit in (plain, loop):
        circuit.measure(0, 0)
    with loop.while_loop((loop.clbits[0], 1)):
        loop.x(0)
        loop.measure(0, 0)
    for _ in range(1):
        plain.x(0)
        plain.measure(0, 0)
    shots = 1_000_000
    once, several = estimate_usage([(plain, None, shots)], backend), estimate_usage([(loop, None, shots)], backend)
    assert several.expected == pytest.approx(once.expected, abs=1)
    assert several.high - once.high == pytest.approx(9 * 1.61 + 5, abs=2)  # nine more rounds, and feeding forward
    assert any("while loop" in note for note in several.assumed)


# --- days of QPU -------------------------------------------------------------------------------------------------


def test_a_workload_of_days_says_so_first(backend, sampled):
    found = plan([(sampled, np.zeros((1_000_000, 1)), 4096)], backend, queue_wait=600)
    assert str(found).splitlines()[0].startswith("! 12.")
    assert "days of QPU usage: lower the shots" in str(found).splitlines()[0]
    assert "days of QPU usage" in found._repr_html_()
