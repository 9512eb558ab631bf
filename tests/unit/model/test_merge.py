from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.primitives import BitArray, DataBin, PrimitiveResult, PubResult, SamplerPubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit_ibm_runtime.execution_span import (
    DoubleSliceSpan,
    ExecutionSpans,
    SliceSpan,
    TwirledSliceSpan,
    TwirledSliceSpanV2,
)
from qiskit_ibm_runtime.results.quantum_program import ChunkPart, ChunkSpan, Metadata

from qmode_widgets.model.merge import MissingResultsError, cut, merge, merge_partial, parameter_shape
from qmode_widgets.model.partition import Partition, Piece, check
from tests.examples import examples

T0 = datetime(2026, 1, 1, tzinfo=UTC)
X = Parameter("x")
CIRCUIT = QuantumCircuit(1, 16)
CIRCUIT.rx(X, 0)
LABELS = ["X", "Y", "Z"]


def observables(shape):
    labels = np.array([LABELS[i % 3] for i in range(int(np.prod(shape)))], dtype=object).reshape(shape)
    coefficients = np.arange(labels.size).reshape(shape) + 1.0

    def nested(loc=()):
        if len(loc) == len(shape):
            return {labels[loc]: coefficients[loc]}
        return [nested((*loc, i)) for i in range(shape[len(loc)])]

    return nested()


def engine(pubs, shots=4, span=None):
    """A deterministic primitive: a function of parameter value, observable and (global) shot number only."""
    results = []
    for pub in pubs:
        values = pub.parameter_values.as_array()[..., 0] if pub.parameter_values.num_parameters else np.zeros(())
        if isinstance(pub, EstimatorPub):
            evs = np.empty(pub.shape)
            obs = np.broadcast_to(np.array(pub.observables.tolist(), dtype=object), pub.shape)
            params = np.broadcast_to(values, pub.shape)
            for loc in np.ndindex(pub.shape):
                ((label, coefficient),) = obs[loc].items()
                evs[loc] = coefficient * 1000 + params[loc] + LABELS.index(label) / 10
            data = DataBin(evs=evs, stds=evs / 7, evs_noise_factors=np.stack([evs, 2 * evs], -1), shape=pub.shape)
            results.append(PubResult(data, {"extrapolators": evs > 0, "target": 0.1}))
        else:
            n = pub.shots or shots
            ints = (values[..., None] * 31).astype(np.uint16) + np.zeros(n, np.uint16)
            array = ints.astype(">u2").view(np.uint8).reshape(*pub.shape, n, 2)
            data = DataBin(c=BitArray(array, 16), shape=pub.shape)
            results.append(SamplerPubResult(data, {"circuit_metadata": {}, "shots": n}))
    metadata = {"version": 2}
    if span is not None:
        metadata["execution"] = {"execution_spans": ExecutionSpans(span(pubs))}
    return PrimitiveResult(results, metadata)


def same(a, b):
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        assert x.data.shape == y.data.shape
        assert list(x.data) == list(y.data)
        for name in x.data:
            if isinstance(x.data[name], BitArray):
                assert x.data[name] == y.data[name]
            else:
                np.testing.assert_array_equal(x.data[name], y.data[name])


shapes = st.lists(st.integers(1, 4), max_size=3).map(tuple)


@st.composite
def pub_and_pieces(draw, index):
    shape = draw(shapes)
    values = np.arange(float(np.prod(shape)) if shape else 1.0).reshape(shape)
    bindings = {"x": values[..., None] if shape else 3.0}
    if draw(st.booleans()):
        axes = tuple(draw(st.sampled_from([1, n])) for n in shape)
        lead = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
        own = tuple(n if n != 1 else draw(st.integers(1, 3)) for n in axes) if draw(st.booleans()) else axes
        own = tuple(n if shape[i] in (1, n) else 1 for i, n in enumerate(own))
        pub = EstimatorPub.coerce((CIRCUIT, observables((*lead, *own)), bindings))
    else:
        pub = SamplerPub.coerce((CIRCUIT, bindings, draw(st.integers(1, 6))))
    split = parameter_shape(pub)
    size = int(np.prod(split))
    if size < 2 or draw(st.booleans()):
        return pub, [Piece(index)]
    cuts = sorted({0, size, *draw(st.lists(st.integers(1, size - 1), min_size=1, max_size=4))})
    return pub, [Piece(index, a, b, shape=split) for a, b in pairwise(cuts)]


