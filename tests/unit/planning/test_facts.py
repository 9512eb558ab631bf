"""The service's facts of autumn 2026, one test each. Sources are named in SERVICE notes of limits.py and the README."""

import pytest
from qiskit import QuantumCircuit

from qmode_widgets.ibm.wire import InstanceUsage
from qmode_widgets.model.timing import OVERHEAD
from qmode_widgets.planning import limits
from qmode_widgets.planning.plan import plan
from qmode_widgets.planning.usage import counted_usage, estimate_usage

AROUND = {"queue_wait": 60, "instance_plan": "premium", "usage_left": 1e9}


def rules(found):
    return {f.rule for f in found.findings}


def test_gates_are_limited_a_circuit_not_a_job(backend, bell, monkeypatch):
    assert (limits.TWO_QUBIT_GATES, limits.RZ_GATES, limits.SX_GATES) == (5_000_000, 30_000_000, 20_000_000)
    circuit = QuantumCircuit(2)
    for _ in range(60):
        circuit.cz(0, 1)
    circuit.measure_all()
    monkeypatch.setattr(limits, "TWO_QUBIT_GATES", 100)
    assert "gates" not in rules(plan([circuit, circuit.copy()], backend, **AROUND))  # 120 in the job
    monkeypatch.setattr(limits, "TWO_QUBIT_GATES", 50)
    error = next(f for f in plan([circuit], backend, **AROUND).errors if f.rule == "gates")
    assert "60 two-qubit gates in one circuit, the service takes 50" in error.message


def test_ten_million_executions_fit_a_sampler_job(backend, bell):
    assert "executions" not in rules(plan([(bell, None, 10_000_000)], backend, partitions=1, **AROUND))
    assert "executions" in rules(plan([(bell, None, 10_000_001)], backend, partitions=1, **AROUND))


def test_sampler_jobs_are_split_into_sub_jobs_too(backend, bell):
    assert estimate_usage([(bell, None, 20_000_000)], backend).breakdown.overhead == pytest.approx(2 * OVERHEAD)


def test_the_loading_of_big_circuits_is_no_term_any_more(backend):
    big = QuantumCircuit(1)
    for _ in range(100_000):
        big.rz(0.1, 0)
    big.measure_all()
    usage = estimate_usage([(big, None, 1000)], backend)
    assert usage.high <= usage.expected + 1  # a second for 100,000 instructions was counted until 2026-03


def test_a_charge_for_each_circuit_is_in_the_high_end_only(backend, bell):
    one = estimate_usage([(bell, None, 100_000)], backend)
    many = estimate_usage([(bell, None, 100)] * 1000, backend)
    assert many.expected == one.expected
    assert many.high - one.high == pytest.approx(5, abs=1)


def test_an_allocation_is_no_cap():
    consumed = {"usage_consumed_seconds": 100, "usage_allocation_seconds": 90}
    assert InstanceUsage.of(consumed).left is None
    assert InstanceUsage.of(consumed | {"usage_limit_seconds": 300}).left == 200
    assert InstanceUsage.of(consumed | {"usage_limit_reached": True}).left == 0


def test_three_pending_jobs_on_the_open_plan(backend, bell):
    found = plan([(bell, None, 100)] * 4, backend, partitions=4, queue_wait=60, instance_plan="open", usage_left=600)
    assert "3458" in next(f.message for f in found.findings if f.rule == "pending jobs")
    assert "pending jobs" not in rules(plan([(bell, None, 100)] * 4, backend, partitions=4, **AROUND))


def test_the_open_plans_extra_minutes_are_what_the_service_says(backend, bell):
    pubs = [(bell, None, 10_000_000)]
    assert "usage left" in rules(plan(pubs, backend, queue_wait=60, instance_plan="open"))
    assert "usage left" not in rules(plan(pubs, backend, queue_wait=60, instance_plan="open", usage_left=11_400))


def test_pay_as_you_go_is_reported_late(backend, bell):
    pubs = [(bell, None, 1_000_000)]
    late = plan(pubs, backend, queue_wait=60, instance_plan="pay-as-you-go", usage_left=500)
    assert "overshot" in next(f.message for f in late.findings if f.rule == "usage left")
    assert "usage left" not in rules(plan(pubs, backend, queue_wait=60, instance_plan="flex", usage_left=500))


def test_nighthawk_waits_four_milliseconds():
    from qiskit_ibm_runtime.fake_provider import FakeMarrakesh

    assert counted_usage(FakeMarrakesh(), 8192, rep_delay=4e-3).expected == 35  # billed 35 s on the first Nighthawk
