"""A batch from submission to merged result, through the real client, against the embedded service."""

from __future__ import annotations

import pytest
from qiskit_ibm_runtime import Batch, Session

import qmode_widgets as qmode
from qmode_widgets.errors import IncompleteResultError, SubmissionError
from qmode_widgets.model.outcome import Cancelled, Closed
from qmode_widgets.model.snapshot import JobState, WorkloadState


@pytest.fixture
def batch(backend, emulator):
    controller = qmode.BatchController.open(backend)
    yield controller
    controller.end(running=False)


def states(controller):
    return [j.state for j in controller.jobs if not j.superseded]


def test_partitions_are_visible_at_once_run_and_merge_in_pub_order(batch, sampler, rotations, in_pub_order):
    run = batch.submit(sampler(batch.primitive_mode), rotations(9), partitions=4)
    assert [j.pubs for j in run.jobs] == ["0–1", "2–3", "4–6", "7–8"]
    in_pub_order(run.result(timeout=60), 9)
    assert states(batch) == [JobState.DONE] * 4
    shot = batch.snapshot()
    assert shot.state is WorkloadState.ACTIVE
    assert shot.ttl.max_deadline is not None
    assert [bool(j.created and j.running and j.finished) for j in shot.jobs] == [True] * 4


def test_the_jobs_are_in_the_batch_and_carry_their_tags(batch, sampler, rotations, service):
    primitive = sampler(batch.primitive_mode)
    primitive.options.environment.job_tags = ["mine"]
    run = batch.submit(primitive, rotations(2), partitions=2)
    run.wait(60)
    jobs = service.jobs(session_id=batch.workload_id, limit=10)
    assert {j.session_id for j in jobs} == {batch.workload_id}
    assert {frozenset(j.tags) for j in jobs} == {
        frozenset({"mine", f"qmode:{run.id}", f"qmode:{run.id}:{i}.2.0", f"qmode@{i}"}) for i in range(2)
    }
    assert primitive.options.environment.job_tags == ["mine"]
    assert [j.tags for j in batch.jobs] == [("mine",)] * 2


def test_a_failed_job_is_resubmitted_and_only_that_one(batch, sampler, rotations, in_pub_order, emulator, service):
    emulator.faults.fail_jobs(1, code=9707, skip=1)
    run = batch.submit(sampler(batch.primitive_mode), rotations(6), partitions=3)
    assert batch.wait(60)
    failed = [j for j in batch.jobs if j.state is JobState.FAILED]
    assert [j.reason_code for j in failed] == [9707]
    with pytest.raises(IncompleteResultError, match="resubmit_failed"):
        batch.result()
    partial = batch.partial_result()
    assert len(partial.pubs) == 4
    batch.resubmit_failed()
    in_pub_order(run.result(timeout=60), 6)
    assert len(service.jobs(session_id=batch.workload_id, limit=10)) == 4
    again = next(j for j in batch.jobs if j.attempt == 1)
    assert again.partition == failed[0].partition
    assert any("expected usage" in e.text for e in batch.events)


def test_cancel_one_and_cancel_the_rest(batch, sampler, rotations, emulator, service):
    emulator.faults.pause(queue=True)
    batch.submit(sampler(batch.primitive_mode), rotations(6), partitions=6)
    assert batch.wait_until(lambda shot: all(j.job_id for j in shot.jobs), 60)
    first = batch.jobs[0]
    assert batch.cancel(first.job_id).result is Cancelled.CANCELLED
    assert batch.cancel(first).result in (Cancelled.ASKED, Cancelled.ENDED)
    outcomes = batch.cancel_remaining()
    assert [o.result for o in outcomes.values()] == [Cancelled.CANCELLED] * 5
    assert str(outcomes) == "5 cancelled"
    assert not outcomes.failed
    assert not batch.cancel_remaining()
    emulator.faults.resume()
    assert batch.wait(60)
    assert {j.status() for j in service.jobs(session_id=batch.workload_id, limit=10)} == {"CANCELLED"}


