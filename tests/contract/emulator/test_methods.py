"""Circuits beyond the state vector, through the real client: what is simulated how, and where a user is told."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import requests
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.classical import expr
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import EstimatorV2, Executor, QuantumProgram, RuntimeJobFailureError, SamplerV2
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.executor_sampler import Sampler

from qmode_widgets import emulator as package


@pytest.fixture(scope="module")
def clifford():
    """A service that has no time for matrix product states, and a state vector of eight qubits."""
    with package.start(shared=False, speed=float("inf"), mps_seconds=0.0, max_qubits=8) as running:
        yield running


@pytest.fixture(scope="module")
def isa(clifford):
    return generate_preset_pass_manager(
        backend=clifford.service.backend("emu_fez"), optimization_level=1, seed_transpiler=1
    ).run


def chain(n, angle=0.3, *, measure=True):
    circuit = QuantumCircuit(n)
    circuit.h(0)
    for i in range(n - 1):
        circuit.cx(i, i + 1)
        circuit.rx(angle, i + 1)
    if measure:
        circuit.measure_all()
    return circuit


def legacy(primitive, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return primitive(**kwargs)


def answered(emulator, job):
    """The job as the service answers it."""
    login = requests.post(f"{emulator.url}/identity/token", data={"apikey": emulator.token}, timeout=10).json()
    headers = {
        "Authorization": f"Bearer {login['access_token']}",
        "Service-CRN": emulator.environment["QISKIT_IBM_INSTANCE"],
    }
    address = f"{emulator.environment['QISKIT_IBM_URL']}/jobs/{job.job_id()}?exclude_params=true"
    return requests.get(address, headers=headers, timeout=10).json()


NEAREST = {"method": "nearest_clifford", "exact": False, "description": "simulated as the nearest Clifford circuit"}


def test_a_client_side_sampler_is_told_for_each_pub(clifford, isa):
    job = Sampler(mode=clifford.service.backend("emu_fez")).run([isa(chain(3)), isa(chain(40))], shots=64)
    result = job.result()
    assert "simulation" not in result[0].metadata["circuit_metadata"]
    assert result[1].metadata["circuit_metadata"]["simulation"] == NEAREST
    assert answered(clifford, job)["simulation"] == NEAREST
    assert "simulation: simulated as the nearest Clifford circuit." in job.logs()


def test_stretches_are_delays_and_change_nothing(backend, isa):
    circuit = QuantumCircuit(2, 1)
    gap = circuit.add_stretch("gap")
    circuit.h(0)
    circuit.measure(0, 0)
    circuit.delay(gap, 1)
    circuit.x(1)
    circuit.delay(expr.mul(2, gap), 1)
    circuit.x(1)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.delay(gap, 1)
        circuit.x(1)
    circuit.measure_all()
    for primitive in (Sampler, SamplerV2):
        counts = legacy(primitive, mode=backend).run([isa(circuit)], shots=100).result()[0].data.meas.get_counts()
        assert set(counts) == {"00", "11"}


def test_classical_variables_are_refused_in_words(backend, isa):
    circuit = QuantumCircuit(1)
    circuit.add_var("flag", expr.lift(False))
    circuit.measure_all()
    job = legacy(SamplerV2, mode=backend).run([isa(circuit)], shots=10)
    with pytest.raises(RuntimeJobFailureError, match="classical variables, which the emulator does not simulate"):
        job.result()


def test_an_exact_job_says_nothing_that_a_qpu_would_not(clifford, isa):
    circuit = isa(chain(3))
    circuit.metadata = {"mine": 1}
    job = Sampler(mode=clifford.service.backend("emu_fez")).run([circuit], shots=64)
    assert job.result()[0].metadata["circuit_metadata"] == {"mine": 1}
    assert "simulation" not in answered(clifford, job)


@pytest.mark.filterwarnings("ignore:No positive, finite standard errors")
@pytest.mark.parametrize(
    "options",
    [
        {"resilience": {"measure_mitigation": True}},
        {"resilience": {"zne_mitigation": True}},
        {"resilience": {"measure_mitigation": False}, "dynamical_decoupling": {"enable": True}},
    ],
    ids=["trex", "zne", "decoupling"],
)
def test_a_client_side_estimator_is_told_for_each_pub(clifford, isa, options):
    small, wide = isa(chain(3, measure=False)), isa(chain(20, measure=False))
    pubs = [(c, SparsePauliOp("Z" * n).apply_layout(c.layout)) for c, n in ((small, 3), (wide, 20))]
    estimator = Estimator(mode=clifford.service.backend("emu_fez"), options={**options, "default_precision": 0.1})
    result = estimator.run(pubs).result()
    assert "simulation" not in result[0].metadata["circuit_metadata"]
    assert result[1].metadata["circuit_metadata"]["simulation"] == NEAREST
    assert np.all(np.abs(result[1].data.evs) <= 1.5)


def test_a_program_of_executor_is_told_for_each_item(clifford, isa):
    theta = Parameter("t")
    program = QuantumProgram(shots=20)
    program.append_circuit_item(isa(chain(3)))
    program.append_circuit_item(isa(chain(20, theta)), circuit_arguments=np.linspace(0, 3, 4).reshape(4, 1))
    result = Executor(mode=clifford.service.backend("emu_fez")).run(program).result()
    assert result[1]["meas"].shape == (4, 20, 20)
    assert result.passthrough_data["simulation"] == [None, NEAREST]


def test_service_side_primitives_are_told_for_each_pub(clifford, isa):
    backend = clifford.service.backend("emu_fez")
    sampled = legacy(SamplerV2, mode=backend).run([isa(chain(3)), isa(chain(20))], shots=20).result()
    assert [pub.metadata.get("simulation") for pub in sampled] == [None, NEAREST]
    wide = isa(chain(20, measure=False))
    pub = (wide, SparsePauliOp("Z" * 20).apply_layout(wide.layout))
    estimated = legacy(EstimatorV2, mode=backend).run([pub], precision=0.1).result()
    assert estimated[0].metadata["simulation"] == NEAREST


def test_dynamic_circuits_and_fractional_gates_go_the_same_way(clifford):
    backend = clifford.service.backend("emu_fez", use_fractional_gates=True)
    pm = generate_preset_pass_manager(backend=backend, optimization_level=1, seed_transpiler=1)
    fractional = chain(20, 0.1, measure=False)
    fractional.rzz(0.2, 0, 1)
    fractional.measure_all()
    result = Sampler(mode=backend).run([pm.run(fractional)], shots=20).result()
    assert result[0].metadata["circuit_metadata"]["simulation"] == NEAREST
    dynamic = QuantumCircuit(12, 12)
    dynamic.h(0)
    dynamic.measure(0, 0)
    with dynamic.if_test((0, 1)):
        dynamic.ry(3.0, 1)
    for q in range(1, 11):
        dynamic.cx(q, q + 1)
    dynamic.measure(11, 11)
    plain = clifford.service.backend("emu_fez")
    pm = generate_preset_pass_manager(backend=plain, optimization_level=1, seed_transpiler=1)
    result = Sampler(mode=plain).run([pm.run(dynamic)], shots=400).result()
    assert result[0].metadata["circuit_metadata"]["simulation"] == NEAREST
    bits = result[0].data.c.to_bool_array(order="little")
    assert np.array_equal(bits[:, 0], bits[:, 11])


def test_within_the_budget_it_is_a_matrix_product_state(emulator, backend, service):
    pm = generate_preset_pass_manager(backend=backend, optimization_level=1, seed_transpiler=1)
    job = Sampler(mode=backend).run([pm.run(chain(60))], shots=10)
    said = job.result()[0].metadata["circuit_metadata"]["simulation"]
    assert said["method"] == "matrix_product_state"
    assert said["bond_dimension"] == 64
    assert answered(emulator, job)["simulation"] == said


def test_a_matrix_product_state_beyond_its_budget_gives_way(bell):
    """Minutes of work for bond dimension 512, and a second to do it in."""
    deep = QuantumCircuit(40)
    for layer in range(12):
        for q in range(40):
            deep.rx(0.9 + 0.1 * layer, q)
        for q in (*range(0, 39, 2), *range(1, 39, 2)):
            deep.rzz(0.8, q, q + 1)
    deep.measure_all()
    with package.start(shared=False, speed=float("inf"), mps_seconds=1.0, bond_dimension=512) as emulator:
        backend = emulator.service.backend("emu_fez")
        pm = generate_preset_pass_manager(backend=backend, optimization_level=1, initial_layout=None, seed_transpiler=1)
        job = Sampler(mode=backend).run([pm.run(deep)], shots=10)
        assert job.result()[0].metadata["circuit_metadata"]["simulation"] == NEAREST
        assert Sampler(mode=backend).run([bell], shots=10).result()


def test_shapes_answer_for_anything_and_a_named_method_is_kept_to(bell):
    with package.start(shared=False, speed=float("inf"), simulation="shapes") as emulator:
        backend = emulator.service.backend("emu_fez")
        pm = generate_preset_pass_manager(backend=backend, optimization_level=1, seed_transpiler=1)
        result = Sampler(mode=backend).run([pm.run(chain(120))], shots=100).result()
        assert result[0].data.meas.to_bool_array().shape == (100, 120)
        assert result[0].metadata["circuit_metadata"]["simulation"]["method"] == "shapes"
    with package.start(shared=False, speed=float("inf"), simulation="statevector", max_qubits=20) as emulator:
        backend = emulator.service.backend("emu_fez")
        job = Sampler(mode=backend).run([pm.run(chain(30))], shots=10)
        with pytest.raises(RuntimeJobFailureError, match=r"ran out of memory.*30 entangled qubits needs 16 GiB"):
            job.result()
        assert Sampler(mode=backend).run([bell], shots=10).result()
