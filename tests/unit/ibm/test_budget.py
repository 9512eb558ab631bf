"""One budget an instance: however many workloads look, the service sees no more than the rate."""

from __future__ import annotations

import heapq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmode_widgets.ibm.budget import LEAST, Budget


@given(workloads=st.integers(1, 60), every=st.floats(0.2, 10.0), cost=st.integers(1, 5))
def test_looks_of_many_workloads_keep_to_the_rate_and_none_starves(workloads, every, cost):
    budget = Budget(rate=10.0, burst=30.0)
    asks = [(0.0, i) for i in range(workloads)]
    made, looks = [], dict.fromkeys(range(workloads), 0)
    while asks[0][0] < 120.0:
        now, workload = heapq.heappop(asks)
        began = now + budget.turn(now, cost)
        made += [began] * cost
        looks[workload] += began < 120.0
        heapq.heappush(asks, (began + every, workload))
    made.sort()
    for first in range(0, len(made), 20):  # of any stretch of time
        stretch = made[-1] - made[first]
        assert len(made) - first <= 30 + 10.0 * stretch + cost + 1e-6
    spare = min(120.0 / every, 120.0 * 10.0 / (cost * workloads))
    assert min(looks.values()) >= 0.8 * spare - 2


def test_a_burst_goes_at_once_and_the_next_look_waits_its_turn():
    budget = Budget(rate=10.0, burst=30.0)
    assert [budget.turn(0.0, 10) for _ in range(3)] == [0.0] * 3
    assert budget.turn(0.0, 2) == pytest.approx(0.2)
    assert budget.turn(0.0, 2) == pytest.approx(0.4)


def test_after_a_pause_a_burst_is_free_again_and_no_more_than_one():
    budget = Budget(rate=10.0, burst=30.0)
    budget.turn(0.0, 30)
    assert budget.turn(1000.0, 30) == 0.0
    assert budget.turn(1000.0, 10) == pytest.approx(1.0)


def test_turns_are_in_the_order_of_asking():
    budget = Budget(rate=10.0, burst=5.0)
    waits = [budget.turn(0.0, cost) for cost in (5, 1, 4, 2)]
    assert waits == sorted(waits)


def test_a_clock_that_stands_still_or_goes_back_gives_nothing_away():
    budget = Budget(rate=10.0, burst=5.0)
    assert budget.turn(1.0, 5) == 0.0
    assert budget.turn(1.0) == pytest.approx(0.1)
    assert budget.turn(0.5) == pytest.approx(0.7)


def test_what_is_left_can_be_spent_at_once_and_a_little_in_any_case_for_which_later_turns_wait():
    budget = Budget(rate=10.0, burst=30.0)
    assert budget.spend(0.0, 50) == 30
    assert budget.spend(0.0, 50) == LEAST
    assert budget.spend(0.0, 1) == 1
    assert budget.spend(0.0, 0) == 0
    assert budget.turn(0.0, 2) == pytest.approx((LEAST + 1 + 2) / 10)


@given(workloads=st.integers(1, 60), wanted=st.integers(0, 40))
def test_looks_that_add_requests_keep_to_the_rate(workloads, wanted):
    budget = Budget(rate=10.0, burst=30.0)
    looks = [(budget.turn(0.0, 2), i) for i in range(workloads)]
    made = 0
    heapq.heapify(looks)
    while looks[0][0] < 120.0:
        now, workload = heapq.heappop(looks)
        made += 2 + budget.spend(now, wanted)
        heapq.heappush(looks, (now + 1.0 + budget.turn(now + 1.0, 2), workload))
    # Those that had their turn already did not wait for what was added meanwhile.
    assert made <= 30 + 10.0 * 120.0 + (2 + LEAST) * workloads
