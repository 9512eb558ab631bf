"""Which result is meant, whose it is, and what is left when one is lost."""

from __future__ import annotations

import asyncio
import queue
import threading

import pytest
from qiskit_ibm_runtime import Batch

import qmode_widgets as qmode
from qmode_widgets.model.snapshot import JobState


@pytest.fixture
def batch(backend, emulator):
    controller = qmode.BatchController.open(backend)
    yield controller
    emulator.faults.clear()
    controller.end(running=False)


def test_wait_asks_the_service_before_it_says_that_all_is_done(batch, backend, sampler, rotations, service):
    """The job is submitted by other code, which nobody told this controller of."""
    other = Batch.from_id(batch.workload_id, service)
    job = sampler(other).run(rotations(1))
    assert batch.wait(60)
    assert [(j.job_id, j.state) for j in batch.jobs] == [(job.job_id(), JobState.DONE)]
    assert batch.jobs[0].note == "seen, not protected"
    assert batch.result(60)[0].data.meas.num_shots == 400


def test_wait_does_not_say_true_while_the_service_does_not_answer(batch, emulator):
    emulator.faults.fail_requests(503, method="GET", count=1000)
    assert not batch.wait(0.5)
    emulator.faults.clear()
    assert batch.wait(60)


def test_the_only_result_is_meant(batch, sampler, rotations):
    with pytest.raises(qmode.QmodeError, match="nothing was submitted"):
        batch.result(60)
    job = sampler(batch.primitive_mode).run(rotations(1))
    assert len(batch.result(60)) == 1
    assert list(batch.results(30)) == [job.job_id()]


def test_of_several_the_error_lists_the_choices_and_each_can_be_named(batch, sampler, rotations, in_pub_order):
    job = sampler(batch.primitive_mode).run(rotations(1))
    run = batch.submit(sampler(batch.primitive_mode), rotations(5), partitions=2, label="scan")
    with pytest.raises(qmode.QmodeError, match=rf"2 results here.*job='{job.job_id()}'.*run='{run.id}' \(scan\)"):
        batch.result(60)
    in_pub_order(batch.result(30, run=run.id), 5)
    assert len(batch.result(30, job=job)) == 1
    assert len(batch.result(30, job=run.jobs[0])) in (2, 3)
    found = batch.results(30)
    assert list(found) == [job.job_id(), run.id]
    in_pub_order(found[run.id], 5)
    heard = queue.SimpleQueue()
    for key in found:  # each key names its work wherever a run is asked for
        assert batch.wait(30, run=key)
        assert len(batch.result(30, run=key)) == len(found[key])
        assert batch.partial_result(run=key)
        batch.on_done(lambda shot: heard.put(shot.job_id), run=key)
    assert {heard.get(timeout=30) for _ in range(3)} == {job.job_id(), *(j.job_id for j in run.jobs)}
    in_pub_order(batch.result(30, run=run), 5)
    for ask in (batch.wait, batch.result, batch.partial_result):
        with pytest.raises(ValueError, match=f"no run 'scam' here; there are {job.job_id()}, {run.id}"):
            ask(run="scam")
    with pytest.raises(qmode.QmodeError, match="name one"):
        batch.result(run=run.id, job=job)


def test_a_job_that_is_not_ours_gives_its_result_and_is_resubmitted(backend, emulator, sampler, rotations):
    emulator.faults.fail_jobs(1, code=9707)
    job = sampler(backend).run(rotations(1))
    controller = qmode.JobController(job)
    assert controller.wait(60)
    with pytest.raises(qmode.QmodeError):
        controller.result(60)
    assert len(controller.resubmit_failed()) == 1
    assert any("does not follow" in e.text for e in controller.events)
    assert controller.result(60)[0].data.meas.num_shots == 400
    assert controller.result(60, job=job)[0].data.meas.num_shots == 400
    assert [(j.attempt, j.state) for j in controller.jobs if not j.superseded] == [(1, JobState.DONE)]


