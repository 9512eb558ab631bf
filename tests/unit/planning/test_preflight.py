"""The card to read before anything is sent."""

from datetime import date

import pytest

from qmode_widgets.ibm.account import Account, mock_of
from qmode_widgets.planning.forecast import Bill
from qmode_widgets.planning.plan import plan
from qmode_widgets.planning.preflight import DryRun, Preflight


def card(**changes):
    given = {"account": Account(instance="lab", status="active", operational=True, pending=3), "plan": "premium"}
    return Preflight("ibm_fez", "batch", 5, Bill(300, 330, 460), 250e-6, **(given | changes))


def test_it_says_what_decides():
    text = str(card(left=1200.0, price=528.0))
    for part in ("lab (premium: paid time)", "ibm_fez: active, 3 pending jobs", "≈ 330 s (5 min 30 s) (300–460 s)",
                 "≈ 528.00", "batch, 5 jobs", "1,200 s (20 min)", "250 µs"):  # fmt: skip
        assert part in text
    assert card(left=1200.0).alarms == ()


@pytest.mark.parametrize(
    ("changes", "alarm"),
    [
        ({"account": Account(status="maintenance", operational=True)}, "ibm_fez is maintenance"),
        ({"account": Account(status="internal", operational=False)}, "not operational (internal)"),
        ({"left": 100.0}, "more than the 100 s that are left"),
        ({"plan": "pay-as-you-go", "left": 5000.0}, "reported with a delay"),
        ({"account": Account(allocation=400.0, consumed=100.0)}, "lower priority"),
    ],
)
def test_what_speaks_against_it(changes, alarm):
    assert any(alarm in said for said in card(**changes).alarms)
    assert alarm in card(**changes)._repr_html_()


@pytest.mark.parametrize(("name", "paid"), [("open", False), ("Open Plan", False), ("flex", True), (None, None)])
def test_paid_or_free(name, paid):
    assert card(plan=name).paid is paid


def test_returning_seconds_and_a_second_opinion_are_shown():
    text = str(card(plan="open", returns=((date(2026, 12, 3), 120.0),), dry_runs=(DryRun(0, 66.0, 82.0),)))
    assert "120 s (2 min) on 2026-12-03" in text
    assert "dry run of job 0: 82 s, ours ≈ 66 s" in text
    assert "no second opinion of the service: not on this plan" in str(DryRun(0, 66.0, None, "not on this plan"))


def test_what_the_service_says_is_escaped():
    shown = card(account=Account(instance="<script>", status="<b>paused</b>"))._repr_html_()
    assert "<script>" not in shown
    assert "<b>" not in shown


def test_a_mock_backend_is_named_as_the_client_names_it():
    assert mock_of("ibm_fez") == "mock_fez"


def test_a_fake_backend_has_no_card(backend, bell):
    assert "Before it is sent" not in str(plan([bell], backend))
