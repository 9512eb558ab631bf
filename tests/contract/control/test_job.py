"""Job mode: nothing but tags ties the jobs of a run together."""

from __future__ import annotations

import pytest

import qmode_widgets as qmode
from qmode_widgets.errors import SubmissionError
from qmode_widgets.model.snapshot import JobState, WorkloadState


def test_a_run_in_job_mode_runs_merges_and_is_attached_by_its_id(backend, sampler, rotations, in_pub_order, emulator):
    jobs = qmode.JobController.open(backend)
    run = jobs.submit(sampler(backend), rotations(6), partitions=3)
    in_pub_order(run.result(timeout=60), 6)
    shot = jobs.snapshot()
    assert shot.state is WorkloadState.CLOSED
    assert shot.ttl.max_deadline is None
    assert len({j.job_id for j in shot.jobs}) == 3
    assert run.id == jobs.id


def test_one_job_of_the_users_own(backend, sampler, rotations):
    job = sampler(backend).run(rotations(1))
    controller = qmode.JobController(job)
    assert controller.wait(60)
    assert [j.job_id for j in controller.jobs] == [job.job_id()]
    assert controller.wait_until(lambda shot: shot.usage.status == "final", 60)
    assert controller.usage.reported == pytest.approx(job.usage())


def test_a_failed_job_of_the_users_own_runs_again_from_stored_inputs(backend, sampler, rotations, emulator, service):
    emulator.faults.fail_jobs(1)
    primitive = sampler(backend, shots=123)
    primitive.options.environment.job_tags = ["mine"]
    job = primitive.run(rotations(1))
    controller = qmode.JobController(job)
    assert controller.wait(60)
    assert [j.state for j in controller.jobs] == [JobState.FAILED]
    result = controller.resubmit(job).result(timeout=60)
    assert result[0].data.meas.num_shots == 123
    again = service.job(next(j.job_id for j in controller.jobs if not j.superseded))
    assert "mine" in again.tags


def test_a_private_job_is_not_resubmitted_and_its_result_not_read_unasked(backend, sampler, rotations, emulator):
    primitive = sampler(backend)
    primitive.options.environment.private = True
    jobs = qmode.JobController.open(backend)
    jobs.stop_when(lambda result, job: True)
    run = jobs.submit(primitive, rotations(1), partitions=1)
    assert run.wait(60)
    with pytest.raises(qmode.QmodeError, match="private"):
        jobs.resubmit(jobs.jobs[0])
    assert len(run.result()) == 1  # still there: nobody read it before


def test_a_batch_primitive_is_refused_in_job_mode(backend, sampler, rotations):
    batch = qmode.BatchController.open(backend)
    with pytest.raises(SubmissionError, match="job mode"):
        qmode.JobController.open(backend).submit(sampler(batch.primitive_mode), rotations(1))
    batch.end(running=False)


def test_another_backends_primitive_is_refused(backend, service, sampler, rotations):
    other = next(b for b in service.backends() if b.name != backend.name)
    with pytest.raises(SubmissionError, match=other.name):
        qmode.JobController.open(backend).submit(sampler(other), rotations(1))


def test_resubmitting_what_still_runs_is_refused(backend, sampler, rotations, emulator):
    emulator.faults.pause(queue=True)
    jobs = qmode.JobController.open(backend)
    jobs.submit(sampler(backend), rotations(1), partitions=1)
    assert jobs.wait_until(lambda shot: shot.jobs[0].state is JobState.QUEUED, 60)
    with pytest.raises(qmode.QmodeError, match="cancel it before"):
        jobs.resubmit(jobs.jobs[0])
    jobs.cancel_all()


def test_an_unknown_job_is_named(backend):
    with pytest.raises(qmode.QmodeError, match="no job 'nonsense'"):
        qmode.JobController.open(backend).cancel("nonsense")


def test_pubs_of_different_shots_are_refused_where_the_primitive_does(backend, sampler, rotations):
    circuit, values = rotations(1)[0]
    pubs = [(circuit, values, 100), (circuit, values, 200)]
    jobs = qmode.JobController.open(backend)
    with pytest.raises(SubmissionError, match="partition 1"):
        jobs.submit(sampler(backend), pubs, partitions=1)
    assert jobs.jobs == ()
    assert jobs.submit(sampler(backend), pubs, partitions=2).wait(60)


def test_a_pub_split_along_its_parameters_comes_back_whole(backend, sampler, rotations):
    import numpy as np

    circuit = rotations(1)[0][0]
    angles = np.linspace(0, np.pi, 12).reshape(3, 4, 1)
    jobs = qmode.JobController.open(backend)
    parts = qmode.partition([(circuit, angles)], backend, shots=300, jobs=3)
    result = jobs.submit(sampler(backend, shots=300), [(circuit, angles)], partitions=parts).result(timeout=60)
    data = result[0].data.meas
    assert data.shape == (3, 4)
    found = np.array([[data[i, j].get_counts().get("1", 0) / 300 for j in range(4)] for i in range(3)])
    np.testing.assert_allclose(found, np.sin(angles[..., 0] / 2) ** 2, atol=0.15)


def test_estimator_results_merge(backend, isa):
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import SparsePauliOp
    from qiskit_ibm_runtime.executor_estimator import Estimator

    pubs = []
    for flip in (False, True, False):
        circuit = QuantumCircuit(2)
        if flip:
            circuit.x(0)
        turned = isa(circuit)
        pubs.append((turned, SparsePauliOp("IZ").apply_layout(turned.layout)))
    jobs = qmode.JobController.open(backend)
    estimator = Estimator(mode=backend)
    estimator.options.default_precision = 0.1
    result = jobs.submit(estimator, pubs, partitions=3).result(timeout=90)
    assert [float(pub.data.evs) for pub in result] == pytest.approx([1, -1, 1], abs=0.3)
