"""Which candidate is taken: forecast, limits, allowance and the user's wish judge together, before any is chosen."""

from datetime import datetime, timedelta

import numpy as np
import pytest

from qmode_widgets.errors import ArgumentError
from qmode_widgets.model.partition import Partition
from qmode_widgets.planning.choice import BALANCED, Candidate, Wish, choose
from qmode_widgets.planning.limits import Finding
from qmode_widgets.planning.plan import plan
from qmode_widgets.planning.request import deadline_seconds
from qmode_widgets.planning.usage import Jobs

AROUND = {"queue_wait": 600, "instance_plan": "premium", "usage_left": 1e9}
REFUSED = (Finding("error", "usage left", "too much"),)


@pytest.fixture(scope="module")
def vqe(ansatz, observable):
    return [(ansatz, observable("ZZ"), [0.1, 0.2])]


@pytest.fixture(scope="module")
def sweep(sampled):
    return [(sampled, np.linspace(0, 1, 300)[:, None], 4096)]


def candidate(bill, last, mode="job", count=1, refused=()):
    return Candidate(Jobs(None, (Partition(()),) * count, ()), mode, bill, last, last, 0, refused)


# --- what is refused ---------------------------------------------------------------------------------------------


def test_what_is_refused_loses_to_what_is_not():
    assert choose([candidate(100, 500, refused=REFUSED), candidate(900, 5000, "batch")]).mode == "batch"
    assert choose([candidate(100, 500, refused=REFUSED), candidate(900, 50, refused=REFUSED)]).bill == 100
    dear = candidate(101, 50, refused=REFUSED)
    assert choose([candidate(100, 5000, refused=REFUSED), dear]).bill == 100  # the nearest to what would fit


def test_on_the_open_plan_no_plan_has_more_jobs_than_may_be_pending(backend, sweep, sampled):
    found = plan(sweep, backend, instance_plan="open", usage_left=600, queue_wait=600)
    assert len(found.partitions) <= 3
    assert found.errors == ()
    asked = plan(sweep, backend, instance_plan="open", usage_left=600, queue_wait=600, partitions=5)
    assert "pending jobs" in {f.rule for f in asked.errors}
    three = plan(sweep, backend, instance_plan="open", usage_left=600, queue_wait=600, partitions=3)
    assert three.errors == ()


@pytest.mark.parametrize("prefer", ["cheapest", "balanced", "soonest"])
def test_what_fits_the_allowance_is_chosen_where_anything_does(backend, sampled, prefer):
    pubs = [(sampled, np.linspace(0, 1, 480)[:, None], 4096)]
    least = plan(pubs, backend, **AROUND).bill.expected
    tight = plan(pubs, backend, prefer=prefer, **AROUND | {"usage_left": least + 1})
    assert tight.errors == ()
    assert tight.bill.expected == least


def test_a_session_that_does_not_fit_gives_way_to_a_mode_that_does(backend, vqe):
    wide = plan(vqe, backend, "estimator", iterative=50, **AROUND)
    assert wide.mode == "session"
    tight = plan(vqe, backend, "estimator", iterative=50, **AROUND | {"usage_left": wide.bills["job"].expected + 50})
    assert tight.mode != "session"
    assert tight.errors == ()
    assert "would be refused" in tight.reasons[0].text


def test_a_cap_on_the_jobs_makes_more_jobs(backend, sweep):
    found = plan(sweep, backend, "sampler", {"max_execution_time": 100}, **AROUND)
    assert found.errors == ()
    assert all(p.expected <= 100 for p in found.partitions)
    assert len(found.partitions) >= 4


def test_a_cap_that_no_job_keeps_is_an_error_not_an_exception(backend, bell, vqe):
    for found in (
        plan([bell] * 3, backend, "sampler", {"max_execution_time": 1}, **AROUND),
        plan(vqe * 20, backend, "estimator", {"max_execution_time": 8}, **AROUND),
    ):
        assert "max_execution_time" in {f.rule for f in found.errors}


def test_what_would_fit_is_said_where_nothing_does(backend, sampled):
    pubs = [(sampled, np.linspace(0, 1, 60)[:, None], 4096)] * 5
    found = plan(pubs, backend, **AROUND | {"usage_left": 140})
    assert [f.rule for f in found.errors] == ["usage left"]
    fits = next(f.message for f in found.findings if f.rule == "would fit")
    assert "% of the shots" in fits
    assert "the first 2 of 5 PUBs" in fits
    assert plan(pubs[:2], backend, **AROUND | {"usage_left": 140}).errors == ()
    where = next(f.message for f in found.findings if f.rule == "runs out")
    assert "in PUB 2" in where


# --- sessions ----------------------------------------------------------------------------------------------------


def test_a_session_is_advised_only_where_it_ends_sooner_by_enough(backend, vqe):
    """8 queues × 8 of the user's own steps: wherever a session is advised it buys at least 10 s a second."""
    advised = 0
    for queue in (0, 10, 60, 300, 600, 1800, 3600, 14_400):
        for classical in (0, 5, 10, 30, 59, 61, 120, 300):
            found = plan(vqe, backend, "estimator", iterative=50, classical=classical, **AROUND | {"queue_wait": queue})
            session = found.forecasts["session"]
            others = [found.forecasts[m] for m in ("job", "batch")]
            cheapest = min(others, key=lambda c: c.usage)
            if found.mode == "session":
                advised += 1
                assert cheapest.last_result - session.last_result >= BALANCED * (session.usage - cheapest.usage)
                assert "sooner" in found.advice.trade
            else:
                assert found.bill.expected == min(c.usage for c in others)
                assert found.reasons[0].source == "forecast"  # which overrules the guide, and says so
    assert 8 <= advised <= 40


