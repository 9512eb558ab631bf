"""Leaving, interrupting, mistaking: nothing waits for ever, and nothing else is hit."""

from __future__ import annotations

import queue
import threading

import pytest
from requests.auth import AuthBase

import qmode_widgets as qmode
from qmode_widgets.frontend.commands import commands
from qmode_widgets.model.command import Action, Command
from qmode_widgets.model.snapshot import JobState
from tests.peek import end_waits_of_the_pacer, interrupted_while_waiting, token_manager
from tests.proxy import Fault


@pytest.fixture
def batch(backend, emulator):
    controller = qmode.BatchController.open(backend)
    yield controller
    controller.cancel_workload()
    end_waits_of_the_pacer(controller)


def test_an_error_inside_the_block_passes_through_and_the_batch_is_closed(backend, sampler, rotations):
    batch = qmode.BatchController.open(backend)

    def block():
        with batch:
            batch.submit(sampler(batch.mode), rotations(3), partitions=3)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        block()
    assert [j.job_id is not None for j in batch.jobs] == [True] * 3
    assert batch.refresh().accepting_jobs is False


def test_interrupting_the_wait_for_unsent_partitions_drops_them_and_says_so(batch, sampler, rotations, emulator):
    emulator.faults.fail_requests(429, method="POST", path="/jobs", retry_after=60, count=5)
    run = batch.submit(sampler(batch.mode), rotations(3), partitions=3)
    assert batch.wait_until(lambda _: any(j.note for j in run.jobs), 60)
    with pytest.raises(KeyboardInterrupt), interrupted_while_waiting(batch):
        batch.close()
    assert {j.state for j in run.jobs} == {JobState.DROPPED}
    assert any("3 partitions are not sent" in e.text for e in batch.events)


def test_taking_back_a_partition_whose_post_is_under_way(far, proxy, sampler, rotations, emulator, service):
    batch = qmode.BatchController.open(far)
    proxy.add(Fault("delay", method="POST", path="/jobs", seconds=600))
    emulator.faults.pause(queue=True)
    run = batch.submit(sampler(batch.mode), rotations(1), partitions=1)
    assert proxy.wait_until(lambda: proxy.faults["delay"] > 0)
    assert "as soon as it is answered" in batch.cancel(run.jobs[0])
    proxy.clear()  # the post goes on its way
    assert run.wait(60)
    assert [j.state for j in run.jobs] == [JobState.CANCELLED]
    assert [j.status() for j in service.jobs(session_id=batch.workload_id, limit=5)] == ["CANCELLED"]
    batch.cancel_workload()


def test_an_observer_that_closes_while_partitions_wait_is_told_so_and_blocks_nothing(
    batch, sampler, rotations, emulator
):
    said = queue.SimpleQueue()

    def close(shot):
        if any(j.state is JobState.WAITING for j in shot.jobs):
            try:
                batch.close()
            except qmode.QmodeError as error:
                said.put(str(error))

    emulator.faults.fail_requests(429, method="POST", path="/jobs", retry_after=0.5, count=1000)
    stop = batch.on_change(close)
    run = batch.submit(sampler(batch.mode), rotations(6), partitions=6)
    assert "from another thread" in said.get(timeout=60)
    stop()
    emulator.faults.clear()
    assert run.wait(60)


@pytest.mark.parametrize("target", [None, "", 7])
def test_a_click_on_nothing_cancels_nothing(batch, sampler, rotations, emulator, target):
    emulator.faults.pause(queue=True)
    emulator.faults.fail_requests(429, method="POST", path="/jobs", retry_after=60)
    run = batch.submit(sampler(batch.mode), rotations(2), partitions=2)
    assert batch.wait_until(lambda _: any(j.note for j in run.jobs), 60)
    answers, done = [], threading.Event()

    def hear(outcome):
        answers.append(outcome)
        if outcome.status != "accepted":
            done.set()

    commands.enqueue(batch, Command("1", batch.id, Action.CANCEL, target), hear)
    assert done.wait(60)
    assert answers[-1].status == "failed"
    assert not any(j.state is JobState.DROPPED for j in run.jobs)
    batch.cancel_all()


