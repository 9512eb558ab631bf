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


# --- held out by source ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted(usage_fit):
    found = usage_fit.samples()
    return found, usage_fit.held_out(found)


def test_each_source_is_predicted_without_its_rows(usage_fit, fitted):
    found, bills = fitted
    whole = usage_fit.Accuracy.of(found, lambda s: bills[id(s)])
    assert whole.rows == len(found) > 220
    assert whole.close >= 0.97
    assert whole.second >= 0.85
    assert whole.inside >= 0.95


def test_the_commonest_job_has_a_row_of_its_own(usage_fit, fitted):
    found, bills = fitted
    common = [s for s in found if s.common]
    assert len(common) > 40
    assert usage_fit.Accuracy.of(common, lambda s: bills[id(s)]).close >= 0.95
    assert "the commonest job" in usage_fit.table(found)


def test_twirled_and_learning_work_is_not_low_any_more(usage_fit, fitted):
    found, bills = fitted
    twirled = [s for s in found if s.randomized and s.billed >= 10]
    ratios = sorted(bills[id(s)] / s.billed for s in twirled)
    assert len(twirled) > 20
    assert 0.95 <= ratios[len(ratios) // 2] <= 1.05
    without = [s.bill(1.6, 0.0) / s.billed for s in twirled]  # no time for randomised circuits
    assert sum(r < 0.95 for r in without) > sum(r < 0.95 for r in ratios)


def test_the_constants_in_use_are_among_the_best(usage_fit, fitted):
    found, _ = fitted
    overhead, randomized, _ = usage_fit.fit(found)
    assert randomized == pytest.approx(usage_fit.RANDOMIZED, abs=0.0005)
    best = usage_fit.Accuracy.of(found, lambda s: s.bill(overhead, randomized))
    used = usage_fit.Accuracy.of(found, lambda s: s.bill(usage_fit.OVERHEAD, usage_fit.RANDOMIZED))
    assert used.close >= best.close - 0.005
    assert used.second >= best.second - 0.005


def test_pea_and_the_services_own_estimates_are_computed_from_the_rows(usage_table, usage_fit):
    stated = usage_fit.pea(usage_table.others())
    assert len(stated) == 3
    assert 1.3 <= stated[0] < stated[-1] <= 2.2  # what the interval of PEA allows for
    ratio, rows = usage_fit.estimates()
    assert rows > 40
    assert 0.95 <= ratio <= 1.15


def test_the_accuracy_in_the_docs_is_this_one(usage_fit, fitted):
    for path in usage_fit.READMES:
        shown = path.read_text().split(usage_fit.BEGIN)[1].split(usage_fit.END)[0].strip()
        assert shown == usage_fit.table(fitted[0]), "run tests/benchmarks/usage_fit.py --write and read what changed"
