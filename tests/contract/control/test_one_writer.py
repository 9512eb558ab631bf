"""Money waits for nothing: what hangs, a user's code and who asks at the same time hold up no cap and no exit."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from qiskit_ibm_runtime import Batch
from qiskit_ibm_runtime.exceptions import IBMRuntimeError

import qmode_widgets as qmode
from qmode_widgets.control.registry import registry
from qmode_widgets.control.state.merge import merge
from qmode_widgets.ibm.wire import Job
from qmode_widgets.model.outcome import Closed
from qmode_widgets.model.snapshot import JobState
from qmode_widgets.model.tags import run_of
from tests.peek import at_pace, on_exit_of, peek
from tests.proxy import Fault

ROOT = Path(__file__).resolve().parents[3]
HANG = 600.0


@pytest.fixture(autouse=True)
def nothing_left_open():
    yield
    for controller in registry.all():
        controller.forget()


@pytest.fixture
def batch(backend, emulator):
    controller = qmode.BatchController.open(backend)
    yield controller
    controller.end(running=False)


def capped(batch):
    return batch.wait_until(lambda shot: shot.accepting_jobs is False, 60) and any(
        "usage cap" in e.text and "is reached" in e.text for e in batch.events
    )


def test_a_cap_acts_beside_twenty_workloads_whose_requests_hang(far, proxy, backend, sampler, rotations):
    hanging = [qmode.BatchController(Batch(far)) for _ in range(20)]
    proxy.add(Fault("hang", when="before", seconds=HANG, count=10_000))
    for controller in hanging:
        controller.submit(sampler(controller.primitive_mode), rotations(2), partitions=2)
    assert proxy.wait_until(lambda: proxy.faults["hang"] >= 20, 60)
    batch = qmode.BatchController(Batch(backend), usage_cap=2)
    run = batch.submit(sampler(batch.primitive_mode), rotations(3), partitions=3)
    assert capped(batch)
    assert run.wait(60)
    for controller in hanging:
        controller.forget()


def test_a_cap_acts_while_a_stop_condition_waits_for_a_result_that_hangs(far, proxy, sampler, rotations):
    batch = qmode.BatchController(Batch(far), usage_cap=2)
    judged = []
    batch.stop_when(lambda result, job: judged.append(job) or False)
    proxy.add(Fault("hang", "GET", "/.*/results", when="before", seconds=HANG, count=100))
    batch.submit(sampler(batch.primitive_mode), rotations(3), partitions=3)
    assert proxy.wait_until(lambda: proxy.faults["hang"] > 0, 60)
    assert capped(batch)
    assert judged == []
    proxy.clear()
    batch.end(running=False)


def test_threads_that_wrap_one_batch_get_one_controller(backend, sampler, rotations, emulator):
    mode = Batch(backend)
    barrier = threading.Barrier(4)

    def wrap(_):
        barrier.wait()
        controller = qmode.BatchController(mode)
        return controller, controller.submit(sampler(mode), rotations(1))

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(wrap, range(4)))
    assert len({id(controller) for controller, _ in made}) == 1
    assert all(run.wait(60) for _, run in made)
    assert len(made[0][0].runs) == 4
    made[0][0].end(running=False)


def test_what_a_slower_thread_gives_reaches_the_one_controller(far, proxy):
    mode = Batch(far)
    proxy.add(Fault("delay", method="GET", path=f"/sessions/{mode.session_id}", seconds=HANG))
    with ThreadPoolExecutor(1) as pool:
        slower = pool.submit(qmode.BatchController, mode, usage_cap=7, on_exit="cancel")
        assert proxy.wait_until(lambda: proxy.faults["delay"] == 1)
        first = qmode.BatchController(mode)
        assert first.usage_cap is None
        proxy.clear()
        assert slower.result(60) is first
    assert first.usage_cap == 7
    assert on_exit_of(first) == "cancel"
    first.end(running=False)


def test_a_workload_that_was_just_opened_has_been_seen(far, proxy):
    mode = Batch(far)
    proxy.add(Fault("hang", method="GET", path="/jobs", when="before", seconds=HANG, count=1000))
    controller = qmode.BatchController(mode)
    assert controller.snapshot().seen_at is not None
    controller.forget()


@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt, ZeroDivisionError])
def test_a_stop_condition_that_ends_its_thread_is_off_and_said(batch, sampler, rotations, end):
    def condition(result, job):
        raise end("in the condition")

    batch.stop_when(condition)
    first = batch.submit(sampler(batch.primitive_mode), rotations(1))
    assert first.wait(60)
    assert batch.wait_until(lambda shot: any("stop condition failed and is off" in e.text for e in shot.events), 60)
    second = batch.submit(sampler(batch.primitive_mode), rotations(1))
    assert second.wait(60)


def test_a_slow_callback_delays_no_other(batch, sampler, rotations):
    go_on, heard = threading.Event(), threading.Event()
    batch.on_change(lambda _: go_on.wait(120))
    batch.on_change(lambda shot: heard.set() if any(j.state is JobState.DONE for j in shot.jobs) else None)
    batch.submit(sampler(batch.primitive_mode), rotations(1))
    assert heard.wait(60)
    assert not go_on.is_set()
    go_on.set()


def test_a_callback_that_raises_says_so_in_the_events(batch, sampler, rotations):
    def callback(_):
        raise ZeroDivisionError("in the callback")

    batch.on_change(callback)
    batch.submit(sampler(batch.primitive_mode), rotations(1))
    assert batch.wait(60)
    assert batch.wait_until(lambda shot: any("a callback of yours failed" in e.text for e in shot.events), 60)
    assert sum("a callback of yours failed" in e.text for e in batch.events) == 1


def test_a_submission_that_is_always_answered_5xx_ends_and_names_the_way_on(batch, sampler, rotations, emulator):
    emulator.faults.fail_requests(503, method="POST", path="/jobs", count=10_000)
    with pytest.raises(IBMRuntimeError, match=r"resubmit\(\)"):
        sampler(batch.primitive_mode).run(rotations(1))
    emulator.faults.clear()
    assert next(j.state for j in batch.jobs if not j.superseded) in (JobState.REFUSED, JobState.UNKNOWN)
    assert batch.resubmit(batch.jobs[0].key).wait(60)
    assert [j.state for j in batch.jobs if not j.superseded] == [JobState.DONE]


def test_a_session_that_may_not_be_looked_at_freezes_nothing(batch, sampler, rotations, emulator):
    emulator.faults.fail_requests(403, method="GET", path=f"/sessions/{batch.workload_id}", count=10_000)
    run = batch.submit(sampler(batch.primitive_mode), rotations(2), partitions=2)
    assert run.wait(60)
    assert batch.wait_until(lambda shot: "not allowed to look" in str(shot.problem), 60)
    emulator.faults.clear()
    assert batch.wait_until(lambda shot: shot.problem is None, 60)


def test_closing_is_asked_for_until_the_service_takes_it(batch, emulator):
    emulator.faults.fail_requests(503, method="PATCH", path=f"/sessions/{batch.workload_id}", count=12)
    assert batch.close().result is Closed.CLOSED
    assert not emulator.service._get_api_client().session_details(batch.workload_id)["accepting_jobs"]


KEYED = """
import sys, os, time
import qmode_widgets as qmode
from qiskit import QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime.executor_sampler import Sampler
from qmode_widgets.emulator.client.launch import Emulator
from qmode_widgets.emulator.options import Options
from qmode_widgets.control import key
from qmode_widgets.portal import clock

