"""The thread that polls obeys the service, and nothing that goes wrong in it ends it."""

from __future__ import annotations

import time

import pytest

from qmode_widgets.control.ledger import Ledger
from qmode_widgets.control.sync import Watcher
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
    assert ledger.wait_for(lambda: ledger.snapshot().problem is not None, 10)
    for _ in range(3):
        watcher.watch(ledger, lambda: None, lambda: None)
        ledger.wait_for(lambda: asked(account) > 1, 0.05)
    assert asked(account) == 1


def test_a_retry_after_of_nothing_is_no_leave_to_hammer(watched):
    account, ledger, watcher = watched
    account.spoil["session"] = refuse(503, retry_after=0.0)
    watcher.watch(ledger, lambda: None, lambda: None)
    assert ledger.wait_for(lambda: ledger.snapshot().problem is not None, 10)
    ledger.wait_for(lambda: asked(account) > 1, 0.3)
    assert asked(account) == 1


def test_an_error_inside_is_shown_and_the_watching_goes_on(watched, monkeypatch):
    account, ledger, watcher = watched
    monkeypatch.setattr("qmode_widgets.control.sync.BACK_OFF", (0.05,))

    def odd(*_):
        if asked(account) == 1:
            raise ZeroDivisionError

    account.spoil["session"] = odd
    watcher.watch(ledger, lambda: None, lambda: None)
    until = time.monotonic() + 10
    assert ledger.wait_for(lambda: ledger.seen_at is not None or time.monotonic() > until, 10)
    assert ledger.snapshot().problem is None
    assert watcher.alive


def test_a_guard_that_fails_does_not_end_the_watching(watched):
    _, ledger, watcher = watched
    calls = []

    def broken():
        calls.append(1)
        raise RuntimeError("a guard")

    watcher.watch(ledger, broken, lambda: None)
    assert ledger.wait_for(lambda: len(calls) == 1, 10)
    watcher.watch(ledger, broken, lambda: None)
    assert ledger.wait_for(lambda: len(calls) == 2, 10)
