"""`qmode_widgets.check` against the embedded service, in order and in every fault that it can rehearse."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest
from qiskit_ibm_runtime import Batch
from qiskit_ibm_runtime.executor_sampler import Sampler

import qmode_widgets as qmode
from qmode_widgets.emulator.service.account import ACCOUNT_ID, USER_ID
from qmode_widgets.ibm.link import link_of

ENDPOINTS = (
    "GET /instances/usage",
    "GET /workloads",
    "GET /jobs",
    "GET /jobs/{id}",
    "GET /jobs/{id}/metrics",
    "GET /sessions/{id}",
    "GET /backends/{name}/properties",
)


@pytest.fixture
def used(emulator, backend, bell):
    """A client of its own, whose instance has a finished job in a closed batch."""
    batch = Batch(backend=backend)
    sampler = Sampler(mode=batch)
    sampler.options.environment.job_tags = ["my-secret-tag"]
    job = sampler.run([bell], shots=10)
    batch.close()
    emulator.faults.wait_for(job.job_id(), "Completed")
    emulator.faults.wait_for(batch.session_id, "closed")
    service = emulator.connect("emulator-payg")
    link_of(service, service.active_instance()).small = 12.0  # seconds: a busy machine answers within it
    emulator.faults.forget_requests()
    return service, job.job_id(), batch.session_id


def rows_of(report):
    return {row.name: row for row in report.rows}


def test_a_checkout_that_is_not_installed_is_checked_without_its_packages(used, monkeypatch):
    def requires(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", requires)
    report = qmode.check(used[0])
    assert rows_of(report)["packages"].state == "not checked"
    assert report.ok


def test_all_is_well(emulator, used):
    report = qmode.check(used[0])
    assert report.ok
    assert {row.name: row.state for row in report.rows if row.state != "ok"} in ({}, {"kernel": "not checked"})
    assert {name for name in ENDPOINTS if rows_of(report)[name].state == "ok"} == set(ENDPOINTS)
    assert "All that was checked will work." in str(report)


def test_it_only_reads(emulator, used):
    qmode.check(used[0])
    asked = emulator.faults.requests()
    assert {method for method, _, _ in asked} == {"GET"}
    assert not any(path.endswith("/results") for _, path, _ in asked)  # a private job's can be read once
    assert len(asked) <= 12


def test_nothing_of_an_account_is_on_the_page(emulator, used):
    """Also where the service's own words are shown."""
    service, job, batch = used
    secrets = [job, batch, "my-secret-tag", USER_ID, ACCOUNT_ID, emulator.token, "emulator-payg", "crn:", "emu_fez"]
    for told in ({"status": f"Gone {job}"}, {"backend": [batch]}, {"tags": "my-secret-tag"}, {"user_id": 5}):
        emulator.faults.change(told, of="jobs")
    emulator.faults.change({"state": f"held by {USER_ID} for my-secret-tag on emu_fez"}, of="sessions")
    page = str(qmode.check(service))
    assert "Gone <" in page
    assert "held by <user" in page
    assert [secret for secret in secrets if secret in page] == []