clock.run(20.0)
key.TURN = float(sys.argv[4])
service = Emulator(sys.argv[1], sys.argv[2], 0, Options()).connect("emulator-payg")
backend = service.backend("emu_fez")
circuit = QuantumCircuit(1)
circuit.measure_all()
isa = generate_preset_pass_manager(backend=backend, optimization_level=1).run(circuit)
controller = qmode.BatchController.open(backend)
sampler = Sampler(mode=controller.primitive_mode)
print("ready", flush=True)
sys.stdin.readline()
run = controller.submit(sampler, [isa] * 4, partitions=4, key=sys.argv[3])
print(len(run.result(timeout=120)), flush=True)
controller.end(running=False)
os._exit(0)
"""


def kernel_with(emulator, key, turn, machine=None):
    """A kernel that submits four partitions under the key as soon as it hears something; `machine` is the runtime
    directory of another one.
    """
    command = [sys.executable, "-W", "ignore", "-c", KEYED, emulator.url, emulator.token, key, str(turn)]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | ({"JUPYTER_RUNTIME_DIR": str(machine)} if machine is not None else {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def done_of(emulator, key):
    """The keys of the partitions that ran."""
    jobs = emulator.service.jobs(job_tags=[f"qmode:{run_of(key)}"], limit=None)
    return sorted(next(t for t in j.tags if t.count(".") == 2) for j in jobs if j.status() == "DONE")


def test_two_kernels_that_submit_one_key_at_the_same_moment_pay_once(emulator):
    kernels = [kernel_with(emulator, "raceofkeys", 60) for _ in range(2)]
    for kernel in kernels:
        assert kernel.stdout.readline() == "ready\n"
    for kernel in kernels:
        kernel.stdin.write("\n")
        kernel.stdin.flush()
    assert [kernel.communicate(timeout=200)[0] for kernel in kernels] == ["4\n", "4\n"]
    done = done_of(emulator, "raceofkeys")
    assert len(done) == len(set(done)) == 4


def test_a_kernel_sends_nothing_of_a_key_that_another_one_still_sends(far, proxy, emulator, sampler, rotations):
    batch = at_pace(qmode.BatchController(Batch(far)))
    proxy.add(Fault("status", "POST", "/jobs", when="before", status=429, count=10_000))
    primitive, pubs = sampler(batch.primitive_mode), rotations(4)
    with ThreadPoolExecutor(2) as pool:  # two threads of one kernel do not wait for each other's turn
        runs = list(
            pool.map(lambda _: batch.submit(primitive, pubs, partitions=4, key="one turn each"), range(2), timeout=30)
        )
    assert runs[0].id == runs[1].id
    assert len(batch.jobs) == 4
    _, said = kernel_with(emulator, "one turn each", 1).communicate("\n", timeout=100)
    assert "SubmissionError: key='one turn each': another kernel of this machine is still sending it after 1 s" in said
    assert emulator.service.jobs(job_tags=[f"qmode:{runs[0].id}"], limit=None) == []
    proxy.clear()
    assert runs[0].wait(60)
    told, _ = kernel_with(emulator, "one turn each", 1).communicate("\n", timeout=100)
    assert told == "ready\n4\n"
    assert len(done_of(emulator, "one turn each")) == 4
    batch.end(running=False)


def test_what_another_machine_sent_while_this_one_was_held_back_is_not_paid_twice(
    far, proxy, emulator, sampler, rotations, tmp_path
):
    batch = at_pace(qmode.BatchController(Batch(far)))
    proxy.add(Fault("status", "POST", "/jobs", when="before", status=429, count=10_000))
    run = batch.submit(sampler(batch.primitive_mode), rotations(4), partitions=4, key="two machines")
    told, _ = kernel_with(emulator, "two machines", 1, tmp_path).communicate("\n", timeout=100)
    assert told == "ready\n4\n"
    proxy.clear()
    assert run.wait(60)
    assert len(emulator.service.jobs(job_tags=[f"qmode:{run.id}"], limit=None)) == 4
    assert len(run.result(timeout=60)) == 4
    batch.end(running=False)


def test_a_key_works_where_no_lock_file_can_be_kept_and_says_so(batch, sampler, rotations, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "file" / "runtime"))
    runs = [
        at_pace(batch).submit(sampler(batch.primitive_mode), rotations(2), partitions=2, key="no lock")
        for _ in range(2)
    ]
    assert runs[0].id == runs[1].id
    assert runs[0].wait(60)
    assert len(batch.jobs) == 2
    assert any("cannot take turns for 'no lock'" in e.text for e in batch.events)


EXITS = """
import sys
import qmode_widgets as qmode
from qiskit import QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime.executor_sampler import Sampler
from qmode_widgets.emulator.client.launch import Emulator
from qmode_widgets.emulator.options import Options
from tests.proxy import Fault, Proxy

