"""At the pace and with the budget of a user's kernel: twelve workloads of one instance, sixty jobs that end together.

Everywhere else the clock runs 20 times faster, and the budget of requests with it. Here a second is a second.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter

import pytest
from qiskit_ibm_runtime import Batch

import qmode_widgets as qmode
from qmode_widgets import emulator as package
from qmode_widgets.ibm.budget import BURST, RATE
from qmode_widgets.model.snapshot import JobState
from qmode_widgets.portal import clock, portal
from tests.proxy import Fault, Proxy

WORKLOADS, JOBS = 12, 5
LOOKS = 150  # requests: without a budget they would come within 6.3 s
TICK = 0.05  # seconds
RETRY_AFTER = 3.0


@pytest.fixture(scope="module", autouse=True)
def a_second_is_a_second():
    tests = clock.speed
    portal().call(lambda: clock.run(1.0))
    yield
    portal().call(lambda: clock.run(tests))


@pytest.fixture(scope="module")
def proxy():
    """Before an embedded service whose QPU takes all jobs at once: all workloads are looked at as often as ever."""
    with (
        package.start(shared=False, speed=float("inf"), lanes=WORKLOADS * JOBS) as service,
        Proxy(service.url) as running,
    ):
        running.emulator = service
        yield running


@pytest.fixture
def emulator(proxy):
    return proxy.emulator


@pytest.fixture
def workloads(far):
    opened = [qmode.BatchController(Batch(far)) for _ in range(WORKLOADS)]
    yield opened
    for controller in opened:
        controller.end(running=False)


def looks_of(proxy):
    """When each workload was looked at, in order: (seconds, its path)."""
    return [(at, path) for at, method, path in proxy.came if method == "GET" and path.startswith("/sessions/")]


@pytest.fixture
def late(proxy):
    """By how much the threads of this process got the machine too late, at worst, in seconds: what that held up comes
    at once. On an idle machine it is next to nothing.
    """
    worst = [0.0, 0.0]

    async def watch(thread):
        while True:
            due = time.monotonic() + TICK
            await asyncio.sleep(TICK)
            worst[thread] = max(worst[thread], time.monotonic() - due)

    loops = portal().loop, proxy.loop
    watches = [asyncio.run_coroutine_threadsafe(watch(n), loop) for n, loop in enumerate(loops)]
    yield lambda: sum(worst)
    for each in watches:
        each.cancel()


def rate_is_kept(came, late):
    """No stretch of time has more requests than the burst and what the rate allows in it."""
    times = [at for at, *_ in came]
    return all(
        last - first + 1 <= BURST + RATE * (times[last] - times[first] + late) + JOBS  # one turn, waited for before
        for first, last in itertools.combinations(range(len(times)), 2)
    )


def test_sixty_jobs_of_twelve_workloads_end_together(
    workloads, proxy, emulator, late, sampler, rotations, in_pub_order
):
    emulator.faults.pause()
    runs = [c.submit(sampler(c.primitive_mode), rotations(JOBS), partitions=JOBS) for c in workloads]
    # The waits of 60 to 180 s only end a test that would hang: each is for a state, which comes within seconds.
    assert all(c.wait_until(lambda shot: any(j.state is JobState.RUNNING for j in shot.jobs), 120) for c in workloads)
    assert all(c.wait_until(lambda shot: all(j.job_id for j in shot.jobs), 120) for c in workloads)

    # While they run: all are looked at in turn, and together never more often than the instance's budget allows.
    with proxy.met:
        proxy.came.clear()
    assert proxy.wait_until(lambda: len(proxy.came) >= LOOKS, 120)
    watched = list(proxy.came)
    assert {method for _, method, _ in watched} == {"GET"}
    assert rate_is_kept(watched, late())
    turns = Counter(path for _, method, path in watched if path.startswith("/sessions/"))
    assert len(turns) == WORKLOADS
    assert max(turns.values()) <= 2 * min(turns.values())

    # One of them is told to wait: it does, and no other waits with it.
    told = f"/sessions/{workloads[0].workload_id}"
    proxy.add(Fault("status", method="GET", path=told, status=429, retry_after=str(int(RETRY_AFTER)), when="before"))
    assert proxy.wait_until(lambda: proxy.faults["status"] == 1, 60)
    refused = [at for at, path in looks_of(proxy) if path == told][-1]
    assert workloads[0].wait_until(lambda shot: shot.problem is not None and "429" in shot.problem, 60)

    def later():
        return [(at, path) for at, path in looks_of(proxy) if at > refused]

    assert proxy.wait_until(lambda: any(path == told for _, path in later()), 60)
    again = next(at for at, path in later() if path == told)
    assert again - refused >= RETRY_AFTER
    assert len({path for at, path in later() if at < again}) == WORKLOADS - 1

    # All end at once: each is known to be done and billed, within the budget, and nothing was sent twice.
    emulator.faults.resume()
    assert all(run.wait(180) for run in runs)
    assert all(c.wait_until(lambda shot: shot.usage.status == "final", 180) for c in workloads)
    assert rate_is_kept([call for call in proxy.came if call[1] == "GET"], late())
    assert proxy.seen["POST /jobs"] == WORKLOADS * JOBS
    for run in runs:
        in_pub_order(run.result(), JOBS)
