"""What a refusal comes to: an outcome that failed, an error of the single cancel, a failed answer to a click."""

from __future__ import annotations

import asyncio
import copy
import pickle

import pytest

import qmode_widgets as qmode
from qmode_widgets.errors import RefusedError
from qmode_widgets.model.command import Action
from qmode_widgets.model.outcome import Cancelled, Closed
from qmode_widgets.portal import portal


@pytest.fixture
def queued(backend, sampler, rotations, emulator):
    """A batch with two queued jobs."""
    emulator.faults.pause(queue=True)
    batch = qmode.BatchController.open(backend)
    batch.submit(sampler(batch.primitive_mode), rotations(2), partitions=2)
    assert batch.wait_until(lambda shot: len(shot.jobs) == 2 and all(j.job_id for j in shot.jobs), 120)
    yield batch
    emulator.faults.clear()
    batch.end()


@pytest.fixture
def refused(queued, emulator):
    """The service cancels nothing."""
    emulator.faults.fail_requests(403, method="POST", path="/jobs/.*/cancel", count=100)
    return queued


def test_a_refused_cancel_raises_with_code_and_reason(refused):
    job = refused.jobs[0]
    with pytest.raises(RefusedError, match="was not cancelled") as caught:
        refused.cancel(job)
    assert caught.value.status == 403
    assert caught.value.reason
    assert caught.value.reason in str(caught.value)


def test_refused_cancellations_are_outcomes_that_failed_and_stand_in_the_events(refused):
    outcomes = refused.cancel_all()
    assert set(outcomes) == {j.key for j in refused.jobs}
    assert {o.result for o in outcomes.values()} == {Cancelled.REFUSED}
    assert outcomes.failed
    assert str(outcomes).startswith("2 refused: ")
    assert any(e.level == "error" and "2 refused" in e.text for e in refused.events)


@pytest.mark.parametrize("action", [Action.CANCEL, Action.CANCEL_REMAINING, Action.CANCEL_ALL])
def test_a_click_that_is_refused_is_answered_as_failed(refused, action):
    key = refused.jobs[0].key if action is Action.CANCEL else None
    outcome = portal().call(refused.perform, action, key)
    assert outcome.failed
    assert "refused" in str(outcome)


def test_an_end_closes_all_the_same_and_says_what_was_refused(refused):
    ended = refused.end()
    assert ended.failed
    assert ended.cancelled.failed
    assert ended.closed.result is Closed.CLOSED
    assert ended.closed.queued == 2
    assert refused.snapshot().accepting_jobs is False


def test_a_refused_closing_is_said_by_the_outcome_of_an_end(queued, emulator):
    emulator.faults.fail_requests(403, method="PATCH", path="/sessions/.*", count=100)
    ended = queued.end()
    assert {o.result for o in ended.cancelled.values()} == {Cancelled.CANCELLED}
    assert ended.closed.result is Closed.REFUSED
    assert ended.failed
    assert portal().call(queued.perform, Action.CLOSE, None).failed


def test_ending_without_the_running_jobs_is_one_request(queued, emulator):
    emulator.faults.forget_requests()
    ended = queued.end(running=False)
    assert ended.closed.result is Closed.QUEUE_CANCELLED
    assert not ended.failed
    assert queued.wait(60)


def test_a_job_controller_ends_its_jobs_and_needs_no_closing(backend, sampler, rotations, emulator):
    emulator.faults.pause(queue=True)
    jobs = qmode.JobController.open(backend)
    jobs.submit(sampler(backend), rotations(1))
    assert jobs.wait_until(lambda shot: bool(shot.jobs) and all(j.job_id for j in shot.jobs), 120)
    assert jobs.close().result is Closed.NOT_NEEDED
    ended = jobs.end()
    assert [o.result for o in ended.cancelled.values()] == [Cancelled.CANCELLED]
    assert str(ended) == "1 cancelled"


def test_a_run_and_a_controller_say_what_to_pickle_instead(queued):
    run = queued.runs[0]
    for thing, way in ((run, r"run\.save\(path\)"), (queued, rf"attach\('{queued.id}', service\)")):
        for copy_of in (pickle.dumps, copy.deepcopy):
            with pytest.raises(qmode.QmodeError, match=way):
                copy_of(thing)
    shot = queued.snapshot()
    assert pickle.loads(pickle.dumps(shot)) == shot


def test_several_tasks_can_be_made_of_one_run(queued, emulator):
    run = queued.runs[0]

    async def main():
        early = asyncio.create_task(run)
        dropped = asyncio.create_task(run)
        await asyncio.sleep(0)
        dropped.cancel()
        emulator.faults.clear()
        results = await asyncio.gather(early, asyncio.ensure_future(run), asyncio.create_task(run))
        assert dropped.cancelled()
        return [len(r) for r in results]

    assert asyncio.run(main()) == [2, 2, 2]
