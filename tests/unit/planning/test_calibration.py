"""Estimates learn from one's own bills: on the published rows, source by source."""

import math
from dataclasses import replace

import pytest

from qmode_widgets.model.timing import OVERHEAD
from qmode_widgets.planning import calibration
from qmode_widgets.planning.calibration import Calibration
from qmode_widgets.planning.plan import plan
from qmode_widgets.planning.settings import settings
from qmode_widgets.planning.usage import estimate_usage, job_usage
from qmode_widgets.planning.work import analyse


@pytest.fixture(scope="module")
def left_out(usage_table):
    """Each row of a source that has at least five rows, with a calibration from the other rows of its source."""
    found = usage_table.learned(usage_table.rows())
    assert len(found) > 60
    return found


def test_the_error_falls_on_rows_that_were_not_learned_from(left_out):
    assert sum(r.error for r in left_out) < 0.95 * sum(r.error_before for r in left_out)


def test_the_interval_holds(left_out):
    assert sum(r.inside for r in left_out) / len(left_out) >= 0.95


@pytest.fixture
def longer(backend, bell):
    """Bills of jobs whose work takes a fifth longer than estimated."""
    usages = [estimate_usage([(bell, None, shots)], backend) for shots in (20_000, 50_000, 80_000, 100_000)]
    return [(u, math.ceil(u.breakdown.overhead + 1.2 * u.breakdown.work)) for u in usages]


def test_a_backend_that_takes_longer_is_learned(backend, bell, longer):
    own = Calibration.of("fake_fez", longer)
    assert own.jobs == 4
    assert 1.08 < own.factor < 1.2  # drawn towards 1: there are four
    assert Calibration.of("fake_fez", longer * 10).factor == pytest.approx(1.2, abs=0.02)
    plain, found = (plan([(bell, None, 100_000)], backend, calibration=c) for c in (False, own))
    assert found.bill.expected > plain.bill.expected + 2
    assert found.bill.low <= plain.bill.low
    assert found.bill.high >= plain.bill.high
    assert found.usage.breakdown.total == pytest.approx(found.usage.expected)
    assert "calibrated on 4 jobs of your own: work × 1.1" in str(found)
    assert "by your own bills" in found.usage.formula
    assert "calibrated" not in str(plain)


def test_little_work_and_wild_ratios_teach_little(longer):
    tiny = [
        (replace(u, breakdown=replace(u.breakdown, rep_delay=0.1, circuit=0.0, initialisation=0.0)), 30.0)
        for u, _ in longer
    ]
    assert Calibration.of("fake_fez", tiny) == Calibration("fake_fez", 1.0, 0)
    wild = [(u, 100 * b) for u, b in longer]
    assert Calibration.of("fake_fez", wild).factor <= 2


def test_what_was_learned_is_used_until_it_is_switched_off(backend, bell, monkeypatch):
    monkeypatch.setattr(calibration, "_known", {("None", "fake_fez"): Calibration("fake_fez", 1.5, 8)})
    assert "calibrated" in str(plan([(bell, None, 10_000)], backend))
    assert "calibrated" not in str(plan([(bell, None, 10_000)], backend, calibration=False))


def test_a_fake_backend_has_no_jobs_to_learn_from(backend, monkeypatch):
    monkeypatch.setattr(calibration, "_known", {})
    assert calibration.calibrate(backend).jobs == 0


def test_a_calibration_scales_every_job_alike(backend, bell):
    work = Calibration("fake_fez", 2.0, 3).on(analyse([(bell, None, 100_000)], backend, settings("sampler")))
    usage = job_usage(work, [(item, 1.0) for item in work.items])
    assert usage.expected == math.ceil(OVERHEAD + 2 * usage.breakdown.work)
