"""The bill's two constants fitted to what QPUs really billed, and how well the fit does on sources it has not seen.

python tests/benchmarks/usage_fit.py            # print the fit, the held-out accuracy and what else was tried
python tests/benchmarks/usage_fit.py --write    # put the accuracy table into both READMEs

Fitted: the overhead of a sub-job and the time of a randomised circuit (`model.timing`). Everything else of the bill is
known: rep_delay, resets, circuit lengths, executions. Bills are whole seconds rounded up, so a row says only between
which two values the sum lies: the error of a fit is how far the sum lies outside, over the bill, at most 1. Where a row
does not state the depth of its circuits, the sum may be up to 20 µs an execution more than what is counted; with 0 or
50 µs the overhead is not determined without the source of most small jobs. Of equally good constants the median is
taken. Held out means by source (a repository): every source is predicted by constants that were fitted without any of
its rows.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import usage_table
from usage_table import ROOT, Row, put, source

from qmode_widgets.model.timing import OVERHEAD, RANDOMIZED, whole_seconds

BEGIN, END = "<!-- accuracy: begin -->", "<!-- accuracy: end -->"
READMES = (ROOT / "README.md", ROOT / "qmode_widgets" / "planning" / "README.md")
OVERHEADS = np.arange(1.40, 2.001, 0.01)
RANDOMIZEDS = np.arange(0.0, 0.00501, 0.00025)
UNSTATED = 20e-6  # seconds an execution that a circuit of unstated depth may be longer
CIRCUITS = (0.0, 0.002, 0.004, 0.006, 0.01)  # seconds a circuit: tried, and not taken


@dataclass(frozen=True)
class Sample:
    """One row as the fit sees it: per job, the seconds of its executions, its randomised circuits, its circuits."""

    row: Row
    jobs: int
    seconds: float
    randomized: float
    circuits: float
    low: float  # billed
    high: float
    spare: float  # seconds that the executions may take longer: circuits of unstated depth

    @classmethod
    def of(cls, row: Row) -> Sample:
        jobs, part, data = row.ours.jobs, row.ours.breakdown, row.data
        count = usage_table.randomized(data)
        seconds = part.work - RANDOMIZED * count
        low, high = row.billed
        circuits = (data["circuits"] or 1) / jobs
        stated = any(word in f"{data['workload']} {data['note']}" for word in ("depth ", " us ", "Bell"))
        executions = row.ours.executions + row.ours.learning_executions
        spare = 0.0 if count or (stated and "not stated" not in data["note"]) else UNSTATED * executions / jobs
        return cls(row, jobs, seconds / jobs, count / jobs, circuits, low / jobs, high / jobs, spare)

    def bill(self, overhead: float, randomized: float, circuit: float = 0.0) -> float:
        """What these constants say that all its jobs are billed."""
        return self.jobs * whole_seconds(
            overhead + randomized * self.randomized + circuit * self.circuits + self.seconds
        )

    @property
    def billed(self) -> float:
        return self.jobs * (self.low + self.high) / 2

    @property
    def common(self) -> bool:
        """The commonest job: one circuit, 1,000 to 4,096 shots, a Sampler."""
        data = self.row.data
        sampler = "Sampler" in (data["primitive"] or "")
        return sampler and data["circuits"] == 1 and 1000 <= data["executions"] <= 4096 and self.jobs == 1


def samples() -> list[Sample]:
    return [Sample.of(row) for row in usage_table.rows()]


def fit(found: Sequence[Sample], circuits: Sequence[float] = (0.0,)) -> tuple[float, float, float]:
    """Overhead, seconds of a randomised circuit and of a circuit with the least error."""
    seconds = np.array([s.seconds for s in found])
    randomized = np.array([s.randomized for s in found])
    each = np.array([s.circuits for s in found])
    low, high = np.array([s.low - 1 - s.spare for s in found]), np.array([s.high for s in found])
    best, chosen = math.inf, (0.0, 0.0, 0.0)
    for circuit in circuits:
        for r in RANDOMIZEDS:
            sums = OVERHEADS[:, None] + (seconds + r * randomized + circuit * each)[None]
            error = np.minimum(np.maximum(0, np.maximum(sums - high, low - sums)) / high, 1)
            total = error.sum(axis=1)
            flat = np.flatnonzero(total <= total.min() * (1 + 1e-9))
            if total.min() < best - 1e-9:
                best, chosen = float(total.min()), (float(np.median(OVERHEADS[flat])), float(r), circuit)
    return chosen


def held_out(found: Sequence[Sample], circuits: Sequence[float] = (0.0,)) -> dict[int, float]:
    """The bill of each sample, by constants fitted without its source; by the sample's id."""
    out: dict[int, float] = {}
    for one in dict.fromkeys(source(s.row.data) for s in found):
        constants = fit([s for s in found if source(s.row.data) != one], circuits)
        out |= {id(s): s.bill(*constants) for s in found if source(s.row.data) == one}
    return out


