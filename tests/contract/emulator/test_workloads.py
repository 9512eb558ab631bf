"""Sessions, batches, plans and the list of workloads, through the real client."""

from __future__ import annotations

import os
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from qiskit_ibm_runtime import Batch, Session
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import IBMInputValueError, IBMRuntimeError, RuntimeJobFailureError
from qiskit_ibm_runtime.executor_sampler import Sampler

from qmode_widgets import emulator as package
from qmode_widgets.emulator.service.account import INSTANCES

CRN = {instance.name: crn for crn, instance in INSTANCES.items()}


def test_a_batch_from_open_to_closed(emulator, service, backend, bell):
    emulator.faults.pause()
    batch = Batch(backend=backend, max_time="25m")
    assert batch.status() == "Pending"
    details = batch.details()
    assert (details["state"], details["mode"], details["max_time"]) == ("open", "batch", 1500)
    assert details["started_at"] is details["usage_time"] is details["closed_at"] is None
    jobs = [Sampler(mode=batch).run([bell], shots=10) for _ in range(7)]
    emulator.faults.wait_for(batch.session_id, "active")
    states = [job.status() for job in jobs]
    assert (states.count("RUNNING"), states.count("QUEUED")) == (5, 2)  # five lanes
    assert batch.status() == "In progress, accepting new jobs"
    batch.close()
    assert Batch.from_id(batch.session_id, service).status() == "In progress, not accepting new jobs"
    emulator.faults.resume()
    emulator.faults.wait_for(batch.session_id, "closed")
    assert [job.status() for job in jobs] == ["DONE"] * 7
    assert batch.usage() == sum(job.usage() for job in jobs) == 14
    details = batch.details()
    assert [t["status"] for t in details["timestamps"]] == ["open", "active", "closed"]
    assert details["last_job_completed"] <= details["closed_at"]
    assert not details["accepting_jobs"]
    assert sorted(j.job_id() for j in service.jobs(session_id=batch.session_id, limit=None)) == sorted(
        j.job_id() for j in jobs
    )


def test_cancel_takes_the_queued_and_leaves_the_running(emulator, backend, bell):
    emulator.faults.pause()
    batch = Batch(backend=backend)
    jobs = [Sampler(mode=batch).run([bell], shots=10) for _ in range(7)]
    emulator.faults.wait_for(jobs[4].job_id(), "Running")
    batch.cancel()
    assert [job.status() for job in jobs[5:]] == ["CANCELLED"] * 2
    assert [job.status() for job in jobs[:5]] == ["RUNNING"] * 5
    emulator.faults.resume()
    emulator.faults.wait_for(batch.session_id, "closed")
    assert [job.status() for job in jobs[:5]] == ["DONE"] * 5


def test_a_closed_batch_takes_no_job(emulator, service, backend, bell):
    with Batch(backend=backend) as batch:
        pass
    assert batch.status() == "Closed"
    with pytest.raises(IBMRuntimeError, match="closed"):
        Sampler(mode=batch).run([bell])
    reopened = Batch.from_id(batch.session_id, service)
    reopened._active = True  # what a client elsewhere would not know
    with pytest.raises(IBMRuntimeError, match="1217"):
        Sampler(mode=reopened).run([bell])
    batch.close()
    batch.cancel()


def test_a_session_is_billed_its_active_time(backend, bell, emulator):
    with Session(backend=backend) as session:
        first = Sampler(mode=session).run([bell], shots=10)
        first.result()
        assert session.status() == "In progress, accepting new jobs"
        assert first.session_id == session.session_id
    details = session.details()
    assert details["mode"] == "dedicated"
    assert details["state"] == "closed"
    assert 2 <= session.usage() < 30


def test_ids_of_another_mode_or_of_nobody(emulator, service, backend):
    batch = Batch(backend=backend)
    with pytest.raises(IBMInputValueError, match="execution mode batch instead of dedicated"):
        Session.from_id(batch.session_id, service)
    with pytest.raises(IBMInputValueError, match="Session not found"):
        Batch.from_id("00000000-dead-4bad-8000-000000000000", service)
    batch.close()


def test_the_open_plan(emulator, bell):
    service = emulator.connect("emulator-open")
    backend = service.backend("emu_fez")
    with pytest.raises(RequestsApiError, match="1352") as caught:
        Session(backend=backend)
    assert caught.value.status_code == 400
    with Batch(backend=backend) as batch:
        assert batch.details()["max_time"] == 600
        assert Sampler(mode=batch).run([bell], shots=10).result()
    usage = service.usage()
    assert usage["usage_limit_seconds"] == 600
    assert usage["usage_remaining_seconds"] == 600 - usage["usage_consumed_seconds"]


def test_the_open_plans_ten_minutes_are_enforced(emulator, bell):
    service = emulator.connect("emulator-open")
    backend = service.backend("emu_fez")
    emulator.faults.use_up("emulator-open", 600)
    assert service.usage()["usage_limit_reached"]
    with (
        pytest.warns(UserWarning, match="usage limit"),
        pytest.raises(IBMRuntimeError, match="409"),
    ):
        Sampler(mode=backend).run([bell], shots=10)


def test_several_instances(emulator, bell):
    service = emulator.connect()
    assert [i["plan"] for i in service.instances()] == ["open", "pay-as-you-go", "premium"]
    jobs = {}
    for name in ("emulator-open", "emulator-premium"):
        backend = service.backend("emu_fez", instance=name)
        jobs[name] = Sampler(mode=backend).run([bell], shots=10)
    for job in jobs.values():
        assert service.job(job.job_id()).instance == job.instance
    other = emulator.connect("emulator-payg")
    with pytest.raises(Exception, match="not found"):
        other.job(jobs["emulator-open"].job_id())


