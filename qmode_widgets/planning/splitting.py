"""Which PUBs go into which job: balanced cuts along PUBs and parameter sets, reproducible, in PUB order.

Guide: a job has a fixed overhead, so jobs under a minute of QPU time are combined; a big workload is split into
balanced jobs for the execution lanes. Jobs are cut where equal shares of the QPU time end: at the nearest PUB boundary,
or inside a PUB between two parameter sets where it is longer than half a share.

How many jobs there are is decided by forecast (`choice.choose`): the least bill, unless the last result comes clearly
sooner. The candidates are as many jobs as the limits demand, and more, up to one a lane.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError
from ..model.partition import Partition, Piece, check
from .choice import Candidate, choose
from .forecast import Conditions, forecast
from .limits import (
    EXECUTIONS,
    INSTRUCTIONS,
    JOB_SECONDS,
    PAYLOAD,
    busiest_qubit,
    payload_bytes,
    too_many_instructions,
)
from .settings import settings
from .usage import Jobs, job_usage, pub_usage
from .work import Work, analyse

LEAST_SECONDS = 60.0  # jobs that use less QPU time are combined [guide: choose the right execution mode]
LANES = 5
CAP_PART = 0.95  # of a job's cap that its expected usage may take
MAX_JOBS = 10_000  # a workload of more is a mistake in the shots

Seconds = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a cut needs to know of each PUB, as arrays over the PUBs."""

    seconds: Seconds  # QPU time without a job's overhead and learning
    executions: Seconds
    units: npt.NDArray[np.int64]  # parameter sets, or 1: a PUB may be cut between its units
    shapes: Sequence[tuple[int, ...]]
    shots: Sequence[float]
    groups: Sequence[Any]  # PUBs of different groups may not share a job
    shots_split: npt.NDArray[np.bool_]  # a PUB without units that may be cut by shots
    payload: Seconds | None = None  # fraction of what a job may carry in bytes, all units together
    loaded: Seconds | None = None  # fraction of the control memory that its circuit takes, however cut

    @classmethod
    def of(cls, work: Work, *, split_pubs: bool = True) -> Sizes:
        """The sizes of analysed PUBs."""
        s = work.settings
        usage = [pub_usage(work, item) for item in work.items]
        units = [item.sets if split_pubs and s.kind in ("sampler", "estimator") else 1 for item in work.items]
        by_shots = split_pubs and s.kind == "sampler" and s.meas_type == "classified" and not s.fixed_shots
        return cls(
            np.array([u.expected for u in usage]),
            np.array([u.executions for u in usage]),
            np.array(units, dtype=np.int64),
            [item.shape for item in work.items],
            [item.shots for item in work.items],
            [item.shots if s.same_shots else None for item in work.items],
            np.array([by_shots] * len(usage)),
            np.array([payload_bytes(item) / PAYLOAD for item in work.items]),
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """How to cut. One of `jobs`, `seconds`, `executions` fixes the size; without them the guide's rules do."""

    jobs: int | None = None  # exactly this many jobs
    seconds: float | None = None  # at most about so much QPU time each
    executions: float | None = None  # at most this many executions each
    lanes: int = LANES
    per_job: float = 2.0  # seconds every job costs besides its PUBs
    max_executions: float = EXECUTIONS
    max_seconds: float = JOB_SECONDS

    @property
    def free(self) -> bool:
        """Nothing fixes the size of a job."""
        return self.jobs is None and self.seconds is None and self.executions is None

    def __post_init__(self) -> None:
        given = {n: v for n in ("jobs", "seconds", "executions") if (v := getattr(self, n)) is not None}
        if len(given) > 1:
            raise ArgumentError(f"{' and '.join(given)} are both given: the size of a job is fixed by one of them")
        for name, value in {**given, "lanes": self.lanes}.items():
            whole = name in ("jobs", "lanes")
            number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
            if not number or not (value > 0 and math.isfinite(value)) or (whole and value != int(value)):
                raise ArgumentError(f"{name}={value!r}: give a positive {'whole ' * whole}number")


def partition(
    pubs: Iterable[Any],
    backend: Any,
    primitive: Any = "sampler",
    options: Any = None,
    shots: int | None = None,
    *,
    precision: float | None = None,
    jobs: int | None = None,
    seconds: float | None = None,
    executions: float | None = None,
    lanes: int = LANES,
    split_pubs: bool = True,
) -> list[Partition]:
    """Divide PUBs into jobs.

    Args:
        pubs: as for `estimate_usage`, as are `backend`, `primitive`, `options` and `shots`.
        backend: the one the circuits were transpiled for.
        primitive: a name or a primitive object.
        options: an options object or dict.
        shots: for PUBs that name none.
        precision: for estimator PUBs that name none.
        jobs: exactly this many jobs.
        seconds: at most about this many seconds of QPU time each.
        executions: at most this many executions each.
        lanes: where none of these three is given, the forecast decides how many jobs, up to one a lane (`choose`).
        split_pubs: whether a PUB may be cut, along its parameter sets (or, where it has a single one and is too big
            for a job, by shots: classified samplers only).

    Returns:
        Partitions in PUB order, each with its expected usage and the formula. `model.merge` puts results together.

    Raises:
        ValueError: what is wrong with which PUB; more jobs asked for than there are parts.
    """
    work = analyse(pubs, backend, settings(primitive, options), shots, precision)
    rules = Rules(jobs, seconds, executions, lanes)
    if not rules.free:
        return list(Jobs.of(work, cut_work(work, rules, split_pubs=split_pubs)).partitions)
    given = Conditions(lanes=lanes)
    ways = candidate_cuts(work, lanes, split_pubs=split_pubs)
    found = [Jobs.of(work, cuts) for cuts in ways]
    outcomes = [Candidate.of(j, forecast(j.loads, "batch", given, keep_bars=0)) for j in found]
    taken = list(choose(outcomes).jobs.partitions)
    check(taken, len(work.items))
    return taken


def candidate_cuts(work: Work, lanes: int, *, split_pubs: bool = True) -> list[list[Partition]]:
    """Analysed PUBs in as few jobs as the limits allow, and in more, up to one a lane; none under a minute.

    Where the options cap a job's usage (`max_execution_time`), also in as many jobs as keep the cap.
    """
    found: dict[int, list[Partition]] = {}
    sizes = Sizes.of(work, split_pubs=split_pubs)
    for most in range(1, lanes + 1):
        cuts = cut_work(work, Rules(lanes=most), sizes=sizes)
        found.setdefault(len(cuts), cuts)
        if len(cuts) < most:  # each would use less than a minute
            break
    cap = work.settings.max_execution_time
    if cap is not None:
        per_job = job_usage(work, [(work.items[0], 0.0)]).expected
        for part in (CAP_PART, CAP_PART / 2):  # cuts between parameter sets are not exact
            if part * cap < per_job + 1:  # no job keeps this cap: the plan says so
                break
            cuts = cut_work(work, Rules(seconds=part * cap, lanes=lanes), sizes=sizes)
            found.setdefault(len(cuts), cuts)
    return list(found.values())


def cut_work(work: Work, rules: Rules, *, split_pubs: bool = True, sizes: Sizes | None = None) -> list[Partition]:
    """Divide analysed PUBs into jobs.

    With `sizes` it is one of several ways, of which only the one that is taken need be checked (`partition.check`).
    """
    candidate = sizes is not None
    per_job = job_usage(work, [(work.items[0], 0.0)]).expected  # overhead and learning, whatever the PUBs
    sizes = Sizes.of(work, split_pubs=split_pubs) if sizes is None else sizes
    rules = replace(rules, per_job=per_job)
    partitions = cut_sizes(sizes, rules)
    if rules.jobs is None and any(too_many_instructions(work, p) for p in partitions):
        loaded = [busiest_qubit(work, [Piece(item.index)])[0] / INSTRUCTIONS for item in work.items]
        partitions = cut_sizes(replace(sizes, loaded=np.array(loaded)), rules)
    if not candidate:
        check(partitions, len(work.items))
    return partitions


def cut_sizes(sizes: Sizes, rules: Rules) -> list[Partition]:
    """Cut PUBs of known sizes into jobs.

    Raises:
        ValueError: more jobs asked for than there are parts to make them of.
    """
    if len(set(sizes.groups)) == 1:
        members = [np.arange(len(sizes.groups))]
    else:
        groups: dict[Any, list[int]] = {}
        for pub, group in enumerate(sizes.groups):
            groups.setdefault(group, []).append(pub)
        members = [np.array(pubs, dtype=np.int64) for pubs in groups.values()]
    shares_ = _jobs_per_group([float(sizes.seconds[m].sum()) for m in members], rules, sizes, members)
    found: list[Partition] = []
    for pubs, jobs in zip(members, shares_, strict=True):
        found += _cut_group(sizes, pubs, jobs, rules)
    return sorted(found, key=_first)


def _first(p: Partition) -> tuple[int, int]:
    return p.pieces[0].pub, p.pieces[0].start or 0


def _jobs_per_group(
    seconds: Sequence[float], rules: Rules, sizes: Sizes, members: Sequence[npt.NDArray[np.int64]]
) -> list[int]:
    """How many jobs each group gets."""
    if rules.jobs is None:
        return [_wanted(s, float(sizes.executions[m].sum()), rules) for s, m in zip(seconds, members, strict=True)]
    if rules.jobs < len(members):
        raise ArgumentError(
            f"{rules.jobs} jobs for PUBs of {len(members)} different shots: the primitive takes one number of shots a "
            f"job, so at least {len(members)} jobs are needed"
        )
    most = [int(sum(sizes.units[m])) if not _only_shots(sizes, m) else 10**9 for m in members]
    if rules.jobs > sum(most):
        raise ArgumentError(
            f"{rules.jobs} jobs of {sum(most)} parts (PUBs and parameter sets): ask for at most {sum(most)}"
        )
    out = [1] * len(members)
    for _ in range(rules.jobs - len(members)):  # each further job where a job is longest
        room = [i for i in range(len(members)) if out[i] < most[i]]
        longest = max(room, key=lambda i: (seconds[i] / out[i], -i))
        out[longest] += 1
    return out


def _only_shots(sizes: Sizes, members: npt.NDArray[np.int64]) -> bool:
    return len(members) == 1 and sizes.units[members[0]] == 1 and bool(sizes.shots_split[members[0]])


def _wanted(seconds: float, executions: float, rules: Rules) -> int:
    if rules.seconds is not None:
        jobs = math.ceil(seconds / max(rules.seconds - rules.per_job, 1e-9) - 1e-9)
    elif rules.executions is not None:
        jobs = math.ceil(executions / rules.executions - 1e-9)
    else:
        jobs = min(rules.lanes, int(seconds // LEAST_SECONDS))
        least = max(math.ceil(executions / rules.max_executions), math.ceil(seconds / (0.8 * rules.max_seconds)))
        if least > jobs:  # beyond the lanes: whole rounds of them
            jobs = math.ceil(least / rules.lanes) * rules.lanes if least > rules.lanes else least
    _refuse_absurd(jobs, f"{executions:,.0f} executions")
    return max(1, jobs)


def _refuse_absurd(jobs: int, what: str) -> None:
    if jobs > MAX_JOBS:
        raise ArgumentError(
            f"{what} would take {jobs:,} jobs, {jobs / 300:,.0f} hours to submit at 5 a minute: lower the shots, or "
            "make the jobs larger"
        )


def _cut_group(sizes: Sizes, pubs: npt.NDArray[np.int64], jobs: int, rules: Rules) -> list[Partition]:
    if rules.jobs is not None and _only_shots(sizes, pubs) and jobs > 1:
        return _by_shots(int(pubs[0]), sizes, jobs)
    bounds = _bounds(sizes, pubs, jobs, exact=rules.jobs is not None)
    parts = _pieces(sizes, pubs, bounds)
    most_e = min(rules.max_executions, rules.executions or math.inf)
    most_s = min(rules.max_seconds, rules.seconds - rules.per_job if rules.seconds else math.inf)
    if rules.jobs is not None:
        return [Partition(tuple(p)) for p in parts if p]
    loads = _Loads.of(sizes, most_e, max(most_s, 1e-9))
    out: list[Partition] = []
    for pieces in parts:
        out += _within(sizes, loads, pieces, hard=rules.max_executions)
    return out


@dataclass(frozen=True, slots=True)
class _Loads:
    """How much of what a job may hold each PUB takes: 1 is all. `fixed` is taken by any part of a PUB."""

    whole: list[float]
    fixed: list[float] | None
    units: list[int]

    @classmethod
    def of(cls, sizes: Sizes, most_e: float, most_s: float) -> _Loads:
        whole = np.maximum(sizes.executions / most_e, sizes.seconds / most_s)
        if sizes.payload is not None:
            whole = np.maximum(whole, sizes.payload)
        return cls(whole.tolist(), None if sizes.loaded is None else sizes.loaded.tolist(), sizes.units.tolist())

    def piece(self, piece: Piece) -> float:
        pub = piece.pub
        load = self.whole[pub]
        if piece.start is not None and piece.stop is not None:
            load *= (piece.stop - piece.start) / self.units[pub]
        return load if self.fixed is None else max(load, self.fixed[pub])


def _bounds(sizes: Sizes, pubs: npt.NDArray[np.int64], jobs: int, *, exact: bool) -> list[tuple[int, int]]:
    """Where jobs end, as (position among `pubs`, unit within that PUB); 0 units means before the PUB."""
    weight = np.maximum(sizes.seconds[pubs], 1e-12)
    ends = np.cumsum(weight)
    total = float(ends[-1])
    share = total / jobs
    cuts: list[tuple[int, int]] = []
    targets = share * np.arange(1, jobs)
    at = np.minimum(np.searchsorted(ends, targets, side="left"), len(pubs) - 1)
    for target, i in zip(targets.tolist(), at.tolist(), strict=True):
        before = float(ends[i] - weight[i])
        units = int(sizes.units[pubs[i]])
        part = (target - before) / float(weight[i])
        cut = (i, round(part * units)) if units > 1 and weight[i] > share / 2 else (i, units if part >= 0.5 else 0)
        cuts.append((cut[0] + 1, 0) if cut[1] >= units else cut)
    last = (len(pubs), 0)
    if exact:
        return [*_spread(cuts, sizes, pubs), last]
    return [*sorted(c for c in set(cuts) if (0, 0) < c < last), last]


def _spread(cuts: list[tuple[int, int]], sizes: Sizes, pubs: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Cuts moved apart so that no job is empty: an exact number of jobs was asked for."""
    offsets = np.concatenate([[0], np.cumsum(sizes.units[pubs])])
    flat = [int(offsets[i]) + u for i, u in cuts]
    total = int(offsets[-1])
    for n in range(len(flat)):  # forwards: after the one before; backwards: room for the rest
        flat[n] = max(flat[n], (flat[n - 1] if n else 0) + 1)
    for n in range(len(flat) - 1, -1, -1):
        flat[n] = min(flat[n], (flat[n + 1] if n + 1 < len(flat) else total) - 1)
    index = np.searchsorted(offsets, flat, side="right") - 1
    return [(int(i), f - int(offsets[i])) for i, f in zip(index, flat, strict=True)]


def _pieces(sizes: Sizes, pubs: npt.NDArray[np.int64], bounds: Sequence[tuple[int, int]]) -> list[list[Piece]]:
    """The pieces of each job between two bounds."""
    order, units = pubs.tolist(), sizes.units[pubs].tolist()
    out: list[list[Piece]] = []
    i, start = 0, 0
    for end, unit in bounds:
        pieces: list[Piece] = []
        while (i, start) < (end, unit):
            pub = order[i]
            stop = units[i] if i < end else unit
            if start == 0 and stop == units[i]:
                pieces.append(Piece(pub))
            else:
                pieces.append(Piece(pub, start, stop, shape=sizes.shapes[pub]))
            i, start = (i + 1, 0) if stop == units[i] else (i, stop)
        out.append(pieces)
    return out


def _within(sizes: Sizes, loads: _Loads, pieces: list[Piece], *, hard: float) -> list[Partition]:
    """A job, cut further until it keeps the bounds or cannot be cut."""
    load = [loads.piece(p) for p in pieces]
    if sum(load) <= 1 + 1e-9:
        return [Partition(tuple(pieces))] if pieces else []
    share = sum(load) / math.ceil(sum(load))
    out: list[Partition] = []
    current: list[Piece] = []
    run = 0.0
    for piece in (part for p, over in zip(pieces, load, strict=True) for part in _smaller(sizes, p, over)):
        over = loads.piece(piece)
        by_shots = over > 1 and piece.whole and sizes.shots_split[piece.pub] and sizes.executions[piece.pub] > hard
        if current and (by_shots or run + over > 1 + 1e-9 or run + over / 2 > share):
            out.append(Partition(tuple(current)))
            current, run = [], 0.0
        if by_shots:
            out += _by_shots(piece.pub, sizes, math.ceil(float(sizes.executions[piece.pub]) / hard))
            continue
        if current and (last := current[-1]).pub == piece.pub:  # neighbouring stretches are one piece
            current[-1] = Piece(piece.pub, last.start, piece.stop, shape=piece.shape)
        else:
            current.append(piece)
        run += over
    return [*out, Partition(tuple(current))] if current else out


def _smaller(sizes: Sizes, piece: Piece, over: float) -> list[Piece]:
    """A piece that is too big for a job, cut between its parameter sets."""
    units = piece.sets or int(sizes.units[piece.pub])
    n = min(units, math.ceil(over - 1e-9))
    if n < 2:
        return [piece]
    start = piece.start or 0
    edges = [start + round(k * units / n) for k in range(n + 1)]
    return [Piece(piece.pub, a, b, shape=sizes.shapes[piece.pub]) for a, b in pairwise(edges)]


def _by_shots(pub: int, sizes: Sizes, jobs: int) -> list[Partition]:
    shots = int(sizes.shots[pub])
    _refuse_absurd(jobs, f"PUB {pub} with {shots:,} shots")
    if jobs > shots:
        raise ArgumentError(f"PUB {pub}: {jobs} jobs of {shots} shots: ask for at most {shots}")
    edges = [round(k * shots / jobs) for k in range(jobs + 1)]
    return [Partition((Piece(pub, shots=b - a),)) for a, b in pairwise(edges)]


def price(
    pubs: list[Any],
    backend: Any,
    primitive: Any,
    partitions: Sequence[Partition],
    *,
    shots: int | None = None,
    precision: float | None = None,
) -> list[Partition]:
    """Partitions that are cut already, each with its expected usage in seconds and the formula behind it.

    Raises:
        ValueError: a PUB or an option cannot be analysed; it says which.
    """
    work = analyse(pubs, backend, settings(primitive, None), shots, precision)
    return list(Jobs.of(work, partitions).partitions)