def test_a_screen_that_is_gone_does_not_keep_its_command_from_being_carried_out(batch, sampler, rotations, emulator):
    emulator.faults.pause(queue=True)
    run = batch.submit(sampler(batch.mode), rotations(1), partitions=1)
    assert batch.wait_until(lambda _: run.jobs[0].job_id is not None, 60)

    def gone(_):
        raise OSError("the comm is closed")

    commands.enqueue(batch, Command("1", batch.id, Action.CANCEL_ALL), gone)
    assert run.wait(60)
    assert [j.state for j in run.jobs] == [JobState.CANCELLED]


def test_a_job_of_a_batch_is_no_job_of_job_mode(batch, sampler, rotations):
    job = sampler(batch.mode).run(rotations(1))
    with pytest.raises(qmode.QmodeError, match=f"attach\\('{batch.workload_id}'"):
        qmode.JobController(job)


def test_one_job_given_twice_is_one_job(backend, sampler, rotations):
    job = sampler(backend).run(rotations(1))
    assert len(qmode.JobController(job, job).jobs) == 1


@pytest.mark.parametrize("id_", ["../jobs", "a/b", "x?y=1", "é"])
def test_an_id_that_cannot_be_one_is_never_asked_for(emulator, id_):
    with pytest.raises(qmode.QmodeError, match="is no id"):
        qmode.attach(id_, emulator.service)


def test_one_circuit_is_no_list_of_pubs(batch, sampler, rotations):
    with pytest.raises(qmode.QmodeError, match="list of PUBs"):
        batch.submit(sampler(batch.mode), rotations(1)[0][0])


def test_a_second_object_of_the_same_batch_drains_too_when_its_block_ends(batch, backend, sampler, rotations, service):
    from qiskit_ibm_runtime import Batch

    with Batch.from_id(batch.workload_id, service) as mode:
        assert qmode.BatchController(mode, retries=1) is batch
        run = batch.submit(sampler(mode), rotations(4), partitions=4)
    assert [j.job_id is not None for j in run.jobs] == [True] * 4


def test_a_name_that_is_not_resolved_means_nothing_was_sent():
    from qmode_widgets.ibm.client import Origin
    from qmode_widgets.ibm.link import Link

    class Token(AuthBase):
        def __call__(self, request):
            return request

    origin = Origin(lambda: None, "crn", "http://nowhere.invalid", Token(), {}, True, None, None)
    with pytest.raises(qmode.UnreachableError, match="name is not resolved") as caught:
        Link(origin).post_job("{}")
    assert not caught.value.sent


def test_a_callback_that_waits_for_its_own_thread_is_told_so(batch, sampler, rotations):
    said = []

    def impatient(result, job):
        try:
            batch.wait_until(lambda _: False)
        except qmode.QmodeError as error:
            said.append(str(error))
        return False

    batch.stop_when(impatient)
    run = batch.submit(sampler(batch.mode), rotations(3), partitions=3)
    assert run.wait(60)
    assert batch.wait_until(lambda _: bool(said), 60)
    assert "another thread" in said[0]


def test_the_token_is_in_no_log_and_no_event(batch, sampler, rotations, emulator, caplog):
    caplog.set_level("DEBUG")
    tokens = {token_manager(batch).get_token(), emulator.token}
    emulator.faults.expire_token()
    emulator.faults.fail_requests(503, method="GET", path="/jobs")
    emulator.faults.fail_requests(400, method="POST", path="/jobs")
    batch.submit(sampler(batch.mode), rotations(2), partitions=2)
    assert batch.wait(60)
    tokens.add(token_manager(batch).get_token())
    told = caplog.text + repr(batch.snapshot()) + str(batch)
    assert not [t for t in tokens if t in told]
