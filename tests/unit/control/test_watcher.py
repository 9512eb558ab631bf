"""The thread that polls obeys the service, and nothing that goes wrong in it ends it."""

from __future__ import annotations

import threading
import time

import pytest

from qmode_widgets.control.engine.look import Watcher
from qmode_widgets.control.state.ledger import Ledger
from qmode_widgets.ibm.budget import Budget
from tests.unit.control.account import Account, refuse


@pytest.fixture
def watched():
    account = Account()
    ledger, watcher = Ledger(account, "s", "batch", "b"), Watcher()
    yield account, ledger, watcher
    watcher.forget(ledger)


def asked(account):
    return sum(a[0] == "session" for a in account.asked)


def test_retry_after_is_obeyed_even_when_somebody_clicks(watched):
    account, ledger, watcher = watched
    account.spoil["session"] = refuse(429, retry_after=60.0)
    watcher.watch(ledger, lambda: None, lambda: None)
    assert ledger.wait_for(lambda: ledger.snapshot().problem is not None, 60)
    for _ in range(3):
        watcher.watch(ledger, lambda: None, lambda: None)
        ledger.wait_for(lambda: asked(account) > 1, 0.05)
    assert asked(account) == 1


def test_a_retry_after_of_nothing_is_no_leave_to_hammer(watched):
    account, ledger, watcher = watched
    account.spoil["session"] = refuse(503, retry_after=0.0)
    watcher.watch(ledger, lambda: None, lambda: None)
    assert ledger.wait_for(lambda: ledger.snapshot().problem is not None, 60)
    ledger.wait_for(lambda: asked(account) > 1, 0.3)
    assert asked(account) == 1


def test_an_error_inside_is_shown_and_the_watching_goes_on(watched, monkeypatch):
    account, ledger, watcher = watched
    monkeypatch.setattr("qmode_widgets.control.engine.look.BACK_OFF", (0.05,))

    def odd(*_):
        if asked(account) == 1:
            raise ZeroDivisionError

    account.spoil["session"] = odd
    watcher.watch(ledger, lambda: None, lambda: None)
    assert ledger.wait_for(lambda: ledger.seen_at is not None, 60)
    assert ledger.snapshot().problem is None
    assert watcher.alive


def test_a_guard_that_fails_does_not_end_the_watching(watched):
    _, ledger, watcher = watched
    calls = []

    def broken():
        calls.append(1)
        raise RuntimeError("a guard")

    watcher.watch(ledger, broken, lambda: None)
    assert ledger.wait_for(lambda: len(calls) == 1, 60)
    watcher.watch(ledger, broken, lambda: None)
    assert ledger.wait_for(lambda: len(calls) == 2, 60)


def test_one_workload_that_hangs_or_is_asked_to_wait_keeps_no_other_from_being_watched():
    watcher = Watcher(pace=0.01)
    hangs, free = Account(), threading.Event()
    hangs.spoil["session"] = lambda *_: free.wait(60)
    told_off = Account()
    told_off.spoil["session"] = refuse(429, retry_after=60.0)
    fine = Account()
    ledgers = [Ledger(account, name, "batch", "b") for account, name in ((hangs, "h"), (told_off, "t"), (fine, "f"))]
    for ledger in ledgers:
        watcher.watch(ledger, lambda: None, lambda: None)
    try:
        until = time.monotonic() + 20
        while asked(fine) < 5 and time.monotonic() < until:
            ledgers[2].wait_for(lambda: False, 0.02)
        assert asked(fine) >= 5
        assert asked(hangs) == asked(told_off) == 1
        assert "asked to wait 60 s" in ledgers[1].snapshot().problem
    finally:
        free.set()
        for ledger in ledgers:
            watcher.forget(ledger)


def test_guards_look_when_the_service_does_not_answer(watched):
    account, ledger, watcher = watched
    account.spoil["session"] = refuse(503)
    looked = threading.Event()
    watcher.watch(ledger, looked.set, lambda: None)
    assert looked.wait(60)
    assert ledger.snapshot().problem is not None


def test_all_workloads_together_keep_to_the_budget():
    """30 controllers at an eager pace: the requests of all of them stay below the instance's rate."""
    watcher = Watcher(Budget(rate=40.0, burst=30.0), pace=0.001)
    accounts = [Account() for _ in range(30)]
    budget = watcher._budget
    for account in accounts:
        account.spoil = dict.fromkeys(("session", "jobs"), lambda *_: budget.take(time.monotonic()))
    ledgers = [Ledger(account, str(i), "batch", "b") for i, account in enumerate(accounts)]
    began = time.monotonic()
    for ledger in ledgers:
        watcher.watch(ledger, lambda: None, lambda: None)
    assert ledgers[0].wait_for(lambda: all(account.asked for account in accounts), 60)
    took = time.monotonic() - began
    made = sum(a[0] in account.spoil for account in accounts for a in account.asked)
    for ledger in ledgers:
        watcher.forget(ledger)
    assert made <= 30 + 40 * took + 3 * 8  # each of the threads may have begun one look
