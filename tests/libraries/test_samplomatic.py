"""samplomatic and the client's Executor: what the client itself needs, so it runs with the other tests."""

from __future__ import annotations

import harness
import works


def test_plainly(backend, emulator):
    harness.plainly(works.samplomatic, backend)


def test_rows_at_once(backend, emulator):
    harness.shows_at_once(works.samplomatic, backend, emulator)


def test_a_transient_failure_is_survived(backend, emulator):
    harness.survives_a_failure(works.samplomatic, backend, emulator)


def test_a_lost_answer_makes_one_job(backend, emulator, service):
    harness.runs_once(works.samplomatic, backend, emulator, service)


def test_the_cap_acts(backend, emulator):
    harness.is_capped(works.samplomatic, backend, emulator)
