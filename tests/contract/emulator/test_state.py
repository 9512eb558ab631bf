"""What a state file keeps across restarts, and how durations, loads and limits are set."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from qiskit_ibm_runtime import Batch, QiskitRuntimeService, Session
from qiskit_ibm_runtime.exceptions import IBMNotAuthorizedError, IBMRuntimeError
from qiskit_ibm_runtime.executor_sampler import Sampler

from qmode_widgets.emulator import start

from ..conftest import bell_on
from .test_workloads import ask

INF = float("inf")


@pytest.fixture(scope="module")
def restarted(tmp_path_factory, bell):
    """A service that was killed and started again on its state and port, without the backend `emu_torino`; what was
    submitted to it before.
    """
    state = str(tmp_path_factory.mktemp("state") / "state.sqlite")
    before = SimpleNamespace(state=state)
    with start(shared=False, workers=1, speed=INF, state=state) as emulator:
        before.service = emulator.service
        backend, torino = (before.service.backend(name) for name in ("emu_fez", "emu_torino"))
        before.timed = Batch(backend=backend, max_time=600)
        before.jobs = [Sampler(mode=before.timed).run([bell], shots=10)]
        before.kept = Batch(backend=backend)
        before.first = Sampler(mode=before.kept).run([bell], shots=10)
        before.batch = Batch(backend=backend, max_time=600)
        before.done = Sampler(mode=before.batch).run([bell], shots=100)
        before.jobs += [before.first, before.done]
        for job in before.jobs:
            job.result()
        before.counts = before.done.result()[0].data.meas.get_counts()
        before.closed = Batch(backend=backend)
        before.closed.close()
        emulator.faults.pause()
        before.waiting = [Sampler(mode=before.batch).run([bell], shots=10) for _ in range(7)]
        before.alone = Sampler(mode=backend).run([bell], shots=10)
        before.gone = Sampler(mode=torino).run([bell_on(torino)], shots=10)
        Batch(backend=torino)
        before.waiting[6].cancel()
        before.batch.close()
        emulator.faults.wait_for(before.waiting[0].job_id(), "Running")
        before.jobs += [*before.waiting, before.alone, before.gone]
        before.details = before.batch.details()
        before.used = before.service.usage()["usage_consumed_seconds"]
        port = int(emulator.url.rsplit(":", 1)[1])
        os.kill(emulator.pid, signal.SIGKILL)
    with start(shared=False, workers=1, speed=INF, state=state, port=port, backends="emu_fez") as emulator:
        before.emulator = emulator
        yield before


def test_jobs_batches_and_results_survive_a_killed_service(restarted):
    before, emulator = restarted, restarted.emulator
    service: QiskitRuntimeService = emulator.service
    assert service.job(before.done.job_id()).result()[0].data.meas.get_counts() == before.counts
    assert service.usage()["usage_consumed_seconds"] >= before.used
    emulator.faults.wait_for(before.batch.session_id, "closed")
    again = Batch.from_id(before.batch.session_id, service)
    after = again.details()
    assert {k: after[k] for k in ("id", "mode", "max_time", "started_at")} == {
        k: before.details[k] for k in ("id", "mode", "max_time", "started_at")
    }
    assert [service.job(job.job_id()).status() for job in before.waiting] == ["DONE"] * 6 + ["CANCELLED"]
    assert again.usage() == 7 * 2
    emulator.faults.wait_for(before.alone.job_id(), "Completed")
    assert Batch.from_id(before.closed.session_id, service).status() == "Closed"


def test_a_client_carries_on_after_a_restart(restarted, bell):
    before, emulator = restarted, restarted.emulator
    assert Path(before.state).stat().st_mode & 0o777 == 0o600
    assert before.service.job(before.first.job_id()).status() == "DONE"
    last = Sampler(mode=before.kept).run([bell], shots=10)
    assert last.result()
    before.kept.close()
    listed = [job.job_id() for job in emulator.connect("emulator-payg").jobs(limit=None)]
    assert sorted(listed) == sorted(job.job_id() for job in [*before.jobs, last])


def test_a_max_ttl_goes_on_while_the_service_is_down(restarted):
    batch, emulator = restarted.timed, restarted.emulator
    started = datetime.fromisoformat(batch.details()["started_at"])
    passed = (datetime.now(UTC) - started).total_seconds()  # with the time in which there was no service
    emulator.faults.advance_clock(600 - passed)
    emulator.faults.wait_for(batch.session_id, "closed")
    details = Batch.from_id(batch.session_id, emulator.service).details()
    assert details["max_time"] == 600
    lived = datetime.fromisoformat(details["closed_at"]) - started
    assert lived.total_seconds() == pytest.approx(600, abs=0.01)


def test_a_backend_that_is_gone_fails_its_jobs_and_keeps_nothing_open(restarted):
    emulator = restarted.emulator
    assert emulator.faults.wait_for(restarted.gone.job_id(), "Failed")
    emulator.faults.advance_clock(9 * 3600)  # past the max TTL of what is open on the other backend
    for batch in (restarted.timed, restarted.kept):
        emulator.faults.wait_for(batch.session_id, "closed")
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
