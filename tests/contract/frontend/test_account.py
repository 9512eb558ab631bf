"""The panel's account service, with the real client against the embedded service."""

from __future__ import annotations

import queue
from pathlib import Path
from weakref import WeakValueDictionary

import pytest
from qiskit_ibm_runtime import Batch, Session

import qmode_widgets as qmode
from qmode_widgets.control.registry import registry
from qmode_widgets.emulator.client.launch import Emulator
from qmode_widgets.errors import QmodeError
from qmode_widgets.frontend import account
from qmode_widgets.frontend.account import AccountDesk
from qmode_widgets.ibm.wire import seconds


class Page:
    """What a page does: asks by id, and hears what is broadcast."""

    def __init__(self) -> None:
        self.heard: queue.Queue[dict] = queue.Queue()
        self.registered: list = []
        self.desk = AccountDesk(self.heard.put, self.registered.append, qmode.check)

    def ask(self, kind: str, **more: str) -> dict:
        self.desk.receive({"kind": kind, "id": f"{kind} 1", **more})
        while (message := self.heard.get(timeout=60))["id"] != f"{kind} 1":
            pass
        return message


@pytest.fixture
def page(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Page:
    """A page, and a kernel that was connected to the embedded service and knows no controllers of other tests."""
    monkeypatch.setattr(account, "_connected", [])
    monkeypatch.setattr(registry, "_known", WeakValueDictionary())
    monkeypatch.setattr(registry, "_kept", {})
    account.connect(emulator.connect())
    return Page()


def listed(answer: dict) -> dict[str, dict]:
    return {w["id"]: w for w in answer["workloads"]}


def test_instances_with_their_allowance(page: Page) -> None:
    answer = page.ask("look")
    assert answer["kind"] == "account"
    by_name = {i["name"]: i for i in answer["instances"]}
    assert set(by_name) == {"emulator-open", "emulator-payg", "emulator-premium"}
    assert by_name["emulator-open"] | {"plan": "open"} == by_name["emulator-open"]
    assert by_name["emulator-open"]["limit"] == 600
    assert by_name["emulator-open"]["left"] == 600 - by_name["emulator-open"]["used"]
    assert by_name["emulator-payg"]["limit"] is None
    assert by_name["emulator-payg"]["left"] is None  # an allocation, or nothing, stops no work
    assert answer["unseen"] == []
    assert len(page.ask("about")["instances"]) == 3


def test_only_ones_own_workloads_are_listed_and_ended(page: Page, emulator: Emulator, backend) -> None:
    session = Session(backend)
    others = emulator.connect("emulator-payg", colleague=True)
    theirs = Batch(others.backend(backend.name))
    found = listed(page.ask("look"))
    assert found[session.session_id]["mode"] == "session"
    assert theirs.session_id not in found
    for act in ("watch", "end", "cancel"):
        refused = page.ask("act", act=act, workload=theirs.session_id)
        assert refused["status"] == "failed"
        assert "is not an open workload of this account's user" in refused["message"]
    assert theirs.status() != "Closed"
    done = page.ask("act", act="end", workload=session.session_id)
    assert (done["status"], done["message"]) == ("done", "closed")
    assert session.status() == "Closed"
    assert session.session_id not in listed(page.ask("look"))
    theirs.close()


def test_watch_gives_a_controller_to_every_screen(page: Page, backend) -> None:
    batch = Batch(backend)
    done = page.ask("act", act="watch", workload=batch.session_id)
    assert done["status"] == "done"
    assert [c.workload_id for c in page.registered] == [batch.session_id]
    assert isinstance(page.registered[0], qmode.BatchController)
    cancelled = page.ask("act", act="cancel", workload=batch.session_id)
    assert cancelled["status"] == "done"
    assert batch.status() == "Closed"


def test_what_another_http_client_opened_while_the_kernel_ran_is_told_and_can_be_watched(
    page: Page, service, elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = elsewhere.open("batch")
    created = next(w.created for w in qmode.workloads(service) if w.id == before)
    monkeypatch.setattr(account, "KERNEL_BEGAN", created + 0.001)
    batch = elsewhere.open("batch")
    job = elsewhere.job(session_id=batch)
    answer = page.ask("strays")
    assert answer["kind"] == "account-strays"
    told = listed(answer)
    assert set(told) == {batch}
    assert told[batch] | {"mode": "batch", "backend": "emu_fez", "instance": "emulator-payg"} == told[batch]
    assert page.ask("act", act="watch", workload=batch)["message"] == "watched by this kernel"
    [controller] = page.registered
    assert [j.job_id for j in controller.jobs] == [job]
    assert listed(page.ask("strays")) == {}
    controller.end(running=False)
    assert page.ask("act", act="cancel", workload=before)["status"] == "done"


def test_an_instance_that_does_not_answer_is_named_and_hides_nothing_else(
    page: Page, emulator: Emulator, backend
) -> None:
    batch = Batch(backend)
    page.ask("look")
    emulator.faults.fail_requests(status=403, method="GET", path="/instances/usage", count=100)
    answer = page.ask("look")
    assert batch.session_id in listed(answer)
    assert {i["name"] for i in answer["instances"]} == {"emulator-open", "emulator-payg", "emulator-premium"}
    assert [i["used"] for i in answer["instances"]] == [None] * 3
    assert any("the usage of emulator-open" in text for text in answer["unseen"])
    batch.close()


def test_no_secret_leaves_the_kernel(page: Page, emulator: Emulator) -> None:
    said = str([page.ask("look"), page.ask("about")])
    assert emulator.token not in said
    assert "crn:" not in said
    assert "Bearer" not in said


def test_seconds_come_back_when_the_oldest_usage_leaves_the_period(page: Page, emulator: Emulator, bell) -> None:
    from qiskit_ibm_runtime.executor_sampler import Sampler

    open_plan = emulator.connect("emulator-open")
    job = Sampler(mode=open_plan.backend("emu_fez")).run([bell], shots=4000)
    job.result()
    instance = next(i for i in page.ask("look")["instances"] if i["name"] == "emulator-open")
    assert instance["used"] > 0
    returns = instance["returns"]
    assert 0 < returns["seconds"] <= instance["used"]
    # The oldest usage of the instance: this job's, or that of a test before it.
    jobs = open_plan.jobs(limit=50, descending=False)
    oldest = min(seconds(j.metrics()["timestamps"]["finished"]) for j in jobs if j.usage())
    assert returns["at"] == pytest.approx(oldest + 28 * 86_400, abs=60)  # it tells the day


def test_a_kernel_without_a_service_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "services", list)
    page = Page()
    assert page.ask("about")["instances"] == []
    answer = page.ask("look")
    assert answer["status"] == "failed"
    assert "has no service" in answer["message"]


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"kind": "steal"}, "unknown request 'steal'"),
        ({"kind": "act", "act": "pay", "workload": "w"}, "unknown act 'pay'"),
    ],
)
def test_what_is_not_ours_is_refused(page: Page, request_: dict, said: str) -> None:
    page.desk.receive(request_ | {"id": "x"})
    answer = page.heard.get(timeout=60)
    assert answer["status"] == "failed"
    assert said in answer["message"]


