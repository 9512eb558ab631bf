"""I have so many seconds: which shots, which precision?"""

import math

import numpy as np
import pytest

from qmode_widgets.errors import ArgumentError
from qmode_widgets.planning.budget import Allocation, precision_of, total_error
from qmode_widgets.planning.plan import plan
from qmode_widgets.planning.settings import settings
from qmode_widgets.planning.work import analyse

AROUND = {"queue_wait": 600, "instance_plan": "premium", "usage_left": 1e9}


@pytest.fixture(scope="module")
def mixed(ansatz, observable):
    """Three PUBs of different cost a shot: 1, 3 and 1 bases, 1, 1 and 20 parameter sets."""
    o = observable
    values = np.linspace(0, 1, 40).reshape(20, 2)
    return [(ansatz, o("ZZ"), [0.1, 0.2]), (ansatz, [[o("ZZ")], [o("XX")], [o("YY")]], values[:1]),
            (ansatz, o("ZZ"), values)]  # fmt: skip


@pytest.mark.parametrize("options", [{"resilience_level": 0}, {"resilience_level": 1}, {"resilience_level": 2}])
@pytest.mark.parametrize("budget", [30, 60, 300])
def test_the_bill_is_what_the_budget_allows_and_close_to_it(backend, mixed, options, budget):
    found = plan(mixed, backend, "estimator", options, budget=budget, **AROUND)
    assert found.bill.expected <= budget
    assert found.bill.expected > 0.9 * budget - 1
    assert found.errors == ()
    assert [a.pub for a in found.allocation] == [0, 1, 2]
    for pub, item, share in zip(found.pubs, found.work.items, found.allocation, strict=True):
        assert item.shots == share.shots  # what the Estimator makes of the precision
        assert pub[3] == pytest.approx(share.precision, rel=0.5)
        assert share.precision == pytest.approx(1 / math.sqrt(share.shots))


def test_the_allocation_has_the_least_total_error(backend, mixed):
    """Moving a tenth of one PUB's seconds to another makes the total error larger."""
    found = plan(mixed, backend, "estimator", {"resilience_level": 0}, budget=300, **AROUND)
    work = found.work
    cost = [item.executions.expected / item.shots for item in work.items]  # executions a shot; lengths are equal
    best = total_error(work, found.allocation)
    for giver in range(3):
        for taker in set(range(3)) - {giver}:
            shots = [a.shots for a in found.allocation]
            moved = 0.1 * shots[giver]
            shots[giver] -= moved
            shots[taker] += moved * cost[giver] / cost[taker]
            assert total_error(work, [Allocation(i, n, 1 / math.sqrt(n)) for i, n in enumerate(shots)]) > best


def test_all_pubs_equal_and_the_shots_fill_the_budget(backend, bell):
    found = plan([bell] * 4, backend, budget=60, **AROUND)
    assert len({a.shots for a in found.allocation}) == 1
    more = analyse([(bell, None, found.allocation[0].shots + 1000)] * 4, backend, settings("sampler"))
    assert sum(i.executions.expected for i in more.items) * 256e-6 > 60 - 1.6 - 1
    assert "± 0.00" in str(found)


def test_client_side_primitives_get_one_number_of_shots(backend, bell, sampled):
    pubs = [(bell, None), (sampled, np.linspace(0, 1, 30)[:, None])]
    found = plan(pubs, backend, "executor_sampler", budget=60, **AROUND)
    assert len({a.shots for a in found.allocation}) == 1
    assert len(found.partitions) == 1
    apart = plan(pubs, backend, "sampler", budget=60, **AROUND)
    assert apart.allocation[0].shots > apart.allocation[1].shots * 0.9


@pytest.mark.parametrize("precision", [0.2, 0.002])
def test_what_the_pubs_name_of_precision_does_not_count(backend, mixed, precision):
    """The client-side Estimator's measurement learning follows the shots: allocated up and down alike."""
    pubs = [(*pub, precision) for pub in mixed]
    for kind in ("estimator", "executor_estimator"):
        found = plan(pubs, backend, kind, budget=200, **AROUND)
        bare = plan(mixed, backend, kind, budget=200, **AROUND)
        assert 0.9 * 200 <= found.bill.expected <= 200
        for a, b in zip(found.allocation, bare.allocation, strict=True):
            assert a.shots == pytest.approx(b.shots, rel=0.05)


def test_the_budget_is_for_all_steps(backend, ansatz, observable):
    pubs = [(ansatz, observable("ZZ"), [0.1, 0.2])]
    found = plan(pubs, backend, "estimator", iterative=20, budget=400, **AROUND)
    assert found.bill.expected <= 400
    assert found.usage.jobs == 20


def test_nothing_fits_is_said_with_the_reason(backend, mixed, bell):
    with pytest.raises(
        ArgumentError, match=r"budget=9: nothing fits; 1.6 s of overhead and \d.\d s of learning"
    ) as error:
        plan(mixed, backend, "estimator", budget=9, **AROUND)
    assert "measure_mitigation=False" in str(error.value)
    assert plan(
        mixed, backend, "estimator", {"resilience": {"measure_mitigation": False}}, budget=9, **AROUND
    ).allocation
    with pytest.raises(ArgumentError, match="budget=1: nothing fits"):
        plan([bell], backend, budget=1, **AROUND)


def test_few_shots_are_warned_of(backend, sampled):
    found = plan([(sampled, np.zeros((1000, 1)))], backend, budget=10, **AROUND)
    assert found.allocation[0].shots < 100
    assert "few shots" in {f.rule for f in found.findings}


def test_what_a_budget_cannot_allocate(backend, bell):
    twirling = {"twirling": {"enable_gates": True, "num_randomizations": 10, "shots_per_randomization": 64}}
    with pytest.raises(ArgumentError, match="fix the shots"):
        plan([bell], backend, "executor_sampler", twirling, budget=60)
    for bad in (0, -1, math.nan, math.inf, "60", True):
        with pytest.raises(ArgumentError, match="budget="):
            plan([bell], backend, budget=bad)


def test_the_precision_of_shots_is_taken_back_as_these_shots():
    for shots in (1, 2, 3, 100, 4096, 1_000_000, 9_999_999):
        assert math.ceil(1 / precision_of(shots) ** 2) == shots
