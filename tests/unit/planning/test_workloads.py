"""The workloads of the benchmark: cheaper planned than in the naive ways, or the plan says what more buys."""

from statistics import median

import pytest


@pytest.fixture(scope="module")
def rows(workloads):
    return workloads.rows()


def ratios(rows, way):
    return [r.ratio(way) for r in rows if not r.naive[way].refused]


def test_there_are_twenty_eight(rows):
    assert len({r.name for r in rows}) == 28


def test_the_median_bill_is_not_more_than_of_the_loops_that_people_write(rows):
    assert median(ratios(rows, "a job a PUB")) <= 1
    assert median(ratios(rows, "a job a circuit")) <= 0.5
    several = [r for r in rows if len(r.planned.work.items) > 1]  # where a job a PUB is a loop
    assert len(several) >= 9
    assert median(ratios(several, "a job a PUB")) <= 0.4


def test_none_is_dearer_than_the_best_naive_way_unless_it_ends_sooner_and_says_so(rows):
    dearer = [r for r in rows if r.over_best > 1.02]
    assert {r.planned.mode for r in dearer} <= {"session"}
    for row in dearer:
        assert row.sooner >= 10 * (row.planned.bill.expected - row.best.bill)
        assert "The price of the session" in str(row.planned)
        assert "sooner" in row.reason


def test_no_plan_has_errors_or_fails_in_its_forecast(rows):
    for row in rows:
        assert row.planned.errors == ()
        assert row.planned.forecasts[row.planned.mode].failed == 0


def test_the_table_in_the_docs_is_this_one(workloads, rows):
    text = workloads.README.read_text()
    shown = text.split(workloads.BEGIN)[1].split(workloads.END)[0].strip()
    # Gates and durations, and with them the bills, depend on the transpiler: the table names the one it was made with.
    if f"Qiskit {workloads.COMPILED}" not in shown:
        pytest.skip("another Qiskit compiles other circuits")
    assert shown == workloads.table(rows), "run tests/benchmarks/workloads.py --write and read what changed"