def test_usage_of_a_batch_is_the_sum_of_its_jobs(batch, sampler, rotations, service):
    batch.submit(sampler(batch.primitive_mode), rotations(3), partitions=3)
    assert batch.wait(60)
    assert batch.wait_until(lambda shot: shot.usage.status == "final", 60)
    billed = sum(j.usage() for j in service.jobs(session_id=batch.workload_id, limit=10))
    assert batch.usage.reported == pytest.approx(billed)


def test_jobs_submitted_directly_are_seen_cancelled_and_resubmitted(batch, sampler, rotations, emulator):
    direct = sampler(batch.primitive_mode).run(rotations(1))
    batch.refresh()
    assert [j.job_id for j in batch.jobs] == [direct.job_id()]
    assert batch.wait(60)
    run = batch.resubmit(direct)
    assert run.wait(60)
    assert len(run.result()) == 1


def test_leaving_the_block_sends_what_still_waits(backend, sampler, rotations, in_pub_order):
    with Batch(backend) as mode:
        controller = qmode.BatchController(mode)
        run = controller.submit(sampler(mode), rotations(5), partitions=5)
    assert [j.job_id is not None for j in run.jobs] == [True] * 5
    in_pub_order(run.result(timeout=60), 5)
    assert controller.refresh().accepting_jobs is False


def test_one_controller_a_workload(batch):
    assert qmode.BatchController(batch.primitive_mode) is batch


def test_a_closed_batch_refuses_and_resubmission_continues_in_a_new_one(
    batch, sampler, rotations, in_pub_order, emulator
):
    emulator.faults.fail_jobs(1)
    run = batch.submit(sampler(batch.primitive_mode), rotations(4), partitions=2)
    assert batch.close().result is Closed.CLOSED
    assert batch.close().result is Closed.ALREADY
    assert batch.wait(60)
    first = batch.workload_id
    with pytest.raises(SubmissionError, match="never reopens"):
        batch.submit(sampler(batch.primitive_mode), rotations(1))
    batch.resubmit_failed()
    assert batch.workload_id != first
    assert batch.snapshot().lineage == (first,)
    in_pub_order(run.result(timeout=60), 4)


@pytest.mark.parametrize("partitions", [0, -1, 7, True, "many", []])
def test_partitions_that_make_no_sense_are_refused(batch, sampler, rotations, partitions):
    with pytest.raises(SubmissionError):
        batch.submit(sampler(batch.primitive_mode), rotations(3), partitions=partitions)
    assert batch.jobs == ()


def test_no_pubs_are_refused(batch, sampler):
    with pytest.raises(SubmissionError, match="no PUBs"):
        batch.submit(sampler(batch.primitive_mode), [])


def test_a_circuit_that_is_not_isa_is_refused_and_nothing_is_sent(batch, sampler, rotations, service):
    from qiskit import QuantumCircuit

    abstract = QuantumCircuit(2)
    abstract.h(0)
    abstract.measure_all()
    with pytest.raises(SubmissionError, match=r"PUB 1.*not an ISA circuit.*Transpile"):
        batch.submit(sampler(batch.primitive_mode), [*rotations(1), abstract], partitions=2)
    assert service.jobs(session_id=batch.workload_id, limit=10) == []


def test_a_primitive_of_another_workload_is_refused(batch, backend, sampler, rotations):
    other = Batch(backend)
    with pytest.raises(SubmissionError, match="belongs to the workload"):
        batch.submit(sampler(other), rotations(1))
    other.cancel()


def test_a_session_is_no_batch(backend):
    session = Session(backend)
    with pytest.raises(qmode.QmodeError, match="use SessionController"):
        qmode.BatchController(session)
    session.cancel()


def test_local_mode_says_where_modes_are_to_be_had():
    from qiskit_ibm_runtime.fake_provider import FakeManilaV2

    with pytest.raises(qmode.QmodeError, match=r"emulator\.start"):
        qmode.BatchController(Batch(FakeManilaV2()))


def test_the_card_before_a_submission_names_instance_backend_and_bill_and_sends_nothing(batch, sampler, rotations):
    card = batch.before_sending(sampler(batch.primitive_mode), rotations(4), partitions=2)
    assert card.mode == "batch"
    assert card.bill.expected > 0
    text = str(card)
    assert "emulator-payg" in text
    assert "emu_fez" in text
    assert batch.jobs == ()
