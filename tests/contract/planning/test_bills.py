"""What a plan says is what the embedded service bills, and what it advises is taken."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import EstimatorV2, SamplerV2
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.executor_sampler import Sampler

import qmode_widgets as qmode
from qmode_widgets.model.snapshot import JobState
from qmode_widgets.planning.plan import plan
from qmode_widgets.planning.view import do_this

TIMEOUT = 120


@pytest.fixture(scope="module")
def pair():
    """Two qubits, two parameters."""
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("a"), 0)
    circuit.cx(0, 1)
    circuit.ry(Parameter("b"), 1)
    return circuit


@pytest.fixture(scope="module")
def ansatz(backend, pair):
    return generate_preset_pass_manager(1, backend, initial_layout=[0, 1], seed_transpiler=1).run(pair)


@pytest.fixture(scope="module")
def measured(backend, pair):
    circuit = pair.measure_all(inplace=False)
    return generate_preset_pass_manager(1, backend, initial_layout=[0, 1], seed_transpiler=1).run(circuit)


@pytest.mark.filterwarnings("ignore:The (Estimator|Sampler)V2 class is deprecated:DeprecationWarning")
def test_the_embedded_service_bills_what_the_planner_expects(emulator, backend, ansatz, measured):
    """One function: also for twirled and mitigated work, and for what the client prepares."""
    z = SparsePauliOp(["ZZ", "XX"]).apply_layout(ansatz.layout)
    twirled = Sampler(mode=backend)
    twirled.options.twirling.enable_gates = True
    for primitive, pub in (
        (Sampler(mode=backend), (measured, [0.1, 0.2], 1024)),
        (SamplerV2(mode=backend), (measured, np.zeros((20, 2)), 4096)),
        (twirled, (measured, np.zeros((10, 2)), 4096)),
        (EstimatorV2(mode=backend), (ansatz, z, [0.1, 0.2])),
        (EstimatorV2(mode=backend, options={"resilience_level": 2}), (ansatz, z, np.zeros((3, 2)))),
        (Estimator(mode=backend), (ansatz, z, np.zeros((10, 2)))),
    ):
        expected = plan([pub], backend, primitive).usage.expected
        jobs = qmode.JobController.open(backend)
        jobs.submit(primitive, [pub])
        assert jobs.wait(timeout=TIMEOUT)
        assert jobs.wait_until(lambda state: all(j.usage.reported for j in state.jobs), TIMEOUT)
        assert jobs.jobs[0].usage.reported == pytest.approx(expected, abs=1), type(primitive)  # whole seconds


def test_a_plan_for_the_open_plan_is_taken_whole(emulator, measured):
    backend = emulator.connect("emulator-open").backend("emu_fez")
    sampler = Sampler(mode=backend)
    planned = plan([(measured, np.random.default_rng(0).random((200, 2)), 4096)], backend, sampler)
    assert planned.errors == ()
    assert len(planned.partitions) <= 3
    controller = planned.run()
    result = controller.result(timeout=TIMEOUT)
    assert [j.state for j in controller.jobs] == [JobState.DONE] * len(planned.partitions)
    assert result[0].data.shape == (200,)


def test_merged_observables_come_back_in_the_users_order(emulator, backend, ansatz):
    labels = ("ZZ", "ZI", "IZ")
    pubs = [(ansatz, SparsePauliOp(label).apply_layout(ansatz.layout), [0.4, 0.0], 0.02) for label in labels]
    merged = qmode.merge_pubs(pubs)
    assert len(merged.pubs) == 1
    estimator = Estimator(mode=backend)
    jobs = qmode.JobController.open(backend)
    found = merged.results(jobs.submit(estimator, list(merged.pubs)).result(timeout=TIMEOUT))
    assert [float(pub.data.evs) for pub in found] == pytest.approx([1, np.cos(0.4), np.cos(0.4)], abs=0.15)


def test_what_a_budget_buys_is_submitted(emulator, backend, measured):
    planned = plan([(measured, np.zeros((5, 2)))], backend, Sampler(mode=backend), budget=10)
    controller = planned.run()
    result = controller.result(timeout=TIMEOUT)
    assert result[0].data.meas.num_shots == planned.allocation[0].shots
    assert controller.wait_until(lambda state: all(j.usage.reported for j in state.jobs), TIMEOUT)
    assert controller.jobs[0].usage.reported <= 10


def test_the_code_that_a_plan_prints_runs(emulator, backend, ansatz, measured):
    observable = SparsePauliOp("ZZ").apply_layout(ansatz.layout)
    pubs = [(ansatz, observable, [0.1, 0.2])]
    estimator, sampler = Estimator(mode=backend), Sampler(mode=backend)
    names = {
        "qmode": qmode,
        "backend": backend,
        "ansatz": ansatz,
        "observable": observable,
        "optimizer": lambda cost, start: cost(start),
        "start": [0.1, 0.2],
        "estimator": estimator,
        "sampler": sampler,
    }
    found = {}
    for exclusive in (True, False):
        loop = plan(pubs, backend, estimator, iterative=2, exclusive=exclusive, prefer="cheapest")
        assert (loop.mode == "session") is exclusive
        exec(do_this(loop)[0], names | {"pubs": pubs, "plan": loop}, found)
        assert len(found.pop("steps")) == 1
    steps = plan([(measured, [0.1, 0.2])], backend, sampler, iterative=2, prefer="cheapest")
    exec(do_this(steps)[0], names | {"pubs": [(measured, [0.1, 0.2])], "plan": steps}, found)
    assert found["result"][0].data.meas.num_shots == 4096
    once = plan([(measured, [0.1, 0.2])], backend, "executor_sampler", {"default_shots": 100})
    exec(do_this(once)[0], names | {"plan": once}, found)
