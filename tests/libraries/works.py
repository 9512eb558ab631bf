"""What each library does in its own way with IBM's client, as its documentation has it: nothing in here knows of us.

Each takes a backend of the service, submits at least one job and checks that what comes back makes sense.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit.library import n_local, zz_feature_map
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import Batch, EstimatorV2, SamplerV2, Session


def passes(backend: Any) -> Any:
    return generate_preset_pass_manager(backend=backend, optimization_level=1, seed_transpiler=1)


def bell(measured: bool = True) -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    if measured:
        circuit.measure_all()
    return circuit


def samplomatic(backend: Any) -> None:
    from qiskit_ibm_runtime import Executor
    from qiskit_ibm_runtime.quantum_program import QuantumProgram
    from samplomatic import build
    from samplomatic.transpiler import generate_boxing_pass_manager

    boxed = generate_boxing_pass_manager(enable_gates=True, enable_measures=True).run(passes(backend).run(bell()))
    template, samplex = build(boxed)
    program = QuantumProgram(shots=64)
    program.append_samplex_item(template, samplex=samplex, shape=(4,))
    with Batch(backend) as batch:
        result = Executor(mode=batch).run(program).result()
    bits = result[0]["meas"] ^ result[0]["measurement_flips.meas"]
    assert abs((bits[..., 0] == bits[..., 1]).mean() - 1) < 0.2


def experiments(backend: Any) -> None:
    from qiskit_experiments.library import StateTomography

    with Batch(backend) as batch:
        data = StateTomography(bell(measured=False)).run(backend, sampler=SamplerV2(mode=batch), shots=200)
        data.block_for_results()
    assert not data.errors(), data.errors()
    assert data.analysis_results("state_fidelity", dataframe=False).value > 0.7


def t1(backend: Any) -> None:
    from qiskit_experiments.library import T1

    data = T1([0], [1e-6, 5e-5, 1e-4, 2e-4, 4e-4]).run(backend, sampler=SamplerV2(mode=backend), shots=200)
    data.block_for_results()
    assert not data.errors(), data.errors()
    assert len(data.data()) == 5


def pygsti(backend: Any) -> None:
    from pygsti.circuits import Circuit
    from pygsti.extras.ibmq import IBMQExperiment
    from pygsti.processors import QubitProcessorSpec
    from pygsti.protocols import ByDepthDesign

    spec = QubitProcessorSpec(1, ["Gxpi2", "Gypi2"], qubit_labels=["Q0"])
    lists = [[Circuit([], line_labels=("Q0",))], [Circuit([("Gxpi2", "Q0"), ("Gxpi2", "Q0")], line_labels=("Q0",))]]
    design = ByDepthDesign([0, 2], lists, qubit_labels=("Q0",))
    experiment = IBMQExperiment(design, spec, num_shots=100, seed=1, disable_checkpointing=True)
    experiment.transpile(backend, qiskit_pass_kwargs={"basis_gates": ["cz", "id", "rz", "sx", "x", "measure", "delay"]})
    experiment.submit(backend)
    experiment.retrieve_results()
    counts = experiment.data.dataset[lists[1][0]]
    assert counts["1"] > 60


def pytket(backend: Any) -> None:
    from pytket import Circuit
    from pytket.extensions.qiskit import IBMQBackend

    made = IBMQBackend(backend.name)  # finds its account by itself
    circuit = Circuit(2).H(0).CX(0, 1).measure_all()
    handle = made.process_circuit(made.get_compiled_circuit(circuit, optimisation_level=1), n_shots=100)
    counts = made.get_result(handle).get_counts()
    assert sum(n for bits, n in counts.items() if bits[0] == bits[1]) > 70


def cutting(backend: Any) -> None:
    from qiskit.quantum_info import PauliList
    from qiskit_addon_cutting import generate_cutting_experiments, partition_problem, reconstruct_expectation_values

    circuit = QuantumCircuit(2)
    circuit.rx(0.4, 0)
    circuit.cz(0, 1)
    problem = partition_problem(circuit=circuit, partition_labels="AB", observables=PauliList(["ZI", "IZ"]))
    subcircuits, coefficients = generate_cutting_experiments(
        circuits=problem.subcircuits, observables=problem.subobservables, num_samples=np.inf
    )
    manager = passes(backend)
    with Batch(backend) as batch:
        sampler = SamplerV2(mode=batch)
        jobs = {k: sampler.run(manager.run(parts), shots=300) for k, parts in subcircuits.items()}
    results = {k: job.result() for k, job in jobs.items()}
    values = reconstruct_expectation_values(results, coefficients, problem.subobservables)
    assert abs(values[1] - np.cos(0.4)) < 0.4


def obp(backend: Any) -> None:
    from qiskit_addon_obp import backpropagate
    from qiskit_addon_obp.utils.simplify import OperatorBudget

    circuit = n_local(2, "ry", "cx", reps=2).assign_parameters([0.1] * 6)
    slices = [_alone(circuit, instruction) for instruction in circuit.decompose().data]
    observable, left, _ = backpropagate(SparsePauliOp("ZZ"), slices, operator_budget=OperatorBudget(max_qwc_groups=4))
    rest = QuantumCircuit(2)
    for part in left:
        rest.compose(part, inplace=True)
    isa = passes(backend).run(rest)
    job = EstimatorV2(mode=backend).run([(isa, observable.apply_layout(isa.layout))], precision=0.1)
    assert abs(float(job.result()[0].data.evs)) < 1.3


def _alone(circuit: QuantumCircuit, instruction: Any) -> QuantumCircuit:
    part = circuit.copy_empty_like()
    part.append(instruction)
    return part


def sqd(backend: Any) -> None:
    from qiskit_addon_sqd.counts import counts_to_arrays
    from qiskit_addon_sqd.qubit import solve_qubit, sort_and_remove_duplicates

    circuit = n_local(2, "ry", "cx", reps=1).assign_parameters([0.7] * 4)
    circuit.measure_all()
    job = SamplerV2(mode=backend).run([passes(backend).run(circuit)], shots=300)
    bits, _ = counts_to_arrays(job.result()[0].data.meas.get_counts())
    bits = sort_and_remove_duplicates(bits)
    energies, _ = solve_qubit(bits, SparsePauliOp.from_list([("ZZ", 1.0), ("XI", 0.5), ("IX", 0.5)]), k=1, which="SA")
    assert energies[0] < 0


def machine_learning(backend: Any) -> None:
    from qiskit_machine_learning.kernels import FidelityQuantumKernel
    from qiskit_machine_learning.state_fidelities import ComputeUncompute

    with Session(backend) as session:
        fidelity = ComputeUncompute(sampler=SamplerV2(mode=session), pass_manager=passes(backend))
        kernel = FidelityQuantumKernel(feature_map=zz_feature_map(2, reps=1), fidelity=fidelity)
        matrix = kernel.evaluate(np.array([[0.1, 0.2], [0.9, 0.4]]))
    assert matrix.shape == (2, 2)
    assert abs(matrix[0, 0] - 1) < 0.2


def optimization(backend: Any) -> None:
    from qiskit_optimization import QuadraticProgram
    from qiskit_optimization.algorithms import MinimumEigenOptimizer
    from qiskit_optimization.minimum_eigensolvers import QAOA
    from qiskit_optimization.optimizers import COBYLA

    problem = QuadraticProgram()
    problem.binary_var("x")
    problem.binary_var("y")
    problem.minimize(linear={"x": 1, "y": -2})
    with Session(backend) as session:
        solver = QAOA(sampler=SamplerV2(mode=session), optimizer=COBYLA(maxiter=2), pass_manager=passes(backend))
        result = MinimumEigenOptimizer(solver).solve(problem)
    assert result.fval <= 0


def algorithms(backend: Any) -> None:
    from qiskit_algorithms import VQE
    from qiskit_algorithms.optimizers import COBYLA

    manager = passes(backend)
    ansatz = manager.run(n_local(2, "ry", "cx", reps=1))
    operator = SparsePauliOp.from_list([("ZZ", 1.0), ("XI", 0.5)])
    with Session(backend) as session:
        found = VQE(EstimatorV2(mode=session), ansatz, COBYLA(maxiter=3)).compute_minimum_eigenvalue(operator)
    assert found.eigenvalue.real < 1.8


def mthree(backend: Any) -> None:
    import mthree as m3

    mitigation = m3.M3Mitigation(backend)
    with Batch(backend) as batch:
        mitigation.cals_from_system([0, 1], shots=200, runtime_mode=batch, async_cal=False)
        job = SamplerV2(mode=batch).run([passes(backend).run(bell())], shots=300)
        counts = job.result()[0].data.meas.get_counts()
        assert job.metrics()["timestamps"]["running"]
    quasi = mitigation.apply_correction(counts, [0, 1])
    assert quasi.get("00", 0) + quasi.get("11", 0) > 0.7


def mitiq(backend: Any) -> None:
    from mitiq import zne

    manager = passes(backend)
    with Batch(backend) as batch:
        sampler = SamplerV2(mode=batch)

        def execute(circuit: QuantumCircuit) -> float:
            measured = circuit.copy()
            measured.measure_all()
            data = sampler.run([manager.run(measured)], shots=300).result()[0].data
            counts = data.meas.get_counts()
            return (counts.get("00", 0) + counts.get("11", 0)) / 300

        value = zne.execute_with_zne(bell(measured=False), execute, factory=zne.inference.LinearFactory([1, 3]))
    assert value > 0.5


def mitigation(backend: Any) -> None:
    from qiskit_ibm_runtime import Executor
    from qiskit_mitigation import TREX, MitigationTask

    isa = passes(backend).run(bell(measured=False))
    observables = [SparsePauliOp(label).apply_layout(isa.layout) for label in ("ZZ", "XX")]
    trex, task = TREX(), MitigationTask()
    program = task.prepare(isa, observables, None, shots_per_randomization=50, num_randomizations=4, trex=trex)
    program = trex.prepare(4, program)
    with Batch(backend) as batch:
        result = Executor(mode=batch).run(program).result()
    assert (task.postprocess(result).data.evs > 0.5).all()


def noise_learning(backend: Any) -> None:
    from qiskit_ibm_runtime import Executor
    from qiskit_noise_learning.protocols import prepare_vanilla_program, process_vanilla_result
    from samplomatic import InjectNoise, Twirl

    first, second = next(iter(backend.coupling_map))
    circuit = QuantumCircuit(backend.num_qubits)
    with circuit.box([Twirl(), InjectNoise("layer")]):
        circuit.cz(first, second)
    program = prepare_vanilla_program(
        backend, [circuit[0]], num_randomizations=4, shots_per_randomization=32, fragment_depths=(0, 2)
    )
    with Batch(backend) as batch:
        result = Executor(mode=batch).run(program).result()
    maps, names, _ = process_vanilla_result(result)
    assert "layer" in names
    assert maps
