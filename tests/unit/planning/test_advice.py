"""Every recommendation of the guide "Choose the right execution mode" is reached; each test names one."""

import pytest

from qmode_widgets.planning.advice import RULES, Facts, advise
from qmode_widgets.planning.forecast import Conditions, compare_modes


def texts(advice, mode=None):
    found = advice.reasons if mode is None else advice.against.get(mode, ())
    return " ".join(r.text for r in found)


def test_a_single_request_always_runs_in_job_mode():
    advice = advise(Facts((30.0,)))
    assert advice.mode == "job"
    assert "single request" in advice.applied


def test_a_small_experiment_is_a_job_and_might_start_sooner():
    advice = advise(Facts((10.0,)))
    assert {"small experiment", "job starts sooner"} <= {r.rule for r in advice.reasons}


def test_independent_jobs_with_inputs_ready_are_a_batch():
    advice = advise(Facts((90.0,) * 4))
    assert advice.mode == "batch"
    assert advice.reasons[0].rule == "inputs ready"


def test_batch_whenever_a_sessions_extras_are_not_needed():
    assert "batch unless more is needed" in advise(Facts((90.0,) * 4)).applied
    assert any("session" in c for c in advise(Facts((90.0,) * 4)).changes)


def test_inputs_that_are_not_ready_ask_for_a_session():
    advice = advise(Facts((90.0,) * 4, inputs_ready=False))
    assert advice.mode == "session"
    assert "inputs not ready" in {r.rule for r in advice.reasons}


def test_a_variational_algorithm_is_a_session_since_other_modes_queue_again_and_drift():
    advice = advise(Facts((10.0,), iterative=True))
    assert advice.mode == "session"
    for mode in ("job", "batch"):
        assert {"queues again", "drift"} <= {r.rule for r in advice.against[mode]}


def test_exclusive_access_is_a_session():
    assert advise(Facts((90.0,) * 3, exclusive=True)).mode == "session"


def test_a_noise_model_is_learned_once_in_a_session():
    advice = advise(Facts((90.0,) * 3, noise_model="learned once"))
    assert advice.mode == "session"
    assert "learned noise model" in {r.rule for r in advice.reasons}


def test_in_a_batch_a_learned_noise_model_could_be_stale():
    advice = advise(Facts((90.0,) * 3, noise_model="learned once", open_plan=True))
    assert advice.mode == "batch"
    assert "stale noise model" in {w.rule for w in advice.warnings}


def test_comparing_error_mitigation_settings_is_a_batch():
    advice = advise(Facts((90.0,) * 3, comparison=True))
    assert advice.mode == "batch"
    assert "compare settings" in {r.rule for r in advice.reasons}


def test_jobs_under_a_minute_should_be_combined():
    advice = advise(Facts((5.0,) * 10))
    assert "combine" in {w.rule for w in advice.warnings}
    assert "10 of 10 jobs" in next(w.text for w in advice.warnings if w.rule == "combine")


def test_jobs_over_a_minute_run_in_parallel():
    assert "run in parallel" in {r.rule for r in advise(Facts((90.0,) * 5)).reasons}


def test_large_jobs_in_a_session_should_be_broken_up_where_that_saves():
    advice = advise(Facts((600.0,) * 2, exclusive=True, split_saves=30.0))
    assert "save 30 s" in next(w.text for w in advice.warnings if w.rule == "split in a session")
    assert "split in a session" not in advise(Facts((600.0,) * 2, exclusive=True)).applied


def test_cancel_the_rest_or_resubmit_what_failed():
    assert "cancel or resubmit" in {r.rule for r in advise(Facts((90.0,) * 5)).reasons}


def test_sessions_generally_cost_more():
    assert "idle is billed" in {r.rule for r in advise(Facts((90.0,) * 4)).against["session"]}


def test_in_a_batch_others_may_run_in_between_and_in_job_mode_every_job_queues():
    advice = advise(Facts((90.0,) * 4, exclusive=True))
    assert "interrupted" in {r.rule for r in advice.against["batch"]}
    assert "queues alone" in {r.rule for r in advice.against["job"]}


def test_the_open_plan_has_no_sessions_and_the_advice_says_what_is_lost():
    advice = advise(Facts((10.0,), iterative=True, open_plan=True))
    assert advice.mode in ("job", "batch")
    assert "Open Plan" in texts(advice)
    assert any("another plan" in c for c in advice.changes)


