"""What is billed is what is shown, priced and checked; and how many jobs there are follows from it."""

import numpy as np
import pytest
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp

from qmode_widgets.model.partition import Partition
from qmode_widgets.planning.choice import Candidate, choose
from qmode_widgets.planning.compare import compare
from qmode_widgets.planning.forecast import Conditions, Load, conditions, forecast
from qmode_widgets.planning.plan import plan
from qmode_widgets.planning.splitting import partition
from qmode_widgets.planning.usage import Jobs

AROUND = {"queue_wait": 600, "instance_plan": "premium", "usage_left": 1e9}
PEC = {"resilience": {"pec_mitigation": True}}


@pytest.fixture(scope="module")
def vqe(ansatz, observable):
    return [(ansatz, observable("ZZ"), [0.1, 0.2])]


# --- a session's clock -------------------------------------------------------------------------------------------


def test_a_sessions_clock_is_the_bill_everywhere(backend, vqe):
    found = plan(vqe, backend, "estimator", iterative=30, price_per_minute=96, **AROUND)
    clock = found.forecasts["session"].usage
    assert found.mode == "session"
    assert found.bill.expected == clock > 1.5 * found.usage.expected
    assert found.bill.low < clock < found.bill.high
    assert found.price() == pytest.approx(clock / 60 * 96)
    headline = next(line for line in str(found).splitlines() if line.startswith("SESSION mode"))
    assert f"≈ {clock:,.0f} s" in headline
    assert found.to_dict()["bill"]["expected"] == clock


def test_the_allowance_is_held_against_all_iterations_and_idle_time(backend, vqe):
    around = AROUND | {"usage_left": 500}
    found = plan(vqe, backend, "estimator", iterative=30, **around)
    assert found.bills["job"].expected < 500 < found.bills["session"].expected
    assert found.mode != "session"  # which would be refused
    assert found.errors == ()
    assert "refused" in found.reasons[0].text
    session = plan(vqe, backend, "estimator", iterative=30, **AROUND | {"usage_left": 1000})
    assert session.mode == "session"


@pytest.mark.parametrize("mode", ["job", "batch", "session"])
def test_work_that_fails_is_not_free(mode):
    whole = forecast([100.0] * 20, mode, Conditions(max_ttl=1e6))
    cut_off = forecast([100.0] * 20, mode, Conditions(max_ttl=500))
    assert cut_off.usage == pytest.approx(whole.usage, rel=0.05)
    assert cut_off.undone == 100 * cut_off.failed
    assert cut_off.billed == cut_off.usage - cut_off.undone
    assert (cut_off.failed > 0) is (mode != "job")


def test_a_plan_whose_forecast_fails_says_so_or_takes_another_mode(backend, vqe):
    found = plan(vqe, backend, "estimator", iterative=20, queue_wait=600, instance_plan="open", usage_left=600)
    assert found.forecasts["batch"].failed == 19
    assert found.mode == "job"
    assert found.forecasts["job"].failed == 0
    assert "19 of 20 jobs would fail" in str(found)
    assert found.errors == ()


# --- how many jobs -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kicked(backend):
    """A PEA workload of 12 parameter sets: each further job would learn its noise again."""
    h, circuit = Parameter("h"), QuantumCircuit(6)
    for _ in range(6):
        for i in range(6):
            circuit.rx(h, i)
        for first in (0, 1):
            for i in range(first, 5, 2):
                circuit.rzz(-np.pi / 2, i, i + 1)
    isa = transpile(circuit, backend, optimization_level=1, seed_transpiler=1)
    z = [[SparsePauliOp("I" * (5 - i) + "Z" + "I" * i).apply_layout(isa.layout)] for i in range(6)]
    return [(isa, z, np.linspace(0, np.pi / 2, 12)[:, None])]


def test_work_that_learns_is_never_split(backend, kicked):
    options = {
        "resilience": {"zne_mitigation": True, "zne": {"amplifier": "pea", "noise_factors": (1, 1.3, 1.6)}},
        "twirling": {"enable_gates": True, "num_randomizations": 700, "shots_per_randomization": 64},
    }
    auto, five = (plan(kicked, backend, "estimator", options, partitions=n, **AROUND) for n in ("auto", 5))
    assert len(auto.partitions) == 1
    assert auto.bill.expected < 0.65 * five.bill.expected
    assert auto.forecasts["job"].last_result < five.forecasts["batch"].last_result
    assert len(partition(kicked, backend, "estimator", options)) == 1
    saving = next(s for s in five.savings if s.what.startswith("partitions=1 (1 job"))
    assert saving.seconds == pytest.approx(five.bill.expected - auto.bill.expected)


