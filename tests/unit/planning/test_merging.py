"""Commuting observables of one circuit, given as several PUBs: measured together, results in the user's order."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives import DataBin, PrimitiveResult, PubResult, StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp

from qmode_widgets.errors import ArgumentError, PubError
from qmode_widgets.planning.grouping import merge_pubs
from qmode_widgets.planning.plan import plan

AROUND = {"queue_wait": 600, "instance_plan": "premium", "usage_left": 1e9}


@pytest.fixture(scope="module")
def several(ansatz, observable):
    o = observable
    return [(ansatz, o(label), [0.1, 0.2]) for label in ("ZZ", "ZI", "IZ")]


def test_merged_pubs_cost_what_one_basis_costs(backend, several):
    apart = plan(several, backend, "estimator", **AROUND)
    merged = merge_pubs(several)
    assert len(merged.pubs) == 1
    together = plan(merged.pubs, backend, "estimator", **AROUND)
    assert together.work.items[0].configurations == 1
    assert together.bill.expected < apart.bill.expected
    saving = next(s for s in apart.savings if "merge_pubs" in s.what)
    assert saving.bill == together.bill.expected
    assert "1 PUB instead of 3" in saving.what


def test_it_is_not_offered_where_nothing_commutes(backend, ansatz, observable):
    pubs = [(ansatz, observable(label), [0.1, 0.2]) for label in ("ZZ", "XX", "YY")]
    assert not any("merge_pubs" in s.what for s in plan(pubs, backend, "estimator", **AROUND).savings)


@pytest.mark.parametrize("shape", [(), (5,), (2, 3)])
@pytest.mark.parametrize("own", [(), (2, 1, 1)])
def test_results_come_back_in_the_users_order(shape, own):
    ansatz = QuantumCircuit(2)
    ansatz.ry(Parameter("a"), 0)
    ansatz.cx(0, 1)
    ansatz.rx(Parameter("b"), 1)
    observable = SparsePauliOp
    rng = np.random.default_rng(1)
    values = rng.uniform(0, 3, (*shape, 2))
    other = rng.uniform(0, 3, (2,))

    def shaped(label):
        return observable(label) if not own else [[[observable(label)]], [[observable("XX")]]]

    pubs = [(ansatz, shaped("ZZ"), values), (ansatz, observable("ZI"), other), (ansatz, shaped("IZ"), values),
            (ansatz, observable("XX"), other)]  # fmt: skip
    merged = merge_pubs(pubs)
    assert len(merged.pubs) == 2
    assert merged.merges
    exact = StatevectorEstimator(default_precision=0.0)
    wanted = exact.run(pubs).result()
    found = merged.results(exact.run(list(merged.pubs)).result())
    assert len(found) == 4
    for a, b in zip(wanted, found, strict=True):
        assert a.data.evs.shape == b.data.evs.shape
        assert b.data.shape == a.data.shape
        np.testing.assert_allclose(a.data.evs, b.data.evs, atol=1e-9)


def test_what_differs_stays_apart(ansatz, observable, several):
    pubs = [*several, (ansatz, observable("ZZ"), [0.1, 0.2], 0.01), (ansatz.copy(), observable("ZZ"), [0.1, 0.2])]
    merged = merge_pubs(pubs)
    assert [place for place, _ in merged.places] == [0, 0, 0, 1, 2]
    assert merged.pubs[1] is pubs[3]


def test_wrong_input(ansatz, observable, several):
    with pytest.raises(PubError, match="PUB 0"):
        merge_pubs([(ansatz,)])
    one = PubResult(DataBin(evs=np.zeros(3), shape=(3,)))
    with pytest.raises(ArgumentError, match="2 PUBs; 1 were merged"):
        merge_pubs(several).results(PrimitiveResult([one, one]))
