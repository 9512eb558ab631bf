"""The published workloads of the benchmark: cheaper planned than as a job a circuit, or the plan says why not."""

from statistics import median

import pytest


@pytest.fixture(scope="module")
def rows(workloads):
    return workloads.rows()


def test_the_median_bill_is_less_than_a_third(rows):
    assert len(rows) == 16
    assert median(r.ratio for r in rows) <= 0.3


def test_what_costs_more_says_what_it_buys(rows):
    dearer = [r for r in rows if r.ratio > 1]
    assert [r.planned.mode for r in dearer] == ["session"] * 2
    for row in dearer:
        assert "The price of the session" in str(row.planned)
        assert "sooner" in row.reason


def test_no_plan_has_errors_or_fails_in_its_forecast(rows):
    for row in rows:
        assert row.planned.errors == ()
        assert row.planned.forecasts[row.planned.mode].failed == 0
