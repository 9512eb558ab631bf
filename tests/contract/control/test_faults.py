"""Nothing waits for ever, nothing is billed twice, nothing is claimed that is not so: workloads through a proxy that
misbehaves.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from qiskit_ibm_runtime import Batch, Session

import qmode_widgets as qmode
from qmode_widgets.emulator import start
from qmode_widgets.errors import UnreachableError
from qmode_widgets.ibm import client
from qmode_widgets.model.snapshot import JobState
from tests.peek import at_pace, deadlines, expire_token, interrupted_while_waiting
from tests.proxy import Fault

ROOT = Path(__file__).parents[3]


def settle(controller, pace=0.05):
    """Looks and look-ups at the tests' pace."""
    return at_pace(controller, pace)


def opened(backend, kind=Batch, **more):
    """A new one; a test may have several open on purpose."""
    controller = qmode.BatchController if kind is Batch else qmode.SessionController
    return settle(controller(kind(backend), **more))


def live(emulator, workload):
    """Job ids by key."""
    found = {}
    for job in emulator.service.jobs(session_id=workload, limit=None):
        found.setdefault(next(t for t in job.tags if t.count(".") == 2), []).append(job.job_id())
    return found


# --- late listings ----------------------------------------------------------------------------------------------


def test_ten_answers_are_lost_and_the_listing_is_late_and_nothing_runs_twice(
    far, proxy, emulator, sampler, rotations, in_pub_order
):
    batch = opened(far)
    proxy.lag = 28 * 0.05
    proxy.add(Fault("drop", "POST", "/jobs", count=10))
    run = batch.submit(sampler(batch.primitive_mode), rotations(10), partitions=10)
    in_pub_order(run.result(timeout=90), 10)
    assert sorted(map(len, live(emulator, batch.workload_id).values())) == [1] * 10
    assert not [e for e in batch.events if "duplicate" in e.text]
    batch.end(running=False)


def test_a_doubtful_partition_is_held_where_its_user_wants_it_so(far, proxy, emulator, sampler, rotations):
    batch = opened(far)
    proxy.add(Fault("drop", "POST", "/jobs", when="before"))
    run = batch.submit(sampler(batch.primitive_mode), rotations(2), partitions=2, resend=False)
    assert run.wait(60)
    assert [j.state for j in run.jobs] == [JobState.UNKNOWN, JobState.DONE]
    with pytest.raises(qmode.IncompleteResultError, match=r"partition 1 is unknown .*not sent again by itself"):
        run.result()
    assert batch.resubmit(run.jobs[0]).wait(60)
    assert len(run.result()) == 2
    assert sorted(map(len, live(emulator, batch.workload_id).values())) == [1, 1]
    batch.end(running=False)


# --- waiting ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "retry_after"), [(429, "3"), (401, None)])
def test_a_partition_that_could_not_be_sent_tells_when_it_is_sent_again(
    far, proxy, sampler, rotations, status, retry_after
):
    batch = opened(far)
    proxy.add(Fault("status", "POST", "/jobs", status=status, retry_after=retry_after, when="before", count=2))
    began, seen = time.time(), []
    run = batch.submit(sampler(batch.primitive_mode), rotations(1), partitions=1)
    assert batch.wait_until(lambda shot: seen.append(shot.jobs[0]) or shot.jobs[0].next_try is not None, 60)
    assert seen[-1].state is JobState.WAITING
    assert began < seen[-1].next_try <= time.time() + 3
    assert run.wait(60)
    assert run.jobs[0].next_try is None
    batch.end(running=False)


def test_a_workload_that_is_told_to_wait_for_a_day_keeps_no_cap_of_another_from_acting(
    far, proxy, emulator, sampler, rotations
):
    first, second = opened(far), opened(far, usage_cap=4)
    proxy.add(Fault("status", "GET", f"/sessions/{first.id}", status=429, retry_after="86400", count=1000))
    assert first.wait_until(lambda shot: "asked to wait 60 s" in str(shot.problem), 60)
    emulator.faults.pause(queue=True)
    second.submit(sampler(second.primitive_mode), rotations(8), partitions=8)
    emulator.faults.resume()
    assert second.wait_until(lambda shot: shot.accepting_jobs is False, 60)
    assert any("usage cap" in e.text for e in second.events)
    first.end(running=False)


