"""Faults on demand, as the real client meets them."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

import pytest
import requests
from qiskit_ibm_runtime import Batch
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import IBMRuntimeError
from qiskit_ibm_runtime.executor_sampler import Sampler

from .test_workloads import ask


def submitted(emulator):
    return [status for method, path, status in emulator.faults.requests() if (method, path) == ("POST", "/jobs")]


def test_a_504_after_creation_leaves_two_jobs(emulator, service, backend, bell):
    sampler = Sampler(mode=backend)
    sampler.options.environment.job_tags = ["twice"]
    emulator.faults.fail_requests(504, method="POST", path="/jobs", when="after")
    sampler.run([bell], shots=10)
    assert submitted(emulator) == [200, 200]
    assert len(service.jobs(job_tags=["twice"])) == 2


def test_a_504_before_creation_leaves_one(emulator, service, backend, bell):
    sampler = Sampler(mode=backend)
    sampler.options.environment.job_tags = ["once"]
    emulator.faults.fail_requests(504, method="POST", path="/jobs", when="before")
    sampler.run([bell], shots=10)
    assert len(service.jobs(job_tags=["once"])) == 1


def test_a_dropped_answer_leaves_a_job(emulator, service, backend, bell):
    sampler = Sampler(mode=backend)
    sampler.options.environment.job_tags = ["dropped"]
    emulator.faults.drop(method="POST", path="/jobs", when="after")
    with pytest.raises(IBMRuntimeError, match="Failed to run program"):
        sampler.run([bell], shots=10)
    assert len(service.jobs(job_tags=["dropped"])) == 1


def test_a_dropped_request_leaves_nothing(emulator, service, backend, bell):
    sampler = Sampler(mode=backend)
    sampler.options.environment.job_tags = ["lost"]
    emulator.faults.drop(method="POST", path="/jobs")
    with pytest.raises(IBMRuntimeError, match="Failed to run program"):
        sampler.run([bell], shots=10)
    assert service.jobs(job_tags=["lost"]) == []


def test_a_429_without_retry_after_is_raised_and_with_it_waited_for(emulator, service):
    emulator.faults.fail_requests(429, method="GET", path="/jobs")
    with pytest.raises(RequestsApiError, match="Too many requests") as caught:
        service.jobs()
    assert caught.value.status_code == 429
    emulator.faults.fail_requests(429, method="GET", path="/jobs", retry_after=1)
    start = time.monotonic()
    service.jobs()
    assert time.monotonic() - start >= 0.9


def test_a_truncated_body(emulator):
    emulator.faults.truncate(method="GET", path="/backends")
    with pytest.raises(requests.RequestException):
        ask(emulator, "GET", "/backends")
    assert ask(emulator, "GET", "/backends").ok


def test_a_delay(emulator):
    emulator.faults.delay(0.4, path="/backends")
    start = time.monotonic()
    assert ask(emulator, "GET", "/backends").ok
    assert time.monotonic() - start >= 0.4


def test_a_request_that_hangs_is_closed_without_an_answer(emulator):
    emulator.faults.hang(0.3, path="/backends")
    began = time.monotonic()
    with pytest.raises(requests.ConnectionError):
        ask(emulator, "GET", "/backends")
    assert time.monotonic() - began >= 0.3
    assert ask(emulator, "GET", "/backends").ok


def test_a_post_that_hangs_after_it_was_carried_out(emulator, service, backend, bell):
    sampler = Sampler(mode=backend)
    sampler.options.environment.job_tags = ["hung"]
    emulator.faults.hang(0.1, method="POST", path="/jobs", when="after")
    with pytest.raises(IBMRuntimeError, match="Failed to run program"):
        sampler.run([bell], shots=10)
    assert len(service.jobs(job_tags=["hung"])) == 1


def test_a_body_that_trickles(emulator):
    """No wait between two bytes is long, all of them together are."""
    emulator.faults.trickle(0.02, path="/instances/configuration", count=1)
    began = time.monotonic()
    answer = ask(emulator, "GET", "/instances/configuration")
    assert answer.json() == {}
    assert time.monotonic() - began >= 2 * 0.02
    emulator.faults.trickle(0.2, path="/backends")
    with pytest.raises(requests.Timeout):
        read_within(emulator, "/backends", 0.5)


def read_within(emulator, path, seconds):
    """Read an answer as a careful client does, with a deadline for all of it."""
    answer = ask(emulator, "GET", path, stream=True)
    until = time.monotonic() + seconds
    for _ in answer.iter_content(1):
        if time.monotonic() > until:
            answer.close()
            raise requests.Timeout


@pytest.mark.parametrize("status", [200, 502])
def test_a_gateways_page_instead_of_json(emulator, status):
    emulator.faults.html(status, path="/jobs")
    answer = ask(emulator, "GET", "/jobs")
    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith("text/html")
    with pytest.raises(requests.exceptions.JSONDecodeError):
        answer.json()


def test_answers_with_wrong_types(emulator, backend, bell):
    job = Sampler(mode=backend).run([bell], shots=10)
    emulator.faults.wait_for(job.job_id(), "Completed")
    emulator.faults.rewrite({"jobs": None}, path="/jobs")
    assert ask(emulator, "GET", "/jobs").json()["jobs"] is None
    emulator.faults.rewrite(
        {"jobs.*.usage.qpu_charge_time_seconds": -5, "jobs.0.status": 7, "count": "many"},
        remove=["jobs.*.program", "nowhere.*.x"],
        path="/jobs",
        count=2,
    )
    for _ in range(2):
        page = ask(emulator, "GET", "/jobs?limit=1").json()
        assert page["count"] == "many"
        (entry,) = page["jobs"]
        assert (entry["usage"]["qpu_charge_time_seconds"], entry["status"]) == (-5, 7)
        assert "program" not in entry
    assert ask(emulator, "GET", "/jobs?limit=1").json()["jobs"][0]["program"] == {"id": "executor"}


def test_answers_in_words_that_this_service_never_uses(emulator, service, backend, bell):
    """They last until they are cleared, beside faults that are counted."""
    emulator.faults.say({"Completed": "Expired", "Queued": "Validating"}, of="jobs")
    emulator.faults.say({"open": None, "closed": "canceled"}, of="sessions")
    emulator.faults.change({"backend_name": None}, of="sessions")
    emulator.faults.leave_out("backend", "state.reason_code", of="jobs")
    batch = Batch(backend=backend)
    job = Sampler(mode=batch).run([bell], shots=10)
    emulator.faults.wait_for(job.job_id(), "Completed")  # what the service knows is what it was
    emulator.faults.fail_requests(500, path="/jobs")
    assert ask(emulator, "GET", "/jobs").status_code == 500
    for told in (ask(emulator, "GET", f"/jobs/{job.job_id()}").json(), ask(emulator, "GET", "/jobs").json()["jobs"][0]):
        assert (told["status"], told["state"]["status"]) == ("Expired", "Expired")
        assert "backend" not in told
    batch.close()
    emulator.faults.wait_for(batch.session_id, "closed")
    told = ask(emulator, "GET", f"/sessions/{batch.session_id}").json()
    assert (told["state"], told["backend_name"]) == ("canceled", None)
    assert [fault["of"] for fault in emulator.faults.pending()["answers"]] == ["jobs", "sessions", "sessions", "jobs"]
    emulator.faults.clear()
    assert ask(emulator, "GET", f"/sessions/{batch.session_id}").json()["state"] == "closed"


def test_a_job_ran_too_long_in_the_words_of_2026(emulator, backend, bell):
    """The words in `state.status` too, and no code: issue 2673 of qiskit-ibm-runtime."""
    emulator.faults.say({"Cancelled": "Cancelled - Ran too long"}, of="jobs", fields=["state.status"])
    emulator.faults.leave_out("state.reason_code", of="jobs")
    sampler = Sampler(mode=backend)
    sampler.options.max_execution_time = 1
    job = sampler.run([bell], shots=20_000)
    emulator.faults.wait_for(job.job_id(), "Cancelled")
    told = ask(emulator, "GET", f"/jobs/{job.job_id()}").json()
    assert told["status"] == told["state"]["status"] == "Cancelled - Ran too long"
    assert told["state"]["reason"] == "Ran too long"
    assert "reason_code" not in told["state"]


def test_faults_can_skip(emulator):
    emulator.faults.fail_requests(500, path="/backends", skip=1)
    assert [ask(emulator, "GET", "/backends").status_code for _ in range(3)] == [200, 500, 200]


def test_the_token_endpoint_has_faults_of_its_own(emulator):
    login = {"url": f"{emulator.url}/identity/token", "data": {"apikey": emulator.token}, "timeout": 10}
    emulator.faults.fail_requests(500)
    assert requests.post(**login).ok  # `.*` means the API
    emulator.faults.clear()
    emulator.faults.fail_requests(500, path="/identity/token")
    assert emulator.faults.pending()["requests"][0]["count"] == 1  # the admin endpoint has a login of its own
    assert requests.post(**login).status_code == 500
    assert requests.post(**login).ok


def test_a_request_for_faults_is_carried_out_whole_or_not_at_all(emulator):
    """Each has a valid part in front of an invalid one."""
    for wrong in (
        {"listing_lag": 5, "soak": 2},
        {"soak": 0.5, "skew": "much"},
        {"skew": 60, "instance": "emulator-open", "used": -1},
        {"instance": "emulator-open", "used": 600, "pause": "everything"},
        {"listing_lag": 5, "colour": "red"},
        {"soak": 0.5, "expire": "yes"},
        {"skew": 60, "used": 600},
    ):
        with pytest.raises(ValueError, match=r".+"):
            emulator.admin.post("faults", wrong)
        pending = emulator.faults.pending()
        assert (pending["listing_lag"], pending["soak"]) == (0, 0)
        answer = ask(emulator, "GET", "/backends")
        assert parsedate_to_datetime(answer.headers["Date"]).timestamp() == pytest.approx(time.time(), abs=60)
        assert emulator.connect("emulator-open").usage()["usage_consumed_seconds"] < 600


def test_listings_that_lag(emulator, service, backend, bell):
    sampler = Sampler(mode=backend)
    sampler.options.environment.job_tags = ["late"]
    emulator.faults.lag_listings(60)
    job = sampler.run([bell], shots=10)
    assert service.jobs(job_tags=["late"]) == []
    assert service.job(job.job_id()).job_id() == job.job_id()
    emulator.faults.lag_listings(0)
    assert len(service.jobs(job_tags=["late"])) == 1


def test_a_skewed_clock(emulator):
    emulator.faults.skew_clock(3600)
    answer = ask(emulator, "GET", "/backends")
    assert parsedate_to_datetime(answer.headers["Date"]).timestamp() == pytest.approx(time.time() + 3600, abs=60)


def test_faults_are_counted_listed_and_cleared(emulator):
    emulator.faults.fail_requests(500, path="/backends", count=2)
    assert emulator.faults.pending()["requests"][0]["count"] == 2
    assert ask(emulator, "GET", "/backends").status_code == 500
    assert emulator.faults.pending()["requests"][0]["count"] == 1
    emulator.faults.clear()
    assert ask(emulator, "GET", "/backends").ok


@pytest.mark.parametrize(
    "wrong",
    [
        lambda f: f.fail_requests(200),
        lambda f: f.fail_requests(path="("),
        lambda f: f.fail_requests(method="LOOK"),
        lambda f: f.delay(-1),
        lambda f: f.soak(2),
        lambda f: f.fail_jobs(count="many"),
        lambda f: f.use_up("nobody", 5),
        lambda f: f.use_up("emulator-open", -5),
        lambda f: f.hang(-1),
        lambda f: f.trickle(10**6),
        lambda f: f.html(99),
        lambda f: f.rewrite(),
        lambda f: f.rewrite({"jobs": 1}, remove=[7]),
        lambda f: f.fail_requests(skip="some"),
        lambda f: f.say({"a": "b"}, of="weather"),
        lambda f: f.leave_out(7, of="jobs"),
    ],
)
def test_faults_that_make_no_sense_are_refused(emulator, wrong):
    with pytest.raises(ValueError, match=r".+"):
        wrong(emulator.faults)


def test_waiting_for_a_state_gives_up(emulator, backend, bell):
    emulator.faults.pause(queue=True)
    job = Sampler(mode=backend).run([bell], shots=10)
    with pytest.raises(TimeoutError, match="Queued, not completed"):
        emulator.faults.wait_for(job.job_id(), "Completed", timeout=0)
