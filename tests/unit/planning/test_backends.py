"""Which backend: the same workload on each, with bill, queue, error per layer and allowance."""

import json

import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.fake_provider import FakeBrisbane, FakeFez, FakeMarrakesh

from qmode_widgets.errors import ArgumentError
from qmode_widgets.planning.backends import compare_backends, layer_error
from qmode_widgets.planning.plan import plan
from qmode_widgets.planning.settings import settings
from qmode_widgets.planning.work import analyse

AROUND = {"queue_wait": 600, "instance_plan": "premium", "usage_left": 1e9}


def manager(backend):
    return generate_preset_pass_manager(1, backend, seed_transpiler=1)


@pytest.fixture(scope="module")
def backends(backend):
    return [backend, FakeMarrakesh(), FakeBrisbane()]


@pytest.fixture(scope="module")
def logical():
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    return [(circuit, SparsePauliOp("ZZ"))]


def test_one_plan_a_backend_and_one_advised(backends, logical):
    found = compare_backends(logical, backends, "estimator", pass_manager=manager, **AROUND)
    assert [b.name for b in found.backends] == ["fake_fez", "fake_marrakesh", "fake_brisbane"]
    assert all(b.transpiled and b.plan is not None for b in found.backends)
    assert found.plan is found[found.advised.name]
    for row in found.rows():
        assert row["queue"] == "10 min, as given"
        assert row["transpiled"] == "by the given pass manager"
        assert row["error a layer (calibration)"].endswith("%")
    assert found.advised.layer_error == min(b.layer_error for b in found.backends)  # their bills are equal


def test_nothing_is_transpiled_silently(backend, backends, bell):
    found = compare_backends([bell], backends, **AROUND)
    ready, same, other = found.backends
    assert ready.plan is not None
    assert same.plan is not None  # the same gates and couplings
    assert not ready.transpiled
    assert other.plan is None
    assert "pass_manager=" in other.refused
    assert "not an ISA circuit of fake_brisbane" in str(found)
    with pytest.raises(KeyError):
        found["fake_brisbane"]
    with pytest.raises(ArgumentError, match="no backend: fake_brisbane"):
        _ = compare_backends([bell], backends[2:], **AROUND).plan


def test_where_the_allowance_lasts(backends, logical):
    found = compare_backends(logical, backends, "estimator", pass_manager=manager, **AROUND | {"usage_left": 5})
    assert all(b.left_after < 0 for b in found.backends)
    assert "no, 7.0 s short" in str(found)
    lasts = compare_backends(logical, backends, "estimator", pass_manager=manager, **AROUND | {"usage_left": 20})
    assert "yes, 8.0 s stay" in str(lasts)


def test_a_slower_backend_costs_more_and_is_not_advised(backend, logical):
    class Slow(FakeFez):
        default_rep_delay = 4e-3
        rep_delay_range = (1e-3, 4e-3)

    slow = Slow()
    slow.name = "slow"
    found = compare_backends(logical, [slow, backend], "estimator", pass_manager=manager, **AROUND)
    assert found.advised.name == "fake_fez"
    assert found["slow"].bill.expected > 5 * found["fake_fez"].bill.expected


def test_primitive_objects_get_one_of_their_own_for_each_backend(backends, logical):
    own = Estimator(mode=backends[0])
    own.options.default_precision = 0.1
    found = compare_backends(logical, backends, own, pass_manager=manager, **AROUND)
    assert all(b.plan.submissions[0].primitive is not own for b in found.backends)
    assert {b.plan.work.settings.precision for b in found.backends} == {0.1}


def test_the_error_of_a_layer_is_that_of_its_gates(backend, transpile):
    circuit = QuantumCircuit(2)
    for _ in range(4):
        circuit.cz(0, 1)
        circuit.sx(0)
    circuit.measure_all()
    work = analyse([transpile(circuit)], backend, settings("sampler"))
    assert layer_error(work) == pytest.approx(backend.target["cz"][0, 1].error, rel=1e-6)


def test_it_shows_itself_and_is_json(backends, logical):
    found = compare_backends(logical, backends, "estimator", pass_manager=manager, **AROUND)
    shown = found._repr_html_()
    assert shown.count("✓ advised") == 1
    assert shown.count("<tr>") == 4
    told = {"p50": 120, "p95": 1800, "average": 300}
    queue = compare_backends(logical, backends, "estimator", pass_manager=manager, **AROUND | {"queue_wait": told})
    assert "2 min median, 30 min p95, as the service tells" in str(queue)
    json.dumps(found.to_dict(), allow_nan=False)
    assert str(found).count("\n* ") + str(found).startswith("* ") == 1


def test_a_plan_is_for_one_backend(backends, bell):
    with pytest.raises(ArgumentError, match="compare_backends"):
        plan([bell], backends)
    for bad in ([], "ibm_fez", None):
        with pytest.raises(ArgumentError, match="list of backends"):
            compare_backends([bell], bad)
