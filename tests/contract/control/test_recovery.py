"""A fresh process rebuilds a workload from the service alone."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import qmode_widgets as qmode
from qmode_widgets.model.outcome import Closed

CHILD = """
import sys
import qmode_widgets as qmode
from qmode_widgets.emulator.client.launch import Emulator
from qmode_widgets.emulator.options import Options

service = Emulator(sys.argv[1], sys.argv[2], 0, Options()).connect("emulator-payg")
controller = qmode.attach(sys.argv[3], service)
assert controller.wait(60)
run = controller.runs[0]
print(type(controller).__name__, controller.id, run.id, len(run.jobs), controller.snapshot().jobs[0].group)
print([j.pubs for j in run.jobs], [j.attempt for j in run.jobs])
for pub in run.result():
    print(pub.data.meas.get_counts().get("1", 0) / pub.data.meas.num_shots)
"""


def fresh(emulator, id_):
    command = [sys.executable, "-c", CHILD, emulator.url, emulator.token, id_]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    head, layout, *values = done.stdout.splitlines()
    return head.split(), layout, [float(v) for v in values]


@pytest.mark.parametrize("mode", ["batch", "session", "job"])
def test_partitions_attempts_and_order_are_rebuilt(backend, sampler, rotations, emulator, mode):
    kind = {"batch": qmode.BatchController, "session": qmode.SessionController, "job": qmode.JobController}[mode]
    controller = kind.open(backend)
    emulator.faults.fail_jobs(1, skip=1)
    if mode == "session":
        with controller.iteration("step 7"):
            run = controller.submit(sampler(controller.primitive_mode), rotations(7), partitions=3)
    else:
        run = controller.submit(sampler(controller.primitive_mode), rotations(7), partitions=3)
    assert run.wait(60)
    controller.resubmit_failed()
    assert run.wait(60)
    head, layout, values = fresh(emulator, controller.id)
    assert head[:4] == [kind.__name__, controller.id, run.id, "3"]
    assert layout == str([j.pubs for j in run.jobs]) + " " + str([j.attempt for j in run.jobs])
    assert sorted(j.attempt for j in run.jobs) == [0, 0, 1]
    assert values == pytest.approx([i / 6 for i in range(7)], abs=0.15)
    if mode == "session":
        assert " ".join(head[4:]) == "step 7"
    by_job, _, _ = fresh(emulator, controller.jobs[0].job_id)
    assert by_job[2] == run.id
    if mode != "job":
        controller.end(running=False)


def test_lost_jobs_of_a_parameter_split_are_put_back_in_shape(backend, sampler, rotations, emulator):
    import numpy as np

    circuit = rotations(1)[0][0]
    angles = np.linspace(0, np.pi, 6).reshape(2, 3, 1)
    parts = qmode.partition([(circuit, angles)], backend, shots=200, jobs=2)
    jobs = qmode.JobController.open(backend)
    whole = jobs.submit(sampler(backend, shots=200), [(circuit, angles)], partitions=parts).result(timeout=60)
    jobs.forget()
    again = qmode.attach(jobs.id, emulator.service)
    assert again is not jobs
    assert again.wait(60)
    assert again.result()[0].data.meas.shape == whole[0].data.meas.shape == (2, 3)
    assert again.result()[0].data.meas.get_counts() == whole[0].data.meas.get_counts()


NEVER_SENT = """
import sys
import qmode_widgets as qmode
from qiskit_ibm_runtime.executor_sampler import Sampler
from qmode_widgets.emulator.client.launch import Emulator
from qmode_widgets.emulator.options import Options
from qmode_widgets.model.partition import Partition, Piece
from qmode_widgets.model.snapshot import JobState
from qiskit import QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager

