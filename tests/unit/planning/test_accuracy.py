"""Our estimate against what QPUs really billed. The rows and their sources: tests/data/usage_published.json."""

import pytest


@pytest.fixture(scope="module")
def rows(usage_table):
    return usage_table.rows()


def test_enough_rows_can_be_rebuilt(rows):
    assert len(rows) > 220


def test_expected_is_close_to_what_was_billed(rows):
    close = sum(r.close for r in rows)
    assert close / len(rows) >= 0.97


def test_interval_holds_what_was_billed(rows):
    assert sum(r.inside for r in rows) / len(rows) >= 0.95


def test_most_bills_are_met_within_a_second(usage_table, rows):
    assert usage_table.near_second(rows) >= 0.85


def test_bills_are_whole_seconds(rows):
    assert all(r.ours.expected == round(r.ours.expected) for r in rows)


def test_no_bias(rows):
    ratios = sorted(r.ratio for r in rows)
    assert 0.9 < ratios[len(ratios) // 2] < 1.1


def test_high_is_never_under_the_quick_formula_for_sampler_work(rows):
    for r in rows:
        if "Sampler" in r.data["primitive"]:
            assert r.ours.high >= 2 * r.data["jobs"] + 0.00035 * r.data["executions"] - 1e-9


def test_every_miss_is_explained(usage_table, rows):
    assert [r.data["source"] for r in rows if usage_table.why(r) == "not explained"] == []


def test_the_table_in_the_docs_is_this_one(usage_table, rows):
    text = usage_table.README.read_text()
    shown = text.split(usage_table.BEGIN)[1].split(usage_table.END)[0].strip()
    assert shown == usage_table.table(rows), "run tests/benchmarks/usage_table.py --write and read what changed"