@pytest.mark.parametrize(("method", "path"), [("GET", "/sessions/{}"), ("POST", "/jobs")])
def test_a_request_that_never_ends_holds_up_its_own_workload_and_only_for_its_deadline(
    far, proxy, sampler, rotations, method, path
):
    stuck, other = opened(far), opened(far)
    deadlines(stuck, small=6.0)
    proxy.add(
        Fault(
            "trickle" if method == "GET" else "hang",
            method,
            path.format(stuck.id),
            seconds=2.0 if method == "GET" else 600,
        )
    )
    run = stuck.submit(sampler(stuck.primitive_mode), rotations(1), partitions=1)
    assert proxy.wait_until(lambda: sum(proxy.faults.values()) > 0)
    proxy.faults.clear()
    assert other.submit(sampler(other.primitive_mode), rotations(1), partitions=1).wait(60)
    assert run.wait(60)
    for batch in (stuck, other):
        batch.end(running=False)


def test_a_dead_key_is_said_within_seconds_by_every_call(far, proxy, sampler, rotations, monkeypatch):
    monkeypatch.setattr("qmode_widgets.ibm.link.PAUSES", (0.1,))
    batch = opened(far)
    run = batch.submit(sampler(batch.primitive_mode), rotations(1), partitions=1)
    assert run.wait(60)
    proxy.add(Fault("status", path="/identity/token", status=400, when="before", count=10_000))
    expire_token(batch)
    for call in (batch.refresh, batch.close, batch.refresh):
        began = time.monotonic()
        with pytest.raises(UnreachableError, match="refuses the API key"):
            call()
        assert time.monotonic() - began < 45  # the SDK's own pacing makes the second one wait for a minute
    assert batch.wait_until(lambda shot: "refuses the API key" in str(shot.problem), 60)
    proxy.clear()
    monkeypatch.setattr(client, "IAM_PAUSE", 0.0)
    assert batch.wait_until(lambda shot: shot.problem is None, 60)
    batch.end(running=False)


# --- answers of the wrong shape ---------------------------------------------------------------------------------


def test_a_list_without_jobs_is_not_shown_as_fresh(far, proxy, sampler, rotations):
    batch = opened(far)
    assert batch.submit(sampler(batch.primitive_mode), rotations(1), partitions=1).wait(60)
    proxy.add(Fault("edit", "GET", "/jobs", edit=lambda page: {"jobs": None}, count=1000))
    assert batch.wait_until(lambda shot: shot.problem is not None and "jobs None" in shot.problem, 60)
    seen = batch.snapshot().seen_at
    with pytest.raises(UnreachableError, match="not a list"):
        batch.refresh()
    assert batch.snapshot().seen_at == seen
    proxy.clear()
    batch.refresh()
    assert batch.snapshot().problem is None
    batch.end(running=False)


@pytest.mark.parametrize("used", [-5, None, "six"])
def test_a_cap_that_cannot_be_computed_stops_sending(far, proxy, emulator, sampler, rotations, used):
    def spoil(answer):
        for entry in answer.get("jobs", [answer]):
            if "usage" in entry:
                entry["usage"]["qpu_charge_time_seconds"] = used
        return answer

    batch = opened(far, usage_cap=6)
    proxy.add(Fault("edit", "GET", r"/jobs|/jobs/[^/]+/metrics", edit=spoil, count=10_000))
    first = batch.submit(sampler(batch.primitive_mode), rotations(1), partitions=1)
    assert batch.wait_until(lambda shot: any("cannot be kept" in e.text for e in shot.events), 60)
    assert first.jobs[0].state is JobState.DONE
    assert batch.usage.reported is None  # and not -5, nor 0
    second = batch.submit(sampler(batch.primitive_mode), rotations(2), partitions=2)
    assert batch.wait_until(lambda shot: all("cannot be kept" in str(j.note) for j in shot.jobs[1:]), 60)
    assert len(live(emulator, batch.workload_id)) == 1
    proxy.clear()
    assert second.wait(60)
    assert [j.state for j in second.jobs] == [JobState.DONE] * 2
    batch.end(running=False)


