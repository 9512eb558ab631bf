"""Whatever the client can send runs in partitions: Executor programs, noise learners, legacy ones, split shots."""

from __future__ import annotations

import re
import warnings

import pytest
from qiskit import QuantumCircuit
from qiskit_ibm_runtime import Executor
from qiskit_ibm_runtime.quantum_program import QuantumProgram

import qmode_widgets as qmode
from qmode_widgets.errors import SubmissionError
from qmode_widgets.model.partition import Partition, Piece
from qmode_widgets.model.snapshot import JobState


@pytest.fixture
def legacy_sampler(backend):
    from qiskit_ibm_runtime import SamplerV2

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return SamplerV2(mode=backend)


@pytest.fixture
def half(isa):
    """A circuit that measures 1 half of the time."""
    circuit = QuantumCircuit(1)
    circuit.h(0)
    circuit.measure_all()
    return isa(circuit)


def test_executor_programs_give_the_list_of_what_they_return(backend, half):
    programs = []
    for shots in (50, 70):
        program = QuantumProgram(shots=shots)
        program.append_circuit_item(half)
        programs.append(program)
    jobs = qmode.JobController.open(backend)
    run = jobs.submit(Executor(mode=backend), programs)
    results = run.result(timeout=60)
    assert [next(iter(r[0].values())).shape[0] for r in results] == [50, 70]
    again = jobs.resubmit(run.jobs[1]).result(timeout=60)
    assert next(iter(again[1][0].values())).shape[0] == 70


def test_two_programs_in_one_executor_job_are_refused(backend, half):
    program = QuantumProgram(shots=10)
    program.append_circuit_item(half)
    with pytest.raises(SubmissionError, match="one QuantumProgram"):
        qmode.JobController.open(backend).submit(Executor(mode=backend), [program, program], partitions=1)


def test_the_legacy_sampler_runs_in_partitions(backend, legacy_sampler, rotations, in_pub_order):
    jobs = qmode.JobController.open(backend)
    in_pub_order(jobs.submit(legacy_sampler, rotations(4), partitions=2, shots=400).result(timeout=60), 4)


def test_shots_are_split_with_a_seed_for_each_part_and_joined(backend, legacy_sampler, half):
    legacy_sampler.options.simulator.seed_simulator = 5
    parts = [Partition((Piece(0, shots=300),)), Partition((Piece(0, shots=200),))]
    jobs = qmode.JobController.open(backend)
    run = jobs.submit(legacy_sampler, [(half, None, 500)], partitions=parts)
    data = run.result(timeout=60)[0].data.meas
    assert data.num_shots == 500
    first, second = data.get_bitstrings()[:200], data.get_bitstrings()[300:]
    assert first != second
    assert legacy_sampler.options.simulator.seed_simulator == 5


def test_a_noise_learner_runs_and_its_model_is_recognised(backend):
    from qiskit_ibm_runtime import NoiseLearnerV3
    from samplomatic.transpiler import generate_boxing_pass_manager

    circuit = QuantumCircuit(2)
    circuit.cz(0, 1)
    from qiskit.transpiler import generate_preset_pass_manager

    isa = generate_preset_pass_manager(backend=backend, optimization_level=0).run(circuit)
    boxes = generate_boxing_pass_manager(inject_noise_targets="gates").run(isa)
    layers = [i for i in boxes.data if i.operation.name == "box"][:1]
    with qmode.SessionController.open(backend) as session:
        learner = NoiseLearnerV3(mode=session.primitive_mode)
        learner.options.num_randomizations = 2
        learner.options.shots_per_randomization = 8
        learner.options.layer_pair_depths = [0, 1]
        run = session.submit(learner, layers, partitions=1)
        results = run.result(timeout=120)
        assert len(results) == 1
        assert session.wait_until(lambda _: len(session.noise_models) == 1, 60)
    assert session.noise_models[0].job_id == run.jobs[0].job_id
    assert session.noise_models[0].age >= 0


def test_what_is_no_primitive_is_refused(backend):
    with pytest.raises(SubmissionError, match="not a qiskit-ibm-runtime primitive"):
        qmode.JobController.open(backend).submit(object(), [1])


def test_too_many_tags_are_refused_before_anything_is_sent(backend, sampler, rotations, service):
    primitive = sampler(backend)
    primitive.options.environment.job_tags = [f"t{i}" for i in range(6)]
    jobs = qmode.JobController.open(backend)
    with pytest.raises(SubmissionError, match="8"):
        jobs.submit(primitive, rotations(1))
    assert jobs.jobs == ()


def test_progress_is_shown_when_asked(backend, sampler, rotations, capsys):
    jobs = qmode.JobController.open(backend)
    jobs.submit(sampler(backend), rotations(2), partitions=2)
    assert jobs.wait(60, progress=True)
    assert "2/2" in capsys.readouterr().err


def test_auto_partitions_carry_expected_usage_and_its_formula(backend, sampler, rotations):
    jobs = qmode.JobController.open(backend)
    run = jobs.submit(sampler(backend), rotations(3))
    assert run.jobs[0].usage.estimated == 2  # whole seconds, as bills are
    assert "rep_delay" in (run.jobs[0].usage.formula or "")
    assert run.wait(60)
    assert [j.state for j in run.jobs] == [JobState.DONE]


def test_a_figure_shows_what_ran(backend, sampler, rotations):
    jobs = qmode.JobController.open(backend)
    run = jobs.submit(sampler(backend), rotations(2), partitions=2)
    run.result(timeout=60)
    figure = jobs.figure("timeline")
    assert {"partition 1", "partition 2"} <= {y for trace in figure.data for y in trace.y}
    qpu = next(trace for trace in figure.data if trace.name == "on the QPU")
    assert len(qpu.x) == 2
    assert len(jobs.figure("usage").data) == 2
    met = jobs.figure("forecast-vs-actual")
    told = [job.usage for job in run.jobs]
    points = next(trace for trace in met.data if trace.mode == "markers")
    assert sorted(points.x) == sorted(usage.estimated for usage in told)
    assert sorted(points.y) == sorted(usage.reported for usage in told)
    total = next(trace for trace in met.data if trace.name == "reported").y[-1]
    assert total == pytest.approx(sum(usage.reported or 0.0 for usage in told))
    page = met.to_html()
    assert not re.search(r"<(script|link|img)[^>]* (src|href)=.?http", page), "a figure's page needs the network"
    with pytest.raises(ValueError, match="timeline"):
        jobs.figure("pie")
