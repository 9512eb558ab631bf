"""Cut PUBs by their partitions, and put the results of the parts together again in PUB order.

`cut` and `merge` are each other's inverse: whole PUBs come back as the very objects the parts returned; a PUB split
along its parameter sets gets its shape back; a PUB split by shots gets its shots back, in the order of the partitions.
Qiskit is imported when it is needed, so that importing the package stays cheap; the client is not imported at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from itertools import groupby
from math import prod
from typing import Any

import numpy as np

from .partition import Partition, Piece
from .spans import Place, rebase, rebase_chunks


@dataclass(frozen=True, slots=True)
class Partial:
    """What is there of a workload's results, and what is not.

    `pubs` holds the PUBs that are complete; `pieces` the parts of PUBs that are not, or of which nobody can tell;
    `missing` what no result was given for; `unknown` the partitions (from 0) of which not even the PUBs are known: they
    were never sent, so no tag tells; `metadata` each partition's own; and `why`, by partition, why it has no result.
    """

    pubs: dict[int, Any]
    missing: tuple[Piece, ...] = ()
    pieces: dict[int, tuple[tuple[Piece, Any], ...]] = field(default_factory=dict)
    metadata: dict[int, dict[str, Any]] = field(default_factory=dict)
    unknown: tuple[int, ...] = ()
    why: dict[int, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Nothing is missing."""
        return not self.missing and not self.unknown

    def __str__(self) -> str:
        missing = [str(piece) for piece in self.missing]
        if self.unknown:
            missing.append(f"whatever partitions {', '.join(str(i + 1) for i in self.unknown)} carry")
        why = "".join(f"; partition {i + 1} {text}" for i, text in self.why.items())
        return f"{len(self.pubs)} PUBs complete; missing: {', '.join(missing) or 'nothing'}{why}"


class MissingResultsError(ValueError):
    """Some partitions have no result; `missing` names their pieces."""

    def __init__(self, missing: Sequence[Piece]) -> None:
        self.missing = tuple(missing)
        shown = ", ".join(map(str, self.missing[:10])) + (", …" if len(self.missing) > 10 else "")
        super().__init__(
            f"{len(self.missing)} pieces have no result (PUB {shown}): resubmit their jobs, or take partial_result()"
        )


def cut(pubs: Sequence[Any], partition: Partition) -> list[Any]:
    """The PUBs of one job: whole ones untouched, the others cut from their coerced `SamplerPub` or `EstimatorPub`.

    A piece of an estimator PUB keeps all observables that meet its parameter sets: its parameters have shape `(n,)`,
    its observables `(…, n)` or `(…, 1)`, where `…` are the axes along which only observables vary.

    Raises:
        TypeError: a PUB that is not coerced is to be split.
        ValueError: the piece does not fit the PUB.
    """
    return [pubs[piece.pub] if piece.whole else _cut(pubs[piece.pub], piece) for piece in partition.pieces]


def parameter_shape(pub: Any) -> tuple[int, ...]:
    """`Piece.shape` of a coerced PUB: its parameters' shape, padded with ones to the PUB's rank."""
    own = tuple(pub.parameter_values.shape)
    return (1,) * (len(pub.shape) - len(own)) + own


def _cut(pub: Any, piece: Piece) -> Any:
    values = getattr(pub, "parameter_values", None)
    if values is None:
        raise TypeError(f"PUB {piece.pub} is a {type(pub).__name__}: only coerced PUBs can be split, pass it whole")
    observables = getattr(pub, "observables", None)
    if piece.shots is not None:
        if observables is not None:
            raise ValueError(f"PUB {piece.pub} is an estimator's: it has a precision, no shots to split")
        if pub.shots is not None and piece.shots > pub.shots:
            raise ValueError(f"PUB {piece.pub} has {pub.shots} shots, its piece asks for {piece.shots}")
    if piece.start is None or piece.stop is None:
        return type(pub)(pub.circuit, values, piece.shots, validate=False)
    shape = parameter_shape(pub)
    if piece.shape != shape or piece.stop > prod(shape):
        raise ValueError(f"PUB {piece.pub} has parameter sets of shape {shape}; its piece {piece} is of {piece.shape}")
    stretch = slice(piece.start, piece.stop)
    values = values.ravel()[stretch]
    if observables is None:
        shots = pub.shots if piece.shots is None else piece.shots
        return type(pub)(pub.circuit, values, shots, validate=False)
    return type(pub)(pub.circuit, _cut_observables(observables, shape, stretch), values, pub.precision, validate=False)