@dataclass(frozen=True)
class Accuracy:
    """How many of some rows are close, within a second, and inside the interval; fractions."""

    rows: int
    close: float
    second: float
    inside: float

    @classmethod
    def of(cls, found: Sequence[Sample], bills: Callable[[Sample], float]) -> Accuracy:
        n = max(1, len(found))
        return cls(
            len(found),
            sum(0.8 <= bills(s) / s.billed <= 1.25 for s in found) / n,
            sum(abs(bills(s) - s.billed) <= 1 for s in found) / n,
            sum(s.row.inside for s in found) / n,
        )


GROUPS: tuple[tuple[str, Callable[[Sample], bool]], ...] = (
    ("Sampler, 1 circuit, 1,000–4,096 shots (the commonest job)", lambda s: s.common),
    ("other work without randomised circuits", lambda s: not s.common and not s.randomized),
    ("twirled, mitigated or noise-learning work", lambda s: s.randomized > 0),
    ("all", lambda s: True),
)


def table(found: Sequence[Sample]) -> str:
    """The accuracy table, as Markdown."""
    out = held_out(found)
    lines = [
        "| published bills (Heron, Eagle) | rows | within 0.8–1.25 | within 1 s | inside the interval |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, belongs in GROUPS:
        a = Accuracy.of([s for s in found if belongs(s)], lambda s: out[id(s)])
        lines.append(f"| {name} | {a.rows} | {a.close:.0%} | {a.second:.0%} | {a.inside:.0%} |")
    return "\n".join(lines)


def pea(found: Iterable[Row]) -> list[float]:
    """What tutorials state of PEA work, over what we expect of it."""
    return sorted(1 / r.ratio for r in found if "PEA" in (r.data["options"] or ""))


def estimates() -> tuple[float, int]:
    """The service's own estimate over the bill: median, and of how many rows."""
    found = []
    for row in usage_table.rows():
        told = row.data.get("service_estimate_seconds")
        if told is None:
            told = usage_table.numbers(row.data["note"], r"service estimate ([\d.]+)")
        if told:
            found.append(told / (sum(row.billed) / 2))
    return median(found), len(found)


def report() -> str:
    found = samples()
    overhead, randomized, _ = fit(found)
    with_circuit = fit(found, CIRCUITS)
    ratio, rows = estimates()
    other = held_out(found, CIRCUITS)
    third = Accuracy.of(found, lambda s: other[id(s)])
    equal = [o for o in OVERHEADS if Accuracy.of(found, lambda s, o=o: s.bill(o, RANDOMIZED)).close >= 0.98]
    stated = ", ".join(f"{x:.2f}" for x in pea(usage_table.others()))
    return "\n".join(
        [
            f"fit: {overhead:.2f} s a sub-job, {randomized * 1e3:.2f} ms a randomised circuit; "
            f"in use: {OVERHEAD} s, {RANDOMIZED * 1e3:g} ms",
            f"98 % or more of the rows are within 0.8–1.25 from {equal[0]:.2f} to {equal[-1]:.2f} s a sub-job",
            f"with a term a circuit: {with_circuit[0]:.2f} s, {with_circuit[1] * 1e3:.2f} ms, "
            f"{with_circuit[2] * 1e3:g} ms a circuit; held out {third.close:.1%} within 0.8–1.25, "
            f"{third.second:.1%} within 1 s: not taken",
            f"PEA, stated over expected: {stated}",
            f"the service's own estimate over the bill: median {ratio:.2f} of {rows} rows",
            "",
            table(found),
        ]
    )


def main() -> None:
    print(report())
    if "--write" in sys.argv:
        shown = table(samples())
        for path in READMES:
            Path(path).write_text(put(path.read_text(), BEGIN, END, shown))


if __name__ == "__main__":
    main()
