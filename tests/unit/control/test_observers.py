"""User code hears what is newest last, on threads of its own, and whatever it does ends nothing of ours."""

from __future__ import annotations

import queue
import sys
import threading

import pytest

from qmode_widgets.control.engine.look import refresh
from qmode_widgets.control.engine.observers import News, Subscription, in_callback
from qmode_widgets.control.state.ledger import Ledger
from qmode_widgets.control.state.merge import merge
from qmode_widgets.ibm.wire import Job
from qmode_widgets.portal import portal
from tests.unit.control.account import Account


class Desk:
    def __init__(self):
        self.account = Account()
        self.ledger = Ledger(self.account, "s", "session", "b")
        self.news = portal().call(News, self.ledger)

    def say(self, text):
        def change():
            self.ledger.event("info", text)
            self.ledger.changed()

        portal().call(change)

    def observe(self, callback, failed=lambda error: None):
        """As `on_change` of a controller does it."""
        subscription = Subscription(callback, failed)
        portal().call(self.news.listen, subscription.tell)
        return subscription


@pytest.fixture
def desk():
    return Desk()


class Heard:
    """An observer that keeps the newest event of each snapshot it hears."""

    def __init__(self, desk):
        self._queue = queue.SimpleQueue()
        desk.observe(lambda shot: self._queue.put(shot.events[-1].text if shot.events else None))

    def until(self, text):
        found = []
        while text not in found:
            found.append(self._queue.get(timeout=60))
        return found


def test_an_observer_that_changes_the_workload_lets_the_others_hear_the_newest_last(desk):
    def meddle(shot):
        if shot.events[-1].text == "first":
            desk.say("second")

    desk.observe(meddle)
    heard = Heard(desk)
    desk.say("first")
    assert heard.until("second") == ["first", "second"]


def test_a_slow_observer_holds_up_nobody_and_hears_what_is_newest_when_it_is_done(desk):
    entered, release, heard = queue.SimpleQueue(), threading.Event(), []

    def slow(shot):
        heard.append(shot.events[-1].text)
        entered.put(heard[-1])
        release.wait(60)

    desk.observe(slow)
    quick = Heard(desk)
    desk.say("first")
    assert entered.get(timeout=60) == "first"
    for text in ("a", "b", "c"):
        desk.say(text)
        quick.until(text)
    release.set()
    assert entered.get(timeout=60) == "c"
    assert heard == ["first", "c"]


def test_an_observer_that_raises_does_not_silence_the_others_and_is_told_of_once(desk):
    failures = queue.SimpleQueue()

    def broken(_):
        raise RuntimeError("mine")

    desk.observe(broken, failures.put)
    heard = Heard(desk)
    desk.say("first")
    heard.until("first")
    assert str(failures.get(timeout=60)) == "mine"
    desk.say("after")
    assert heard.until("after")[-1] == "after"
    assert failures.empty()


def test_sys_exit_in_a_callback_ends_nothing():
    failures, heard = queue.SimpleQueue(), queue.SimpleQueue()

    def leave(what):
        heard.put(what)
        if what == "exit":
            sys.exit("good bye")

    subscription = Subscription(leave, failures.put, every=True)
    subscription.tell("exit")
    subscription.tell("after")
    assert [heard.get(timeout=60) for _ in range(2)] == ["exit", "after"]
    assert isinstance(failures.get(timeout=60), SystemExit)
    subscription.end()


def test_every_keeps_all_in_order_and_the_end_is_the_end():
    heard, begun, release = queue.SimpleQueue(), threading.Event(), threading.Event()

    def slow(number):
        begun.set()
        release.wait(60)
        heard.put(number)

    subscription = Subscription(slow, lambda error: None, every=True)
    for i in range(100):
        subscription.tell(i)
    assert begun.wait(60)
    release.set()
    assert [heard.get(timeout=60) for _ in range(100)] == list(range(100))
    done = threading.Event()
    last = Subscription(lambda _: done.set(), lambda error: None, every=True)
    subscription.end()
    subscription.tell("too late")
    last.tell(1)
    assert done.wait(60)
    assert heard.empty()
    last.end()


def test_an_observer_may_refresh(desk):
    """A callback that waits for the loop: the loop does not wait for it."""
    refreshed = threading.Event()

    def refreshing(_):
        portal().call(refresh, desk.ledger)
        refreshed.set()

    desk.observe(refreshing)
    desk.say("first")
    assert refreshed.wait(60)


def test_an_observer_is_known_as_one(desk):
    found = queue.SimpleQueue()
    desk.observe(lambda _: found.put(in_callback()))
    desk.say("first")
    assert found.get(timeout=60)
    assert not in_callback()


def test_who_waits_hears_of_a_change_whatever_a_callback_does(desk):
    release = threading.Event()
    desk.observe(lambda _: release.wait(60))
    desk.say("first")
    told = []
    threading.Thread(target=lambda: (desk.say("second"), told.append(1))).start()
    portal().call(desk.news.until, lambda: any(e.text == "second" for e in desk.ledger.snapshot().events), timeout=60)
    release.set()


def test_a_burst_of_changes_makes_one_view(desk, monkeypatch):
    """A view of a thousand rows is dear, and the loop has others to serve: one for each interval of a screen."""
    heard = Heard(desk)
    views = []
    snapshot = desk.ledger.snapshot
    monkeypatch.setattr(desk.ledger, "snapshot", lambda: views.append(1) or snapshot())

    def change():
        for word in ("Queued", "Running", "Completed"):
            for start in range(0, 1000, 200):  # a page at a time, as a look takes it over
                merge(desk.ledger, [Job(f"j{i}", word, session_id="s") for i in range(start, start + 200)], scope="s")
                desk.ledger.changed()
        desk.ledger.event("info", "over")
        desk.ledger.changed()

    portal().call(change)
    assert heard.until("over") == ["over"]
    assert len(views) == 1
