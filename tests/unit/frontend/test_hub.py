"""The switchboard without a kernel: what each widget hears, in which order, and how often."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from qmode_widgets.frontend.hub import SILENT, Hub
from qmode_widgets.frontend.protocol import Message
from qmode_widgets.model.command import Action
from qmode_widgets.model.outcome import Cancelled, CancelOutcome, Outcome, Refusal
from qmode_widgets.model.snapshot import JobSnapshot, JobState, WorkloadSnapshot
from qmode_widgets.portal import portal

JOBS = tuple(JobSnapshot(f"r:{n}.0", JobState.QUEUED) for n in range(3))
STATE = WorkloadSnapshot("w1", "batch", "ibm_fez", jobs=JOBS)


class Controller:
    """Does what it is told, and remembers it."""

    def __init__(self, state: WorkloadSnapshot = STATE) -> None:
        self.state = state
        self.callbacks: list[Callable[[WorkloadSnapshot], None]] = []
        self.cancelled: list[str] = []
        self.fails: Exception | None = None
        self.outcome = CancelOutcome(Cancelled.CANCELLED)

    @property
    def id(self) -> str:
        return self.state.id

    def snapshot(self) -> WorkloadSnapshot:
        return self.state

    def listen(self, callback: Callable[[WorkloadSnapshot], None]) -> Callable[[], None]:
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)

    async def perform(self, action: Action, target: str | None) -> Outcome:
        self.cancelled.append(str(target))
        if self.fails:
            raise self.fails
        return self.outcome

    def job(self, n: int, state: JobState) -> None:
        jobs = tuple(replace(job, state=state) if i == n else job for i, job in enumerate(self.state.jobs))
        self.state = replace(self.state, jobs=jobs)
        self.tell(self.state)

    def tell(self, state: WorkloadSnapshot) -> None:
        for callback in self.callbacks:
            portal().send(callback, state)


class Screen:
    """An outlet; `next()` waits for what it hears."""

    def __init__(self, *, attached: bool = True) -> None:
        self.attached = attached
        self.heard: queue.Queue[Message] = queue.Queue()
        self.broken = False

    def deliver(self, message: Message) -> None:
        if self.broken:
            raise RuntimeError("closed")
        self.heard.put(message)

    def next(self, kind: str) -> Message:
        while (message := self.heard.get(timeout=30))["kind"] != kind:
            pass
        return message


@pytest.fixture
def shown() -> tuple[Hub, Controller, Screen]:
    hub, controller, screen = Hub(), Controller(), Screen()
    hub.register(controller)
    hub.add_outlet("w1", screen)
    hub.receive({"kind": "command", "id": "begun"})  # refused, after all that went before
    screen.next("ack")
    return hub, controller, screen


def click(id_: str = "c1", **more: Any) -> dict[str, Any]:
    return {"kind": "command", "id": id_, "workload": "w1", "action": "cancel", "target": "r:0.0", **more}


def test_messages_are_numbered_and_many_changes_become_one(shown: tuple[Hub, Controller, Screen]) -> None:
    _, controller, screen = shown
    controller.job(0, JobState.RUNNING)
    first = screen.next("patch")
    for state in (JobState.RUNNING, JobState.DONE):
        for n in range(3):
            controller.job(n, state)
    seen: dict[str, Any] = {}
    last = first["seq"]
    while [seen.get(f"r:{n}.0") for n in range(3)] != ["done"] * 3:
        patch = screen.next("patch")
        assert patch["seq"] == last + 1
        last = patch["seq"]
        seen |= {key: change["state"] for key, change in patch["jobs"].items()}
    assert last - first["seq"] <= 2, "six changes within a moment went out one by one"


def test_nothing_is_sent_while_nothing_changes(shown: tuple[Hub, Controller, Screen]) -> None:
    _, controller, screen = shown
    controller.tell(replace(controller.state))
    controller.job(0, JobState.DONE)
    assert screen.next("patch")["jobs"] == {"r:0.0": {"state": "done"}}
    assert screen.heard.empty()


def test_a_command_is_answered_and_a_repeated_one_obeyed_once(shown: tuple[Hub, Controller, Screen]) -> None:
    hub, controller, screen = shown
    hub.receive(click())
    hub.receive(click())  # over the control channel and over the comm
    hub.receive(click("c2"))
    acks = [screen.next("ack") for _ in range(4)]
    assert [(a["id"], a["status"]) for a in acks] == [
        ("c1", "accepted"),
        ("c1", "done"),
        ("c2", "accepted"),
        ("c2", "done"),
    ]
    assert acks[1]["message"] == "cancelled"
    assert controller.cancelled == ["r:0.0", "r:0.0"]


def test_an_outcome_that_failed_is_a_failed_answer(shown: tuple[Hub, Controller, Screen]) -> None:
    hub, controller, screen = shown
    controller.outcome = CancelOutcome(Cancelled.REFUSED, Refusal("you may not cancel this job", status=403))
    hub.receive(click())
    assert screen.next("ack")["status"] == "accepted"
    ack = screen.next("ack")
    assert (ack["status"], ack["message"]) == ("failed", "refused: 403 you may not cancel this job")


def test_what_a_controller_raises_is_the_answer(shown: tuple[Hub, Controller, Screen]) -> None:
    hub, controller, screen = shown
    controller.fails = ValueError("there is no such job")
    hub.receive(click())
    assert screen.next("ack")["status"] == "accepted"
    ack = screen.next("ack")
    assert (ack["id"], ack["status"], ack["message"]) == ("c1", "failed", "there is no such job")


def test_a_screen_that_has_not_asked_yet_is_served_more_slowly(shown: tuple[Hub, Controller, Screen]) -> None:
    hub, controller, screen = shown
    late = Screen(attached=False)
    hub.add_outlet("w1", late)
    controller.job(0, JobState.DONE)
    late.next("patch")  # the widget makes a whole state of it
    hub.receive({"kind": "attach", "workload": "w1"}, late)
    late.next("snapshot")
    assert late.attached
    hub.receive({"kind": "command", "id": "after"})
    screen.next("ack")
    assert screen.heard.empty(), "what one widget asked for went to another"


def test_a_service_that_has_stopped_to_answer_is_said_once_and_taken_back(
    shown: tuple[Hub, Controller, Screen], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qmode_widgets.frontend.hub._LOOK", 0.2)
    _, controller, screen = shown
    controller.state = replace(controller.state, seen_at=time.time() - 60)  # no error: a request that hangs
    hung = screen.next("patch")
    assert hung["set"]["problem"] == SILENT
    controller.state = replace(controller.state, seen_at=time.time())
    assert screen.next("patch")["set"]["problem"] is None
    hub_looked = threading.Event()
    real = controller.snapshot
    monkeypatch.setattr(controller, "snapshot", lambda: (hub_looked.set(), real())[1])
    hub_looked.wait(5)
    assert screen.heard.empty(), "a look at a service that answers is no news"


def test_a_closed_widget_does_not_silence_the_others(shown: tuple[Hub, Controller, Screen]) -> None:
    hub, controller, screen = shown
    broken = Screen()
    broken.broken = True
    hub.add_outlet("w1", broken)
    controller.job(0, JobState.DONE)
    controller.job(1, JobState.DONE)
    heard: dict[str, Any] = {}
    while len(heard) < 2:
        heard |= screen.next("patch")["jobs"]
    assert set(heard) == {"r:0.0", "r:1.0"}


def test_another_controller_of_the_same_workload_takes_over_its_screens(shown: tuple[Hub, Controller, Screen]) -> None:
    hub, controller, screen = shown
    other = Controller(replace(STATE, backend="ibm_torino"))
    hub.register(other)
    assert controller.callbacks == []
    assert screen.next("snapshot")["state"]["backend"] == "ibm_torino"
    hub.unregister(controller)  # the old one: of no consequence
    assert hub.current("w1") is not None
    hub.unregister(other)
    assert screen.next("gone")["workload"] == "w1"
    assert hub.current("w1") is None


def test_a_workload_that_comes_anew_has_a_later_epoch(shown: tuple[Hub, Controller, Screen]) -> None:
    hub, controller, _ = shown
    before = hub.current("w1")
    hub.unregister(controller)
    again = Controller()
    hub.register(again)
    after = hub.current("w1")
    assert before is not None
    assert after is not None
    assert after["epoch"] > before["epoch"]


def test_who_comes_late_sees_the_latest_though_nobody_followed() -> None:
    hub, controller, screen = Hub(), Controller(), Screen()
    hub.register(controller)
    controller.job(0, JobState.DONE)
    current = hub.current("w1")
    assert current is not None
    assert current["jobs"][0]["state"] == "done"
    assert portal().call(lambda: [f.flush for f in hub._feeds.values()]) == [None], "work for nobody"
    hub.add_outlet("w1", screen)
    controller.job(1, JobState.DONE)
    assert screen.next("patch")["seq"] == current["seq"] + 1


def test_registering_twice_is_once(shown: tuple[Hub, Controller, Screen]) -> None:
    hub, controller, _ = shown
    hub.register(controller)
    assert len(controller.callbacks) == 1
    assert hub.greeting()["workloads"] == ["w1"]


def test_a_widget_lives_on_when_its_workload_is_let_go_and_attached_to_again(
    shown: tuple[Hub, Controller, Screen],
) -> None:
    hub, controller, screen = shown
    hub.unregister(controller)
    gone = screen.next("gone")
    again = Controller(replace(STATE, backend="ibm_torino"))
    hub.register(again)
    whole = screen.next("snapshot")
    assert whole["state"]["backend"] == "ibm_torino"
    again.job(0, JobState.DONE)
    assert screen.next("patch")["seq"] == whole["seq"] + 1
    assert gone["workload"] == "w1"