def _cut_observables(observables: Any, shape: tuple[int, ...], stretch: slice) -> Any:
    """The observables that meet the parameter sets of `stretch`, in the shape `(…, n)` or `(…, 1)`."""
    varying, free = _axes(shape)
    padded = (1,) * (len(shape) - observables.ndim) + tuple(observables.shape)
    array = np.arange(observables.size).reshape(padded)
    constant = all(padded[i] == 1 for i in varying)
    if not constant:
        array = np.broadcast_to(array, tuple(shape[i] if i in varying else padded[i] for i in range(len(shape))))
    array = array.transpose([*free, *varying]).reshape([padded[i] for i in free] + [-1])
    return observables.ravel()[array if constant else array[..., stretch]]


def _axes(shape: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """The axes along which parameter sets vary, and the others."""
    return [i for i, n in enumerate(shape) if n != 1], [i for i, n in enumerate(shape) if n == 1]


def merge(partitions: Sequence[Partition], results: Mapping[int, Any] | Sequence[Any]) -> Any:
    """The results of all partitions as one, in PUB order.

    `results[i]` is what the job of `partitions[i]` returned. Primitive results give a `PrimitiveResult`; anything else
    (Executor, NoiseLearner) the list of what the parts returned. The metadata hold what all parts agree on, the
    execution spans or chunk timing of the whole (`execution`, `executor`), and each part's own (`partitions`).

    Raises:
        MissingResultsError: not every partition has a result.
        ValueError: a part's result does not fit its partition.
    """
    given = _given(results)
    if missing := [p for i, part in enumerate(partitions) if i not in given for p in part.pieces]:
        raise MissingResultsError(missing)
    if not all(_is_primitive(r) for r in given.values()):
        return [given[i] for i in range(len(partitions))]
    if len(partitions) == 1 and [p.pub for p in partitions[0].pieces if p.whole] == list(range(len(given[0]))):
        return given[0]
    from qiskit.primitives import PrimitiveResult

    got = merge_partial(partitions, given)
    whole = PrimitiveResult([got.pubs[i] for i in range(len(got.pubs))])
    whole.metadata.update(_metadata(partitions, [given[i].metadata for i in range(len(partitions))], got.pubs))
    return whole


def merge_partial(
    partitions: Sequence[Partition], results: Mapping[int, Any] | Sequence[Any], unknown: Sequence[int] = ()
) -> Partial:
    """What can be put together from the partitions that have a result.

    `unknown` are the partitions of which nobody knows what they carry: while there are any, a PUB that was split counts
    as complete only where all of its parameter sets are there, with all their shots.

    Raises:
        ValueError: a part's result does not fit its partition.
    """
    given = _given(results)
    parts: dict[int, list[tuple[Piece, Any]]] = {}
    missing: dict[int, list[Piece]] = {}
    for i, partition in enumerate(partitions):
        if i not in given:
            for piece in partition.pieces:
                missing.setdefault(piece.pub, []).append(piece)
            continue
        if len(given[i]) != len(partition.pieces):
            raise ValueError(
                f"partition {i} ({partition.label}) has {len(partition.pieces)} PUBs, its result {len(given[i])}"
            )
        for piece, result in zip(partition.pieces, given[i], strict=True):
            parts.setdefault(piece.pub, []).append((piece, result))
    open_ = {pub for pub in parts if pub in missing or (unknown and not _covered([p for p, _ in parts[pub]]))}
    return Partial(
        {pub: _merge_pub(pub, parts[pub]) for pub in sorted(parts) if pub not in open_},
        tuple(piece for pub in sorted(missing) for piece in missing[pub]),
        {pub: tuple(parts[pub]) for pub in sorted(parts) if pub in open_},
        {i: dict(getattr(result, "metadata", None) or {}) for i, result in given.items()},
        tuple(unknown),
    )


def _covered(pieces: Sequence[Piece]) -> bool:
    """These pieces are the whole PUB, by themselves. A piece by shots does not say how many there are in all."""
    if any(piece.whole for piece in pieces):
        return True
    if any(piece.shots is not None or piece.shape is None for piece in pieces):
        return False
    reach = 0
    for piece in sorted(pieces, key=lambda piece: piece.start or 0):
        if (piece.start or 0) > reach:
            return False
        reach = max(reach, piece.stop or 0)
    return reach >= prod(pieces[0].shape or ())


def _given(results: Mapping[int, Any] | Sequence[Any]) -> dict[int, Any]:
    pairs = results.items() if isinstance(results, Mapping) else enumerate(results)
    return {i: r for i, r in pairs if r is not None}


def _is_primitive(result: Any) -> bool:
    from qiskit.primitives import PrimitiveResult

    return isinstance(result, PrimitiveResult)


def _merge_pub(pub: int, parts: Sequence[tuple[Piece, Any]]) -> Any:
    if parts[0][0].whole:
        return parts[0][1]
    ordered = sorted(parts, key=lambda part: part[0].start or 0)  # stable: shots stay in the partitions' order
    stretches = [
        (piece, _join_shots(pub, [result for _, result in group]))
        for piece, group in ((next(iter(g))[0], g) for g in _by_stretch(ordered))
    ]
    return stretches[0][1] if stretches[0][0].start is None else _join_sets(pub, stretches)


def _by_stretch(parts: Sequence[tuple[Piece, Any]]) -> list[list[tuple[Piece, Any]]]:
    return [list(group) for _, group in groupby(parts, key=lambda part: part[0].start)]


def _join_shots(pub: int, results: Sequence[Any]) -> Any:
    if len(results) == 1:
        return results[0]
    from qiskit.primitives import BitArray, DataBin

    data = {}
    for name in results[0].data:
        values = [r.data[name] for r in results]
        if not all(isinstance(v, BitArray) for v in values):
            raise ValueError(f"PUB {pub}: {name!r} is no bit array: only PUBs of classified samplers split by shots")
        data[name] = BitArray.concatenate_shots(values)
    metadata = _common([r.metadata for r in results], len(results[0].data.shape))
    for key in ("shots", "num_randomizations"):
        counts = [r.metadata.get(key) for r in results]
        if all(isinstance(n, int) for n in counts):
            metadata[key] = sum(counts)
    return type(results[0])(DataBin(**data, shape=results[0].data.shape), metadata)


def _join_sets(pub: int, stretches: Sequence[tuple[Piece, Any]]) -> Any:
    from qiskit.primitives import BitArray, DataBin

    shape = stretches[0][0].shape or ()
    results = [result for _, result in stretches]
    leads = [tuple(r.data.shape) for r in results]
    for (piece, _), lead in zip(stretches, leads, strict=True):
        if not lead or lead[-1] != piece.sets or lead[:-1] != leads[0][:-1]:
            raise ValueError(f"PUB {pub}: the result of {piece} has shape {lead}, which does not fit {piece.sets} sets")
    ndim = len(leads[0])
    data = {}
    for name in results[0].data:
        values = [r.data[name] for r in results]
        if isinstance(values[0], BitArray):
            data[name] = BitArray(assemble([v.array for v in values], shape, ndim), values[0].num_bits)
        else:
            data[name] = assemble([np.asarray(v) for v in values], shape, ndim)
    own = np.shape(assemble([np.empty(lead, dtype=bool) for lead in leads], shape, ndim))
    return type(results[0])(DataBin(**data, shape=own), _common([r.metadata for r in results], ndim, shape))


def assemble(parts: Sequence[Any], shape: tuple[int, ...], ndim: int) -> Any:
    """Arrays of shape `(…, n, rest)`, with `ndim` axes up to and with `n`, as one of the PUB's shape and `rest`."""
    varying, free = _axes(shape)
    whole = np.concatenate(parts, axis=ndim - 1)
    lead, rest = whole.shape[: ndim - 1], whole.shape[ndim:]
    if len(lead) != len(free):  # a sampler's piece has no axes of observables
        lead = (1,) * len(free)
    whole = whole.reshape(lead + tuple(shape[i] for i in varying) + rest)
    order = np.argsort([*free, *varying])
    return np.ascontiguousarray(whole.transpose([*order, *range(len(shape), whole.ndim)]))


def _common(metadata: Sequence[dict[str, Any]], ndim: int, shape: tuple[int, ...] | None = None) -> dict[str, Any]:
    """What the parts' metadata agree on, arrays over the parameter sets put together; all of them when they differ."""
    whole, differ = _agree(metadata, ndim, shape)
    if differ:
        whole["pieces"] = list(metadata)
    return whole


def _agree(parts: Sequence[dict[str, Any]], ndim: int, shape: tuple[int, ...] | None) -> tuple[dict[str, Any], bool]:
    whole: dict[str, Any] = {}
    differ = any(part.keys() != parts[0].keys() for part in parts)
    for key in parts[0]:
        values = [part[key] for part in parts if key in part]
        if len(values) < len(parts):
            continue
        if all(isinstance(v, dict) for v in values):
            whole[key], inner = _agree(values, ndim, shape)
            differ |= inner
        elif shape is not None and all(isinstance(v, np.ndarray) and v.ndim >= ndim > 0 for v in values):
            whole[key] = assemble(values, shape, ndim)
        elif all(_same(v, values[0]) for v in values[1:]):
            whole[key] = values[0]
        else:
            differ = True
    return whole, differ


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return bool(np.array_equal(a, b))
    try:
        return bool(type(a) is type(b) and a == b)
    except ValueError:  # lists that hold arrays: not told apart, so kept per part
        return False


def _metadata(
    partitions: Sequence[Partition], parts: Sequence[dict[str, Any]], pubs: Mapping[int, Any]
) -> dict[str, Any]:
    """Of the whole: what all jobs agree on, the spans in the whole's indices, and `partitions`: each job's own."""
    own = {"execution", "executor"}  # say when which part of one job ran: re-based, or kept per job
    whole, _ = _agree([{k: v for k, v in part.items() if k not in own} for part in parts], 0, None)
    spans = [part.get("execution", {}).get("execution_spans") for part in parts]
    if all(s is not None for s in spans):
        taken: dict[tuple[int, int | None], int] = {}  # shots of a stretch that earlier partitions brought
        placed: list[Any] = []
        for partition, of_part in zip(partitions, spans, strict=True):
            places = {}
            for i, piece in enumerate(partition.pieces):
                before = taken.get((piece.pub, piece.start), 0)
                places[i] = Place(piece, tuple(pubs[piece.pub].data.shape), before, _shots(pubs[piece.pub]))
                taken[piece.pub, piece.start] = before + (piece.shots or 0)
            placed += rebase(of_part, places)
        whole["execution"] = {"execution_spans": type(spans[0])(sorted(placed))}
    if (executor := _executor(partitions, [part.get("executor") for part in parts])) is not None:
        whole["executor"] = executor
    whole["partitions"] = list(parts)
    return whole


def _executor(partitions: Sequence[Partition], parts: Sequence[Any]) -> Any:
    """What a client-side primitive says of its execution: when which PUB was on the QPU, over all jobs."""
    if not all(is_dataclass(p) and hasattr(p, "chunk_timing") for p in parts):
        return None
    chunks: list[Any] = []
    for partition, part in zip(partitions, parts, strict=True):
        placed = rebase_chunks(part.chunk_timing, [piece.pub for piece in partition.pieces])
        if placed is None:
            return None
        chunks += placed
    first: Any = parts[0]
    return replace(first, chunk_timing=sorted(chunks, key=lambda c: (c.start, c.stop)))


def _shots(result: Any) -> int | None:
    return next((getattr(v, "num_shots", None) for v in result.data.values()), None)
