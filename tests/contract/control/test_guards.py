"""Caps, conditions and retries act from the watcher, so also while a cell blocks."""

from __future__ import annotations

import pytest
from qiskit import QuantumCircuit
from qiskit_ibm_runtime import Batch, Executor, NoiseLearnerV3, SamplerV2
from qiskit_ibm_runtime.executor_sampler import Sampler
from qiskit_ibm_runtime.quantum_program import QuantumProgram
from samplomatic.transpiler import generate_boxing_pass_manager

import qmode_widgets as qmode
from qmode_widgets.errors import SubmissionError
from qmode_widgets.model.partition import Partition, Piece
from qmode_widgets.model.snapshot import JobState

from ..conftest import legacy


@pytest.fixture
def opened(backend, emulator):
    made = []

    def open_(**options):
        made.append(qmode.BatchController.open(backend, **options))
        return made[-1]

    yield open_
    for controller in made:
        controller.end(running=False)


def limits(controller):
    return {x.name: x for x in controller.snapshot().limits}


def test_a_usage_cap_cancels_the_queue_closes_and_refuses_more(opened, sampler, rotations, emulator, service):
    batch = opened(usage_cap=4)
    batch.submit(sampler(batch.primitive_mode), rotations(2), partitions=2)
    assert batch.wait_until(lambda shot: any("is reached" in e.text for e in shot.events), 60)
    assert batch.wait_until(lambda shot: shot.accepting_jobs is False, 60)
    assert limits(batch)["usage cap"].where == "kernel"
    assert limits(batch)["usage cap"].acted is not None
    assert limits(batch)["usage cap of each job"].where == "service"
    with pytest.raises(SubmissionError, match="usage cap of 4 s"):
        batch.submit(sampler(batch.primitive_mode), rotations(1))


def test_a_raised_cap_lets_work_go_on(backend, sampler, rotations):
    jobs = qmode.JobController.open(backend, usage_cap=2)
    jobs.submit(sampler(backend), rotations(1), partitions=1)
    assert jobs.wait_until(lambda s: any("is reached" in e.text for e in s.events), 60)
    with pytest.raises(SubmissionError, match="usage cap of 2 s"):
        jobs.submit(sampler(backend), rotations(1))
    jobs.usage_cap = 600
    assert jobs.usage_cap == 600
    assert limits(jobs)["usage cap"].acted is None
    assert jobs.submit(sampler(backend), rotations(1), partitions=1).wait(60)


def test_each_job_carries_the_cap_for_the_service_to_keep(opened, sampler, rotations, emulator):
    emulator.faults.pause(queue=True)
    batch = opened(usage_cap=42.5)
    run = batch.submit(sampler(batch.primitive_mode), rotations(1), partitions=1)
    assert batch.wait_until(lambda _: run.jobs[0].job_id is not None, 60)
    assert batch.service._get_api_client().job_get(run.jobs[0].job_id)["cost"] == 43


def test_eighty_percent_warns(opened, sampler, rotations):
    batch = opened(usage_cap=2.4)
    batch.submit(sampler(batch.primitive_mode), rotations(1), partitions=1)
    assert batch.wait_until(lambda shot: any("of the usage cap" in e.text for e in shot.events), 60)


def test_a_stop_condition_cancels_what_remains(opened, sampler, rotations, emulator):
    batch = opened()
    # However late the first result is read, half of the partitions are still to be sent.
    emulator.faults.fail_requests(429, method="POST", path="/jobs", retry_after=60, skip=4, count=1000)
    seen = []

    def disappointing(result, job):
        seen.append(job.partition)
        return True

    batch.stop_when(disappointing)
    run = batch.submit(sampler(batch.primitive_mode), rotations(8), partitions=8)
    assert batch.wait(60)
    assert len(seen) == 1
    assert limits(batch)["stop condition"].acted is not None
    unsent = [job.state for job in run.jobs if job.job_id is None]
    assert len(unsent) >= 4  # it may have acted before the fourth was sent
    assert set(unsent) == {"dropped"}


def test_a_stop_condition_that_fails_says_so_and_is_off(opened, sampler, rotations):
    batch = opened()

    def broken(result, job):
        raise KeyError("no such register")

    batch.stop_when(broken)
    run = batch.submit(sampler(batch.primitive_mode), rotations(2), partitions=2)
    assert run.wait(60)
    assert batch.wait_until(lambda shot: any("no such register" in e.text for e in shot.events), 60)
    assert [j.state for j in run.jobs] == [JobState.DONE] * 2


def test_a_transient_failure_is_run_again_by_itself(opened, sampler, rotations, in_pub_order, emulator):
    batch = opened(retries=2)
    emulator.faults.fail_jobs(2, code=9707)
    run = batch.submit(sampler(batch.primitive_mode), rotations(2), partitions=1)
    assert batch.wait_until(lambda shot: any(j.state is JobState.DONE for j in shot.jobs), 60)
    in_pub_order(run.result(timeout=60), 2)
    assert [j.attempt for j in batch.jobs] == [0, 1, 2]


