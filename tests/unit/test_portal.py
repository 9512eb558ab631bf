"""The way to the loop: what was asked for happens wholly or not at all, whatever becomes of who waits for it."""

from __future__ import annotations

import asyncio
import itertools
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmode_widgets import portal as house
from qmode_widgets.portal import Clock, Loop, aside, call, clock, get, portal


class Slow:
    """Something that takes until it is let go; what becomes of it is heard."""

    def __init__(self):
        self.began, self.ended, self.undone = queue.SimpleQueue(), queue.SimpleQueue(), queue.SimpleQueue()
        self._go = asyncio.Event()

    async def run(self, interrupts=False):
        self.began.put(True)
        if interrupts:
            os.kill(os.getpid(), signal.SIGINT)
        try:
            await self._go.wait()
        except asyncio.CancelledError:
            self.ended.put("cancelled")
            raise
        self.ended.put("done")
        return "what came of it"

    async def undo(self, found):
        self.undone.put(found)

    def go(self):
        portal().call(self._go.set)


def test_results_and_errors_pass():
    async def double(x):
        await asyncio.sleep(0)
        return 2 * x

    async def fails():
        await asyncio.sleep(0)
        raise KeyError("theirs")

    def fails_at_once():
        raise LookupError("theirs")

    assert portal().call(double, 4) == 8
    assert call(double, 4) == 8
    assert portal().call(lambda: threading.current_thread().name) == "qmode-loop"
    with pytest.raises(KeyError, match="theirs"):
        portal().call(fails)
    with pytest.raises(LookupError, match="theirs"):
        portal().call(fails_at_once)


def test_what_nobody_waits_for_any_more_runs_to_its_end_and_is_undone():
    slow = Slow()
    with pytest.raises(TimeoutError):
        portal().call(slow.run, timeout=0.05, undo=slow.undo)
    slow.go()
    assert slow.ended.get(timeout=60) == "done"
    assert slow.undone.get(timeout=60) == "what came of it"


def test_what_an_interrupt_left_alone_runs_to_its_end_and_is_undone():
    slow = Slow()
    with pytest.raises(KeyboardInterrupt):
        portal().call(slow.run, True, undo=slow.undo)
    slow.go()
    assert slow.ended.get(timeout=60) == "done"
    assert slow.undone.get(timeout=60) == "what came of it"
    assert portal().call(lambda: "and the loop goes on") == "and the loop goes on"


@pytest.mark.parametrize("interrupts", [True, False])
def test_what_only_waits_ends_with_the_waiting(interrupts):
    slow = Slow()
    with pytest.raises(KeyboardInterrupt if interrupts else TimeoutError):
        portal().call(slow.run, interrupts, timeout=60 if interrupts else 0.05, waits=True)
    assert slow.ended.get(timeout=60) == "cancelled"


def test_what_failed_is_not_undone():
    undone, go = [], asyncio.Event()

    async def fails():
        await go.wait()
        raise KeyError

    with pytest.raises(TimeoutError):
        portal().call(fails, timeout=0.05, undo=undone.append)
    portal().call(go.set)
    portal().call(asyncio.sleep, 0)
    assert undone == []


def test_what_was_abandoned_before_it_began_never_begins():
    free, began = threading.Event(), []
    portal().send(free.wait, 60)  # the loop is busy
    with pytest.raises(TimeoutError):
        portal().call(lambda: began.append(1), timeout=0.05)
    free.set()
    portal().call(lambda: None)
    assert began == []


def test_the_loops_own_thread_gets_what_is_at_hand_and_must_not_wait():
    async def later():
        return 1

    assert portal().call(lambda: portal().call(lambda: 2)) == 2
    with pytest.raises(RuntimeError, match="must not wait for the loop"):
        portal().call(lambda: portal().call(later))


def test_what_is_sent_is_not_waited_for():
    slow = Slow()
    portal().send(slow.run)
    assert slow.began.get(timeout=60)
    slow.go()
    assert slow.ended.get(timeout=60) == "done"


def test_an_error_of_what_is_sent_ends_nothing():
    def fails():
        raise KeyError

    portal().send(fails)
    assert portal().call(lambda: 3) == 3


def test_a_users_own_loop_is_not_blocked_and_its_cancelling_is_heard():
    slow, other = Slow(), Slow()

    async def theirs():
        waiting = asyncio.create_task(portal().acall(slow.run, waits=True))
        gone = asyncio.create_task(portal().acall(other.run, undo=other.undo))
        for order in (slow, other):
            await asyncio.to_thread(order.began.get, timeout=60)
        waiting.cancel()
        gone.cancel()
        await asyncio.wait([waiting, gone])
        with pytest.raises(KeyError):
            await portal().acall(fails)
        return await portal().acall(answers)

    async def fails():
        raise KeyError

    async def answers():
        return 5

    assert asyncio.run(theirs()) == 5
    assert slow.ended.get(timeout=60) == "cancelled"
    other.go()
    assert other.undone.get(timeout=60) == "what came of it"