service = Emulator(sys.argv[1], sys.argv[2], 0, Options()).connect("emulator-payg")
backend = service.backend("emu_fez")
circuit = QuantumCircuit(1)
circuit.measure_all()
isa = generate_preset_pass_manager(backend=backend, optimization_level=1).run(circuit)
batch = qmode.BatchController.open(backend)
parts = [Partition((Piece(0, shots=50),)), Partition((Piece(1),)), Partition((Piece(0, shots=50),))]
batch.submit(Sampler(mode=batch.primitive_mode), [(isa, None, 100)] * 2, partitions=parts)
done = lambda shot: sum(j.state is JobState.DONE for j in shot.jobs) == 2 and "asked to wait" in str(shot.jobs[2].note)
assert batch.wait_until(done, 60)
print(batch.id, flush=True)
"""


def test_partitions_that_the_kernel_took_with_it_are_missing_and_half_the_shots_are_no_result(emulator):
    emulator.faults.fail_requests(429, method="POST", path="/jobs", count=1000, skip=2, retry_after=60)
    command = [sys.executable, "-c", NEVER_SENT, emulator.url, emulator.token]
    done = subprocess.run(command, capture_output=True, text=True)
    emulator.faults.clear()
    assert done.returncode == 0, done.stderr
    batch = qmode.attach(done.stdout.strip(), emulator.service)
    assert batch.wait(60)
    partial = batch.partial_result()
    assert not partial.complete
    assert (set(partial.pubs), set(partial.pieces), partial.unknown) == ({1}, {0}, (2,))
    assert "partitions 3 carry" in str(partial)
    with pytest.raises(qmode.IncompleteResultError, match="partition 3 was never sent"):
        batch.result()
    batch.end(running=False)


@pytest.mark.parametrize("id_", ["", "  ", "nonsense", "00000000-0000-4000-8000-000000000000", "abcd1234"])
def test_an_id_nobody_knows_is_refused_with_where_it_was_looked_for(emulator, id_):
    with pytest.raises(qmode.QmodeError, match=r"no id|emulator-payg"):
        qmode.attach(id_, emulator.service)


def test_attaching_what_is_watched_gives_the_same_controller(backend, emulator):
    batch = qmode.BatchController.open(backend)
    assert qmode.attach(batch.id, emulator.service) is batch
    batch.end(running=False)


def test_open_workloads_are_listed_and_orphans_marked_and_closed(backend, emulator):
    from qiskit_ibm_runtime import Session

    orphan = Session(backend)
    watched = qmode.BatchController.open(backend)
    found = {w.id: w for w in qmode.workloads(emulator.service)}
    assert found[orphan.session_id].watched is False
    assert found[orphan.session_id].mode == "session"
    assert found[watched.id].watched is True
    shown = {line.split()[4]: line for line in repr(qmode.workloads(emulator.service)).splitlines() if "·" in line}
    assert re.match(r"Session · .* not watched here$", shown[orphan.session_id])
    assert re.search(r" open .* this kernel$", shown[watched.id])
    assert found[orphan.session_id].close().result is Closed.CLOSED
    listed = qmode.workloads(emulator.service)
    assert orphan.session_id not in {w.id for w in listed}
    assert "other users" in repr(listed)
    watched.end(running=False)


def test_the_bill_of_a_session_is_the_clocks_in_every_view(sampler, rotations):
    """What the account's listing tells is the QPU time of its jobs; a session is billed for its idle time too."""
    from qiskit_ibm_runtime import Session

    with qmode.emulator.start(shared=False, workers=1, speed=float("inf")) as emulator:
        unwatched = Session(emulator.service.backend("emu_fez"))
        sampler(unwatched).run(rotations(1)).result()
        emulator.faults.advance_clock(20)
        [row] = [w for w in qmode.workloads(emulator.service) if w.id == unwatched.session_id]
        assert row.usage_seconds > 20
        controller = row.attach()
        controller.refresh()
        [line] = [line for line in repr(qmode.workloads(emulator.service)).splitlines() if row.id in line]
        assert f"{controller.usage.reported:.1f} s used" in line
        controller.end(running=False)


def test_without_an_account_both_ways_out_are_named(monkeypatch, tmp_path):
    import os

    from qiskit_ibm_runtime.accounts import management

    for name in [n for n in os.environ if n.startswith("QISKIT_IBM")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(management, "_DEFAULT_ACCOUNT_CONFIG_JSON_FILE", str(tmp_path / "none.json"))
    with pytest.raises(qmode.QmodeError, match=r"save_account.*emulator\.start"):
        qmode.workloads()


def test_more_open_workloads_than_one_page_holds_are_all_listed(backend, emulator):
    from qiskit_ibm_runtime import Batch

    opened = [Batch(backend) for _ in range(52)]
    found = {w.id for w in qmode.workloads(emulator.service)}
    assert {b.session_id for b in opened} <= found
    for batch in opened:
        batch.close()