def test_a_users_error_is_never_run_again(opened, sampler, rotations, emulator):
    batch = opened(retries=3)
    emulator.faults.fail_jobs(1, code=1517, reason="not ISA", solution="Transpile it.")
    batch.submit(sampler(batch.primitive_mode), rotations(1), partitions=1)
    assert batch.wait(60)
    batch.refresh()
    assert [j.state for j in batch.jobs] == [JobState.FAILED]


@pytest.mark.parametrize("cap", [0, -1, float("nan"), float("inf")])
def test_a_cap_that_makes_no_sense_is_refused(backend, cap):
    with pytest.raises(ValueError, match="usage_cap"):
        qmode.BatchController.open(backend, usage_cap=cap)


def test_what_the_cap_must_cut_off_is_not_sent(opened, sampler, rotations, emulator):
    batch = opened(usage_cap=10)
    with pytest.raises(qmode.SubmissionError, match=r"usage_cap=10: .*would be cut off, billed 10 s and give nothing"):
        batch.submit(sampler(batch.primitive_mode, shots=200_000), rotations(1), partitions=1)
    assert batch.jobs == ()
    assert posts(emulator) == 0
    assert batch.submit(sampler(batch.primitive_mode), rotations(1), partitions=1).wait(60)


def posts(emulator):
    """How many jobs were posted."""
    return sum(method == "POST" and path.endswith("/jobs") for method, path, _ in emulator.faults.requests())


CUT_OFF = (
    r"usage_cap=8: this job is expected to use ≈ \d.* s.*; the cap leaves 8\.0 s: it would be cut off, billed 8 s and "
    r"give nothing\. Raise the cap, or take fewer shots"
)


@pytest.mark.parametrize("primitive", [Sampler, SamplerV2])
def test_what_user_code_submits_and_the_cap_must_cut_off_is_not_sent(backend, emulator, rotations, primitive):
    batch = qmode.adopt(Batch(backend), usage_cap=8)
    own = legacy(primitive, mode=batch.primitive_mode)
    try:
        with pytest.raises(qmode.UsageCapReached, match=CUT_OFF) as refused:
            own.run(rotations(1), shots=600_000)
        assert (refused.value.cap, refused.value.used) == (8, 0)
        assert batch.jobs == ()
        assert posts(emulator) == 0
        assert own.run(rotations(1), shots=400).result()
        batch.usage_cap = 400
        assert own.run(rotations(1), shots=600_000).job_id()
    finally:
        batch.end(running=False)


def test_nor_is_what_a_watched_library_submits(backend, emulator, sampler, rotations):
    found = qmode.watch(usage_cap=8)
    try:
        with pytest.raises(qmode.UsageCapReached, match=CUT_OFF):
            sampler(backend, shots=600_000).run(rotations(1))
        assert posts(emulator) == 0
    finally:
        qmode.unwatch()
        for controller in found.controllers:
            controller.forget()


def test_a_quantum_program_that_the_cap_must_cut_off_is_not_sent(opened, emulator, rotations):
    program = QuantumProgram(shots=600_000)
    [(circuit, values)] = rotations(1)
    program.append_circuit_item(circuit, circuit_arguments=[values])
    batch = opened(usage_cap=8)
    executor = Executor(mode=batch.primitive_mode)
    with pytest.raises(SubmissionError, match=r"usage_cap=8: partition 1 is expected to use"):
        batch.submit(executor, [program])
    with pytest.raises(qmode.UsageCapReached, match=CUT_OFF):
        executor.run(program)
    assert posts(emulator) == 0


def test_what_cannot_be_estimated_is_sent(backend, emulator, isa):
    circuit = QuantumCircuit(2)
    circuit.cz(0, 1)
    boxes = generate_boxing_pass_manager(inject_noise_targets="gates").run(isa(circuit))
    layer = next(i for i in boxes.data if i.operation.name == "box")
    batch = qmode.adopt(Batch(backend), usage_cap=1)
    try:
        assert NoiseLearnerV3(mode=batch.primitive_mode).run([layer]).job_id()
    finally:
        batch.end(running=False)


def test_what_a_lower_cap_must_cut_off_is_not_run_again(opened, sampler, rotations, emulator):
    batch = opened()
    emulator.faults.fail_jobs(1, code=1517)
    part = Partition((Piece(0),))
    run = batch.submit(sampler(batch.primitive_mode, shots=200_000), rotations(1), partitions=[part])
    assert batch.wait(60)
    emulator.faults.forget_requests()
    batch.usage_cap = 10 + batch.refresh().usage.reported
    with pytest.raises(qmode.QmodeError, match=r"is not resubmitted: this job is expected to use .* billed 10 s"):
        batch.resubmit(run.jobs[0])
    assert posts(emulator) == 0
