"""Whatever happens to a submission's answer, each partition runs once, or the duplicate is cancelled and reported."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import qmode_widgets as qmode
from qmode_widgets.model.outcome import Cancelled
from qmode_widgets.model.snapshot import JobState
from tests.examples import examples
from tests.peek import at_pace


@pytest.fixture
def batch(backend, emulator):
    controller = qmode.BatchController.open(backend)
    at_pace(controller)  # the test's listings lag less than real ones may
    yield controller
    controller.end(running=False)


def live(service, batch):
    """Jobs on the service by the key of their attempt, cancelled ones aside."""
    found: dict[str, list[str]] = {}
    for job in service.jobs(session_id=batch.workload_id, limit=None):
        key = next(t for t in job.tags if t.count(".") == 2)
        if job.status() != "CANCELLED":
            found.setdefault(key, []).append(job.job_id())
    return found


FAULTS = {
    "504 after creation": lambda f: f.fail_requests(504, method="POST", path="/jobs", when="after"),
    "504 before creation": lambda f: f.fail_requests(504, method="POST", path="/jobs", when="before"),
    "500 after creation": lambda f: f.fail_requests(500, method="POST", path="/jobs", when="after"),
    "503 before creation": lambda f: f.fail_requests(503, method="POST", path="/jobs", when="before"),
    "answer dropped": lambda f: f.drop(method="POST", path="/jobs", when="after"),
    "request dropped": lambda f: f.drop(method="POST", path="/jobs", when="before"),
    "answer cut short": lambda f: f.truncate(method="POST", path="/jobs"),
    "429 with Retry-After": lambda f: f.fail_requests(429, method="POST", path="/jobs", retry_after=0.2),
    "429 without": lambda f: f.fail_requests(429, method="POST", path="/jobs"),
    "token expired": lambda f: f.expire_token(),
    "listing down": lambda f: f.fail_requests(503, method="GET", path="/jobs", count=2),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_partition_runs_once(batch, sampler, rotations, in_pub_order, emulator, service, fault):
    FAULTS[fault](emulator.faults)
    run = batch.submit(sampler(batch.primitive_mode), rotations(4), partitions=4)
    in_pub_order(run.result(timeout=60), 4)
    emulator.faults.clear()
    assert sorted(map(len, live(service, batch).values())) == [1, 1, 1, 1]


@examples(6, shared=True)
@given(st.lists(st.sampled_from(sorted(FAULTS)), min_size=2, max_size=5))
def test_each_partition_runs_once_under_any_mix(backend, sampler, rotations, in_pub_order, emulator, service, faults):
    batch = qmode.BatchController.open(backend)
    at_pace(batch)
    for fault in faults:
        FAULTS[fault](emulator.faults)
    try:
        run = batch.submit(sampler(batch.primitive_mode), rotations(3), partitions=3)
        in_pub_order(run.result(timeout=90), 3)
        emulator.faults.clear()
        assert sorted(map(len, live(service, batch).values())) == [1, 1, 1]
    finally:
        emulator.faults.clear()
        batch.end(running=False)


def test_a_listing_that_lags_is_waited_for(batch, sampler, rotations, emulator, service):
    emulator.faults.lag_listings(0.6)
    emulator.faults.drop(method="POST", path="/jobs", when="after")
    run = batch.submit(sampler(batch.primitive_mode), rotations(2), partitions=2)
    assert run.wait(60)
    emulator.faults.clear()
    assert sorted(map(len, live(service, batch).values())) == [1, 1]


@pytest.mark.parametrize("ran", [False, True])
def test_a_double_that_turns_up_late_is_reported_and_cancelled_if_it_has_not_run(sampler, rotations, emulator, ran):
    """How late a listing is cannot be told from a single submission: should it lag longer than we wait, a second job is
    made, and must be reported.
    """
    service = emulator.connect("emulator-payg")
    batch = qmode.BatchController.open(service.backend("emu_fez"))
    at_pace(batch)
    if not ran:
        emulator.faults.pause(queue=True)
    emulator.faults.lag_listings(3600)
    emulator.faults.drop(method="POST", path="/jobs", when="after")
    batch.submit(sampler(batch.primitive_mode), rotations(1), partitions=1)
    assert batch.wait_until(lambda shot: shot.jobs[0].job_id is not None, 60)  # posted again
    emulator.faults.lag_listings(0)
    assert batch.wait_until(lambda shot: any("duplicate" in e.text for e in shot.events), 60)
    emulator.faults.clear()
    assert batch.wait(60)
    assert batch.wait_until(lambda shot: any("the second job" in e.text for e in shot.events), 60)
    assert [len(v) for v in live(service, batch).values()] == [2 if ran else 1]
    told = next(e.text for e in batch.events if "the second job" in e.text)
    assert ("which is billed" in told) == ran
    batch.end(running=False)


def test_a_cancel_while_in_doubt_is_carried_out_when_the_job_is_found(batch, sampler, rotations, emulator, service):
    emulator.faults.pause(queue=True)
    emulator.faults.lag_listings(3600)
    emulator.faults.drop(method="POST", path="/jobs", when="after")
    batch.submit(sampler(batch.primitive_mode), rotations(1), partitions=1)
    assert batch.wait_until(lambda shot: shot.jobs[0].state is JobState.UNKNOWN, 60)
    assert batch.cancel(batch.jobs[0]).result is Cancelled.WHEN_FOUND
    emulator.faults.lag_listings(0)
    assert batch.wait(60)
    emulator.faults.clear()
    assert live(service, batch) == {}


def test_refused_partitions_say_why_and_cost_nothing(batch, sampler, rotations, emulator, service):
    """Closed from elsewhere between submission and sending."""
    emulator.faults.fail_requests(429, method="POST", path="/jobs", retry_after=0.2, count=1000)
    run = batch.submit(sampler(batch.primitive_mode), rotations(2), partitions=2)
    service._get_api_client().close_session(batch.workload_id)
    emulator.faults.clear()
    assert run.wait(60)
    assert [j.state for j in run.jobs] == [JobState.REFUSED] * 2
    assert ["1217" in (j.note or "") for j in run.jobs] == [True] * 2
    assert batch.usage.reported is None


def test_another_instance_made_active_mid_submission_changes_nothing(emulator, sampler, rotations):
    """Listing another instance's jobs switches the client's active instance; our own posts must not follow it."""
    service = emulator.connect()
    plans = {i["plan"]: i["crn"] for i in service.instances()}
    backend = service.backend(sorted(b.name for b in service.backends())[0], instance=plans["pay-as-you-go"])
    batch = qmode.BatchController.open(backend)
    emulator.faults.delay(0.3, method="POST", path="/jobs", count=4)
    run = batch.submit(sampler(batch.primitive_mode), rotations(4), partitions=4)
    service.jobs(instance=plans["open"], limit=1)
    assert run.wait(60)
    assert [j.state for j in run.jobs] == [JobState.DONE] * 4
    assert service.jobs(instance=plans["open"], session_id=batch.workload_id, limit=5) == []
    batch.end(running=False)


CHILD = """
import sys, threading
import qmode_widgets as qmode
from qmode_widgets.emulator.client.launch import Emulator
from qmode_widgets.emulator.options import Options
from qiskit import QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime.executor_sampler import Sampler