@st.composite
def workloads(draw):
    pubs, pieces = [], []
    for i in range(draw(st.integers(1, 4))):
        pub, own = draw(pub_and_pieces(i))
        pubs.append(pub)
        pieces += own
    n = draw(st.integers(1, len(pieces)))
    cuts = [round(i * len(pieces) / n) for i in range(n + 1)]
    return pubs, [Partition(tuple(pieces[a:b])) for a, b in pairwise(cuts)]


@examples(50)
@given(workloads())
def test_merging_the_parts_equals_running_the_whole(workload):
    pubs, partitions = workload
    check(partitions, len(pubs))
    merged = merge(partitions, [engine(cut(pubs, p)) for p in partitions])
    same(merged, engine(pubs))
    estimated = [(p.shape, r) for p, r in zip(pubs, merged, strict=True) if isinstance(p, EstimatorPub)]
    assert [r.metadata["extrapolators"].shape for _, r in estimated] == [shape for shape, _ in estimated]


def test_whole_pubs_come_back_as_the_very_objects():
    pubs = [SamplerPub.coerce((CIRCUIT, 1.0, 3))] * 4
    partitions = [Partition((Piece(0), Piece(1))), Partition((Piece(2), Piece(3)))]
    parts = [engine(cut(pubs, p)) for p in partitions]
    merged = merge(partitions, parts)
    assert [id(r) for r in merged] == [id(r) for part in parts for r in part]
    assert merged.metadata["version"] == 2
    assert merged.metadata["partitions"] == [p.metadata for p in parts]
    assert merge(partitions[:1], parts[:1]) is parts[0]


def test_shots_are_joined_in_order_and_counted():
    pub = SamplerPub.coerce((CIRCUIT, {"x": [1.0, 2.0]}, 10))
    partitions = [Partition((Piece(0, shots=n),)) for n in (2, 3, 5)]
    check(partitions, 1)
    cuts = [cut([pub], p)[0] for p in partitions]
    assert [c.shots for c in cuts] == [2, 3, 5]
    merged = merge(partitions, [engine([c]) for c in cuts])
    assert merged[0].data.c.num_shots == 10
    assert merged[0].data.c.shape == (2,)
    assert merged[0].metadata["shots"] == 10


def test_partial_says_what_is_missing():
    pubs = [SamplerPub.coerce((CIRCUIT, {"x": np.arange(4.0)}, 3)), SamplerPub.coerce((CIRCUIT, 1.0, 3))]
    split = [Partition((Piece(0, 0, 2, shape=(4,)),)), Partition((Piece(0, 2, 4, shape=(4,)), Piece(1)))]
    partial = merge_partial(split, {1: engine(cut(pubs, split[1]))})
    assert set(partial.pubs) == {1}
    assert partial.missing == (Piece(0, 0, 2, shape=(4,)),)
    assert [piece for piece, _ in partial.pieces[0]] == [Piece(0, 2, 4, shape=(4,))]
    assert not partial.complete
    assert "0[0:2]" in str(partial)
    with pytest.raises(MissingResultsError, match=r"0\[0:2\]"):
        merge(split, {1: engine(cut(pubs, split[1]))})


def test_while_a_partition_is_unknown_a_split_pub_is_complete_only_where_all_of_it_is_seen():
    pubs = [SamplerPub.coerce((CIRCUIT, {"x": np.arange(4.0)}, 6)), SamplerPub.coerce((CIRCUIT, 1.0, 3))]
    by_sets = [Partition((Piece(0, 0, 2, shape=(4,)),)), Partition((Piece(0, 2, 4, shape=(4,)), Piece(1)))]
    by_shots = [Partition((Piece(0, shots=3),)), Partition(())]
    results = [engine(cut(pubs, p)) for p in by_sets]
    assert set(merge_partial([*by_sets, Partition(())], dict(enumerate(results)), [2]).pubs) == {0, 1}
    half = merge_partial([Partition(()), by_sets[1]], {1: results[1]}, [0])
    assert (set(half.pubs), set(half.pieces)) == ({1}, {0})
    shots = merge_partial(by_shots, {0: engine(cut(pubs, by_shots[0]))}, [1])
    assert (shots.pubs, set(shots.pieces)) == ({}, {0})
    assert not shots.complete
    assert "whatever partitions 2 carry" in str(shots)


