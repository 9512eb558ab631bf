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
    share = float(fits.what.split("%")[0]) / 100
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