def test_a_step_longer_than_the_interactive_ttl_is_named(backend, vqe):
    found = plan(vqe, backend, "estimator", iterative=50, classical=300, **AROUND)
    assert found.mode != "session"
    assert any("longer than the interactive TTL (60 s)" in r.text for r in found.advice.against["session"])
    asked = plan(vqe, backend, "estimator", iterative=20, classical=300, exclusive=True, **AROUND)
    assert asked.mode == "session"
    assert "session goes inactive" in {w.rule for w in asked.advice.warnings}


def test_exclusive_access_is_a_session_whatever_it_costs(backend, vqe):
    assert plan(vqe, backend, "estimator", exclusive=True, **AROUND).mode == "session"
    assert plan(vqe, backend, "estimator", exclusive=True, prefer="cheapest", **AROUND).mode == "session"


# --- splitting ---------------------------------------------------------------------------------------------------


def test_no_sweep_is_cut_to_a_dearer_and_later_plan(backend, sampled):
    for size in range(20, 1020, 60):
        pubs = [(sampled, np.linspace(0, 1, size)[:, None], 4096)]
        auto, one = plan(pubs, backend, **AROUND), plan(pubs, backend, partitions=1, **AROUND)
        assert auto.bill.expected <= one.bill.expected
        assert auto.forecasts[auto.mode].last_result <= one.forecasts["job"].last_result
        assert len(auto.partitions) == 1
        assert auto.mode == "job"


def test_many_jobs_where_their_preparation_is_long(backend, sweep):
    found = plan(sweep, backend, preparation_circuit=1.0, **AROUND)
    assert len(found.partitions) > 1
    one = plan(sweep, backend, preparation_circuit=1.0, partitions=1, **AROUND)
    sooner = one.forecasts["job"].last_result - found.forecasts[found.mode].last_result
    assert sooner >= BALANCED * (found.bill.expected - one.bill.expected)
    assert len(plan(sweep, backend, preparation_circuit=1.0, prefer="cheapest", **AROUND).partitions) == 1


# --- what the user wants -----------------------------------------------------------------------------------------


def test_cheapest_soonest_and_balanced(backend, vqe):
    found = {
        prefer: plan(vqe, backend, "estimator", iterative=50, prefer=prefer, **AROUND | {"queue_wait": 60})
        for prefer in ("cheapest", "soonest", "balanced")
    }
    assert found["soonest"].mode == "session"
    assert found["cheapest"].mode == found["balanced"].mode != "session"
    assert found["cheapest"].bill.expected < found["soonest"].bill.expected
    last = {p: f.forecasts[f.mode].last_result for p, f in found.items()}
    assert last["soonest"] < last["cheapest"]
    assert "soonest last result" in str(found["soonest"])


def test_what_an_hour_is_worth_decides(backend, vqe):
    """49 minutes sooner for ≈ 865 s more: at 96 a minute that is ≈ 1,700 an hour."""
    around = AROUND | {"queue_wait": 60, "price_per_minute": 96}
    modest = plan(vqe, backend, "estimator", iterative=50, hour_worth=1000, **around)
    rich = plan(vqe, backend, "estimator", iterative=50, hour_worth=3000, **around)
    assert (modest.mode != "session", rich.mode) == (True, "session")
    saved = modest.price() + 1000 * modest.forecasts[modest.mode].last_result / 3600
    assert saved < modest.price("session") + 1000 * modest.forecasts["session"].last_result / 3600


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"hour_worth": 50}, "price_per_minute"),
        ({"hour_worth": 50, "price_per_minute": 96, "prefer": "soonest"}, "give one of them"),
    ],
)
def test_an_hours_worth_needs_a_price_and_no_other_wish(backend, bell, given, said):
    with pytest.raises(ArgumentError, match=said):
        plan([bell], backend, **given)


def test_a_deadline_is_kept_where_a_mode_keeps_it(backend, vqe):
    around = AROUND | {"queue_wait": 60}
    free = plan(vqe, backend, "estimator", iterative=50, **around)
    assert free.mode != "session"
    session = free.forecasts["session"].last_result
    kept = plan(vqe, backend, "estimator", iterative=50, deadline=session + 60, **around)
    assert kept.mode == "session"
    assert "deadline" not in {f.rule for f in kept.findings}
    missed = plan(vqe, backend, "estimator", iterative=50, deadline=session - 600, **around)
    assert missed.mode == "session"  # the soonest there is
    late = next(f for f in missed.findings if f.rule == "deadline")
    assert late.level == "warning"
    assert "10 min later than the deadline" in late.message


def test_deadlines_in_words():
    now = datetime.now().astimezone().replace(hour=15, minute=0, second=0, microsecond=0)
    assert deadline_seconds("17:00", now) == 7200
    assert deadline_seconds("14:00", now) == pytest.approx(23 * 3600, abs=3600)  # tomorrow's
    assert deadline_seconds(now + timedelta(seconds=90), now) == 90
    assert deadline_seconds(timedelta(minutes=2), now) == 120
    assert deadline_seconds(30) == 30
    assert deadline_seconds(None) is None
    for bad in ("noon", -1, 0, float("nan"), True, [], now - timedelta(hours=1)):
        with pytest.raises(ArgumentError, match="deadline="):
            deadline_seconds(bad, now)


def test_between_equals_the_rules_decide():
    jobs = Jobs(None, (Partition(()),) * 4, ())
    same = [Candidate(jobs, mode, 100, 300, 900, 0) for mode in ("job", "batch", "session")]
    assert choose(same, Wish(), lambda c: {"job": 0, "batch": 30, "session": 70}[c.mode]).mode == "batch"
    assert choose(same, Wish(session=True), lambda c: 0).mode == "session"
