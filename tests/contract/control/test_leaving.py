"""Leaving, interrupting, mistaking: nothing waits for ever, and nothing else is hit."""

from __future__ import annotations

import queue
import threading

import pytest

import qmode_widgets as qmode
from qmode_widgets.frontend.hub import Hub
from qmode_widgets.model.command import Action
from qmode_widgets.model.outcome import Cancelled, Closed
from qmode_widgets.model.snapshot import JobState
from qmode_widgets.portal import portal
from tests.peek import end_waits_of_the_pacer, interrupted_while_waiting, token_manager
from tests.proxy import Fault


@pytest.fixture
def batch(backend, emulator):
    controller = qmode.BatchController.open(backend)
    yield controller
    controller.end(running=False)
    end_waits_of_the_pacer(controller)


def test_an_error_inside_the_block_passes_through_and_the_batch_is_closed(backend, sampler, rotations):
    batch = qmode.BatchController.open(backend)

    def block():
        with batch:
            batch.submit(sampler(batch.primitive_mode), rotations(3), partitions=3)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        block()
    assert batch.refresh().accepting_jobs is False
    sent = [j for j in batch.jobs if j.job_id]
    dropped = [j for j in batch.jobs if j.state is JobState.DROPPED]
    assert len(sent) + len(dropped) == 3
    assert not dropped or any("left by ZeroDivisionError" in e.text for e in batch.events)
    batch.cancel_all()