SUNSET = {"status": "deprecated", "sunset_date": "2020-01-01"}
FAULTS = {
    "401": (lambda f: f.fail_requests(401, path="/jobs", count=2), "GET /jobs", "failed", "key is refused"),
    "403": (lambda f: f.fail_requests(403, path="/workloads"), "GET /workloads", "failed", "administrator"),
    "404": (
        lambda f: f.fail_requests(404, path=r"/sessions/.*"),
        "GET /sessions/{id}",
        "failed",
        "Update qmode_widgets",
    ),
    "429": (lambda f: f.fail_requests(429, path="/jobs"), "GET /jobs", "failed", "Wait a minute"),
    "503": (lambda f: f.fail_requests(503, path="/instances/usage"), "GET /instances/usage", "failed", "status page"),
    "html": (lambda f: f.html(200, path="/jobs"), "GET /jobs", "failed", "proxy"),
    "drop": (lambda f: f.drop(path="/jobs", count=2), "GET /jobs", "failed", "Run the check again"),
    "truncate": (lambda f: f.truncate(path="/workloads"), "GET /workloads", "failed", "Run the check again"),
    "hang": (lambda f: f.hang(30, path=r"/jobs/[^/]+/metrics"), "GET /jobs/{id}/metrics", "failed", "Run the check"),
    "trickle": (lambda f: f.trickle(0.5, path="/jobs"), "GET /jobs", "failed", "Run the check again"),
    "skew": (lambda f: f.skew_clock(300), "clock", "warning", "NTP"),
    "used up": (lambda f: f.use_up("emulator-open", 700), "allowance", "warning", "another instance"),
    "word": (lambda f: f.say({"Completed": "Expired"}, of="jobs"), "GET /jobs", "warning", "Update qmode_widgets"),
    "state": (lambda f: f.say({"closed": "frozen"}, of="sessions"), "GET /sessions/{id}", "warning", "Update"),
    "missing": (lambda f: f.leave_out("created", of="jobs"), "GET /jobs/{id}", "warning", "Update qmode_widgets"),
    "type": (lambda f: f.change({"usage": 7}, of="metrics"), "GET /jobs/{id}/metrics", "warning", "Update"),
    "no list": (lambda f: f.rewrite({"jobs": None}, path="/jobs"), "GET /jobs", "warning", "Update qmode_widgets"),
    "offline": (lambda f: f.change({"status": {"name": "offline"}}, of="backends"), "GET /backends", "warning", "wait"),
    "version": (
        lambda f: f.rewrite(
            {"versions.*.status": "deprecated", "versions.*.sunset_date": "2020-01-01"}, path="/versions"
        ),
        "GET /versions",
        "failed",
        "Update",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_named_with_what_to_do(emulator, used, name):
    fault, row, state, advice = FAULTS[name]
    service = emulator.connect("emulator-open") if name == "used up" else used[0]
    fault(emulator.faults)
    report = qmode.check(service)
    found = rows_of(report)[row]
    assert (found.state, advice in (found.remedy or "")) == (state, True), str(report)
    assert report.ok is (state != "failed")
    assert found.consequence or row == "clock"
    for other in report.rows:
        if other.state in ("failed", "warning"):
            assert other.remedy, other
        assert found.consequence is None or " ".join(found.consequence.split()) in " ".join(str(report).split())


def test_a_field_that_nobody_knows_is_named(emulator, used):
    emulator.faults.change({"mood": "good"}, of="jobs")
    report = qmode.check(used[0])
    assert report.ok
    assert "new fields: mood" in rows_of(report)["GET /jobs"].found


def test_a_service_that_answers_nothing_is_not_asked_on_and_on(emulator, used):
    emulator.faults.drop(count=100)
    report = qmode.check(used[0])
    assert len(emulator.faults.requests()) <= 4  # a connection that was kept and lost may be tried once more
    assert rows_of(report)["GET /jobs"].state == "not checked"
    assert "Submit nothing with this package until this works." in " ".join(str(report).split())
    assert not report.ok


def test_an_empty_account_leaves_things_unchecked():
    with qmode.emulator.start(shared=False, speed=float("inf"), workers=1) as emulator:
        report = qmode.check(emulator.service)
    assert report.ok
    assert rows_of(report)["GET /sessions/{id}"].state == rows_of(report)["GET /jobs/{id}"].state == "not checked"


def test_the_module_and_the_function_are_one_name(used):
    import qmode_widgets.check as module

    assert qmode.check(used[0]).ok
    assert module(used[0]).ok


def test_the_command_line_rehearses_a_whole_batch():
    command = [sys.executable, "-m", "qmode_widgets.check", "--rehearse"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "submit two jobs" in done.stdout
    assert "GET /sessions/{id}" in done.stdout
    assert "FAIL" not in done.stdout
