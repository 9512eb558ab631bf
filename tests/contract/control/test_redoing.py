"""Work that is run again runs once, wherever and however often it was asked for, and is found again afterwards."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakValueDictionary

import pytest
from qiskit_ibm_runtime import Batch

import qmode_widgets as qmode
from qmode_widgets.control import controller as module
from qmode_widgets.model.command import Action
from qmode_widgets.model.snapshot import JobState
from qmode_widgets.portal import portal


@pytest.fixture
def batch(backend, emulator):
    controller = qmode.BatchController.open(backend)
    yield controller
    controller.end(running=False)


@pytest.fixture
def another_kernel(monkeypatch, emulator):
    """Attach as a kernel would that knows nothing of this one's controllers."""
    attached = []

    def attach(id_):
        with monkeypatch.context() as patch:
            patch.setattr(module.registry, "_kept", {})
            patch.setattr(module.registry, "_known", WeakValueDictionary())
            attached.append(qmode.attach(id_, emulator.connect("emulator-payg")))
        return attached[-1]

    yield attach
    for controller in attached:
        controller.forget()


def failed_once(batch, sampler, rotations, emulator, n=3):
    emulator.faults.fail_jobs(n)
    run = batch.submit(sampler(batch.primitive_mode), rotations(n), partitions=n)
    assert run.wait(60)
    return run


def test_threads_that_resubmit_the_same_work_at_once_run_it_once(batch, sampler, rotations, emulator, service):
    run = failed_once(batch, sampler, rotations, emulator)
    start = threading.Barrier(4)

    def click(what):
        start.wait(60)
        try:
            what()
        except qmode.QmodeError as error:
            return str(error)
        return None

    job = run.jobs[0].job_id
    clicks = [batch.resubmit_failed, batch.resubmit_failed, lambda: batch.resubmit(job), lambda: batch.resubmit(job)]
    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(click, clicks))
    told = [text for text in said if text is not None]
    assert len(told) < 4  # at least one of them did it
    assert [text for text in told if "resubmitted already" not in text] == []
    assert run.wait(60)
    assert [j.state for j in run.jobs] == [JobState.DONE] * 3
    assert len(service.jobs(session_id=batch.workload_id, limit=20)) == 6


def test_a_direct_job_clicked_twice_runs_again_once(batch, sampler, rotations, emulator, service):
    emulator.faults.fail_jobs(1)
    direct = sampler(batch.primitive_mode).run(rotations(1))
    batch.refresh()
    assert batch.wait(60)
    batch.resubmit(direct)
    with pytest.raises(qmode.QmodeError, match="resubmitted already"):
        batch.resubmit(direct)
    assert batch.wait(60)
    assert len(service.jobs(session_id=batch.workload_id, limit=20)) == 2


def test_one_click_raises_the_cap_and_runs_whatever_is_missing(batch, sampler, rotations, emulator):
    emulator.faults.pause(queue=True)
    batch.usage_cap = 50
    run = batch.submit(sampler(batch.primitive_mode), rotations(3), partitions=3)
    assert batch.wait_until(lambda shot: all(j.job_id for j in shot.jobs), 30)
    batch.cancel_all()
    emulator.faults.resume()
    assert batch.wait(60)
    assert {j.state for j in run.jobs} == {JobState.CANCELLED}
    assert str(portal().call(batch._workload.perform, Action.RESUBMIT_MISSING, "80")) == "3 resubmitted"
    assert batch.usage_cap == 80
    assert run.wait(60)
    assert {j.state for j in run.jobs} == {JobState.DONE}


def test_another_kernel_sees_that_it_was_resubmitted_and_does_not_again(
    batch, sampler, rotations, emulator, service, another_kernel
):
    failed_once(batch, sampler, rotations, emulator, n=2)
    other = another_kernel(batch.id)
    emulator.faults.pause(queue=True)
    batch.resubmit_failed()
    assert batch.wait_until(lambda shot: all(j.job_id for j in shot.jobs), 60)
    assert other.resubmit_failed() == []
    emulator.faults.resume()
    assert batch.wait(60)
    assert len(service.jobs(session_id=batch.workload_id, limit=20)) == 4


