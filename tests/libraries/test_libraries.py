"""Libraries that people use with IBM's client, each unmodified: `make test-libraries`."""

from __future__ import annotations

import harness
import pytest
import works

WORKS = [
    works.experiments,
    works.t1,
    works.pygsti,
    works.pytket,
    works.cutting,
    works.obp,
    works.sqd,
    works.machine_learning,
    works.optimization,
    works.algorithms,
    works.mthree,
    works.mitiq,
]
each = pytest.mark.parametrize("work", WORKS, ids=lambda work: work.__name__)


@each
def test_plainly(work, backend, emulator):
    harness.plainly(work, backend)


@each
def test_rows_at_once(work, backend, emulator):
    harness.shows_at_once(work, backend, emulator)


@each
def test_a_transient_failure_is_survived(work, backend, emulator):
    harness.survives_a_failure(work, backend, emulator)


@each
def test_a_lost_answer_makes_one_job(work, backend, emulator, service):
    harness.runs_once(work, backend, emulator, service)


@each
def test_the_cap_acts(work, backend, emulator):
    harness.is_capped(work, backend, emulator)
