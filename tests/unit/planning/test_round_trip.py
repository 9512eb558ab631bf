"""From PUBs over partitions to merged results, on a real deterministic engine: what is merged equals the whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives import StatevectorEstimator, StatevectorSampler
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.providers.fake_provider import GenericBackendV2

from qmode_widgets.model.merge import cut, merge
from qmode_widgets.model.partition import check
from qmode_widgets.planning.splitting import partition

BACKEND = GenericBackendV2(2, seed=3)
X, Y = Parameter("x"), Parameter("y")
ANSATZ = QuantumCircuit(2)
ANSATZ.sx(0)
ANSATZ.rz(X, 0)
ANSATZ.sx(0)
ANSATZ.cx(0, 1)
ANSATZ.rz(Y, 1)
ANSATZ.sx(1)
MEASURED = ANSATZ.measure_all(inplace=False)
SHAPES = [((), ()), ((4,), ()), ((4,), (4,)), ((2, 3), (3,)), ((5,), (2, 1)), ((1, 5), (3, 1)), ((2, 1), (1, 4))]
LABELS = ["ZZ", "XX", "IY", "ZI", "XZ"]


def nested(shape, draw):
    if not shape:
        return {draw(st.sampled_from(LABELS)): 1.0, draw(st.sampled_from(LABELS)): 0.5}
    return [nested(shape[1:], draw) for _ in range(shape[0])]


@st.composite
def estimator_pubs(draw):
    pubs = []
    for _ in range(draw(st.integers(1, 3))):
        parameters, observables = draw(st.sampled_from(SHAPES))
        size = int(np.prod(parameters))
        values = np.linspace(0.1, 2.9, 2 * size).reshape(*parameters, 2)
        pubs.append(EstimatorPub.coerce((ANSATZ, nested(observables, draw), values)))
    return pubs


@settings(max_examples=40, deadline=None)
@given(estimator_pubs(), st.data())
def test_estimator(pubs, data):
    most = sum(int(np.prod(p.parameter_values.shape)) for p in pubs)
    parts = partition(pubs, BACKEND, "estimator", jobs=data.draw(st.integers(1, most)))
    check(parts, len(pubs))
    engine = StatevectorEstimator(default_precision=0.0)
    merged = merge(parts, [engine.run(cut(pubs, p)).result() for p in parts])
    whole = engine.run(pubs).result()
    for a, b in zip(merged, whole, strict=True):
        assert a.data.evs.shape == b.data.evs.shape
        np.testing.assert_allclose(a.data.evs, b.data.evs, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([(), (3,), (2, 2), (1, 4)]), min_size=1, max_size=4), st.data())
def test_sampler(shapes, data):
    """Angles at which every outcome is certain: the counts do not depend on the seed."""
    pubs = []
    for n, shape in enumerate(shapes):
        size = int(np.prod(shape))
        turns = np.pi * ((np.arange(size) + n) % 2)
        circuit = QuantumCircuit(2)
        circuit.sx(0)
        circuit.rz(X, 0)
        circuit.sx(0)
        circuit.measure_all()
        pubs.append(SamplerPub.coerce((circuit, turns.reshape(*shape, 1), 10 + n)))
    most = sum(int(np.prod(s)) for s in shapes)
    parts = partition(pubs, BACKEND, "sampler", jobs=data.draw(st.integers(1, most)))
    engine = StatevectorSampler(seed=1)
    merged = merge(parts, [engine.run(cut(pubs, p)).result() for p in parts])
    for a, b in zip(merged, engine.run(pubs).result(), strict=True):
        assert a.data.meas == b.data.meas


@pytest.mark.parametrize("jobs", [1, 3, 10])
def test_shots(jobs):
    pub = SamplerPub.coerce((MEASURED, [0.3, 0.4], 1000))
    parts = partition([pub], BACKEND, jobs=jobs)
    assert sum(p.pieces[0].shots or 1000 for p in parts) == 1000
    engine = StatevectorSampler(seed=1)
    merged = merge(parts, [engine.run(cut([pub], p)).result() for p in parts])
    assert merged[0].data.meas.num_shots == 1000