def test_ctrl_c_inside_the_block_sends_nothing_more(batch, sampler, rotations, emulator):
    emulator.faults.fail_requests(429, method="POST", path="/jobs", retry_after=600, count=1)

    def block():
        with batch.primitive_mode:
            batch.submit(sampler(batch.primitive_mode), rotations(3), partitions=3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        block()
    assert [j.state for j in batch.jobs] == [JobState.DROPPED] * 3
    assert any("left by KeyboardInterrupt: 3 partitions are not sent" in e.text for e in batch.events)
    assert batch.refresh().accepting_jobs is False


def test_interrupting_the_wait_for_unsent_partitions_drops_them_and_says_so(batch, sampler, rotations, emulator):
    emulator.faults.fail_requests(429, method="POST", path="/jobs", retry_after=60, count=5)
    run = batch.submit(sampler(batch.primitive_mode), rotations(3), partitions=3)
    assert batch.wait_until(lambda _: any(j.note for j in run.jobs), 60)
    with pytest.raises(KeyboardInterrupt), interrupted_while_waiting(batch):
        batch.close()
    assert {j.state for j in run.jobs} == {JobState.DROPPED}
    assert any("3 partitions are not sent" in e.text for e in batch.events)


def test_taking_back_a_partition_whose_post_is_under_way(far, proxy, sampler, rotations, emulator, service):
    batch = qmode.BatchController.open(far)
    proxy.add(Fault("delay", method="POST", path="/jobs", seconds=600))
    emulator.faults.pause(queue=True)
    run = batch.submit(sampler(batch.primitive_mode), rotations(1), partitions=1)
    assert proxy.wait_until(lambda: proxy.faults["delay"] > 0)
    assert batch.cancel(run.jobs[0]).result is Cancelled.WHEN_ANSWERED
    proxy.clear()  # the post goes on its way
    assert run.wait(60)
    assert [j.state for j in run.jobs] == [JobState.CANCELLED]
    assert [j.status() for j in service.jobs(session_id=batch.workload_id, limit=5)] == ["CANCELLED"]
    batch.end(running=False)


def test_an_observer_that_closes_while_partitions_wait_sends_them_first_and_blocks_nothing(
    batch, sampler, rotations, emulator
):
    said = queue.SimpleQueue()

    def close(shot):
        if any(j.state is JobState.WAITING for j in shot.jobs):
            said.put(batch.close())

    emulator.faults.fail_requests(429, method="POST", path="/jobs", retry_after=0.5, count=2)
    stop = batch.on_change(close)
    run = batch.submit(sampler(batch.primitive_mode), rotations(6), partitions=6)
    assert run.wait(60)
    assert said.get(timeout=60).result is Closed.CLOSED
    stop()
    assert {j.state for j in run.jobs} == {JobState.DONE}


@pytest.mark.parametrize("target", [None, "", 7])
def test_a_click_on_nothing_cancels_nothing(batch, sampler, rotations, emulator, target):
    emulator.faults.pause(queue=True)
    emulator.faults.fail_requests(429, method="POST", path="/jobs", retry_after=60)
    run = batch.submit(sampler(batch.primitive_mode), rotations(2), partitions=2)
    assert batch.wait_until(lambda _: any(j.note for j in run.jobs), 60)
    with pytest.raises(qmode.QmodeError, match="no"):
        portal().call(batch.perform, Action.CANCEL, target)
    assert not any(j.state is JobState.DROPPED for j in run.jobs)
    batch.cancel_all()


def test_a_screen_that_is_gone_does_not_keep_its_command_from_being_carried_out(batch, sampler, rotations, emulator):
    emulator.faults.pause(queue=True)
    run = batch.submit(sampler(batch.primitive_mode), rotations(1), partitions=1)
    assert batch.wait_until(lambda _: run.jobs[0].job_id is not None, 60)

    class Gone:
        attached = True

        def deliver(self, message):
            raise OSError("the comm is closed")

    hub = Hub()
    hub.register(batch)
    hub.add_outlet(batch.id, Gone())
    hub.receive({"kind": "command", "id": "1", "workload": batch.id, "action": "cancel_all"})
    assert run.wait(60)
    assert [j.state for j in run.jobs] == [JobState.CANCELLED]


def test_a_job_of_a_batch_is_no_job_of_job_mode(batch, sampler, rotations):
    job = sampler(batch.primitive_mode).run(rotations(1))
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
        batch.submit(sampler(batch.primitive_mode), rotations(1)[0][0])


def test_a_second_object_of_the_same_batch_drains_too_when_its_block_ends(batch, backend, sampler, rotations, service):
    from qiskit_ibm_runtime import Batch

    with Batch.from_id(batch.workload_id, service) as mode:
        assert qmode.BatchController(mode, retries=1) is batch
        run = batch.submit(sampler(mode), rotations(4), partitions=4)
    assert [j.job_id is not None for j in run.jobs] == [True] * 4


def test_a_name_that_is_not_resolved_means_nothing_was_sent():
    from qmode_widgets.ibm.client import Origin
    from qmode_widgets.ibm.link import Link, ask
    from qmode_widgets.ibm.transport import AiohttpTransport

    class Token:
        async def headers(self):
            return {"Authorization": "Bearer x"}

    origin = Origin(lambda: None, "crn", "http://nowhere.invalid", Token(), AiohttpTransport({}, True), None, None)
    with pytest.raises(qmode.UnreachableError, match="name is not resolved") as caught:
        ask(Link(origin).post_job, "{}")
    assert not caught.value.sent


def test_a_stop_condition_that_waits_keeps_nothing_from_happening(batch, sampler, rotations):
    waits = threading.Event()

    def patient(result, job):
        waits.wait(60)
        return False

    batch.stop_when(patient)
    run = batch.submit(sampler(batch.primitive_mode), rotations(3), partitions=3)
    assert run.wait(60)
    assert {j.state for j in run.jobs} == {JobState.DONE}
    waits.set()


def test_the_token_is_in_no_log_and_no_event(batch, sampler, rotations, emulator, caplog):
    caplog.set_level("DEBUG")
    tokens = {token_manager(batch).get_token(), emulator.token}
    emulator.faults.expire_token()
    emulator.faults.fail_requests(503, method="GET", path="/jobs")
    emulator.faults.fail_requests(400, method="POST", path="/jobs")
    batch.submit(sampler(batch.primitive_mode), rotations(2), partitions=2)
    assert batch.wait(60)
    tokens.add(token_manager(batch).get_token())
    told = caplog.text + repr(batch.snapshot()) + str(batch)
    assert not [t for t in tokens if t in told]
