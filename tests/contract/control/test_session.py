"""Sessions: billed by the wall clock, so what is shown of idle time and limits must be right."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest
from qiskit_ibm_runtime import Batch, Session

import qmode_widgets as qmode
from qmode_widgets.model.snapshot import JobState, WorkloadState


@pytest.fixture
def session(backend, emulator):
    controller = qmode.SessionController.open(backend)
    yield controller
    controller.end(running=False)


def test_a_session_runs_iterations_and_counts_the_idle_time_between_them(session, sampler, rotations, in_pub_order):
    for step in range(3):
        with session.iteration(f"step {step}"):
            in_pub_order(
                session.submit(sampler(session.primitive_mode), rotations(2), partitions=1).result(timeout=60), 2
            )
    assert [i.label for i in session.iterations] == ["step 0", "step 1", "step 2"]
    assert [j.group for j in session.jobs] == ["step 0", "step 1", "step 2"]
    assert session.wait_until(lambda _: all(i.ended for i in session.iterations), 60)
    idle = [i.idle_before for i in session.iterations]
    assert [seconds is not None and seconds >= 0 for seconds in idle] == [False, True, True]
    usage = session.refresh().usage
    assert usage.idle is not None
    assert usage.idle >= 0
    assert session.snapshot().group is None


def test_the_interactive_ttl_counts_down_only_while_idle(session, sampler, rotations, emulator):
    assert session.ttl.empty_deadline is not None
    emulator.faults.pause()
    session.submit(sampler(session.primitive_mode), rotations(1), partitions=1)
    assert session.wait_until(lambda shot: shot.state is WorkloadState.ACTIVE, 60)
    assert session.ttl.interactive_deadline is None
    assert session.ttl.empty_deadline is None
    assert session.usage.estimated is not None
    assert "jobs still to run" in (session.usage.formula or "")
    emulator.faults.resume()
    assert session.wait(60)
    session.refresh()
    assert session.usage.estimated is None  # nothing is to come: idle time is nobody's to foretell
    ttl = session.ttl
    assert ttl.interactive_deadline is not None
    assert ttl.max_deadline is not None
    assert ttl.interactive_ttl is not None
    last = max(j.finished for j in session.jobs if j.finished)
    assert ttl.interactive_deadline == pytest.approx(last + ttl.interactive_ttl, abs=2)


def test_close_when_idle_closes(session, sampler, rotations):
    session.submit(sampler(session.primitive_mode), rotations(1), partitions=1)
    session.close_when_idle(0)

    def limit(shot):
        return next(x for x in shot.limits if x.name == "idle close")

    assert session.wait_until(lambda shot: shot.accepting_jobs is False and limit(shot).acted is not None, 60)
    assert limit(session.snapshot()).where == "kernel"
    assert [j.state for j in session.jobs] == [JobState.DONE]


def test_the_open_plan_is_refused_with_the_services_own_words(emulator):
    service = emulator.connect("emulator-open")
    with pytest.raises(qmode.QmodeError, match=r"1352.*open plan"):
        qmode.SessionController.open(service.least_busy())


def test_a_batch_is_no_session(backend):
    batch = Batch(backend)
    with pytest.raises(qmode.QmodeError, match="use BatchController"):
        qmode.SessionController(batch)
    batch.cancel()


def test_running_an_open_cell_again_names_the_session_it_leaves_behind(backend):
    first = qmode.SessionController.open(backend)
    with pytest.warns(UserWarning, match=first.workload_id):
        second = qmode.SessionController.open(backend)
    first.close()
    second.close()


def test_the_block_closes_as_the_users_own_would(backend, sampler, rotations):
    with qmode.SessionController.open(backend) as session:
        run = session.submit(sampler(session.primitive_mode), rotations(2), partitions=2)
    assert run.wait(60)
    assert session.refresh().accepting_jobs is False


def test_a_label_that_fits_no_tag_is_refused(session):
    with pytest.raises(qmode.QmodeError, match="31 characters"), session.iteration("x" * 31):
        pass


@pytest.mark.parametrize(("option", "closed"), [("", True), (', on_exit="leave"', False)])
def test_a_kernel_that_exits_closes_its_session_unless_told_otherwise(emulator, option, closed):
    code = textwrap.dedent(f"""
        import sys
        import qmode_widgets as qmode
        from qmode_widgets.emulator.client.launch import Emulator
        from qmode_widgets.emulator.options import Options
        backend = Emulator(sys.argv[1], sys.argv[2], 0, Options()).service.least_busy()
        print(qmode.SessionController.open(backend{option}).id, flush=True)
    """)
    command = [sys.executable, "-c", code, emulator.url, emulator.token]
    id_ = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    session = Session.from_id(id_, emulator.service)
    assert (session.details()["state"] == "closed") is closed
    session.close()


def test_a_noise_model_of_this_session_is_recognised(session, sampler, rotations):
    assert session.noise_models == []


def test_a_pool_inside_an_iteration_belongs_to_it_and_a_thread_of_its_own_does_not(
    session, sampler, rotations, emulator
):
    emulator.faults.pause(queue=True)
    mine, theirs = sampler(session.primitive_mode), sampler(session.primitive_mode)

    def submit(_=None):
        return session.submit(mine, rotations(1), partitions=1).jobs[0].group

    with ThreadPoolExecutor(1) as other:
        with session.iteration("d"), ThreadPoolExecutor(2) as pool:
            assert list(pool.map(submit, range(2))) == ["d", "d"]
            assert other.submit(submit).result() == "d"
        assert other.submit(submit).result() is None

        def step(label):
            with session.iteration(label):
                return session.submit(theirs, rotations(1), partitions=1).jobs[0].group

        assert other.submit(step, "e").result() == "e"
        with session.iteration("f"):
            assert other.submit(submit).result() is None  # it opens its own
            assert submit() == "f"
    assert submit() is None
    session.cancel_all()


def test_a_task_beside_an_iteration_does_not_belong_to_it(session, sampler, rotations, emulator):
    emulator.faults.pause(queue=True)
    mine = sampler(session.primitive_mode)

    async def step(begun, go_on):
        with session.iteration("a"):
            begun.set()
            await go_on.wait()
            return session.submit(mine, rotations(1), partitions=1).jobs[0].group

    async def main():
        begun, go_on = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(step(begun, go_on))
        await begun.wait()
        beside = session.submit(mine, rotations(1), partitions=1).jobs[0].group
        go_on.set()
        return beside, await task

    assert asyncio.run(main()) == (None, "a")
    session.cancel_all()