@pytest.mark.parametrize("request_", [None, "look", {}, {"kind": "look"}, {"kind": "look", "id": 3}, {"id": "x" * 999}])
def test_what_cannot_be_answered_is_dropped(request_: object) -> None:
    page = Page()
    page.desk.receive(request_)
    page.desk.receive({"kind": "steal", "id": "after"})
    assert page.heard.get(timeout=60)["id"] == "after"
    assert page.heard.empty()


@pytest.fixture
def no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A kernel that has no service, and no saved account."""
    monkeypatch.setattr(account, "services", list)
    for name in ("QISKIT_IBM_TOKEN", "QISKIT_IBM_CHANNEL", "QISKIT_IBM_URL", "QISKIT_IBM_INSTANCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(
        "qiskit_ibm_runtime.accounts.management._DEFAULT_ACCOUNT_CONFIG_JSON_FILE", str(tmp_path / "none.json")
    )


def test_without_a_saved_account_connect_says_what_to_do(no_account: None) -> None:
    with pytest.raises(QmodeError, match="There is no saved IBM Quantum account where this kernel runs"):
        account.connect()


def test_a_check_reads_and_names_nobody(page: Page, emulator: Emulator) -> None:
    open_batch = Batch(emulator.service.backend("emu_fez"))
    emulator.faults.forget_requests()
    answer = page.ask("check")
    assert answer["kind"] == "account-check"
    assert answer["ok"] is True
    assert {row["name"]: row["state"] for row in answer["rows"]}["GET /workloads"] == "ok"
    assert "Read-only: nothing was submitted" in answer["text"]
    assert {method for method, _, _ in emulator.faults.requests()} == {"GET"}
    assert open_batch.session_id not in str(answer)
    assert "emulator-open" not in str(answer)
    open_batch.close()


def test_a_check_without_an_account_says_what_to_do(no_account: None) -> None:
    answer = Page().ask("check")
    assert answer["ok"] is False
    (failed,) = [row for row in answer["rows"] if row["state"] == "failed"]
    assert failed["name"] == "service"
    assert "save_account" in failed["remedy"]