backend = Emulator(sys.argv[1], sys.argv[2], 0, Options()).service.least_busy()
circuit = QuantumCircuit(1)
circuit.x(0)
circuit.measure_all()
isa = generate_preset_pass_manager(backend=backend, optimization_level=1).run(circuit)
batch = qmode.BatchController.open(backend)
run = batch.submit(Sampler(mode=batch.primitive_mode), [isa] * 4, partitions=4)
batch.wait_until(lambda shot: shot.jobs[0].job_id is not None, 60)
print(batch.id, run.id, flush=True)
threading.Event().wait()
"""


def test_a_kernel_killed_midway_leaves_a_workload_that_can_be_attached(emulator):
    """What was sent is found in its place; what was not is named."""
    emulator.faults.hang(60, method="POST", path="/jobs", when="after", skip=1, count=3)
    command = [sys.executable, "-c", CHILD, emulator.url, emulator.token]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child.stdout:
        batch_id, run_id = child.stdout.readline().split()
        child.kill()
        child.wait()
    controller = qmode.attach(batch_id, emulator.connect("emulator-payg"))
    assert controller.wait(60)
    found = controller.runs[0]
    assert found.id == run_id
    sent = [j.partition for j in found.jobs]
    assert sent in ([0], [0, 1])  # the second was on its way when the kernel died
    assert [j.pubs for j in found.jobs] == [str(i) for i in sent]
    missing = ", ".join(str(i + 1) for i in range(4) if i not in sent)
    assert any(f"partitions {missing} of 4 were never sent" in e.text for e in controller.events)
    assert len(controller.partial_result().pubs) == len(sent)
    controller.end(running=False)
