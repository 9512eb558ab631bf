"""Shots or precision for a given number of seconds: allocated over the PUBs to the least total error.

The error of a PUB's results falls with 1/√shots (that is what a precision means), and a shot of it costs its circuits,
bases and noise factors. The total error, √Σ error² over all results, is least for a bill when a PUB gets shots in
proportion to √(results / cost of a shot). Overhead and learning are paid first. Primitives that take one number of
shots a job (the client-side ones) get the same for all PUBs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ArgumentError
from .durations import billed
from .usage import job_usage
from .work import Work, analyse

ROUNDS = 40  # of changing the shots until the bill fits: randomisations are rounded up, learning may follow the shots
CLOSE = 0.97  # of the budget that is spent
FEW_SHOTS = 100  # fewer are hardly worth sending: an error of more than 0.1


@dataclass(frozen=True, slots=True)
class Allocation:
    """What one PUB gets: shots a configuration, and the precision that this means (a standard error of at most it)."""

    pub: int
    shots: int
    precision: float

    def __str__(self) -> str:
        return f"PUB {self.pub}: {self.shots:,} shots, ± {self.precision:.2g}"


def allocate(work: Work, budget: float) -> tuple[list[Any], tuple[Allocation, ...]]:
    """PUBs with the shots or precision that a budget buys, sent as one job.

    Args:
        work: the analysed PUBs; what they name of shots and precision does not count.
        budget: seconds of QPU usage for one run of them.

    Raises:
        ArgumentError: not PUBs of a Sampler or Estimator; shots that the options fix; or nothing fits, with the reason.
    """
    kind = work.settings.kind
    if kind not in ("sampler", "estimator"):
        raise ArgumentError(f"budget={budget:g}: the program of a {kind} names its own shots; plan it without a budget")
    if work.settings.fixed_shots:
        raise ArgumentError(
            f"budget={budget:g}: twirling.num_randomizations and shots_per_randomization are both set and fix the "
            "shots; leave one of them out"
        )
    proportions = _proportions(work)
    scale, most = _affordable(work, proportions, budget), math.inf
    found: tuple[float, list[Any], tuple[Allocation, ...]] | None = None
    for _ in range(ROUNDS):
        shots = [math.floor(scale * part + 1e-9) for part in proportions]
        if min(shots) < 1:
            break
        pubs = _with_shots(work, shots)
        again = analyse(pubs, work.backend, work.settings, timing=work.timing)
        again.factor = work.factor
        used = job_usage(again, [(item, 1.0) for item in again.items]).expected
        if used > budget + 1e-9:
            most = scale
            scale = scale * min(0.99, budget / used) if found is None else (found[0] + most) / 2
            continue
        found = scale, pubs, tuple(Allocation(i, n, 1 / math.sqrt(n)) for i, n in enumerate(shots))
        if used >= CLOSE * budget - 1 or most / scale < 1 / CLOSE:
            break
        scale = min(2 * scale, scale * budget / used) if most == math.inf else (scale + most) / 2
    if found is None:
        raise ArgumentError(_nothing_fits(work, budget))
    return found[1], found[2]


def total_error(work: Work, allocations: Sequence[Allocation]) -> float:
    """√Σ error² over all results of the PUBs: what the allocation makes least."""
    return math.sqrt(sum(_results(work, a.pub) * a.precision**2 for a in allocations))


def _results(work: Work, pub: int) -> int:
    """How many results a PUB has: parameter sets, of an Estimator each with its observables."""
    coerced = work.pubs[pub]
    return max(1, int(math.prod(coerced.shape)))


def _per_shot(work: Work, pub: int) -> float:
    """Seconds of one shot of all of a PUB's configurations."""
    item = work.items[pub]
    return (work.per_execution + item.length) * item.executions.expected / item.shots * work.factor


def _proportions(work: Work) -> list[float]:
    if work.settings.same_shots:
        return [1.0] * len(work.items)
    return [math.sqrt(_results(work, i) / _per_shot(work, i)) for i in range(len(work.items))]


def _fixed(work: Work) -> float:
    """Seconds that do not depend on the shots: overhead, learning, and the least of randomised circuits."""
    nothing = job_usage(work, [(item, 0.0) for item in work.items])
    return nothing.breakdown.total - nothing.breakdown.rounding


def _affordable(work: Work, proportions: Sequence[float], budget: float) -> float:
    spare = budget - _fixed(work)
    randomized = sum(item.randomized for item in work.items) * work.timing.randomized
    if spare - randomized > 0.1 * spare:
        spare -= randomized
    return spare / sum(_per_shot(work, i) * part for i, part in enumerate(proportions))


def _with_shots(work: Work, shots: Sequence[int]) -> list[Any]:
    """The PUBs with these shots, or the precision that makes the Estimator take them."""
    if work.settings.kind == "sampler":
        return [(pub.circuit, pub.parameter_values, n) for pub, n in zip(work.pubs, shots, strict=True)]
    return [
        (pub.circuit, pub.observables, pub.parameter_values, precision_of(n))
        for pub, n in zip(work.pubs, shots, strict=True)
    ]


def precision_of(shots: int) -> float:
    """The precision for which an Estimator takes exactly so many shots: it rounds 1/precision² up."""
    return 1 / math.sqrt(shots - 0.5) if shots > 1 else 1.0


def _nothing_fits(work: Work, budget: float) -> str:
    once = analyse(_with_shots(work, [1] * len(work.items)), work.backend, work.settings, timing=work.timing)
    least = job_usage(once, [(item, 1.0) for item in once.items])
    own = least.breakdown
    parts = [f"{own.overhead:.1f} s of overhead"]
    parts += [f"{own.learning:.1f} s of learning"] if own.learning else []
    said = f"budget={budget:g}: nothing fits; {' and '.join(parts)} come before the first shot"
    if own.readout > 0 and budget > own.overhead + 1:
        return f"{said}. Without measurement mitigation (resilience.measure_mitigation=False) it does"
    return f"{said}, and one shot of each PUB is billed {billed(least.expected)}: give more, or plan fewer PUBs"
