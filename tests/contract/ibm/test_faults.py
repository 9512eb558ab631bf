"""A link through a proxy that misbehaves: every request ends, says what went wrong, and costs its own time only."""

from __future__ import annotations

import contextlib
import inspect
import re
import threading
import time
from functools import partial

import pytest

from qmode_widgets.errors import ServiceError, UnreachableError
from qmode_widgets.ibm import client
from qmode_widgets.ibm.link import ask, link_of
from tests.proxy import Fault, Proxy


class Asked:
    """A link, whose coroutines are asked for from this thread."""

    def __init__(self, link):
        vars(self)["link"] = link

    def __getattr__(self, name):
        found = getattr(self.link, name)
        return partial(ask, found) if inspect.iscoroutinefunction(found) else found

    def __setattr__(self, name, value):
        setattr(self.link, name, value)


@pytest.fixture(scope="module")
def proxy(shared_emulator):
    with Proxy(shared_emulator.url) as running:
        yield running


@pytest.fixture
def link(proxy, emulator):
    proxy.clear()
    service = proxy.connect(emulator)
    made = link_of(service, service.backend("emu_fez")._instance)
    proxy.clear()
    yield Asked(made)
    del service  # kept until here: a link does not keep it alive
    proxy.clear()


def refused(call, *args):
    """What a call raises, and after how many seconds."""
    began = time.monotonic()
    with pytest.raises(UnreachableError) as caught:
        call(*args)
    return caught.value, time.monotonic() - began


@pytest.mark.parametrize("kind", ["trickle", "hang"])
def test_a_request_has_a_deadline_for_all_of_it(link, proxy, kind):
    link.instance_usage()  # with a token from now on: the deadline is for the answer alone
    link.small = 3.0
    proxy.add(Fault(kind, method="GET", path="/instances/usage", seconds=0.2 if kind == "trickle" else 600))
    error, took = refused(link.instance_usage)
    assert "did not finish its answer within 3 s" in str(error)
    assert error.sent
    assert took < 30  # a byte every 0.2 s, or none at all, would go on for ever so long
    assert link.instance_usage().consumed >= 0  # the next one is not the worse for it


def test_a_submission_that_hangs_is_over_at_its_deadline_and_may_have_arrived(link, proxy):
    link.instance_usage()
    link.small = 3.0
    proxy.add(Fault("hang", method="POST", path="/jobs", seconds=600))
    error, _ = refused(link.post_job, "{}")
    assert error.sent


@pytest.mark.parametrize("fault", [
    Fault("truncate"), Fault("html", status=200), Fault("drop"), Fault("drop", when="before")
], ids=lambda f: f.kind + f.when)  # fmt: skip
def test_an_answer_that_cannot_be_read_is_none(link, proxy, fault):
    # A GET is sent once more where a kept connection was closed under it.
    fault.count, fault.path = 2 if fault.kind == "drop" else 1, "/instances/usage"
    proxy.add(fault)
    error, _ = refused(link.instance_usage)
    assert re.search("cut short|not JSON|lost", str(error))


def test_a_page_of_a_gateway_is_no_result(link, proxy, backend, bell, emulator):
    from qiskit_ibm_runtime.executor_sampler import Sampler

    job = Sampler(mode=backend).run([bell], shots=10)
    emulator.faults.wait_for(job.job_id(), "Completed")
    proxy.add(Fault("html", path="/jobs/.*/results", status=200))
    error, _ = refused(link.results, job.job_id())
    assert "not JSON" in str(error)
    assert link.results(job.job_id()).startswith("{")


def test_an_error_page_is_an_error_of_the_service(link, proxy):
    proxy.add(Fault("html", path="/instances/usage", status=502))
    with pytest.raises(ServiceError) as caught:
        link.instance_usage()
    assert (caught.value.status, caught.value.outcome_unknown) == (502, True)


@pytest.mark.parametrize(("said", "meant"), [("86400", 60), ("7", 7), ("9" * 400, 60), ("soon", None), ("-5", None)])
def test_nobody_waits_longer_than_a_minute_for_a_retry_after(link, proxy, said, meant):
    proxy.add(Fault("status", path="/instances/usage", status=429, retry_after=said))
    with pytest.raises(ServiceError) as caught:
        link.instance_usage()
    assert caught.value.retry_after == meant