def test_a_listing_without_programs_does_not_change_what_a_result_is(far, proxy, sampler, rotations, in_pub_order):
    def spoil(page):
        for job in page["jobs"]:
            del job["program"]
        return page

    batch = opened(far)
    proxy.add(Fault("edit", "GET", "/jobs", edit=spoil, count=10_000))
    run = batch.submit(sampler(batch.primitive_mode), rotations(2), partitions=2)
    in_pub_order(run.result(timeout=60), 2)
    batch.forget()
    again = settle(qmode.attach(batch.id, far.service))
    in_pub_order(again.result(timeout=60), 2)  # the job itself says what it ran
    again.end(running=False)


# --- closing, services, keys ------------------------------------------------------------------------------------


def test_an_interrupted_close_closes_all_the_same(far, emulator, sampler, rotations):
    session = opened(far, Session)
    emulator.faults.fail_requests(429, method="POST", path="/jobs", count=1000, retry_after=60)
    run = session.submit(sampler(session.primitive_mode), rotations(3), partitions=3)

    with pytest.raises(KeyboardInterrupt), interrupted_while_waiting(session):
        session.close()
    assert session.wait_until(lambda shot: shot.accepting_jobs is False, 60)
    assert not emulator.service._get_api_client().session_details(session.workload_id)["accepting_jobs"]
    assert {j.state for j in run.jobs} == {JobState.DROPPED}
    assert any("3 partitions are not sent" in e.text for e in session.events)


def test_a_service_that_was_restarted_is_taken_over_by_a_new_object(tmp_path, sampler, rotations):
    """Another port and another key, the same account: what waited to be sent is sent."""
    state = str(tmp_path / "state.db")
    with start(shared=False, workers=1, speed=float("inf"), state=state) as before:
        batch = opened(before.service.backend("emu_fez"))
        assert batch.submit(sampler(batch.primitive_mode), rotations(1), partitions=1).wait(60)
    with start(shared=False, workers=1, speed=float("inf"), state=state) as after:
        run = batch.submit(sampler(batch.primitive_mode), rotations(2), partitions=2)
        assert batch.wait_until(lambda shot: shot.problem is not None, 60)
        service = after.connect("emulator-payg")
        assert qmode.attach(batch.id, service) is batch
        assert batch.service is service
        assert run.wait(90)
        assert len(run.result()) == 2
        assert batch.primitive_mode.service is service
        batch.end(running=False)


def test_the_same_key_is_the_same_submission_in_this_kernel(far, emulator, sampler, rotations):
    batch = opened(far)
    pubs = rotations(4)
    first = batch.submit(sampler(batch.primitive_mode), pubs, partitions=2, key="figure 3 of the paper")
    again = batch.submit(sampler(batch.primitive_mode), pubs, partitions=2, key="figure 3 of the paper")
    assert first.id == again.id
    assert again.wait(60)
    other = opened(far)
    assert other.submit(sampler(other.primitive_mode), pubs, partitions=2, key="figure 3 of the paper").id == first.id
    assert len(live(emulator, batch.workload_id)) == 2
    assert live(emulator, other.workload_id) == {}
    with pytest.raises(qmode.SubmissionError, match="used for other work"):
        batch.submit(sampler(batch.primitive_mode), rotations(5), partitions=5, key="figure 3 of the paper")
    assert batch.submit(sampler(batch.primitive_mode), pubs, partitions=2, key="another").id != first.id
    for controller in (batch, other):
        controller.end(running=False)


CELL = """
import sys
import qmode_widgets as qmode
from qiskit import QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime.executor_sampler import Sampler
from qmode_widgets.emulator.client.launch import Emulator
from qmode_widgets.emulator.options import Options
from tests.peek import at_pace

service = Emulator(sys.argv[1], sys.argv[2], 0, Options()).connect("emulator-payg")
backend = service.backend("emu_fez")
circuit = QuantumCircuit(1)
circuit.measure_all()
isa = generate_preset_pass_manager(backend=backend, optimization_level=1).run(circuit)
controller = at_pace(qmode.BatchController.open(backend), 0.05)
run = controller.submit(Sampler(mode=controller.primitive_mode), [isa] * 5, partitions=5, key="cellrun1")
if sys.argv[3] == "dies":
    controller.wait_until(lambda shot: sum(j.job_id is not None for j in shot.jobs) == 3, 60)
else:
    print(len(run.result(timeout=90)), run.id, flush=True)
import os
os._exit(0)  # as a kernel that is killed
"""