def test_a_noise_model_learned_by_every_job():
    assert "learned again" in {w.rule for w in advise(Facts((90.0,) * 4, noise_model="in every job")).warnings}


def test_every_rule_is_reached_and_has_a_source():
    cases = [
        Facts((30.0,)), Facts((90.0,)), Facts((90.0,) * 4), Facts((5.0,) * 10), Facts((90.0,) * 4, inputs_ready=False),
        Facts((10.0,), iterative=True, open_plan=True), Facts((600.0,) * 2, exclusive=True, split_saves=9.0),
        Facts((90.0,) * 3, noise_model="learned once"), Facts((90.0,) * 3, noise_model="in every job"),
        Facts((90.0,) * 3, comparison=True), Facts((9.0,), iterative=True, classical=300.0),
        Facts((9.0,), iterative=True, classical=300.0, open_plan=True),
    ]  # fmt: skip
    reached = set().union(*(advise(c).applied for c in cases))
    assert reached == {r.id for r in RULES}
    assert all(r.source and r.text for r in RULES)
    assert len({r.id for r in RULES}) == len(RULES)


def test_when_rules_and_forecast_disagree_it_says_so():
    facts = Facts((13.0,), iterative=True)
    slow = compare_modes(facts.jobs, Conditions(queue_wait=0, batch_interactive_ttl=60), iterations=20, classical=30)
    advice = advise(facts, slow)  # nothing queues: the session only costs more
    assert advice.mode != "session"
    assert advice.reasons[0].source == "forecast"
    assert advice.reasons[0].text == advice.disagreement
    assert "The guide says session" in advice.disagreement
    assert "260 s" in advice.disagreement
    assert "no later" in advice.disagreement
    busy = compare_modes(facts.jobs, Conditions(queue_wait=1200), iterations=20, classical=30)
    assert advise(facts, busy).disagreement is None
    assert advise(facts, busy).mode == "session"
    single = Facts((90.0,) * 4)
    assert advise(single, compare_modes(single.jobs, Conditions(queue_wait=60))).disagreement is None


def test_a_mode_whose_forecast_fails_is_not_advised():
    facts = Facts((600.0,) * 10)
    advice = advise(facts, compare_modes(facts.jobs, Conditions(max_ttl=1800)))
    assert advice.mode == "job"
    assert "In a batch, " in advice.reasons[0].text
    assert "jobs would fail in the forecast (max TTL)" in advice.reasons[0].text
    assert advice.against["batch"][0] == advice.reasons[0]


def test_iterations_on_the_open_plan_have_a_way_out():
    facts = Facts((11.0,), iterative=True, open_plan=True, iterations=20)
    courses = compare_modes(facts.jobs, Conditions(queue_wait=600, max_ttl=600), iterations=20, classical=10)
    assert courses["batch"].failed == 19
    advice = advise(facts, courses)
    assert advice.mode == "job"
    assert any("fewer steps" in change for change in advice.changes)


def test_the_price_of_a_session_and_what_it_buys_are_said():
    facts = Facts((11.5,), iterative=True, iterations=30)
    courses = compare_modes(facts.jobs, Conditions(queue_wait=600), iterations=30, classical=10)
    trade = advise(facts, courses).trade
    assert "billed instead of 5 min 45 s in job mode (1.9 times)" in trade
    assert "sooner" in trade
    assert advise(Facts((90.0,)), compare_modes((90.0,))).trade is None


def test_every_iteration_that_learns_again_is_counted():
    advice = advise(Facts((125.0,), iterative=True, iterations=20, noise_model="in every job", learning=2289.0))
    text = next(w.text for w in advice.warnings if w.rule == "learned again")
    assert "Each of 20 jobs" in text
    assert "2,289 s" in text


def test_jobs_that_cannot_be_combined_are_not_told_to():
    assert "combine" not in advise(Facts((5.0,) * 2, comparison=True, combinable=2)).applied


@pytest.mark.parametrize("open_plan", [True, False])
@pytest.mark.parametrize("iterative", [True, False])
@pytest.mark.parametrize("jobs", [(3.0,), (90.0,) * 4])
def test_what_is_refused_is_never_advised(open_plan, iterative, jobs):
    advice = advise(Facts(jobs, iterative=iterative, exclusive=True, open_plan=open_plan))
    assert not (open_plan and advice.mode == "session")
    assert advice.mode not in advice.against
