"""Outcomes: which of them failed, and the sentences that they print."""

from __future__ import annotations

import pytest

from qmode_widgets.errors import ServiceError, UnreachableError
from qmode_widgets.model.outcome import (
    Cancelled,
    CancelOutcome,
    CancelOutcomes,
    Closed,
    CloseOutcome,
    EndOutcome,
    Refusal,
)

FORBIDDEN = Refusal.of(ServiceError("you may not", status=403))


def test_several_cancellations_print_as_one_sentence():
    outcomes = CancelOutcomes(
        {
            "r:0.0": CancelOutcome(Cancelled.CANCELLED),
            "r:1.0": CancelOutcome(Cancelled.REFUSED, FORBIDDEN),
            "r:2.0": CancelOutcome(Cancelled.CANCELLED),
        }
    )
    assert str(outcomes) == "2 cancelled, 1 refused: 403 you may not"
    assert outcomes.failed
    assert list(outcomes.refused) == ["r:1.0"]
    assert str(CancelOutcomes({})) == "nothing to cancel"


@pytest.mark.parametrize("result", Cancelled)
def test_only_what_may_go_on_has_failed(result):
    assert CancelOutcome(result).failed == (result in (Cancelled.REFUSED, Cancelled.UNKNOWN))


def test_the_services_own_code_comes_before_its_status():
    error = ServiceError("Job already final.", status=409, code=1291, solution="Nothing to do.")
    assert Refusal.of(error) == Refusal("Job already final. Nothing to do.", 1291, 409)
    assert str(Refusal.of(error)) == "1291 Job already final. Nothing to do."
    assert str(Refusal.of(UnreachableError("no answer", sent=True))) == "no answer"


def test_closing_says_what_may_still_cost_usage():
    assert str(CloseOutcome(Closed.CLOSED)) == "closed"
    assert str(CloseOutcome(Closed.CLOSED, 1, 2)) == "closed; 1 running and 2 queued jobs may still use the QPU"
    assert str(CloseOutcome(Closed.CLOSED, 0, 1)) == "closed; 1 queued job may still use the QPU"


def test_an_end_has_failed_when_either_part_of_it_has():
    refused = CancelOutcomes({"r:0.0": CancelOutcome(Cancelled.REFUSED, FORBIDDEN)})
    none = CancelOutcomes({})
    ended = EndOutcome(refused, CloseOutcome(Closed.CLOSED, 0, 1))
    assert ended.failed
    assert str(ended) == "1 refused: 403 you may not; closed; 1 queued job may still use the QPU"
    assert EndOutcome(none, CloseOutcome(Closed.REFUSED, refusal=FORBIDDEN)).failed
    assert not EndOutcome(none, CloseOutcome(Closed.CLOSED)).failed