def test_measurement_learning_counts_as_well(backend, vqe):
    pubs = [(*vqe[0], 0.005)] * 40
    found = plan(pubs, backend, "estimator", {"resilience_level": 1}, **AROUND)
    assert len(found.partitions) == 1
    assert found.bill.expected < plan(pubs, backend, "estimator", partitions=5, **AROUND).bill.expected


def test_why_so_many_jobs_is_said(backend, sampled):
    sweep = [(sampled, np.linspace(0, 1, 300)[:, None], 4096)]
    found = plan(sweep, backend, queue_wait=600)
    assert found.division.startswith("1 job: ≈ ")
    assert "; in 2: ≈ " in found.division
    assert "; in 5: ≈ " in found.division
    assert "(a first result 4 min 21 s sooner costs ≈ " in found.division
    assert found.division in " ".join(str(found).split()).replace("+ ", "")


def outcome(count, bill, last, first=None, failed=0):
    jobs = Jobs(None, (Partition(()),) * count, ())
    return Candidate(jobs, "batch", bill, last if first is None else first, last, failed)


def test_the_bill_is_first_then_the_time():
    assert choose([outcome(1, 100, 900), outcome(5, 110, 500)]).count == 5  # 40 s sooner for each second more
    assert choose([outcome(1, 100, 900), outcome(5, 150, 500)]).count == 1  # 8 s sooner for each
    assert choose([outcome(1, 100, 900), outcome(5, 101, 870)]).count == 1  # 30 s sooner is not clearly sooner
    assert choose([outcome(1, 100, 900), outcome(5, 102, 990)]).count == 1
    assert choose([outcome(1, 100, 900), outcome(5, 100, 905, first=200)]).count == 1  # an earlier part is no reason
    assert choose([outcome(1, 90, 900, failed=1), outcome(5, 110, 950)]).count == 5


# --- preparation -------------------------------------------------------------------------------------------------


def test_preparation_grows_with_the_circuits_and_runs_in_parallel():
    given = conditions(preparation=4, preparation_circuit=0.1)
    one = forecast([Load(300, 3000)], "session", given)
    five = forecast([Load(61, 600)] * 5, "session", given)
    assert one.usage == pytest.approx(4 + 300 + 300)
    assert five.usage == pytest.approx(4 + 60 + 305)  # prepared at the same time
    assert five.bars[1].prepared == pytest.approx(64)
    assert five.bars[1].qpu_start == pytest.approx(125)  # until then it waits for the QPU
    assert five.qpu_wait == pytest.approx(sum(61 * n for n in range(5)) / 5)


def test_splitting_pays_in_a_session_where_preparation_is_long(backend, sampled):
    sweep = [(sampled, np.linspace(0, 1, 300)[:, None], 4096)]
    found = plan(sweep, backend, exclusive=True, preparation_circuit=1.0, **AROUND)
    assert found.mode == "session"
    assert len(found.partitions) == 5
    one = plan(sweep, backend, exclusive=True, preparation_circuit=1.0, partitions=1, **AROUND)
    assert one.bill.expected > found.bill.expected + 100
    assert "split in a session" in {w.rule for w in one.advice.warnings}
    quick = plan(sweep, backend, exclusive=True, preparation_circuit=0.0, partitions=1, **AROUND)
    assert "split in a session" not in {w.rule for w in quick.advice.warnings}


# --- learning ----------------------------------------------------------------------------------------------------


def test_learning_in_every_iteration_is_said_with_its_seconds(backend, vqe):
    found = plan(vqe, backend, "estimator", PEC, iterative=20, **AROUND)
    layers = found.usage.breakdown.layers
    assert layers > 0.8 * found.usage.expected
    text = next(w.text for w in found.advice.warnings if w.rule == "learned again")
    assert "Each of 20 jobs" in text
    assert f"{layers:,.0f} s" in text


