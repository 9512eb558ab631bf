"""PUBs into partitions: which part of which PUB goes into which job. Pure: sizes in, slices out.

A `Piece` is a PUB, or a stretch `start:stop` of its flattened parameter sets, or a part of its shots; a `Partition` is
the pieces of one job, in PUB order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Piece:
    """A whole PUB (no `start`), the parameter sets `start:stop` of its flattened shape, or `shots` of its shots."""

    pub: int
    start: int | None = None
    stop: int | None = None
    shots: int | None = None

    def __str__(self) -> str:
        part = f"{self.pub}" if self.start is None else f"{self.pub}[{self.start}:{self.stop}]"
        return part if self.shots is None else f"{part}×{self.shots} shots"


@dataclass(frozen=True, slots=True)
class Partition:
    """The pieces that one job carries. `expected` is its usage in QPU seconds, where it was estimated."""

    pieces: tuple[Piece, ...]
    expected: float | None = None
    formula: str | None = None

    @property
    def label(self) -> str:
        """Which PUBs, short: `6–7`, `3[0:40]`, `1, 4`."""
        whole = all(p.start is None and p.shots is None for p in self.pieces)
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
        raise ValueError("there are no PUBs to partition: pass at least one")
    if not 1 <= parts <= pubs:
        raise ValueError(
            f"{parts} partitions of {pubs} PUBs: choose between 1 and {pubs}, or split PUBs with qmode.partition(...)"
        )
    cuts = [round(i * pubs / parts) for i in range(parts + 1)]
    return [Partition(tuple(Piece(i) for i in range(a, b))) for a, b in pairwise(cuts)]


def check(partitions: Sequence[Partition], pubs: int) -> None:
    """Refuse partitions that lose or repeat a PUB.

    Raises:
        ValueError: naming the PUB that is missing, repeated or unknown.
    """
    whole: dict[int, int] = {}
    for p in partitions:
        if not p.pieces:
            raise ValueError("a partition without PUBs: drop it")
        for piece in p.pieces:
            if not 0 <= piece.pub < pubs:
                raise ValueError(f"a partition names PUB {piece.pub}, but there are PUBs 0 to {pubs - 1} only")
            if piece.start is None and piece.shots is None:
                whole[piece.pub] = whole.get(piece.pub, 0) + 1
    named = {piece.pub for p in partitions for piece in p.pieces}
    if missing := sorted(set(range(pubs)) - named):
        raise ValueError(f"PUB {missing[0]} is in no partition: every PUB must be in exactly one")
    if twice := [pub for pub, n in whole.items() if n > 1]:
        raise ValueError(f"PUB {twice[0]} is in {whole[twice[0]]} partitions: every PUB must be in exactly one")
