"""Libraries that people use with IBM's client, each unmodified: `make test-libraries`."""

from __future__ import annotations

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
    works.mitigation,
    works.noise_learning,
]


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.__name__)
def test_library(work, qmode_proof):
    qmode_proof(work)