emulator = Emulator(sys.argv[1], sys.argv[2], 0, Options())
proxy = Proxy(emulator.url).__enter__()
backend = proxy.connect(emulator).backend("emu_fez")
circuit = QuantumCircuit(1)
circuit.measure_all()
isa = generate_preset_pass_manager(backend=backend, optimization_level=1).run(circuit)
sessions = [qmode.SessionController.open(backend) for _ in range(3)]
print(*(s.workload_id for s in sessions), flush=True)
if sys.argv[3] == "queued":
    batch = qmode.BatchController.open(backend, on_exit="cancel")
    sampler = Sampler(mode=batch.primitive_mode)
    batch.submit(sampler, [isa] * 2, partitions=2)
    batch.wait_until(lambda shot: all(j.job_id for j in shot.jobs), 60)
    print(batch.workload_id, flush=True)
if sys.argv[3] == "hangs":
    proxy.add(Fault("hang", "PATCH", when="before", seconds=600, count=100))
"""


@pytest.mark.parametrize("service", ["answers", "hangs"])
def test_all_sessions_are_closed_when_their_kernel_exits_and_a_service_that_hangs_is_left(emulator, service):
    command = [sys.executable, "-W", "ignore", "-c", EXITS, emulator.url, emulator.token, service]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    ids = done.stdout.split()
    assert len(ids) == 3
    details = [emulator.service._get_api_client().session_details(id_) for id_ in ids]
    assert [d["accepting_jobs"] for d in details] == [service == "hangs"] * 3
    for id_ in ids:
        emulator.service._get_api_client().cancel_session(id_)


def test_on_exit_cancel_cancels_the_queue_too(emulator):
    emulator.faults.pause(queue=True)
    command = [sys.executable, "-W", "ignore", "-c", EXITS, emulator.url, emulator.token, "queued"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    batch = done.stdout.split()[-1]
    jobs = emulator.service.jobs(session_id=batch, limit=10)
    assert [job.status() for job in jobs] == ["CANCELLED", "CANCELLED"]


def test_what_a_listing_shows_of_others_is_neither_billed_nor_cancelled(backend, sampler, rotations, emulator):
    """A service that ignores the filter shows every job of the account."""
    theirs = sampler(backend).run(rotations(1))
    emulator.faults.pause(queue=True)
    batch = qmode.BatchController.open(backend)
    run = batch.submit(sampler(batch.primitive_mode), rotations(1))
    assert batch.wait_until(lambda _: run.jobs[0].job_id is not None, 60)
    listed = [Job.of(job) for job in emulator.service._get_api_client().jobs_get(limit=50)["jobs"]]
    peek(batch, lambda ledger: merge(ledger, listed, scope=batch.workload_id))
    assert theirs.job_id() in {job.id for job in listed}
    assert [j.job_id for j in batch.jobs] == [run.jobs[0].job_id]
    emulator.faults.resume()
    batch.end(running=False)