def run(code):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    return done.stdout.split(), done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_is_told_so_and_has_a_loop_of_its_own():
    said, errors = run("""
import os
from qmode_widgets.portal import ForkedError, portal
parents = portal()
parents.call(lambda: None)
if os.fork() == 0:
    for ask in (parents.call, parents.send):
        try:
            ask(lambda: None)
        except ForkedError as error:
            print(type(error).__name__, "attach(id," in str(error), flush=True)
    print(portal() is not parents, portal().call(lambda: 6), flush=True)
    os._exit(0)
os.wait()
print(parents.call(lambda: 7))
""")
    assert said == ["ForkedError", "True", "ForkedError", "True", "True", "6", "7"], errors


def test_at_exit_all_run_together_and_one_that_hangs_holds_nobody_up():
    said, errors = run("""
import asyncio
from qmode_widgets import portal
portal.EXIT_SECONDS = 0.5

async def hangs():
    await asyncio.Event().wait()

async def fails():
    raise KeyError

async def says():
    await asyncio.sleep(0.01)
    print("closed", flush=True)

for function in (hangs, fails, says):
    portal.at_exit(function)
portal.last_at_exit(lambda: print("last", flush=True))
portal.portal()
""")
    assert said == ["closed", "last"]
    assert errors == ""


def test_aside_is_another_thread_whose_result_and_errors_pass():
    def fails():
        raise ValueError("theirs")

    async def both():
        name = await aside(lambda: threading.current_thread().name)
        with pytest.raises(ValueError, match="theirs"):
            await aside(fails)
        return name, await aside(divmod, 7, 4)

    assert portal().call(both) == ("qmode-aside", (1, 3))


def test_what_hangs_aside_holds_up_neither_the_loop_nor_who_gives_up():
    free = threading.Event()

    async def gives_up():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await aside(free.wait, 60)
        return await asyncio.gather(*(aside(int, str(i)) for i in range(50)))

    assert portal().call(gives_up) == list(range(50))
    free.set()


@pytest.fixture
def fast():
    yield lambda speed: portal().call(clock.run, speed)
    portal().call(clock.run, 1.0)


@given(st.lists(st.floats(0.01, 10_000.0), max_size=8))
def test_a_clock_never_goes_back_however_its_speed_changes(speeds):
    own = Clock()
    seen = [own.monotonic()]
    for speed in speeds:
        own.run(speed)
        assert own.of(2.0) == 2.0 * speed
        seen += [own.monotonic(), own.monotonic()]
    assert all(a <= b for a, b in itertools.pairwise(seen))


def test_pauses_of_the_loop_go_by_the_clock(fast):
    fast(100_000.0)

    async def pause():
        began = clock.monotonic()
        await asyncio.sleep(3600.0)
        return clock.monotonic() - began

    assert portal().call(pause, timeout=60) >= 3600.0


def test_a_pause_that_is_under_way_becomes_shorter_too(fast):
    slept = queue.SimpleQueue()

    async def pause():
        slept.put(await asyncio.sleep(3600.0, "slept"))

    portal().send(pause)
    fast(100_000.0)
    assert slept.get(timeout=60) == "slept"


def test_nothing_comes_out_of_an_empty_queue():
    with pytest.raises(queue.Empty):
        get(queue.SimpleQueue(), 0.01)


def test_a_name_that_does_not_resolve_any_more_has_its_last_address(monkeypatch):
    """The resolver is away for a while, or does not answer at all: one thread a name, and none is waited for."""
    asked, free = [], threading.Event()

    def resolve(host, port, **_):
        asked.append(host)
        if len(asked) == 1:
            return [("an address", host, port)]
        if len(asked) == 2:
            raise socket.gaierror("not now")
        free.wait(60)
        raise socket.gaierror("never")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(house, "NAME_KEPT", 0.0)
    monkeypatch.setattr(house, "NAME_WAIT", 0.05)
    loop = Loop()

    async def four():
        found = [await loop.getaddrinfo("emu", 443) for _ in range(4)]
        free.set()
        with pytest.raises(socket.gaierror):
            await loop.getaddrinfo("another", 443)
        return found

    try:
        assert loop.run_until_complete(four()) == [[("an address", "emu", 443)]] * 4
    finally:
        loop.close()
    assert asked == ["emu", "emu", "emu", "another"]


def test_a_name_is_asked_for_once_a_minute(monkeypatch):
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, **_: asked.append(time.monotonic()) or [host])
    loop = Loop()
    try:
        for _ in range(3):
            assert loop.run_until_complete(loop.getaddrinfo("emu", 443)) == ["emu"]
    finally:
        loop.close()
    assert len(asked) == 1
