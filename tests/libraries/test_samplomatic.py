"""samplomatic and the client's Executor: what the client itself needs, so it runs with the other tests."""

from __future__ import annotations

import works


def test_samplomatic(qmode_proof):
    qmode_proof(works.samplomatic)