def test_noise_that_is_learned_once_is_billed_once(backend, vqe):
    again = plan(vqe * 4, backend, "estimator", PEC, partitions=4, **AROUND)
    once = plan(vqe * 4, backend, "estimator", PEC, partitions=4, noise_model="learned once", **AROUND)
    assert again.usage.breakdown.layers == pytest.approx(4 * once.usage.breakdown.layers)
    assert once.learning.expected == pytest.approx(once.usage.breakdown.layers, abs=3)
    assert once.mode == "session"
    course = once.forecasts["session"]
    assert min(b.submitted for b in course.bars if b.iteration >= 0) >= max(
        b.ended for b in course.bars if b.iteration < 0
    )
    saving = next(s for s in again.savings if "learned once" in s.what)
    assert saving.seconds == pytest.approx(again.usage.breakdown.layers - once.learning.expected, abs=4)  # rounding
    with pytest.raises(ValueError, match="learn_noise"):
        plan(vqe, backend, "executor_estimator", PEC, noise_model="learned once").run(client_side(backend))
    with pytest.raises(ValueError, match="by the options it is 'none'"):
        plan(vqe, backend, "estimator", noise_model="learned once")


def client_side(backend):
    from qiskit_ibm_runtime.executor_estimator import Estimator

    return Estimator(mode=backend, options=PEC)


# --- combining ---------------------------------------------------------------------------------------------------


def test_combine_is_not_said_where_it_cannot_be_done(backend, bell, vqe):
    from qiskit_ibm_runtime.executor_estimator import Estimator

    settings = {"none": {"resilience_level": 0}, "trex": {"resilience_level": 1}}
    assert compare(settings, vqe, backend, Estimator, queue_wait=600).plan.advice.warnings == ()
    mixed = plan([(bell, None, 100), (bell, None, 10_000)], backend, "executor_sampler", queue_wait=600)
    assert len(mixed.partitions) == 2  # the client refuses different shots in one job
    assert mixed.advice.warnings == ()
    several = plan([(bell, None, 100)] * 4, backend, partitions=4, queue_wait=600)
    assert "combine" in {w.rule for w in several.advice.warnings}


# --- the interval of a session's clock ---------------------------------------------------------------------------


def test_the_interval_of_a_session_varies_what_is_assumed(backend, vqe):
    """The user's own steps and the preparation: narrower where they are given."""
    assumed = plan(vqe, backend, "estimator", iterative=30, **AROUND).bills["session"]
    steps = plan(vqe, backend, "estimator", iterative=30, classical=10, **AROUND).bills["session"]
    both = plan(vqe, backend, "estimator", iterative=30, classical=10, preparation=7.5, preparation_circuit=0, **AROUND)
    known = both.bills["session"]
    assert assumed.expected == steps.expected
    width = [b.high - b.low for b in (assumed, steps, known)]
    assert width[0] > width[1] > width[2]
    ten_each = 29 * 10  # of the user's own work: from half to twice of it
    assert assumed.high - steps.high == pytest.approx(ten_each * (2 - 1.25), abs=2)
    assert steps.low - assumed.low == pytest.approx(ten_each * (0.8 - 0.5), abs=2)
    for b in (assumed, steps, known):
        assert b.low <= b.expected <= b.high


def test_steps_beyond_the_interactive_ttl_do_not_turn_the_interval_round(backend, vqe):
    for classical in (25, 35, 59, 61, 90):
        own = plan(vqe, backend, "estimator", iterative=10, classical=classical, **AROUND).bills["session"]
        assert own.low <= own.expected <= own.high


def test_preparation_follows_what_was_measured():
    """Medians of published jobs: 1.3 s for 1–2 circuits, 1.9 s for 3–10, 5.7 s for 11–30, 22 s for more."""
    given = Conditions()
    for circuits, measured in ((1.5, 1.3), (6, 1.9), (20, 5.7), (150, 22)):
        assert given.prepares(Load(1, circuits)) == pytest.approx(measured, rel=0.25)
    assert given.prepares(Load(1, 100_000)) == 22  # nothing tells that it goes on growing
    assert 3.5 <= given.prepares(Load(1, 3, estimator=True)) <= 20
