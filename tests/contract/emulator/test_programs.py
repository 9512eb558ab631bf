"""The programs: results of the right class, shape and metadata, and statistically right."""

from __future__ import annotations

import warnings
from datetime import datetime

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import EstimatorV2, Executor, NoiseLearnerV3, QuantumProgram, SamplerV2
from qiskit_ibm_runtime.execution_span import ExecutionSpans
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.executor_sampler import Sampler
from qiskit_ibm_runtime.results import EstimatorPubResult

from qmode_widgets import emulator as package

PAULIS = ("ZZI", "XXX", "IIZ", "IYY")


@pytest.fixture(scope="module")
def pm(backend):
    return generate_preset_pass_manager(backend=backend, optimization_level=1, seed_transpiler=1)


@pytest.fixture(scope="module")
def ansatz():
    circuit, theta = QuantumCircuit(3), Parameter("θ")
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    circuit.rz(theta, 2)
    circuit.ry(theta, 0)
    return circuit


@pytest.fixture(scope="module")
def pub(pm, ansatz):
    """Observables of shape (4, 1) against parameters of shape (3, 1): results of shape (4, 3)."""
    isa = pm.run(ansatz)
    observables = [[SparsePauliOp(p).apply_layout(isa.layout)] for p in PAULIS]
    return isa, observables, np.linspace(0, 1, 3).reshape(3, 1)


@pytest.fixture(scope="module")
def exact(ansatz):
    observables = [[SparsePauliOp(p)] for p in PAULIS]
    return StatevectorEstimator().run([(ansatz, observables, np.linspace(0, 1, 3).reshape(3, 1))]).result()[0].data.evs


@pytest.fixture(scope="module")
def measured(pm, ansatz):
    circuit = ansatz.copy()
    circuit.measure_all()
    return pm.run(circuit)


