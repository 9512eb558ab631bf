"""What a state file keeps across restarts, and how durations, loads and limits are set."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime

import pytest
from qiskit_ibm_runtime import Batch, QiskitRuntimeService, Session
from qiskit_ibm_runtime.exceptions import IBMNotAuthorizedError, IBMRuntimeError
from qiskit_ibm_runtime.executor_sampler import Sampler

from qmode_widgets.emulator import start

from .test_workloads import ask

INF = float("inf")


def test_jobs_batches_and_results_survive_a_killed_service(tmp_path, bell):
    state = str(tmp_path / "state.sqlite")
    with start(shared=False, workers=1, speed=INF, state=state) as emulator:
        backend = emulator.service.backend("emu_fez")
        batch = Batch(backend=backend, max_time=600)
        done = Sampler(mode=batch).run([bell], shots=100)
        counts = done.result()[0].data.meas.get_counts()
        closed = Batch(backend=backend)
        closed.close()
        emulator.faults.pause()
        waiting = [Sampler(mode=batch).run([bell], shots=10) for _ in range(7)]
        alone = Sampler(mode=backend).run([bell], shots=10)
        waiting[6].cancel()
        batch.close()
        emulator.faults.wait_for(waiting[0].job_id(), "Running")
        details = batch.details()
        used = emulator.service.usage()["usage_consumed_seconds"]
        os.kill(emulator.pid, signal.SIGKILL)

    with start(shared=False, workers=1, speed=INF, state=state) as emulator:
        service: QiskitRuntimeService = emulator.service
        assert service.job(done.job_id()).result()[0].data.meas.get_counts() == counts
        assert service.usage()["usage_consumed_seconds"] >= used
        emulator.faults.wait_for(batch.session_id, "closed")
        again = Batch.from_id(batch.session_id, service)
        after = again.details()
        assert {k: after[k] for k in ("id", "mode", "max_time", "started_at")} == {
            k: details[k] for k in ("id", "mode", "max_time", "started_at")
        }
        assert [service.job(job.job_id()).status() for job in waiting] == ["DONE"] * 6 + ["CANCELLED"]
        assert again.usage() == 7 * 2
        emulator.faults.wait_for(alone.job_id(), "Completed")
        assert Batch.from_id(closed.session_id, service).status() == "Closed"
        assert len(service.jobs(limit=None)) == 9


def test_a_max_ttl_goes_on_while_the_service_is_down(tmp_path, bell):
    state = str(tmp_path / "state.sqlite")
    with start(shared=False, workers=1, speed=INF, state=state) as emulator:
        backend = emulator.service.backend("emu_fez")
        batch = Batch(backend=backend, max_time=600)
        Sampler(mode=batch).run([bell], shots=10).result()
        started = datetime.fromisoformat(batch.details()["started_at"])
    with start(shared=False, workers=1, speed=INF, state=state) as emulator:
        passed = (datetime.now(UTC) - started).total_seconds()  # with the time in which there was no service
        emulator.faults.advance_clock(600 - passed)
        emulator.faults.wait_for(batch.session_id, "closed")
        details = Batch.from_id(batch.session_id, emulator.service).details()
        assert details["max_time"] == 600
        lived = datetime.fromisoformat(details["closed_at"]) - started
        assert lived.total_seconds() == pytest.approx(600, abs=0.01)
        assert len(emulator.service.jobs(limit=None)) == 1


def test_a_backend_that_is_gone_fails_its_jobs(tmp_path, bell):
    state = str(tmp_path / "state.sqlite")
    with start(shared=False, workers=1, speed=INF, state=state) as emulator:
        emulator.faults.pause(queue=True)
        backend = emulator.service.backend("emu_fez")
        job = Sampler(mode=backend).run([bell], shots=10)
        Batch(backend=backend)
    with start(shared=False, workers=1, speed=INF, state=state, backends="emu_torino") as emulator:
        assert emulator.faults.wait_for(job.job_id(), "Failed")
        assert emulator.admin.get("ping")["busy"] is False


@pytest.fixture(scope="module")
def slow():
    """A service whose jobs take their time, which `advance_clock` lets pass: ten minutes in the queue, a tenth of the
    QPU's speed, and the rate limit.
    """
    with start(shared=False, workers=1, speed=0.1, queue_wait=600, rate_limit=True) as running:
        yield running


@pytest.fixture
def driven(slow):
    """The same, with nothing left over; use a client of your own."""
    yield slow
    slow.faults.clear()
    slow.faults.advance_clock(10_000)


def test_durations_follow_the_model_divided_by_the_speed(driven, bell):
    backend = driven.connect("emulator-payg").backend("emu_fez")
    job = Sampler(mode=backend).run([bell], shots=8000)  # 1.6 s + 8000 × 257 µs
    driven.faults.advance_clock(600)
    driven.faults.wait_for(job.job_id(), "Running")
    driven.faults.advance_clock(600)
    driven.faults.wait_for(job.job_id(), "Completed")
    times = {k: datetime.fromisoformat(v) for k, v in job.metrics()["timestamps"].items()}
    assert (times["running"] - times["created"]).total_seconds() == pytest.approx(600, abs=0.01)
    prep, qpu = 1 + 0.01 + 8000 * 2e-6, 1.6 + 8000 * 256.7e-6
    assert (times["finished"] - times["running"]).total_seconds() == pytest.approx((prep + qpu) / 0.1, abs=0.1)
    (span,) = job.result().metadata["executor"].chunk_timing
    assert (span.stop - span.start).total_seconds() == pytest.approx(qpu / 0.1, abs=0.1)
    assert job.usage() == 4


def test_partial_usage_counts_up_on_the_qpu(driven, bell):
    service = driven.connect("emulator-payg")
    job = Sampler(mode=service.backend("emu_fez")).run([bell], shots=400_000)  # 103 s: here 1,030 s
    driven.faults.advance_clock(600)
    driven.faults.wait_for(job.job_id(), "Running")
    driven.faults.advance_clock(500)
    assert 1 <= job.usage(partial=True) < 100
    assert job.usage() == 0
    job.cancel()
    assert 1 <= service.job(job.job_id()).usage() < 100


def test_each_user_may_submit_five_jobs_a_minute_of_the_emulators_own(driven, bell):
    mine, theirs = (driven.connect("emulator-payg", colleague=c).backend("emu_fez") for c in (False, True))
    driven.faults.pause(queue=True)
    jobs = [Sampler(mode=backend).run([bell], shots=10) for backend in (mine, theirs) for _ in range(5)]
    with pytest.raises(IBMRuntimeError, match="1202"):
        Sampler(mode=mine).run([bell], shots=10)
    refused = ask(driven, "POST", "/jobs", json={"program_id": "executor", "backend": "emu_fez", "params": {}})
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 600  # a minute at a tenth of the speed
    driven.faults.advance_clock(600)
    jobs.append(Sampler(mode=mine).run([bell], shots=10))
    assert jobs[-1].status() == "QUEUED"
    for job in jobs:
        job.cancel()


def test_an_expired_token_is_refused(driven):
    service = driven.connect("emulator-payg")
    service.jobs()
    driven.faults.expire_token()
    with pytest.raises(IBMNotAuthorizedError, match="401"):
        service.jobs()
    assert driven.connect("emulator-payg").jobs() is not None


def test_a_session_runs_among_other_users_and_calibrations(bell):
    busy = {"other_users": 0.5, "calibration_every": 1.0, "calibration_seconds": 0.2, "lanes": 2}
    with start(shared=False, workers=1, speed=50.0, **busy) as emulator:
        backend = emulator.service.backend("emu_fez")
        with Session(backend=backend) as session:
            jobs = [Sampler(mode=session).run([bell], shots=10) for _ in range(4)]
            spans = sorted((job.result().metadata["executor"].chunk_timing[0] for job in jobs), key=lambda s: s.start)
        times = [t for span in spans for t in (span.start, span.stop)]
        assert len(times) == 8
        assert times == sorted(times)
        emulator.faults.wait_for(session.session_id, "closed")


def test_jitter_is_seeded(bell):
    def estimates(seed):
        with start(shared=False, workers=1, speed=INF, jitter=1.0, seed=seed) as emulator:
            backend = emulator.service.backend("emu_fez")
            jobs = [Sampler(mode=backend).run([bell], shots=1) for _ in range(6)]
            for job in jobs:
                job.wait_for_final_state()
            return [job.usage() for job in jobs]

    first = estimates(1)
    assert first == estimates(1) != estimates(2)
    assert len(set(first)) > 1


def test_memory_keeps_the_newest_jobs(bell):
    with start(shared=False, workers=1, speed=INF, keep=100) as emulator:
        backend = emulator.service.backend("emu_fez")
        first = Sampler(mode=backend).run([bell], shots=1).job_id()
        params = ask(emulator, "GET", f"/jobs/{first}").json()["params"]
        body = {"program_id": "executor", "backend": "emu_fez", "params": params}
        jobs = [ask(emulator, "POST", "/jobs", json=body).json()["id"] for _ in range(104)]
        for job in jobs[-10:]:  # they end in any order
            emulator.faults.wait_for(job, "Completed")
        listed = [job["id"] for job in ask(emulator, "GET", "/jobs?limit=200").json()["jobs"]]
        assert listed == jobs[:-101:-1]
        assert emulator.service.usage()["usage_consumed_seconds"] == 2 * 105
