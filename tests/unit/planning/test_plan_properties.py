"""Whatever is asked for, a plan holds together or says what is wrong; nothing in it is infinite or undefined."""

import json
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.providers.fake_provider import GenericBackendV2

from qmode_widgets.model.partition import check
from qmode_widgets.planning.forecast import MODES
from qmode_widgets.planning.plan import plan

BACKEND = GenericBackendV2(2, basis_gates=["cx", "rz", "sx", "x", "reset"], seed=1)
CIRCUIT = QuantumCircuit(2)
CIRCUIT.sx(0)
CIRCUIT.rz(Parameter("x"), 0)
CIRCUIT.cx(0, 1)
MEASURED = CIRCUIT.measure_all(inplace=False)

shots = st.sampled_from([1, 100, 4096, 1_000_000])
sampler_pubs = st.lists(
    st.tuples(st.just(MEASURED), st.integers(1, 60).map(lambda n: np.linspace(0, 1, n)[:, None]), shots),
    min_size=1,
    max_size=6,
)
estimator_pubs = st.lists(
    st.tuples(
        st.just(CIRCUIT),
        st.sampled_from(["ZZ", {"XX": 1.0, "ZI": 0.5}, [["ZZ"], ["YY"]]]),
        st.integers(1, 30).map(lambda n: np.linspace(0, 1, n)[:, None]),
        st.sampled_from([0.1, 0.02]),
    ),
    min_size=1,
    max_size=4,
)
mitigation = st.sampled_from(
    [
        {},
        {"resilience_level": 0},
        {"resilience_level": 2},
        {"resilience_level": 2, "resilience": {"zne": {"amplifier": "pea"}}},
        {"resilience": {"pec_mitigation": True}},
        {"resilience": {"pec_mitigation": True, "pec": {"max_overhead": None}}},
    ]
)
work = st.one_of(
    st.tuples(sampler_pubs, st.sampled_from(["sampler", "executor_sampler"]), st.just({})),
    st.tuples(estimator_pubs, st.sampled_from(["estimator", "executor_estimator"]), mitigation),
)
wishes = st.fixed_dictionaries(
    {},
    optional={
        "iterative": st.one_of(st.booleans(), st.integers(1, 6)),
        "inputs_ready": st.booleans(),
        "exclusive": st.booleans(),
        "instance_plan": st.sampled_from(["open", "Open Plan", "pay-as-you-go", None]),
        "queue_wait": st.floats(0, 5000),
        "usage_left": st.floats(0, 1000),
        "price_per_minute": st.floats(0, 100),
        "partitions": st.one_of(st.just("auto"), st.integers(1, 3)),
        "max_ttl": st.floats(10, 1e5),
        "interactive_ttl": st.floats(0, 100),
        "lanes": st.integers(1, 8),
        "prefer": st.sampled_from(["cheapest", "soonest", "balanced"]),
        "deadline": st.floats(1, 1e5),
        "budget": st.floats(0.1, 1000),
    },
)


@settings(max_examples=150, deadline=None)
@given(work, wishes)
def test_a_plan_holds_together(asked, wish):
    pubs, primitive, options = asked
    try:
        found = plan(pubs, BACKEND, primitive, options, **wish)
    except ValueError as e:
        refused = str(e)  # more jobs than parts, absurdly many, or a budget that buys nothing
    else:
        refused = ""
    if refused:
        assert "jobs" in refused or "budget=" in refused
        return
    if "budget" in wish:
        allowed = wish["budget"] + 1e-9  # seconds: bills are whole, and 1.9999999999999 is meant as 2
        assert found.bill.expected <= allowed or "budget" in {f.rule for f in found.errors}
        assert len(found.allocation) == len(pubs)
    check(found.partitions, len(pubs))
    usage = found.usage
    assert 0 < usage.low <= usage.expected <= usage.high < math.inf
    assert math.isclose(usage.breakdown.total, usage.expected)
    assert math.isclose(sum(p.expected for p in found.partitions) * found.iterations, usage.expected)
    assert set(found.forecasts) == set(MODES)
    for course in found.forecasts.values():
        assert course.completed + course.failed == len(found.partitions) * found.iterations
        assert 0 <= course.idle <= course.usage < math.inf
    for mode, bill in found.bills.items():
        assert 0 < bill.low <= bill.expected <= bill.high < math.inf
        assert bill.expected == found.forecasts[mode].usage
    open_plan = (wish.get("instance_plan") or "").lower().startswith("open")
    there = [m for m in MODES if not (open_plan and m == "session")]
    own = [c for c in found.candidates if c.jobs is found.submissions[0].jobs]
    taken = next(c for c in own if c.mode == found.mode)
    assert len(taken.refused) == min(len(c.refused) for c in own if c.mode in there)
    assert {f.rule for f in taken.refused} <= {f.rule for f in found.errors}
    assert all(s.seconds > 0 and s.bill >= -1e-9 and s.price for s in found.savings)
    assert not (found.mode == "session" and (wish.get("instance_plan") or "").lower().startswith("open"))
    if len({p.shots for p in found.work.items}) > 1 and primitive.startswith("executor") and "partitions" not in wish:
        assert "same shots" not in {f.rule for f in found.errors}
    json.dumps(found.to_dict(), allow_nan=False)
    assert str(found)
    assert "✓ advised" in found._repr_html_()