def test_an_expired_token_is_renewed_once_for_all_who_were_refused(link, proxy):
    link.instance_usage()
    before = proxy.seen["POST /identity/token"]
    old = link._origin.token._auth.tm.access_token
    proxy.add(Fault("status", path="/instances/usage", status=401, when="before", count=100, token=old))
    gate = threading.Barrier(4)
    told = []

    def ask():
        gate.wait()
        told.append(link.instance_usage())

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 4
    assert proxy.seen["POST /identity/token"] - before <= 2


def expire(link):
    token = link._origin.token
    token._auth.tm.refresh_time = token._auth.tm.expire_time = 0
    token._text, token._renew_at, token._ends_at = None, 0.0, 0.0


def test_a_refusal_of_iam_is_said_at_once_and_not_asked_for_again_and_again(link, proxy):
    expire(link)
    proxy.add(Fault("status", path="/identity/token", status=400, when="before", count=1000))
    before = proxy.seen["POST /identity/token"]
    for _ in range(3):
        error, took = refused(link.instance_usage)
        assert took < 45  # the SDK's own pacing makes the second one wait for a minute
        assert "refuses the API key" in str(error)
        assert not error.sent
    assert proxy.seen["POST /identity/token"] - before == 1


def test_one_failure_of_iam_is_over_when_iam_is_back(link, proxy, monkeypatch):
    monkeypatch.setattr(client, "IAM_PAUSE", 0.0)
    expire(link)
    proxy.add(Fault("status", path="/identity/token", status=500, when="before"))
    error, _ = refused(link.instance_usage)
    assert "IAM answered HTTP 500" in str(error)
    began = time.monotonic()
    assert link.instance_usage()
    assert time.monotonic() - began < 45  # the SDK's own pacing would make it wait for a minute


def test_an_iam_that_hangs_holds_nobody_for_a_minute(link, proxy, monkeypatch):
    monkeypatch.setattr(client, "IAM_SECONDS", 0.5)
    monkeypatch.setattr(client, "IAM_PAUSE", 0.0)
    expire(link)
    proxy.add(Fault("hang", path="/identity/token", when="before", seconds=600, count=2))
    for _ in range(2):
        error, took = refused(link.instance_usage)
        assert "did not answer within 0.5 s" in str(error)
        assert took < 45
    monkeypatch.setattr(client, "IAM_SECONDS", 30.0)
    proxy.clear()
    with contextlib.suppress(UnreachableError):  # what hung comes to nothing, for whoever still waits for it
        link.instance_usage()
    assert link.instance_usage()  # and the next one asks anew


def test_a_token_that_is_still_good_is_used_when_it_cannot_be_renewed_ahead_of_time(link, proxy):
    link.instance_usage()
    link._origin.token._auth.tm.refresh_time = 0
    proxy.add(Fault("status", path="/identity/token", status=500, when="before"))
    assert link.instance_usage()
    assert proxy.faults["status"]


def test_what_the_emulator_answers_is_what_the_wire_expects(link, backend, bell, emulator):
    from qiskit_ibm_runtime import Batch
    from qiskit_ibm_runtime.executor_sampler import Sampler

    with Batch(backend) as batch:
        job = Sampler(mode=batch).run([bell], shots=10)
    emulator.faults.wait_for(job.job_id(), "Completed")
    session = link.session(batch.session_id)
    page = link.jobs(session_id=batch.session_id)
    metrics = link.metrics(job.job_id())
    workloads = link.workloads(sort="-createdAt")
    usage = link.instance_usage()
    for found in (session, page, metrics, workloads, usage):
        assert found.problems == ()
    assert (session.id, session.mode, session.backend) == (batch.session_id, "batch", "emu_fez")
    assert page.jobs == (link.job(job.job_id()),)
    assert (page.jobs[0].status, page.jobs[0].program, page.jobs[0].session_id) == (
        "Completed", "executor", batch.session_id,
    )  # fmt: skip
    assert metrics.usage.final
    assert metrics.created <= metrics.running <= metrics.finished
    assert batch.session_id in [w.id for w in workloads.workloads]
    assert usage.consumed >= 0