def test_other_programs_results_are_a_list_of_what_the_parts_return():
    assert merge([Partition((Piece(0),)), Partition((Piece(1),))], {0: "a", 1: ["b"]}) == ["a", ["b"]]


def test_kerneled_samplers_and_metadata_that_hold_arrays():
    shape = (2, 3)
    whole = np.arange(2 * 3 * 4 * 2).reshape(2, 3, 4, 2) * (1 + 1j)
    partitions = [Partition((Piece(0, a, b, shape=shape),)) for a, b in ((0, 1), (1, 4), (4, 6))]
    flat = whole.reshape(6, 4, 2)
    parts = []
    for p in partitions:
        piece = p.pieces[0]
        data = DataBin(c=flat[piece.start : piece.stop], shape=(piece.sets,))
        metadata = {"kernels": [np.zeros(2)], "name": "boxcar"}
        parts.append(PrimitiveResult([SamplerPubResult(data, metadata)], {"version": 2}))
    merged = merge(partitions, parts)
    np.testing.assert_array_equal(merged[0].data.c, whole)
    assert merged[0].metadata["name"] == "boxcar"
    assert len(merged[0].metadata["pieces"]) == 3


def test_metadata_that_differ_are_kept_per_piece():
    pub = SamplerPub.coerce((CIRCUIT, {"x": [1.0, 2.0]}, 4))
    partitions = [Partition((Piece(0, i, i + 1, shape=(2,)),)) for i in range(2)]
    parts = [engine(cut([pub], p)) for p in partitions]
    parts[1][0].metadata["depth"] = 7
    merged = merge(partitions, parts)
    assert merged[0].metadata["shots"] == 4
    assert "depth" not in merged[0].metadata
    assert [m.get("depth") for m in merged[0].metadata["pieces"]] == [None, 7]


def moments(n):
    return T0 + timedelta(seconds=n), T0 + timedelta(seconds=n + 1)


