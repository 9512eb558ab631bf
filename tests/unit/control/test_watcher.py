"""The watch of a workload obeys the service, and nothing that goes wrong in it ends it."""

from __future__ import annotations

import asyncio

import pytest

from qmode_widgets.control.engine.look import BACK_OFF, LOOK, Watch
from qmode_widgets.control.engine.observers import News
from qmode_widgets.control.state.ledger import Ledger
from qmode_widgets.ibm.budget import Budget
from qmode_widgets.portal import clock, portal
from tests.unit.control.account import Account, refuse


class Watched:
    """A workload that is watched, and nothing else."""

    def __init__(self, name="s", budget=None, mode="batch", awaited=False):
        self.account = Account()
        self.account.budget = budget or self.account.budget
        self.account.spoil["jobs"] = self._note
        self.at = []  # when each look began, on the clock of all pauses
        self.settled = False
        self.after = lambda: None
        self.ledger, self.awaited = Ledger(self.account, name, mode, "b"), awaited
        self.news, self.watch = portal().call(self._make)

    def _make(self):
        news = News(self.ledger)
        return news, Watch(self.ledger, awaited=lambda: self.awaited, after=lambda: self.after(), settled=self._settle)

    def _note(self, _, pending, offset):
        if pending and offset == 0:
            self.at.append(clock.monotonic())

    def _settle(self):
        self.settled = True
        self.ledger.changed()

    def start(self):
        portal().call(self.watch.start)

    def until(self, ready):
        portal().call(self.news.until, ready, timeout=60, waits=True)

    def looks(self, n):
        self.until(lambda: len(self.at) >= n)


@pytest.fixture
def watch():
    """Makes watched workloads; all pauses are short, and measured on the clock that they are told by."""
    made = []

    def make(*args, **kwargs):
        made.append(Watched(*args, **kwargs))
        return made[-1]

    portal().call(clock.run, 100.0)
    yield make
    for watched in made:
        portal().call(watched.watch.stop)
    portal().call(clock.run, 1.0)


def test_retry_after_is_obeyed_even_when_somebody_clicks(watch):
    w = watch()
    w.account.spoil["session"] = refuse(429, times=1, retry_after=60.0)
    w.start()
    w.until(lambda: w.ledger.snapshot().problem is not None)
    assert "asked to wait 60 s" in w.ledger.snapshot().problem
    for _ in range(3):
        w.start()
    w.looks(2)
    assert w.at[1] - w.at[0] >= 60.0


def test_a_retry_after_of_nothing_is_no_leave_to_hammer(watch):
    w = watch()
    w.account.spoil["session"] = refuse(503, retry_after=0.0)
    w.start()
    w.looks(4)
    assert [b - a >= pause for a, b, pause in zip(w.at, w.at[1:], BACK_OFF, strict=False)] == [True] * 3


def test_an_error_inside_is_shown_and_the_watching_goes_on(watch):
    w = watch()
    asked = []

    def odd(*_):
        asked.append(w.ledger.snapshot().problem)
        if len(asked) == 1:
            raise ZeroDivisionError

    w.account.spoil["session"] = odd
    w.start()
    w.until(lambda: w.ledger.seen_at is not None)
    assert "an error of qmode_widgets itself" in asked[1]
    assert w.ledger.snapshot().problem is None
    assert w.watch.running


def test_a_guard_that_fails_does_not_end_the_watching(watch):
    w = watch()
    calls = []

    def broken():
        calls.append(1)
        raise RuntimeError("a guard")

    w.after = broken
    w.start()
    w.until(lambda: len(calls) >= 2)
    assert w.watch.running


def test_one_workload_that_hangs_or_is_asked_to_wait_keeps_no_other_from_being_watched(watch):
    hangs, told_off, fine = watch("h"), watch("t"), watch("f")
    free = asyncio.Event()
    hangs.account.spoil["session"] = lambda *_: free.wait()
    told_off.account.spoil["session"] = refuse(429, retry_after=10_000.0)
    fine.account.add("j", "Running", session_id="f")
    for w in (hangs, told_off, fine):
        w.start()
    fine.looks(20)
    assert len(hangs.at) == len(told_off.at) == 1
    portal().call(free.set)


@pytest.mark.parametrize("mode", ["session", "batch"])
def test_who_waits_for_all_jobs_hears_it_from_the_next_look_where_all_have_ended(watch, mode):
    """`session.results()` after the last result: until it returns, the idle session is billed."""
    w = watch(mode=mode, awaited=True)
    w.account.add("j", "Completed")
    w.start()
    w.until(lambda: w.ledger.looked_after(0))
    look = w.ledger.look
    w.start()
    w.until(lambda: w.ledger.looked_after(look))
    assert w.ledger.look == look + 1


def test_stopping_a_watch_ends_a_look_that_hangs(watch):
    w = watch()
    free, ended = asyncio.Event(), []

    async def hang():
        try:
            await free.wait()
        finally:
            ended.append(True)
            w.ledger.changed()

    begun = []
    w.account.spoil["session"] = lambda *_: begun.append(1) or w.ledger.changed() or hang()
    w.start()
    w.until(lambda: begun)
    portal().call(w.watch.stop)
    w.until(lambda: ended)
    assert not w.watch.running


def test_guards_look_when_the_service_does_not_answer(watch):
    w = watch()
    w.account.spoil["session"] = refuse(503)
    problems = []
    w.after = lambda: problems.append(w.ledger.snapshot().problem)
    w.start()
    w.until(lambda: problems)
    assert problems[0] is not None


def test_many_who_ask_while_a_look_is_under_way_get_that_one_or_the_one_after_it(watch):
    w = watch()

    async def ask():
        await asyncio.gather(*(w.watch.look() for _ in range(50)), *(w.watch.look(fresh=True) for _ in range(50)))

    portal().call(ask)
    assert len(w.at) <= 2


def test_watching_ends_once_nothing_is_left_to_learn_and_says_so(watch):
    w = watch()
    w.account.add("j", "Cancelled")
    w.account.sessions["s"] = {"id": "s", "state": "closed", "accepting_jobs": False, "elapsed_time": None}
    w.start()
    w.until(lambda: w.settled)
    portal().call(asyncio.sleep, 0)
    assert not w.watch.running


def test_all_workloads_together_keep_to_the_budget(watch):
    """30 workloads with running jobs, which are looked at every second: below the instance's rate all the same."""
    rate, burst = 10.0, 30.0
    budget = Budget(rate, burst)
    all_ = [watch(str(i), budget) for i in range(30)]
    for i, w in enumerate(all_):
        w.account.add("j", "Running", session_id=str(i))
    began = clock.monotonic()
    for w in all_:
        w.start()
    for w in all_:
        w.looks(3)  # and none starves
    looks = sorted(at for w in all_ for at in w.at)
    for n, at in enumerate(looks, 1):
        assert LOOK * n <= burst + rate * (at - began) + LOOK + 0.1
