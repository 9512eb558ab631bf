"""Where it runs out, what failures cost, what a cap would cut off."""

from datetime import date

import numpy as np
import pytest

from qmode_widgets.errors import ArgumentError, PlanError
from qmode_widgets.planning.allowance import cut_off, failures, fits_after, runs_out
from qmode_widgets.planning.plan import plan
from qmode_widgets.planning.splitting import partition

AROUND = {"queue_wait": 600, "instance_plan": "premium", "usage_left": 1e9}


@pytest.fixture(scope="module")
def five(backend, sampled):
    """Five jobs of ten PUBs, ≈ 23 s each."""
    pubs = [(sampled, np.linspace(0, 1, 4)[:, None], 10_000)] * 10
    return plan(pubs, backend, partitions=5, **AROUND)


def where(found, limit, **more):
    return runs_out([s.jobs for s in found.submissions], limit, **more)


def test_the_job_and_the_pub_that_pass_the_limit(five):
    each = five.partitions[0].expected
    assert where(five, 5 * each) is None
    out = where(five, 2 * each + 1.7)  # the third job's first PUB
    assert (out.job, out.jobs, out.pub, out.steps) == (2, 5, 4, 1)
    assert where(five, 3 * each - 2).pub == 5
    assert where(five, 1).job == 0
    assert str(out) == f"what is left ({2 * each + 1.7:.0f} s) runs out in job 2 of 5 (PUB 4)"


def test_the_step_that_passes_the_limit(backend, ansatz, observable):
    found = plan([(ansatz, observable("ZZ"), [0.1, 0.2])], backend, "estimator", iterative=50, **AROUND)
    each = found.partitions[0].expected
    assert where(found, 13.5 * each, steps=50).step == 13
    assert where(found, 50 * each, steps=50) is None
    clock = where(found, 13.5 * each, steps=50, bill=100 * each)  # a session's clock runs twice as fast
    assert clock.step == 6
    learned = where(found, 13.5 * each, steps=50, learning=2 * each)
    assert learned.step == 11


def test_a_plan_names_where_it_runs_out(backend, ansatz, observable):
    pubs = [(ansatz, observable("ZZ"), [0.1, 0.2])]
    found = plan(pubs, backend, "estimator", iterative=50, **AROUND | {"usage_left": 300})
    (out,) = found.runs_out
    assert out.step == int(300 // found.partitions[0].expected)
    assert f"in step {out.step} of 50" in str(found)
    assert found.to_dict()["runs_out"][0]["step"] == out.step


def test_what_failures_cost(five):
    cost = failures([s.jobs for s in five.submissions], 3)
    assert cost.refused == 2
    assert cost.largest == max(p.expected for p in five.partitions)
    assert cost.retries == pytest.approx(3 * sum(p.expected for p in five.partitions))
    assert "retries=1" in str(five)
    assert five.failures.largest == cost.largest


def test_when_enough_has_come_back():
    returns = [(date(2026, 12, 3), 100.0), (date(2026, 12, 1), 50.0)]
    assert fits_after(600, 520, returns) == (date(2026, 12, 3), 150)
    assert fits_after(560, 520, returns) == (date(2026, 12, 1), 50)
    assert fits_after(900, 520, returns) is None


def test_a_partition_that_its_cap_must_cut_off(backend, bell):
    """A cap of 8 s on a partition of 159 s: billed 8 s, and nothing comes of it."""
    (whole,) = partition([(bell, None, 600_000)], backend, jobs=1)
    (found,) = cut_off([whole], 8)
    assert (found.partition, found.expected, found.left) == (0, whole.expected, 8)
    assert "billed 8 s and give nothing" in found.message
    assert cut_off([whole], whole.expected) == ()
    assert PlanError([found]).findings == (found,)


def test_what_the_cap_has_left_counts(five):
    each = five.partitions[0].expected
    assert cut_off(five.partitions, 2 * each) == ()
    assert len(cut_off(five.partitions, 2 * each, used=1.5 * each)) == 5
    assert cut_off(five.partitions, each, used=10 * each)[0].left == 0


def test_a_partition_of_unknown_usage_is_not_judged(five):
    from dataclasses import replace

    assert cut_off([replace(five.partitions[0], expected=None)], 1) == ()
    for bad in (0, -1, float("nan"), True):
        with pytest.raises(ArgumentError, match="cap="):
            cut_off(five.partitions, bad)
