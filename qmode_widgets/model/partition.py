"""PUBs into partitions: which part of which PUB goes into which job. Pure: sizes in, slices out.

A `Piece` is a PUB, or a stretch `start:stop` of its flattened parameter sets, or a part of its shots; a `Partition` is
the pieces of one job, in PUB order. `model/merge.py` cuts the PUBs accordingly and puts the results together again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from ..errors import ArgumentError


@dataclass(frozen=True, slots=True)
class Piece:
    """A whole PUB (no `start`), the parameter sets `start:stop` of its flattened shape, or `shots` of its shots.

    `shape` comes with `start`: the shape of the PUB's parameter sets, padded on the left with ones to the PUB's own
    rank. For a sampler PUB that is the PUB's shape; for an estimator PUB the ones stand where only observables vary,
    and every piece carries all of those.
    """

    pub: int
    start: int | None = None
    stop: int | None = None
    shots: int | None = None
    shape: tuple[int, ...] | None = None

    @property
    def whole(self) -> bool:
        """The PUB as it is, with all its parameter sets and shots."""
        return self.start is None and self.shots is None

    @property
    def sets(self) -> int | None:
        """How many parameter sets it carries; None for all of them."""
        return None if self.start is None or self.stop is None else self.stop - self.start

    def __str__(self) -> str:
        part = f"{self.pub}" if self.start is None else f"{self.pub}[{self.start}:{self.stop}]"
        return part if self.shots is None else f"{part}×{self.shots} shots"


@dataclass(frozen=True, slots=True)
class Partition:
    """The pieces that one job carries. `expected` is its usage in QPU seconds, where estimated; `low` its low end."""

    pieces: tuple[Piece, ...]
    expected: float | None = None
    formula: str | None = None
    low: float | None = None

    @property
    def label(self) -> str:
        """Which PUBs, short: `6–7`, `3[0:40]`, `1, 4`."""
        whole = all(p.whole for p in self.pieces)
        pubs = [p.pub for p in self.pieces]
        if whole and len(pubs) > 1 and pubs == list(range(pubs[0], pubs[0] + len(pubs))):
            return f"{pubs[0]}–{pubs[-1]}"
        return ", ".join(map(str, self.pieces))


def even(pubs: int, parts: int) -> list[Partition]:
    """`parts` partitions of whole PUBs, in order, whose sizes differ by at most one.

    Raises:
        ValueError: no PUBs, or a number of partitions below 1 or above the number of PUBs.
    """
    if pubs < 1:
        raise ArgumentError("there are no PUBs to partition: pass at least one")
    if not 1 <= parts <= pubs:
        raise ArgumentError(
            f"{parts} partitions of {pubs} PUBs: choose between 1 and {pubs}, or split PUBs with qmode.partition(...)"
        )
    cuts = [round(i * pubs / parts) for i in range(parts + 1)]
    return [Partition(tuple(Piece(i) for i in range(a, b))) for a, b in pairwise(cuts)]


def check(partitions: Sequence[Partition], pubs: int) -> None:
    """Refuse partitions that lose or repeat any part of a PUB.

    Shots are checked where they are known: in `merge.cut`, against the PUB's own.

    Raises:
        ValueError: naming the PUB and the part of it that is missing, repeated or unknown.
    """
    pieces: dict[int, list[Piece]] = {}
    for number, partition in enumerate(partitions):
        if not partition.pieces:
            raise ArgumentError(f"partition {number} has no PUBs: drop it")
        for piece in partition.pieces:
            if not 0 <= piece.pub < pubs:
                raise ArgumentError(
                    f"partition {number} names PUB {piece.pub}, but there are PUBs 0 to {pubs - 1} only"
                )
            pieces.setdefault(piece.pub, []).append(piece)
    for pub in range(pubs):
        if pub not in pieces:
            raise ArgumentError(f"PUB {pub} is in no partition: every PUB must be in exactly one")
        _check_pub(pub, pieces[pub])


def _check_pub(pub: int, pieces: Sequence[Piece]) -> None:
    if any(p.whole for p in pieces):
        if len(pieces) > 1:
            raise ArgumentError(f"PUB {pub} is in {len(pieces)} partitions: every PUB must be in exactly one")
        return
    if bad := next((p for p in pieces if p.shots is not None and p.shots < 1), None):
        raise ArgumentError(f"PUB {pub}: a piece of {bad.shots} shots; a piece needs at least one")
    stretches = _stretches(pub, pieces)
    for piece in pieces:
        if piece.shots is None and (times := stretches[piece.start, piece.stop]) > 1:
            raise ArgumentError(
                f"PUB {pub}: {piece} is there {times} times: every part must be in exactly one partition"
            )
    if None in {start for start, _ in stretches}:
        if len(stretches) > 1:
            raise ArgumentError(
                f"PUB {pub} is split by shots in one place and by parameter sets in another: choose one"
            )
        return
    size = prod(pieces[0].shape or ())
    at = 0
    for start, stop in sorted((a or 0, b or 0) for a, b in stretches):
        if start != at:
            what = "in no partition" if start > at else "in more than one partition"
            raise ArgumentError(f"PUB {pub}: the parameter sets {min(at, start)}:{max(at, start)} are {what}")
        at = stop
    if at != size:
        raise ArgumentError(f"PUB {pub}: the partitions carry the parameter sets 0:{at}, the PUB has {size}")


def _stretches(pub: int, pieces: Iterable[Piece]) -> dict[tuple[int | None, int | None], int]:
    """How often each stretch occurs (more than once only for shots)."""
    counts: dict[tuple[int | None, int | None], int] = {}
    shapes = {p.shape for p in pieces if p.start is not None}
    if len(shapes) > 1:
        raise ArgumentError(f"PUB {pub}: its pieces name different shapes: {', '.join(map(str, shapes))}")
    for p in pieces:
        if p.start is not None and (p.stop is None or p.shape is None or not 0 <= p.start < p.stop):
            raise ArgumentError(f"PUB {pub}: the piece {p} needs 0 ≤ start < stop and the shape of the parameter sets")
        counts[p.start, p.stop] = counts.get((p.start, p.stop), 0) + 1
    return counts
