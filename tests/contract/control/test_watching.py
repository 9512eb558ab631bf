"""Few requests, honest staleness, and no lost workload when the service stumbles."""

from __future__ import annotations

import queue
from dataclasses import replace
from itertools import pairwise

import pytest

import qmode_widgets as qmode
from qmode_widgets.model.snapshot import JobState
from tests.peek import interrupted_while_waiting, peek, requests_of, settled, unwatch


@pytest.fixture
def batch(backend, emulator):
    controller = qmode.BatchController.open(backend)
    yield controller
    controller.end(running=False)


def test_a_refresh_costs_two_requests_and_a_finished_job_is_not_asked_again(batch, sampler, rotations, emulator):
    batch.submit(sampler(batch.primitive_mode), rotations(12), partitions=12)
    assert batch.wait(60)
    assert batch.wait_until(lambda shot: shot.usage.status == "final", 60)
    batch.refresh()  # the last completion may have come after the session's answer
    unwatch(batch)
    assert requests_of(batch, batch.refresh) == 2


def test_pending_jobs_cost_two_requests(batch, sampler, rotations, emulator):
    emulator.faults.pause(queue=True)
    batch.submit(sampler(batch.primitive_mode), rotations(12), partitions=12)
    assert batch.wait_until(lambda shot: all(j.job_id for j in shot.jobs), 60)
    batch.refresh()
    unwatch(batch)
    assert requests_of(batch, batch.refresh) == 2


def test_when_the_service_does_not_answer_the_view_says_so_and_recovers(batch, sampler, rotations, emulator):
    emulator.faults.pause()
    batch.submit(sampler(batch.primitive_mode), rotations(1), partitions=1)
    assert batch.wait_until(lambda shot: shot.jobs[0].state is JobState.RUNNING, 60)
    emulator.faults.fail_requests(503, method="GET", path=f"/sessions/{batch.workload_id}", count=3)
    assert batch.wait_until(lambda shot: shot.problem is not None, 60)
    assert batch.jobs[0].state is JobState.RUNNING
    emulator.faults.clear()
    assert batch.wait(60)
    assert batch.wait_until(lambda shot: shot.problem is None, 60)


def test_watching_ends_when_everything_is_final(backend, sampler, rotations):
    jobs = qmode.JobController.open(backend)
    jobs.submit(sampler(backend), rotations(1), partitions=1)
    assert jobs.wait(60)
    assert settled(jobs)
    assert jobs.usage.status == "final"


def test_a_skewed_clock_is_measured(backend, emulator):
    emulator.faults.skew_clock(3600)
    batch = qmode.BatchController.open(backend)
    assert batch.snapshot().clock_offset == pytest.approx(3600, abs=60)
    emulator.faults.clear()
    batch.refresh()
    assert batch.snapshot().clock_offset == pytest.approx(0, abs=60)
    batch.end(running=False)


def test_an_observer_hears_each_change_once_and_nothing_when_nothing_changes(batch, sampler, rotations):
    heard, news = [], queue.SimpleQueue()

    def hear(shot):
        heard.append(shot)
        news.put(shot)

    def until(ready):
        while not ready(news.get(timeout=60)):
            pass

    def mark(text):
        """A change of ours: what came before it is heard before it."""

        def change(ledger):
            ledger.event("info", text)
            ledger.changed()

        peek(batch, change)
        until(lambda shot: any(event.text == text for event in shot.events))

    stop = batch.on_change(hear)
    batch.submit(sampler(batch.primitive_mode), rotations(1), partitions=1)
    until(lambda shot: shot.jobs and shot.jobs[0].state is JobState.DONE and shot.usage.status == "final")
    unwatch(batch)
    batch.refresh()
    mark("first")
    before = heard[-1]
    batch.refresh()  # changes nothing of the jobs any more
    mark("second")
    stop()
    after = heard[-1]
    assert (before.jobs, before.usage.reported, before.state) == (after.jobs, after.usage.reported, after.state)
    for a, b in pairwise(heard):
        assert replace(a, seen_at=None) != replace(b, seen_at=None)


def test_an_interrupted_result_cancels_nothing(batch, sampler, rotations, emulator):
    emulator.faults.pause(queue=True)
    batch.submit(sampler(batch.primitive_mode), rotations(1), partitions=1)
    assert batch.wait_until(lambda shot: shot.jobs[0].job_id is not None, 60)
    with pytest.raises(KeyboardInterrupt), interrupted_while_waiting(batch):
        batch.result()
    assert batch.jobs[0].state is JobState.QUEUED
    with pytest.raises(TimeoutError, match="nothing was cancelled"):
        batch.result(timeout=0.1)
