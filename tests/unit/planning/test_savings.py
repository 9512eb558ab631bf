"""What would save most, with its price."""

import pytest
from qiskit_ibm_runtime.fake_provider import FakeFez

from qmode_widgets.planning.plan import plan

AROUND = {"queue_wait": 600, "instance_plan": "premium", "usage_left": 1e9}


def saving(found, word):
    return next(s for s in found.savings if word in s.what)


def test_a_shorter_rep_delay_is_what_saves_most_of_a_million_shots(backend, bell):
    found = plan([(bell, None, 1_000_000)], backend, **AROUND)
    first = found.savings[0]
    assert "rep_delay" in first.what
    assert first.seconds == pytest.approx(1e6 * 230e-6)
    shorter = plan([(bell, None, 1_000_000)], backend, options={"execution": {"rep_delay": 20e-6}}, **AROUND)
    assert first.bill == pytest.approx(shorter.bill.expected, abs=1)
    assert "(100 µs: bill ≈ 109 s)" in first.what
    assert "relax" in first.price
    assert "What would save most" in str(found)
    assert "rep_delay" in found._repr_html_()


def test_mitigation_is_named_with_its_seconds(backend, ansatz, observable):
    pubs = [(ansatz, observable("ZZ"), [0.1, 0.2])]
    found = plan(pubs, backend, "estimator", {"resilience_level": 2}, **AROUND)
    plain = plan(pubs, backend, "estimator", {"resilience_level": 0}, **AROUND)
    readout, factors = saving(found, "measurement mitigation"), saving(found, "zero-noise")
    assert readout.seconds == pytest.approx(found.usage.breakdown.readout, abs=1)  # bills are whole seconds
    assert found.bill.expected - readout.seconds - factors.seconds == pytest.approx(plain.bill.expected, abs=1.5)
    assert "readout errors" in readout.price


def test_shots_that_fit_what_is_left(backend, bell):
    found = plan([(bell, None, 1_000_000)], backend, **(AROUND | {"usage_left": 100}))
    fits = saving(found, "of the shots")
    assert 90 < fits.bill <= 100
    share = float(fits.what.split(" %")[0]) / 100
    smaller = plan([(bell, None, int(share * 1_000_000))], backend, **(AROUND | {"usage_left": 100}))
    assert smaller.bill.expected <= 100
    assert "1.6 times" in fits.price


def test_a_mode_that_costs_less_is_named_with_the_time_it_takes(backend, ansatz, observable):
    found = plan([(ansatz, observable("ZZ"), [0.1, 0.2])], backend, "estimator", iterative=30, **AROUND)
    cheaper = saving(found, "job mode")
    assert cheaper.bill == found.bills["job"].expected
    assert "h" in cheaper.price
    open_plan = plan([(ansatz, observable("ZZ"), [0.1, 0.2])], backend, "estimator", iterative=30, queue_wait=600,
                     instance_plan="open", usage_left=1e9)  # fmt: skip
    assert not any("session" in s.what for s in open_plan.savings)


def test_the_default_of_four_milliseconds_is_said_loudly(bell):
    class Nighthawk(FakeFez):
        default_rep_delay = 4e-3
        rep_delay_range = (1e-3, 4e-3)

    found = plan([(bell, None, 8192)], Nighthawk(), **AROUND)
    assert found.bill.expected == 35  # as was billed on the first Nighthawk
    warning = next(f for f in found.findings if f.rule == "rep_delay")
    assert "4 ms after every shot" in warning.message
    assert "16 times" in warning.message
    assert "execution.rep_delay=0.001000 (1,000 µs instead of 4,000 µs)" in saving(found, "rep_delay").what


FOLLOWED = {  # the options that a saving names
    "resilience.measure_mitigation=False": {"resilience": {"measure_mitigation": False}},
    "resilience.zne_mitigation=False": {"resilience": {"zne_mitigation": False}},
}


@pytest.mark.parametrize("iterative", [False, 7])
@pytest.mark.parametrize("jobs", [1, 4])
@pytest.mark.parametrize(
    "options",
    [
        {"resilience_level": 1},
        {"resilience_level": 2},
        {"resilience_level": 2, "resilience": {"zne": {"noise_factors": (1, 2, 5)}}},
        {"resilience": {"zne_mitigation": True, "zne": {"noise_factors": (1, 3)}}, "twirling": {"enable_gates": True}},
    ],
)
def test_a_saving_that_is_followed_comes_to_what_it_says(backend, ansatz, observable, options, jobs, iterative):
    """A plan with the option that a saving names, and nothing else changed, is billed what the saving says."""
    pubs = [(ansatz, observable("ZZ", "XX"), [0.1 * n, 0.2]) for n in range(8)]
    around = AROUND | {"partitions": jobs, "iterative": iterative, "prefer": "cheapest"}
    found = plan(pubs, backend, "estimator", options, **around)
    followed = 0
    for name, change in FOLLOWED.items():
        for one in (s for s in found.savings if s.what.startswith(name)):
            own = options | {"resilience": options.get("resilience", {}) | change["resilience"]}
            assert plan(pubs, backend, "estimator", own, **around).bill.expected == one.bill
            followed += 1
    for one in (s for s in found.savings if s.what.startswith("execution.rep_delay")):
        delay = float(one.what.split("=")[1].split()[0])
        assert plan(pubs, backend, "estimator", options | {"execution": {"rep_delay": delay}},
                    **around).bill.expected == one.bill  # fmt: skip
        followed += 1
    for one in (s for s in found.savings if s.what.startswith("partitions=")):
        count = int(one.what.split("=")[1].split()[0])
        assert plan(pubs, backend, "estimator", options, **around | {"partitions": count}).bill.expected == one.bill
        followed += 1
    assert followed >= 2


def test_a_level_is_not_what_turns_mitigation_off(backend, ansatz, observable):
    """resilience_level=0 would turn zero-noise extrapolation off as well."""
    found = plan([(ansatz, observable("ZZ"), [0.1, 0.2])] * 20, backend, "estimator", {"resilience_level": 2}, **AROUND)
    assert not any("resilience_level" in s.what for s in found.savings)


def test_a_budget_of_what_is_left_fits(backend, bell):
    around = AROUND | {"usage_left": 100}
    found = plan([(bell, None, 1_000_000)], backend, **around)
    saving(found, "budget=100")
    followed = plan([(bell, None, 1_000_000)], backend, budget=100, **around)
    assert followed.errors == ()
    assert followed.bill.expected <= 100
