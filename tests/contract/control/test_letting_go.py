"""What is done with leaves memory: finished controllers, their results, and service objects nobody holds."""

from __future__ import annotations

import gc
import queue
import weakref

import pytest

import qmode_widgets as qmode
from qmode_widgets.control.registry import registry
from tests.peek import settled


def collected(ref):
    gc.collect()
    return ref() is None


@pytest.fixture
def batch(backend):
    controller = qmode.BatchController.open(backend)
    yield controller
    controller.end(running=False)


def fetched(emulator):
    return [path for _, path, _ in emulator.faults.requests() if path.endswith("/results")]


def test_a_finished_controller_that_no_name_refers_to_is_let_go(backend, sampler, rotations):
    batch = qmode.BatchController.open(backend)
    batch.submit(sampler(batch.primitive_mode), rotations(2), partitions=2).result(timeout=60)
    batch.close()
    assert batch.wait_until(lambda shot: shot.state == "closed" and shot.usage.status == "final", 60)
    ref = weakref.ref(batch)
    assert settled(batch)
    del batch
    assert collected(ref)


def test_an_open_batch_with_a_cap_is_kept_when_no_name_refers_to_it(backend):
    batch = qmode.BatchController.open(backend, usage_cap=100)
    id_, ref = batch.id, weakref.ref(batch)
    del batch
    gc.collect()
    assert registry.find(id_) is ref() is not None
    ref().close()


def test_forget_lets_go_and_attach_starts_anew(backend, service):
    batch = qmode.BatchController.open(backend)
    batch.forget()
    assert registry.find(batch.id) is None
    with pytest.raises(qmode.SubmissionError, match="attach"):
        batch.submit(None, [])
    again = qmode.attach(batch.id, service)
    assert again is not batch
    again.close()


def test_a_result_that_was_dropped_is_fetched_again(batch, sampler, rotations, emulator):
    run = batch.submit(sampler(batch.primitive_mode), rotations(1), partitions=1)
    first = run.result(timeout=60)
    emulator.faults.forget_requests()
    run.result()
    assert not fetched(emulator)
    batch.drop_results()
    again = run.result()
    assert again[0].data.meas.get_counts() == first[0].data.meas.get_counts()
    assert fetched(emulator)


def test_a_service_object_that_nobody_holds_is_let_go(emulator):
    service = emulator.connect("emulator-payg")
    qmode.workloads(service)
    ref = weakref.ref(service)
    del service
    assert collected(ref)


def test_running_the_cell_again_gives_the_controller_that_is_there(backend, sampler, rotations):
    job = sampler(backend).run(rotations(1))
    first = qmode.JobController(job)
    again = qmode.JobController(job, usage_cap=50)
    assert again is first
    assert first.usage.cap == 50
    assert first.wait(60)


def test_labels_and_numbers_run_through_the_workload_and_survive(batch, sampler, rotations, service):
    batch.submit(sampler(batch.primitive_mode), rotations(2), partitions=2, label="scan A").wait(60)
    batch.submit(sampler(batch.primitive_mode), rotations(2), partitions=2, label="scan B").wait(60)
    assert [(j.number, j.label) for j in batch.jobs] == [(1, "scan A"), (2, "scan A"), (3, "scan B"), (4, "scan B")]
    assert "scan A" in str(batch)
    batch.forget()
    again = qmode.attach(batch.id, service)
    assert {(j.pubs, j.label) for j in again.jobs} == {(j.pubs, j.label) for j in batch.jobs}
    assert sorted(run.label for run in again.runs) == ["scan A", "scan B"]
    again.close()


@pytest.mark.parametrize("label", ["", "x" * 31])
def test_a_label_that_does_not_fit_a_tag_is_refused(batch, sampler, rotations, label):
    with pytest.raises(qmode.ArgumentError, match="1 to 30 characters"):
        batch.submit(sampler(batch.primitive_mode), rotations(1), label=label)


def test_wait_until_wakes_on_what_it_waits_for_and_times_out(batch, sampler, rotations, emulator):
    emulator.faults.pause(queue=True)
    batch.submit(sampler(batch.primitive_mode), rotations(1))
    assert batch.wait_until(lambda shot: any(j.job_id for j in shot.jobs), 60)
    assert not batch.wait_until(lambda shot: all(j.state.final for j in shot.jobs), 0.05)
    emulator.faults.resume()
    batch.end(running=False)


def test_a_callback_may_wait_for_the_jobs_and_holds_up_no_other(batch, sampler, rotations):
    waited, heard = queue.SimpleQueue(), queue.SimpleQueue()
    batch.on_change(lambda _: waited.put(batch.wait()))
    batch.on_change(lambda shot: heard.put([j.state for j in shot.jobs]))
    run = batch.submit(sampler(batch.primitive_mode), rotations(3), partitions=3)
    assert waited.get(timeout=60) is True
    while heard.get(timeout=60) != ["done"] * 3:
        pass
    assert run.wait(0)
