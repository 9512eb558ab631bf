"""Jobs through the real client."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from qiskit_ibm_runtime import QiskitRuntimeService, RuntimeJobFailureError, RuntimeJobMaxTimeoutError
from qiskit_ibm_runtime.exceptions import (
    IBMRuntimeError,
    RuntimeInvalidStateError,
    RuntimeJobNotFound,
)
from qiskit_ibm_runtime.executor_sampler import Sampler

from .test_workloads import ask


def submit(mode, bell, n=1, shots=100, **environment):
    sampler = Sampler(mode=mode)
    for name, value in environment.items():
        setattr(sampler.options.environment, {"tags": "job_tags"}.get(name, name), value)
    jobs = [sampler.run([bell], shots=shots) for _ in range(n)]
    return jobs if n > 1 else jobs[0]


def test_a_job_runs_and_tells_what_it_used(emulator, backend, bell):
    job = submit(backend, bell, shots=1000)
    counts = job.result()[0].data.meas.get_counts()
    assert set(counts) == {"00", "11"}
    assert sum(counts.values()) == 1000
    assert abs(counts["00"] - 500) < 5 * 16
    assert job.status() == "DONE"
    assert job.usage() == 2
    metrics = job.metrics()
    assert metrics["usage"] == {"qpu_charge_time_seconds": 2, "status": "complete"}
    times = [datetime.fromisoformat(metrics["timestamps"][name]) for name in ("created", "running", "finished")]
    assert times == sorted(times)
    assert job.usage_estimation["quantum_seconds"] == pytest.approx(1.6 + 1000 * 257e-6, rel=0.02)
    assert job.logs() == ""
    assert job.error_message() is None
    assert job.creation_date.astimezone(UTC) == times[0]
    assert job.properties() is not None


def test_spans_lie_within_the_time_the_job_ran(emulator, backend, bell):
    job = submit(backend, bell)
    result = job.result()
    (span,) = result.metadata["executor"].chunk_timing
    times = job.metrics()["timestamps"]
    assert datetime.fromisoformat(times["running"]) <= span.start <= span.stop
    assert span.stop <= datetime.fromisoformat(times["finished"])


def test_a_paused_qpu_shows_running_and_a_paused_queue_queued(emulator, backend, bell):
    emulator.faults.pause()
    running = submit(backend, bell)
    emulator.faults.wait_for(running.job_id(), "Running")
    assert running.usage() == 0
    assert running.metrics()["usage"]["status"] == "pending"
    assert running.metrics()["timestamps"]["finished"] is None
    emulator.faults.pause(queue=True)
    queued = submit(backend, bell)
    assert queued.status() == "QUEUED"
    assert backend.status().pending_jobs >= 2
    emulator.faults.resume()
    assert running.result()
    assert queued.result()


def test_cancel(emulator, backend, bell):
    emulator.faults.pause(queue=True)
    job = submit(backend, bell)
    job.cancel()
    assert job.status() == "CANCELLED"
    again = emulator.service.job(job.job_id())
    assert again.status() == "CANCELLED"
    assert again.usage() == 0
    with pytest.raises(RuntimeInvalidStateError, match="cancelled"):
        again.result()
    with pytest.raises(RuntimeInvalidStateError, match="cannot be cancelled"):
        again.cancel()


def test_a_failed_job_gives_its_code_reason_and_solution(emulator, backend, bell):
    emulator.faults.fail_jobs(code=1517, reason="The circuit is bad.", solution="Make it good.")
    job = submit(backend, bell)
    with pytest.raises(RuntimeJobFailureError, match=r"1517; The circuit is bad\."):
        job.result()
    assert job.status() == "ERROR"
    assert "The circuit is bad." in job.error_message()
    assert job.usage() == 2  # a user's error is billed
    assert submit(backend, bell).result()


def test_a_system_error_is_billed_nothing(emulator, backend, bell):
    emulator.faults.fail_jobs(system=True)
    job = submit(backend, bell)
    with pytest.raises(RuntimeJobFailureError, match="9707"):
        job.result()
    assert job.usage() == 0


def test_only_jobs_with_a_tag_fail_and_only_after_some(emulator, backend, bell):
    emulator.faults.fail_jobs(tag="doomed", skip=1)
    jobs = [submit(backend, bell, tags=[tag]) for tag in ("doomed", "spared", "doomed", "doomed")]
    for job in jobs:
        job.wait_for_final_state()
    assert [job.status() for job in jobs] == ["DONE", "DONE", "ERROR", "DONE"]


def test_the_cost_limit_ends_a_job(emulator, backend, bell):
    sampler = Sampler(mode=backend)
    sampler.options.max_execution_time = 3
    job = sampler.run([bell], shots=20_000)  # 2 s + 20,000 × 252 µs = 7 s
    with pytest.raises(RuntimeJobMaxTimeoutError, match="1305; Ran too long"):
        job.result()
    assert job.usage() == 3
    assert job.status() == "ERROR"
    told = ask(emulator, "GET", f"/jobs/{job.job_id()}").json()
    assert told["status"] == "Cancelled - Ran too long"
    assert told["state"]["status"] == "Cancelled"


def test_lists_filter_and_page(emulator, service, backend, bell):
    before = datetime.now(UTC)
    jobs = [submit(backend, bell, tags=["all", f"n{i}"]) for i in range(5)]
    ids = [job.job_id() for job in jobs]
    for job in jobs:
        emulator.faults.wait_for(job.job_id(), "Completed")

    def listed(**filters):
        return [job.job_id() for job in service.jobs(limit=None, created_after=before, **filters)]

    assert listed() == ids[::-1]
    assert listed(descending=False) == ids
    assert listed(job_tags=["all", "n3"]) == [ids[3]]
    assert listed(job_tags=["nowhere"]) == []
    assert listed(program_id="executor") == ids[::-1]
    assert listed(program_id="sampler") == []
    assert listed(backend_name="emu_fez") == ids[::-1]
    assert listed(backend_name="emu_torino") == []
    assert listed(pending=True) == []
    assert listed(pending=False) == ids[::-1]
    assert listed(created_before=before - timedelta(days=1)) == []
    assert [j.job_id() for j in service.jobs(limit=2, skip=1, created_after=before)] == ids[::-1][1:3]
    emulator.faults.pause(queue=True)
    waiting = submit(backend, bell)
    assert listed(pending=True) == [waiting.job_id()]
    shown = service.jobs(limit=1)[0]
    assert (shown.tags, shown.primitive_id, shown.private) == ([], "executor", False)


def test_more_than_a_page_of_jobs(emulator, service, backend, bell):
    emulator.faults.pause(queue=True)
    jobs = submit(backend, bell, n=25, tags=["paged"])
    assert len(service.jobs(limit=None, job_tags=["paged"])) == 25
    assert len([p for _, p, _ in emulator.faults.requests() if p == "/jobs"]) >= 25 + 2
    for job in jobs:
        job.cancel()


def test_tags_can_be_changed_and_are_limited(emulator, service, backend, bell):
    job = submit(backend, bell, tags=["one"])
    assert sorted(job.update_tags(["two", "three"])) == ["three", "two"]
    assert sorted(service.job(job.job_id()).tags) == ["three", "two"]
    with pytest.raises(IBMRuntimeError, match="1204"):
        submit(backend, bell, tags=[str(i) for i in range(9)])
    with pytest.raises(IBMRuntimeError, match="1205"):
        submit(backend, bell, tags=["x" * 200])


def test_inputs_come_back_as_they_were_sent(emulator, service, backend, bell):
    job = submit(backend, bell, shots=321)
    program = service.job(job.job_id()).inputs["quantum_program"]
    assert program.shots == 321
    assert len(program.items) == 1


def test_a_private_job_keeps_its_inputs_and_gives_its_result_once(emulator, service, backend, bell):
    sampler = Sampler(mode=backend)
    sampler.options.environment.private = True
    job = sampler.run([bell], shots=10)
    assert job.inputs == {}
    assert job.result() is not None
    assert job.result() is None
    assert service.job(job.job_id()).private


def test_delete(emulator, service, backend, bell):
    job = submit(backend, bell)
    job.result()
    service.delete_job(job.job_id())
    with pytest.raises(RuntimeJobNotFound):
        service.job(job.job_id())
    with pytest.raises(RuntimeJobNotFound):
        service.delete_job(job.job_id())


def test_a_queued_job_is_deleted_and_a_running_one_is_not(emulator, service, backend, bell):
    emulator.faults.pause(queue=True)
    queued = submit(backend, bell)
    service.delete_job(queued.job_id())
    with pytest.raises(RuntimeJobNotFound):
        service.job(queued.job_id())
    emulator.faults.pause()
    running = submit(backend, bell)
    emulator.faults.wait_for(running.job_id(), "Running")
    with pytest.raises(IBMRuntimeError, match="cannot be deleted: it is running"):
        service.delete_job(running.job_id())
    running.cancel()


def test_a_dry_run_goes_to_the_mock_tells_its_usage_and_costs_nothing(emulator, bell):
    service = emulator.connect("emulator-premium")
    backend = service.backend("emu_fez")
    used = service.usage()["usage_consumed_seconds"]
    job = Sampler(mode=backend).run([bell], shots=10_000, dry_run=True)
    assert job.result()[0].data.meas.num_shots == 10_000
    assert job.backend().name == "mock_fez"
    assert job.usage() == 5  # 2 s + 10,000 × 252 µs
    assert service.usage()["usage_consumed_seconds"] == used
    assert job.job_id() not in [j.job_id() for j in service.jobs(limit=20)]
    assert job.job_id() in [j.job_id() for j in service.jobs(limit=20, include_mocks=True)]


@pytest.mark.parametrize("instance", ["emulator-open", "emulator-payg"])
def test_dry_runs_are_refused_on_open_and_pay_as_you_go(emulator, bell, instance):
    backend = emulator.connect(instance).backend("emu_fez")
    with pytest.raises(IBMRuntimeError, match="Dry runs are not available"):
        Sampler(mode=backend).run([bell], shots=10, dry_run=True)


def test_the_exported_environment_is_all_that_is_needed(environment, bell):
    service = QiskitRuntimeService()
    backend = service.least_busy(operational=True, simulator=False)
    assert Sampler(mode=backend).run([bell], shots=5).result()[0].data.meas.num_shots == 5
    assert service.usage()["usage_consumed_seconds"] >= 2
