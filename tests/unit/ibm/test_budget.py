"""One budget an instance: however many workloads look, the service sees no more than the rate."""

from __future__ import annotations

import heapq

from hypothesis import given
from hypothesis import strategies as st

from qmode_widgets.ibm.budget import Budget


@given(workloads=st.integers(1, 60), every=st.floats(0.2, 10.0), cost=st.integers(1, 5))
def test_looks_of_many_workloads_keep_to_the_rate_and_none_starves(workloads, every, cost):
    budget = Budget(rate=10.0, burst=30.0)
    due = [(0.0, i) for i in range(workloads)]
    made, looks = [], dict.fromkeys(range(workloads), 0)
    now = 0.0
    while now < 120.0:
        at, workload = heapq.heappop(due)
        now = max(now, at)
        now += budget.wait(now, cost)
        budget.take(now, cost)
        made += [now] * cost
        looks[workload] += 1
        heapq.heappush(due, (now + every, workload))
    assert len(made) <= 30 + 10.0 * now + cost
    spare = min(120.0 / every, 120.0 * 10.0 / (cost * workloads))
    assert min(looks.values()) >= 0.8 * spare - 2


def test_a_user_is_not_made_to_wait_and_looks_make_up_for_it():
    budget = Budget(rate=10.0, burst=30.0)
    assert budget.wait(0.0, 2) == 0.0
    budget.take(0.0, 50)
    assert budget.wait(0.0, 2) == 2.2
    assert budget.wait(2.2, 2) < 1e-9


def test_a_flood_of_commands_blinds_for_seconds_only():
    budget = Budget(rate=10.0, burst=30.0)
    budget.take(0.0, 10_000)
    assert budget.wait(0.0, 3) < 4.0


def test_a_clock_that_stands_still_gives_nothing_away():
    budget = Budget(rate=10.0, burst=5.0)
    budget.take(1.0, 5)
    assert budget.wait(1.0) == budget.wait(0.5) == 0.1