@pytest.mark.parametrize("name", ["emulator-open", CRN["emulator-open"]])
def test_a_client_of_one_instance_finds_backends_and_jobs_of_another(emulator, bell, name):
    """As IBM's does, and without asking IBM for a token."""
    job = Sampler(mode=emulator.connect("emulator-open").backend("emu_fez")).run([bell], shots=10)
    service = emulator.connect("emulator-payg")
    backend = service.backend("emu_fez", instance=name)
    assert backend.properties().backend_name == "emu_fez"
    with Batch(backend=backend) as batch:
        assert batch.details()["backend_name"] == "emu_fez"
    assert ask(emulator, "GET", f"/sessions/{batch.session_id}").status_code == 404  # it is not in the first instance
    assert emulator.connect("emulator-payg").jobs(instance=CRN["emulator-open"], limit=1)[0].job_id() == job.job_id()
    assert "IAM_URL" not in os.environ


def test_ttls_run_out(bell):
    """By the service's clock, which the test drives: 60 s idle, 30 minutes without any job, 8 hours in all."""
    with package.start(shared=False, workers=1, speed=float("inf")) as emulator:
        backend = emulator.service.backend("emu_fez")
        empty = Batch(backend=backend)
        batch = Batch(backend=backend)
        Sampler(mode=batch).run([bell], shots=10).result()
        assert batch.status() == "In progress, accepting new jobs"
        emulator.faults.advance_clock(60)
        assert batch.details()["state"] == "inactive"
        assert batch.status() == "Pending"
        assert Sampler(mode=batch).run([bell], shots=10).result()  # through the queue again
        assert empty.details()["state"] == "open"
        emulator.faults.advance_clock(1800)
        assert empty.details()["state"] == "closed"
        assert batch.details()["state"] == "inactive"
        emulator.faults.pause(queue=True)
        late = Sampler(mode=batch).run([bell], shots=10)
        emulator.faults.advance_clock(28800)
        assert batch.details()["state"] == "closed"
        with pytest.raises(RuntimeJobFailureError, match="max TTL"):
            late.result()
        assert [t["status"] for t in batch.details()["timestamps"]] == [
            "open", "active", "inactive", "active", "inactive", "closed",
        ]  # fmt: skip


def test_workloads_are_listed_with_cursors(emulator, service, backend, bell):
    batch = Batch(backend=backend)
    job = Sampler(mode=backend).run([bell], shots=10)
    job.result()
    client = service._active_api_client._api
    page = client.workloads_get(limit=2, sort="-createdAt")
    assert [w["id"] for w in page["workloads"]] == [job.job_id(), batch.session_id]
    assert [w["mode"] for w in page["workloads"]] == ["job", "batch"]
    assert [w["status"] for w in page["workloads"]] == ["completed", "pending"]
    assert [w["usage"] for w in page["workloads"]] == [
        {"qpu_charge_time_seconds": 2, "status": "complete"},
        {"qpu_charge_time_seconds": 0},
    ]
    assert [w["accepting_jobs"] for w in page["workloads"]] == [None, True]
    seen, cursor = [], None
    while True:
        page = client.workloads_get(limit=3, next=cursor)  # ascending where nothing is said
        seen += [w["id"] for w in page["workloads"]]
        if (link := page.get("next")) is None:
            break
        cursor = parse_qs(urlsplit(link["href"]).query)["next"][0]
    assert len(seen) == len(set(seen)) == page["total_count"]
    assert client.workloads_get(mode="batch", status=["pending"], search=batch.session_id)["total_count"] == 1
    with pytest.raises(RequestsApiError, match="between 1 and 50"):
        client.workloads_get(limit=51)
    batch.close()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/sessions", {"mode": "other", "backend": "emu_fez"}),
        ("POST", "/sessions", {"mode": "batch", "backend": "emu_fez", "max_ttl": -1}),
        ("POST", "/sessions", {"mode": "batch", "backend": "emu_fez", "max_ttl": "5"}),
        ("POST", "/sessions", ["mode"]),
        ("POST", "/jobs", {"program_id": "executor", "backend": "emu_fez"}),
        ("POST", "/jobs", {"program_id": "executor", "backend": "emu_fez", "params": {}}),
        ("POST", "/jobs", {"program_id": "sampler", "backend": "emu_fez", "params": {"pubs": [[7]]}}),
        ("GET", "/jobs?pending=perhaps", None),
        ("GET", "/jobs?created_after=yesterday", None),
        ("GET", "/workloads?sort=up", None),
        ("GET", "/workloads?next=garbage", None),
    ],
)
def test_requests_that_make_no_sense(emulator, method, path, body):
    answer = ask(emulator, method, path, json=body)
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert {"code", "message", "solution", "more_info"} == set(error)
    assert answer.json()["trace"]


def ask(emulator, method, path, **kwargs):
    token = requests.post(f"{emulator.url}/identity/token", data={"apikey": emulator.token}, timeout=10).json()
    headers = {
        "Authorization": f"Bearer {token['access_token']}",
        "Service-CRN": emulator.environment["QISKIT_IBM_INSTANCE"],
    }
    address = emulator.environment["QISKIT_IBM_URL"] + path
    return requests.request(method, address, headers=headers, timeout=30, **kwargs)
