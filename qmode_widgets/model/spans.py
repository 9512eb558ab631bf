"""Execution spans of a part's result, re-based to the whole: other PUB indices, other slices of the data.

A span names, for each PUB, which slice of its (flattened) data was taken between two moments. The client has three
kinds; they are rebuilt with the class they came with, so nothing of the client is imported here. A stretch that is not
contiguous in the whole becomes several spans of the same moments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from .partition import Piece


@dataclass(frozen=True, slots=True)
class Place:
    """Where the data of one piece stand in the whole PUB: its shape, its shots, and the shots before this piece's."""

    piece: Piece
    shape: tuple[int, ...]
    first_shot: int
    shots: int | None


def rebase(spans: Iterable[Any], places: Mapping[int, Place]) -> list[Any]:
    """The spans of one job, in the PUB indices and data slices of the whole.

    What a span of its kind cannot say about the whole (a twirled PUB that was split by shots) is left out: the job's
    own spans stand in the metadata of its partition.
    """
    out: list[Any] = []
    for span in spans:
        of_pub: dict[int, list[tuple[Any, ...]]] = {}
        for index, entry in _entries(span).items():
            of_pub.setdefault(places[index].piece.pub, []).extend(_placed(entry, places[index]))
        for n in range(max(map(len, of_pub.values()), default=0)):  # a span holds one slice a PUB: the rest go on
            slices = {pub: entries[n] for pub, entries in of_pub.items() if n < len(entries)}
            out.append(type(span)(span.start, span.stop, slices))
    return out


def rebase_chunks(chunks: Iterable[Any], pubs: list[int]) -> list[Any] | None:
    """The chunk timing of one job of a client-side primitive, its items named by the PUBs of the whole.

    None where the job's items are not its PUBs one to one (measurement learning and noise factors add items).
    """
    found = list(chunks)
    if any(part.idx_item >= len(pubs) for chunk in found for part in chunk.parts):
        return None
    return [replace(c, parts=[replace(p, idx_item=pubs[p.idx_item]) for p in c.parts]) for c in found]


def _entries(span: Any) -> dict[int, tuple[Any, ...]]:
    """The span's slices as its class takes them. The client has no public way to read them."""
    slices = dict(getattr(span, "_data_slices", {}))
    if shots := getattr(span, "_pub_shots", None):
        return {pub: (*entry, shots[pub]) for pub, entry in slices.items()}
    return slices


def _placed(entry: tuple[Any, ...], place: Place) -> Iterator[tuple[Any, ...]]:
    if place.piece.whole:
        yield entry
    elif len(entry) == 2:
        yield from _slices(*entry, place)
    elif len(entry) == 3:
        yield from _double(*entry, place)
    elif place.piece.shots is None:
        yield from _twirled(*entry, place)


def _slices(shape: tuple[int, ...], part: slice, place: Place) -> Iterator[tuple[Any, ...]]:
    """`part` is a slice of all the PUB's data, shots innermost."""
    start = place.piece.start or 0
    first, last, _ = part.indices(prod(shape))
    inner = shape[-1] if len(shape) > len(place.shape if place.piece.start is None else (1,)) else 1
    if place.piece.shots is None or place.shots is None:
        yield ((*place.shape, *shape[1:]), slice(first + start * inner, last + start * inner))
        return
    for row in range(first // inner, -(-last // inner)):
        a, b = max(first, row * inner) - row * inner, min(last, (row + 1) * inner) - row * inner
        at = (start + row) * place.shots + place.first_shot
        yield ((*place.shape, place.shots), slice(at + a, at + b))


def _double(shape: tuple[int, ...], sets: slice, shots: slice, place: Place) -> Iterator[tuple[Any, ...]]:
    """One slice of the parameter sets, another of the shots."""
    start = place.piece.start or 0
    a, b, _ = sets.indices(prod(shape[:-1]))
    c, d, _ = shots.indices(shape[-1])
    total = shape[-1] if place.shots is None else place.shots
    first = place.first_shot
    yield ((*place.shape, total), slice(a + start, b + start), slice(c + first, d + first))


def _twirled(
    shape: tuple[int, ...], at_front: bool, part: slice, shots: slice, *rest: Any
) -> Iterator[tuple[Any, ...]]:
    """`part` is a slice over the parameter sets and the randomizations, these outermost (`at_front`) or innermost."""
    *pub_shots, place = rest
    start = place.piece.start or 0
    first, last, _ = part.indices(prod(shape[:-1]))
    if not at_front:
        per_set = shape[-2]
        whole = (*place.shape, *shape[-2:])
        yield (whole, at_front, slice(first + start * per_set, last + start * per_set), shots, *pub_shots)
        return
    sets, size = prod(shape[1:-1]), prod(place.shape)
    whole = (shape[0], *place.shape, shape[-1])
    for row in range(first // sets, -(-last // sets)):
        a, b = max(first, row * sets) - row * sets, min(last, (row + 1) * sets) - row * sets
        at = row * size + start
        yield (whole, at_front, slice(at + a, at + b), shots, *pub_shots)