def slice_spans(pubs):
    half = [int(np.prod(p.shape, dtype=int)) * p.shots // 2 for p in pubs]
    shape = [(*p.shape, p.shots) for p in pubs]
    return [
        SliceSpan(*moments(0), {i: (shape[i], slice(0, half[i])) for i in range(len(pubs))}),
        SliceSpan(*moments(1), {i: (shape[i], slice(half[i], None)) for i in range(len(pubs))}),
    ]


def double_spans(pubs):
    return [
        DoubleSliceSpan(*moments(n), {i: ((*p.shape, p.shots), slice(None), cut) for i, p in enumerate(pubs)})
        for n, cut in enumerate([slice(0, 1), slice(1, None)])
    ]


def twirled_spans(at_front, kind):
    def spans(pubs):
        entries = [((2, *p.shape, p.shots // 2) if at_front else (*p.shape, 2, p.shots // 2), at_front) for p in pubs]
        rest = [() if kind is TwirledSliceSpan else (p.shots,) for p in pubs]
        middles = [int(np.prod(s[:-1])) // 2 + 1 for s, _ in entries]
        return [
            kind(*moments(n), {i: (*e, cuts(middles[i])[n], slice(None), *rest[i]) for i, e in enumerate(entries)})
            for n in range(2)
        ]

    def cuts(middle):
        return [slice(0, middle), slice(middle, None)]

    return spans


def covered(result, pub):
    """How often the spans name each shot of a PUB; every shot of the whole must be named once."""
    spans = result.metadata["execution"]["execution_spans"]
    return sum(s.mask(pub).astype(int) for s in spans if pub in s.pub_idxs)


@pytest.mark.parametrize(
    "spans",
    [slice_spans, double_spans]
    + [twirled_spans(f, k) for f in (True, False) for k in (TwirledSliceSpan, TwirledSliceSpanV2)],
)
@pytest.mark.parametrize("shape", [(5,), (2, 3), (1, 4)])
def test_execution_spans_are_rebased_to_the_whole(spans, shape):
    size = int(np.prod(shape))
    pubs = [
        SamplerPub.coerce((CIRCUIT, {"x": np.arange(float(size)).reshape(*shape, 1)}, 4)),
        SamplerPub.coerce((CIRCUIT, {"x": [1.0, 2.0]}, 4)),
    ]
    own = parameter_shape(pubs[0])
    partitions = [
        Partition((Piece(0, 0, 2, shape=own),)),
        Partition((Piece(0, 2, size - 1, shape=own), Piece(0, size - 1, size, shape=own), Piece(1))),
    ]
    merged = merge(partitions, [engine(cut(pubs, p), span=spans) for p in partitions])
    for pub in (0, 1):
        np.testing.assert_array_equal(covered(merged, pub), np.ones((*pubs[pub].shape, 4)))
    first = merged.metadata["execution"]["execution_spans"]
    assert isinstance(first, ExecutionSpans)
    mask = sum(s.mask(0).astype(int) for s in first if s.start == T0 and 0 in s.pub_idxs)
    alone = engine(cut(pubs, partitions[0]), span=spans).metadata["execution"]["execution_spans"]
    np.testing.assert_array_equal(mask.reshape(-1, 4)[:2], alone[0].mask(0).reshape(-1, 4))


@pytest.mark.parametrize("spans", [slice_spans, double_spans])
def test_execution_spans_of_joined_shots(spans):
    pub = SamplerPub.coerce((CIRCUIT, {"x": np.arange(6.0).reshape(2, 3, 1)}, 10))
    partitions = [Partition((Piece(0, shots=n),)) for n in (4, 6)]
    merged = merge(partitions, [engine(cut([pub], p), span=spans) for p in partitions])
    np.testing.assert_array_equal(covered(merged, 0), np.ones((2, 3, 10)))


def test_chunk_timing_of_client_side_primitives_names_the_pubs_of_the_whole():
    pubs = [SamplerPub.coerce((CIRCUIT, 1.0, 3))] * 3
    partitions = [Partition((Piece(0), Piece(1))), Partition((Piece(2),))]
    parts = [engine(cut(pubs, p)) for p in partitions]
    for n, part in enumerate(parts):
        chunks = [ChunkSpan(*moments(5 * n + i), [ChunkPart(i, 3)]) for i in range(len(part))]
        part.metadata["executor"] = Metadata(chunk_timing=chunks)
    merged = merge(partitions, parts)
    timing = merged.metadata["executor"].chunk_timing
    assert [[p.idx_item for p in c.parts] for c in timing] == [[0], [1], [2]]
    assert [c.start for c in timing] == [moments(n)[0] for n in (0, 1, 5)]
    assert [p.idx_item for c in parts[1].metadata["executor"].chunk_timing for p in c.parts] == [0]
    parts[0].metadata["executor"].chunk_timing.append(ChunkSpan(*moments(9), [ChunkPart(2, 1)]))  # a TREX item
    assert "executor" not in merge(partitions, parts).metadata


def test_clear_refusals():
    pub = SamplerPub.coerce((CIRCUIT, {"x": [1.0, 2.0]}, 4))
    with pytest.raises(TypeError, match="only coerced PUBs"):
        cut([(CIRCUIT, 1.0)], Partition((Piece(0, shots=2),)))
    with pytest.raises(ValueError, match="has 4 shots"):
        cut([pub], Partition((Piece(0, shots=5),)))
    with pytest.raises(ValueError, match=r"parameter sets of shape \(2,\)"):
        cut([pub], Partition((Piece(0, 0, 3, shape=(3,)),)))
    with pytest.raises(ValueError, match="precision"):
        cut([EstimatorPub.coerce((CIRCUIT, "Z", 1.0))], Partition((Piece(0, shots=2),)))
    with pytest.raises(ValueError, match="has 2 PUBs, its result 1"):
        merge([Partition((Piece(0), Piece(1)))], [engine([pub])])