def test_results_leaves_out_what_has_none_only_when_told(batch, sampler, rotations, emulator):
    good = sampler(batch.primitive_mode).run(rotations(1))
    good.result()
    emulator.faults.fail_jobs(1, code=1517)
    bad = sampler(batch.primitive_mode).run(rotations(1))
    assert batch.wait(60)
    with pytest.raises(qmode.IncompleteResultError, match=bad.job_id()):
        batch.results(30)
    assert list(batch.results(partial=True)) == [good.job_id()]


def test_a_run_can_be_awaited_while_the_loop_goes_on(batch, sampler, rotations, in_pub_order, emulator):
    async def main():
        emulator.faults.pause()
        # Only a loop that goes on comes to it, and only with it does the run end.
        resuming = asyncio.create_task(asyncio.to_thread(emulator.faults.resume))
        result = await batch.submit(sampler(batch.primitive_mode), rotations(4), partitions=2)
        await resuming
        return result

    in_pub_order(asyncio.run(main()), 4)


def test_on_done_is_called_once_for_each_job_that_ended(batch, sampler, rotations, emulator):
    assert qmode.BatchController(batch.primitive_mode, retries=1) is batch
    emulator.faults.fail_jobs(1, code=9707)
    told, all_told = [], threading.Event()

    def tell(job):
        told.append(job)
        if len(told) == 4:
            all_told.set()
            raise ZeroDivisionError  # keeps nothing else from being told

    stop = batch.on_done(tell)
    run = batch.submit(sampler(batch.primitive_mode), rotations(3), partitions=3)
    sampler(batch.primitive_mode).run(rotations(1))
    assert all_told.wait(60)
    assert [j.state for j in told] == [JobState.DONE] * 4
    assert len({j.key for j in told}) == 4
    late, done = [], threading.Event()
    run.on_done(lambda job: (late.append(job), done.set() if len(late) == 3 else None))
    assert done.wait(60)
    stop()
    batch.refresh()
    assert len(told) == 4


# --- one is lost -----------------------------------------------------------------------------------------------------


def test_a_deleted_result_does_not_take_the_others_with_it(batch, sampler, rotations, service):
    run = batch.submit(sampler(batch.primitive_mode), rotations(6), partitions=3)
    assert run.wait(60)
    lost = run.jobs[1]
    service.delete_job(lost.job_id)
    found = run.partial_result()
    assert sorted(found.pubs) == [0, 1, 4, 5]
    assert [p.pub for p in found.missing] == [2, 3]
    assert list(found.why) == [1]
    assert "its result is lost" in found.why[1]
    assert "partition 2 is done" in str(found)
    with pytest.raises(qmode.IncompleteResultError, match=r"partition 2 is done.*resubmit\(.* runs a lost one again"):
        run.result(60)


def test_a_result_that_cannot_be_read_is_named(batch, sampler, rotations, emulator):
    run = batch.submit(sampler(batch.primitive_mode), rotations(4), partitions=2)
    assert run.wait(60)
    emulator.faults.fail_requests(404, method="GET", path=f"/jobs/{run.jobs[0].job_id}/results", count=100)
    assert sorted(run.partial_result().pubs) == [2, 3]
    emulator.faults.clear()
    assert sorted(run.partial_result().pubs) == [0, 1, 2, 3]


def test_the_advice_is_that_of_the_state(batch, sampler, rotations, emulator):
    emulator.faults.pause(queue=True)
    run = batch.submit(sampler(batch.primitive_mode), rotations(3), partitions=3)
    assert batch.wait_until(lambda shot: all(j.job_id for j in shot.jobs), 60)
    batch.cancel(run.jobs[0])
    emulator.faults.resume()
    assert run.wait(60)
    with pytest.raises(qmode.IncompleteResultError, match=r"resubmit\('.*'\) runs a cancelled one again") as caught:
        run.result(60)
    assert "resubmit_failed" not in str(caught.value)
    assert batch.resubmit_failed() == []
    batch.resubmit(run.jobs[0])
    assert len(run.result(60)) == 3