def legacy(primitive, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return primitive(**kwargs)


def within(data, exact, stds):
    return np.all(np.abs(data.evs - exact) < 5 * np.maximum(stds, 1e-3))


def test_legacy_sampler(emulator, backend, measured):
    job = legacy(SamplerV2, mode=backend).run([(measured, [[0.0], [0.5]]), (measured, [0.1])], shots=200)
    result = job.result()
    assert [pub.data.meas.shape for pub in result] == [(2,), ()]
    assert result[0].data.meas.num_shots == 200
    assert result[0].metadata == {"circuit_metadata": {}}
    assert result.metadata["version"] == 2
    spans = result.metadata["execution"]["execution_spans"]
    assert isinstance(spans, ExecutionSpans)
    assert spans.pub_idxs == [0, 1]
    assert [span.size for span in spans] == [400, 200]
    times = job.metrics()["timestamps"]
    assert datetime.fromisoformat(times["running"]) <= spans.start
    assert spans.stop <= datetime.fromisoformat(times["finished"])
    assert spans[0].stop <= spans[1].start
    assert job.usage_estimation["quantum_seconds"] == pytest.approx(1.6 + 600 * 257e-6, rel=0.01)


@pytest.mark.parametrize(("kind", "shape"), [("kerneled", (3, 50, 3)), ("avg_kerneled", (3, 3))])
def test_legacy_sampler_without_discrimination(emulator, backend, measured, kind, shape):
    sampler = legacy(SamplerV2, mode=backend)
    sampler.options.execution.meas_type = kind
    job = sampler.run([(measured, [[0.0], [0.5], [1.0]])], shots=50)
    data = job.result()[0].data.meas
    assert data.shape == shape
    assert np.iscomplexobj(data)
    assert "synthetic" in job.logs()


def test_seeds_repeat_a_legacy_job(emulator, backend, measured):
    def counts():
        sampler = legacy(SamplerV2, mode=backend)
        sampler.options.simulator.seed_simulator = 7
        return sampler.run([(measured, [0.3])], shots=300).result()[0].data.meas.get_counts()

    assert counts() == counts()


def test_legacy_estimator(emulator, backend, pub, exact):
    job = legacy(EstimatorV2, mode=backend).run([pub], precision=0.02)
    result = job.result()
    assert isinstance(result[0], EstimatorPubResult)
    data = result[0].data
    assert data.evs.shape == data.stds.shape == exact.shape == (4, 3)
    assert within(data, exact, data.stds)
    assert np.all(data.stds <= 0.0201)
    assert result[0].metadata["shots"] == 32 * 79  # 2500, spread over 32 randomizations and rounded up
    assert result[0].metadata["target_precision"] == 0.02
    assert result.metadata["resilience"]["measure_mitigation"] is True
    assert "not simulated" in job.logs()
    # 2 s, three bases for three parameter sets, and what TREX learns
    executions = 3 * 3 * 32 * 79 + 32_768
    assert job.usage() == pytest.approx(2 + executions * 253e-6, abs=1)


@pytest.mark.parametrize(
    "options",
    [
        {"twirling": {"enable_gates": True, "enable_measure": True}},
        {"dynamical_decoupling": {"enable": True}},
        {"execution": {"meas_type": "kerneled"}},
        {"execution": {"meas_type": "avg_kerneled"}},
    ],
    ids=["twirling", "decoupling", "kerneled", "avg_kerneled"],
)
def test_client_side_sampler(emulator, backend, measured, options):
    job = Sampler(mode=backend, options=options).run([(measured, [[0.0], [0.5]])], shots=640)
    result = job.result()
    meas = result[0].data.meas
    if "meas_type" in options.get("execution", {}):
        assert meas.shape[0] == 2
        assert np.iscomplexobj(meas)
        return
    assert meas.shape == (2,)
    assert meas.num_shots == 640
    # At θ = 0 this is a GHZ state.
    counts = meas[0].get_counts()
    assert set(counts) == {"000", "111"}
    assert abs(counts["000"] - 320) < 5 * 13


# Where an observable has no variance at all, the client says that it cannot weight its fit.
@pytest.mark.filterwarnings("ignore:No positive, finite standard errors")
@pytest.mark.parametrize(
    "resilience",
    [{"measure_mitigation": False}, {"measure_mitigation": True}, {"zne_mitigation": True}],
    ids=["plain", "trex", "zne"],
)
def test_client_side_estimator(emulator, backend, pub, exact, resilience):
    estimator = Estimator(mode=backend, options={"resilience": resilience, "default_precision": 0.04})
    data = estimator.run([pub]).result()[0].data
    assert data.evs.shape == exact.shape
    assert within(data, exact, np.maximum(data.stds, 0.04))


def test_noise_is_learned_and_cancelled(emulator, backend, pub, exact):
    estimator = Estimator(mode=backend, options={"resilience": {"pec_mitigation": True}, "default_precision": 0.05})
    layers = estimator.find_unique_layers([pub])
    learning = NoiseLearnerV3(mode=backend).run(layers)
    learned = learning.result()
    assert len(learned) == len(layers) > 1
    assert {d.metadata["learning_protocol"] for d in learned} <= {"trex", "lindblad"}
    assert not np.concatenate([d._rates for d in learned]).any()  # this QPU has no noise
    assert "calibration" in learning.logs()
    assert learning.usage() > 10
    estimator.options.resilience.layer_noise_model = zip(layers, learned.to_pauli_lindblad_maps(), strict=True)
    data = estimator.run([pub]).result()[0].data
    assert within(data, exact, np.maximum(data.stds, 0.05))


def test_executor_programs(emulator, backend, measured, bell):
    program = QuantumProgram(shots=50)
    program.append_circuit_item(bell)
    program.append_circuit_item(measured, circuit_arguments=np.zeros((4, 2, 1)))
    result = Executor(mode=backend).run(program).result()
    assert result[0]["meas"].shape == (50, 2)
    assert result[1]["meas"].shape == (4, 2, 50, 3)
    assert result[0]["meas"].dtype == bool
    first, second = result.metadata.chunk_timing
    assert first.stop <= second.start
    assert [part.idx_item for span in (first, second) for part in span.parts] == [0, 1]


def test_fractional_gates(emulator, service):
    backend = service.backend("emu_fez", use_fractional_gates=True)
    circuit = QuantumCircuit(2)
    circuit.rx(0.7, 0)
    circuit.rzz(0.4, 0, 1)
    circuit.rx(1.1, 1)
    circuit.measure_all()
    isa = generate_preset_pass_manager(backend=backend, optimization_level=1).run(circuit)
    assert {"rx", "rzz"} <= set(isa.count_ops())
    bits = Sampler(mode=backend).run([isa], shots=4000).result()[0].data.meas.to_bool_array(order="little")
    assert np.allclose(bits.mean(axis=0), np.sin(np.array([0.7, 1.1]) / 2) ** 2, atol=5 * 0.5 / 4000**0.5)
    assert not {"rx", "rzz"} & set(service.backend("emu_fez").target.operation_names)


def test_dynamic_circuits(emulator, backend, pm):
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.measure(0, 0)
    with circuit.if_test((0, 1)):
        circuit.x(1)
    circuit.measure(1, 1)
    counts = Sampler(mode=backend).run([pm.run(circuit)], shots=400).result()[0].data.c.get_counts()
    assert set(counts) == {"00", "11"}


def ghz(n, angle=0.0):
    circuit = QuantumCircuit(n)
    circuit.h(0)
    for i in range(n - 1):
        circuit.cx(i, i + 1)
        if angle:
            circuit.rx(angle, i + 1)
    circuit.measure_all()
    return circuit


@pytest.mark.parametrize("options", [{}, {"twirling": {"enable_gates": True}}], ids=["plain", "twirled"])
def test_large_clifford_circuits_run(emulator, backend, pm, options):
    isa = pm.run(ghz(60))
    counts = Sampler(mode=backend, options=options).run([isa], shots=128).result()[0].data.meas.get_counts()
    assert set(counts) == {"0" * 60, "1" * 60}


def test_a_wide_circuit_of_small_parts_runs(emulator, backend, pm):
    circuit = QuantumCircuit(40)
    for q in range(0, 40, 2):
        circuit.ry(0.4 + q, q)
        circuit.cx(q, q + 1)
    circuit.measure_all()
    bits = Sampler(mode=backend).run([pm.run(circuit)], shots=500).result()[0].data.meas.to_bool_array(order="little")
    assert np.array_equal(bits[:, 0::2], bits[:, 1::2])
    expected = np.sin((0.4 + np.arange(0, 40, 2)) / 2) ** 2
    assert np.all(np.abs(bits[:, 0::2].mean(axis=0) - expected) < 5 * 0.5 / np.sqrt(500))


def test_noise_of_the_calibration(pm):
    with package.start(shared=False, workers=1, speed=float("inf"), noise=True) as emulator:
        backend = emulator.service.backend("emu_fez")
        isa = generate_preset_pass_manager(backend=backend, optimization_level=1, seed_transpiler=1).run(ghz(4))
        counts = Sampler(mode=backend).run([isa], shots=4000).result()[0].data.meas.get_counts()
        good = (counts["0000"] + counts["1111"]) / 4000
        assert 0.75 < good < 0.995
        assert len(counts) > 2
        bare = isa.remove_final_measurements(inplace=False)
        estimator = Estimator(mode=backend, options={"resilience": {"pec_mitigation": True}})
        observable = SparsePauliOp("ZZZZ").apply_layout(isa.layout)
        layers = estimator.find_unique_layers([(bare, observable)])
        learned = NoiseLearnerV3(mode=backend).run(layers).result()
        assert any(d._rates.any() for d in learned)
        assert all(0 <= r < 0.2 for d in learned for r in d._rates)