def test_a_cell_that_runs_again_after_its_kernel_died_sends_only_what_was_not_sent(emulator):
    def cell(what):
        command = [sys.executable, "-c", CELL, emulator.url, emulator.token, what]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    emulator.faults.fail_requests(429, method="POST", path="/jobs", count=1000, skip=3, retry_after=60)
    cell("dies")
    emulator.faults.clear()
    assert cell("lives") == cell("lives") == "5 cellrun1"
    jobs = emulator.service.jobs(job_tags=["qmode:cellrun1"], limit=None)
    assert len(jobs) == len({next(t for t in j.tags if t.count(".") == 2) for j in jobs}) == 5


def test_what_a_dead_kernel_did_not_send_is_sent_though_its_batch_is_attached(emulator, backend, sampler, rotations):
    emulator.faults.fail_requests(429, method="POST", path="/jobs", count=1000, skip=3, retry_after=60)
    command = [sys.executable, "-c", CELL.replace("cellrun1", "cellrun2"), emulator.url, emulator.token, "dies"]
    assert subprocess.run(command, cwd=ROOT).returncode == 0
    emulator.faults.clear()
    (old,) = {job.session_id for job in emulator.service.jobs(job_tags=["qmode:cellrun2"], limit=None)}
    attached = qmode.attach(old, emulator.service)
    batch = opened(backend)
    pubs = rotations(5)
    with pytest.raises(qmode.SubmissionError, match="used for other work"):
        batch.submit(sampler(batch.primitive_mode), pubs, partitions=4, key="cellrun2")
    run = batch.submit(sampler(batch.primitive_mode), pubs, partitions=5, key="cellrun2")
    assert len(run.result(timeout=60)) == 5
    jobs = emulator.service.jobs(job_tags=["qmode:cellrun2"], limit=None)
    assert len(jobs) == len({next(t for t in j.tags if t.count(".") == 2) for j in jobs}) == 5
    for controller in (attached, batch):
        controller.end(running=False)


def test_an_outage_with_a_cold_backend_is_said_in_our_words(proxy, emulator, sampler, rotations):
    proxy.clear()
    service = proxy.connect(emulator)
    backend = service.backend("emu_fez")
    batch = opened(backend)
    primitive, pubs = sampler(batch.primitive_mode), rotations(1)
    backend._target = None
    proxy.add(Fault("drop", "GET", "/backends/.*", when="before", count=1000))
    with pytest.raises(UnreachableError, match="properties of emu_fez cannot be read now"):
        batch.submit(primitive, pubs)
    proxy.clear()
    batch.end(running=False)


def test_what_is_in_no_queue_is_found_and_sent(far, sampler, rotations, monkeypatch):
    batch = opened(far)
    monkeypatch.setattr(batch._workload, "send", lambda records, **_: None)  # whatever loses them
    run = batch.submit(sampler(batch.primitive_mode), rotations(2), partitions=2)
    monkeypatch.undo()
    assert run.wait(60)
    assert any("had not been queued" in e.text for e in batch.events)
    batch.end(running=False)


def test_services_that_are_let_go_take_their_threads_and_connections_with_them(proxy, emulator, sampler, rotations):
    import gc

    import psutil

    def used():
        service = proxy.connect(emulator)
        batch = opened(service.backend("emu_fez"))
        assert batch.submit(sampler(batch.primitive_mode), rotations(1), partitions=1).wait(60)
        batch.end(running=False)
        batch.forget()

    me = psutil.Process()
    proxy.clear()
    used()
    gc.collect()
    before = me.num_fds()
    for _ in range(4):
        used()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        gc.collect()
        left = me.num_fds() - before
        if left <= 2:
            break
        threading.Event().wait(0.2)
    assert left <= 2