def test_a_continued_batch_is_attached_by_any_of_its_ids(
    batch, sampler, rotations, in_pub_order, emulator, another_kernel
):
    emulator.faults.fail_jobs(1, skip=1)
    run = batch.submit(sampler(batch.primitive_mode), rotations(4), partitions=2)
    batch.close()
    assert batch.wait(60)
    old = batch.workload_id
    batch.resubmit_failed()
    new = batch.workload_id
    in_pub_order(run.result(timeout=60), 4)
    assert qmode.attach(old) is qmode.attach(new) is batch
    for id_ in (old, new, run.id):
        again = another_kernel(id_)
        assert (again.snapshot().lineage, again.workload_id) == ((old,), new)
        assert not any("never sent" in e.text for e in again.events)
        assert len(again.jobs) == 3
        in_pub_order(again.result(timeout=60), 4)


def test_leaving_the_old_block_does_not_touch_the_workload_it_continued_into(
    backend, sampler, rotations, emulator, in_pub_order
):
    emulator.faults.fail_jobs(1)
    with Batch(backend) as mode:
        controller = qmode.BatchController(mode)
        run = controller.submit(sampler(mode), rotations(2), partitions=1)
        controller.close()
        assert controller.wait(60)
        controller.resubmit_failed()
        new = controller.workload_id
    assert controller.snapshot().accepting_jobs is not False
    assert controller.refresh().accepting_jobs is True
    in_pub_order(run.result(timeout=60), 2)
    assert controller.workload_id == new
    controller.close()


def test_two_resubmissions_of_a_closed_batch_open_one_new_workload(batch, sampler, rotations, emulator):
    run = failed_once(batch, sampler, rotations, emulator, n=2)
    batch.close()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(batch.resubmit, [j.job_id for j in run.jobs]))
    assert len(batch.snapshot().lineage) == 1
    assert run.wait(60)
    assert [j.state for j in run.jobs] == [JobState.DONE] * 2


def test_tags_that_leave_no_room_for_ours_are_refused_before_anything_changes(batch, sampler, rotations, emulator):
    emulator.faults.fail_jobs(1)
    primitive = sampler(batch.primitive_mode)
    primitive.options.environment.job_tags = [f"t{i}" for i in range(8)]
    direct = primitive.run(rotations(1))
    batch.refresh()
    assert batch.wait(60)
    with pytest.raises(qmode.QmodeError, match="tags"):
        batch.resubmit(direct)
    assert [(j.state, j.superseded) for j in batch.jobs] == [(JobState.FAILED, False)]


def test_a_resubmission_carries_what_is_left_of_the_cap(backend, sampler, rotations, emulator):
    batch = qmode.BatchController.open(backend, usage_cap=50)
    run = failed_once(batch, sampler, rotations, emulator, n=1)
    assert batch.wait_until(lambda shot: shot.usage.status == "final", 60)
    batch.usage_cap = 20
    emulator.faults.pause(queue=True)
    batch.resubmit_failed()
    assert batch.wait_until(lambda _: run.jobs[0].job_id is not None, 60)
    assert batch.service._get_api_client().job_get(run.jobs[0].job_id)["cost"] <= 20
    emulator.faults.resume()
    batch.end(running=False)


def test_result_waits_for_the_retries_of_the_policy(backend, sampler, rotations, in_pub_order, emulator):
    batch = qmode.BatchController.open(backend, retries=2)
    emulator.faults.fail_jobs(3, code=9707)
    run = batch.submit(sampler(batch.primitive_mode), rotations(2), partitions=2)
    in_pub_order(run.result(timeout=60), 2)
    assert [j.state for j in batch.jobs].count(JobState.FAILED) == 3
    batch.end(running=False)


def test_a_retry_that_is_impossible_is_said_and_does_not_hold_up_the_others(backend, sampler, rotations, emulator):
    batch = qmode.BatchController.open(backend, retries=1)
    emulator.faults.fail_jobs(2, code=9707)
    private = sampler(batch.primitive_mode)
    private.options.environment.private = True
    batch.submit(private, rotations(1), partitions=1)
    batch.submit(sampler(batch.primitive_mode), rotations(1), partitions=1)
    assert batch.wait(60)
    assert batch.wait_until(lambda shot: any("not run again" in e.text for e in shot.events), 60)
    assert sorted(str(j.state) for j in batch.jobs if not j.superseded) == ["done", "failed"]
    batch.end(running=False)
