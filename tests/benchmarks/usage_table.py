"""Ours beside what was billed: rebuilds the published rows from their own fields and makes the README's tables.

python tests/benchmarks/usage_table.py            # print the table
python tests/benchmarks/usage_table.py --write    # put it into qmode_widgets/planning/README.md
python tests/benchmarks/usage_table.py --learn    # what calibration does to rows that it has not seen
"""

from __future__ import annotations

import json
import math
import re
import sys
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from qiskit_ibm_runtime.fake_provider import FakeBrisbane, FakeFez, FakeMarrakesh, FakeNighthawk, FakeTorino

from qmode_widgets.planning.calibration import Calibration
from qmode_widgets.planning.usage import UsageEstimate, counted_usage

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data" / "usage_published.json"
README = ROOT / "qmode_widgets" / "planning" / "README.md"
BEGIN, END = "<!-- usage table: begin -->", "<!-- usage table: end -->"
OTHERS_BEGIN, OTHERS_END = "<!-- other rows: begin -->", "<!-- other rows: end -->"

# The durations of the same QPU where the client ships them, else of the nearest of its family.
FAMILY = {
    "torino": FakeTorino,
    "fez": FakeFez,
    **dict.fromkeys(("marrakesh", "kingston", "aachen", "heron"), FakeMarrakesh),
    **dict.fromkeys(("brisbane", "quebec", "eagle"), FakeBrisbane),
    **dict.fromkeys(("phoenix", "miami", "nighthawk"), FakeNighthawk),
}
REP_DELAYS = {"phoenix": 1e-6, "miami": 4e-3}  # of backends whose default is not 250 µs, as the rows themselves say

NIGHTHAWKS = ("phoenix", "miami", "nighthawk")

WHY = {  # misses, by the source's last words: what the row does not say
    "fit, E=34": "a regression's line at E = 34, billed 171 µs an execution, under the rep_delay: its executions must "
    "have been fewer",
    "dafc00bdd5gc73d9kohg": "the layer count is assumed; two layers give 3.8 s",
    "60 us delays; one job": "the delays stand in some of its circuits only: without them 36.2 s, with them 44.0 s",
    "delays; one job assumed": "delays of unknown length inside the circuits",
    "SHOT_SWEEP.md ibm_quebec 2048": "only the greatest depth is stated; half of it is more than their mean",
    "text id 69523237536": "21 of 22 jobs of this size from this source were billed 2 s",
    "53774250761": "billed 208 µs an execution, under the rep_delay: its executions must have been fewer",
    "d7guuejjne2c7393e7d0": "its circuits' length is not stated; the same work took 28 to 33 s on other layouts",
}


@dataclass(frozen=True)
class Row:
    """One published row, what was billed (low and high of it), and ours."""

    data: dict[str, Any]
    billed: tuple[float, float]
    ours: UsageEstimate

    @property
    def ratio(self) -> float:
        """Expected over billed; against a range, over its middle."""
        return self.ours.expected / (sum(self.billed) / 2)

    @property
    def close(self) -> bool:
        return 0.8 <= self.ratio <= 1.25

    @property
    def inside(self) -> bool:
        """The billed figure (a range: any of it) lies in our interval."""
        return self.ours.low <= self.billed[1] and self.billed[0] <= self.ours.high


@cache
def backend(name: str) -> Any:
    """A fake backend; its durations are what is used, not its errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return FAMILY[name]()


def source(row: dict[str, Any]) -> str:
    """Who published it: the repository, or the text."""
    return str(row["source"]).split()[0]


def family(row: dict[str, Any]) -> str | None:
    text = (row["backend"] or "").lower()
    return next((name for name in FAMILY if name in text), None)


def rebuildable(row: dict[str, Any]) -> bool:
    """Measured usage of jobs on a Heron or Eagle, with a number of executions. A session is billed by the clock."""
    return row["kind"] == "measured" and countable(row) and family(row) not in (None, *NIGHTHAWKS)


def countable(row: dict[str, Any]) -> bool:
    """It says how many executions were billed how many seconds, of jobs."""
    return (
        row["row_type"] == "workload"
        and row["mode"] in ("job", "batch")
        and row["executions"] is not None
        and row["usage_seconds"] is not None
    )


def randomized(row: dict[str, Any]) -> float:
    """How many randomised circuits a row's options make, those of learning included, over all its jobs.

    Where twirling or measurement mitigation is on and no number is given, the client's own rounding: at least 64 shots
    each, at most 32 of them. TREX learns from 32 more a job. A noise learner runs nothing else.
    """
    options = (row["options"] or "").lower()
    circuits, jobs = row["circuits"] or 1, row["jobs"] or 1
    if (m := re.search(r"randomizations x (\d+) shots", options)) is not None:
        return float(row["executions"]) / int(m[1])
    learned = 32.0 * jobs if row["learning_executions"] else 0.0
    level = re.search(r"(?:resilience|level) (\d)", options)
    off = any(word in options for word in ("no twirling", "twirling off", "raw"))
    twirled = ("twirl" in options and not off) or (level is not None and level[1] != "0") or learned > 0
    if not twirled:
        return 0.0
    shots = row["shots"] if isinstance(row["shots"], int) else 0
    factors = max(1, round(row["executions"] / (shots * circuits))) if shots else 1
    per = shots or row["executions"] / circuits
    each = int(m[1]) if (m := re.search(r"(\d+)x\d+", options)) else math.ceil(per / max(64, math.ceil(per / 32)))
    return float(circuits * factors * each) + learned


def numbers(text: str, pattern: str) -> float | None:
    """The first number a pattern finds; of a range (`135-1682`) the middle."""
    if (m := re.search(pattern, text)) is None:
        return None
    found = [float(g.replace(",", "")) for g in m.groups() if g]
    return sum(found) / len(found)


def rebuild(row: dict[str, Any]) -> Row:
    """Ours, from the row's executions, learning, jobs, and the depth, delays and rep_delay that it states.

    Of a range of depths (`135-1682`, `up to 990`) the middle is taken.
    """
    text = f"{row['workload']} | {row['note']}"
    name = family(row) or "heron"
    device = backend(name)
    depth = numbers(text, r"depth (?:of )?~?([\d,]+)(?:-([\d,]+))?")
    if depth is not None and "up to depth" in text:
        depth /= 2
    delay = numbers(text, r"(\d+)(?:-(\d+))? us delays") or 0.0
    rep_delay = numbers(row["options"] or "", r"rep_delay (\d+) us")
    length = numbers(text, r"~?(\d+) us long")
    ours = counted_usage(
        device,
        row["executions"],
        learning_executions=row["learning_executions"] or 0,
        jobs=row["jobs"] or 1,
        length=None if length is None else length * 1e-6,
        depth=depth or 0.0,
        delay=delay * 1e-6,
        rep_delay=REP_DELAYS.get(name) if rep_delay is None else rep_delay * 1e-6,
        randomized=randomized(row),
        primitive="estimator" if "Estimator" in (row["primitive"] or "") else "sampler",
    )
    billed = row["usage_seconds"]
    low, high = billed if isinstance(billed, list) else (billed, billed)
    return Row(row, (float(low), float(high)), ours)


def rows() -> list[Row]:
    return [rebuild(row) for row in json.loads(DATA.read_text()) if rebuildable(row)]


def others() -> list[Row]:
    """What is stated rounded in tutorials, or comes from other processors: shown, not counted."""
    found = json.loads(DATA.read_text())
    return [rebuild(row) for row in found if countable(row) and not rebuildable(row)]


def why(row: Row) -> str:
    text = f"{row.data['source']} | {row.data['note']}"
    if (row.close and row.inside) or row.ratio == 1:
        return ""
    return next((reason for key, reason in WHY.items() if key in text), "not explained")


HEAD = [
    "| workload | QPU | executions + learning | jobs | billed s | ours s (low–high) | ratio | |",
    "|---|---|---:|---:|---:|---:|---:|---|",
]


def line(r: Row, remark: str) -> str:
    billed = "–".join(f"{b:g}" for b in dict.fromkeys(r.billed))
    learned = f" + {r.data['learning_executions']:,}" if r.data["learning_executions"] else ""
    name = f"{r.data['workload']} ({r.data['options'] or 'defaults'})".replace("|", "/")
    device = (r.data["backend"] or "not said").replace("ibm_", "")
    return (
        f"| {name} | {device} | {r.data['executions']:,}{learned} | {r.data['jobs']} | {billed} | "
        f"{r.ours.expected:.1f} ({r.ours.low:.0f}–{r.ours.high:.0f}) | {r.ratio:.2f} | {remark} |"
    )


def table(found: list[Row]) -> str:
    """The rows that count, and how many are close and inside."""
    lines = [*HEAD]
    for r in found:
        mark = "" if r.close and r.inside else "✗ " + ("" if r.inside else "outside; ")
        lines.append(line(r, mark + why(r)))
    near, held = sum(r.close for r in found), sum(r.inside for r in found)
    lines.append("")
    lines.append(
        f"{len(found)} rows: {near} ({near / len(found):.0%}) within 0.8–1.25 of the billed usage, "
        f"{held} ({held / len(found):.0%}) inside the interval, "
        f"{near_second(found):.0%} within a second of it."
    )
    return "\n".join(lines)


def near_second(found: list[Row]) -> float:
    return sum(abs(r.ours.expected - sum(r.billed) / 2) <= 1 for r in found) / len(found)


def other_table(found: list[Row]) -> str:
    """The rows that do not count."""
    return "\n".join([*HEAD, *(line(r, "" if r.close else "✗") for r in found)])


@dataclass(frozen=True)
class Learned:
    """A row with a calibration from the other rows of its source and QPU family."""

    row: Row
    expected: float
    low: float
    high: float

    @property
    def billed(self) -> float:
        return sum(self.row.billed) / 2

    @property
    def error(self) -> float:
        return abs(math.log(self.expected / self.billed))

    @property
    def error_before(self) -> float:
        return abs(math.log(self.row.ours.expected / self.billed))

    @property
    def inside(self) -> bool:
        return self.low <= self.row.billed[1] and self.row.billed[0] <= self.high


def learned(found: list[Row], least: int = 5) -> list[Learned]:
    """Each row of a source that has at least `least` rows, left out of what it is calibrated with."""
    groups: dict[Any, list[Row]] = {}
    for row in found:
        groups.setdefault((source(row.data), family(row.data)), []).append(row)
    out = []
    for rows_ in groups.values():
        for row in rows_ if len(rows_) >= least else ():
            others = [(r.ours, sum(r.billed) / 2) for r in rows_ if r is not row]
            factor = Calibration.of("a QPU", others).factor
            part, jobs = row.ours.breakdown, row.ours.jobs
            expected = jobs * math.ceil((part.overhead + part.work * factor) / jobs - 1e-9)
            out.append(Learned(row, expected, row.ours.low * min(1, factor), row.ours.high * max(1, factor)))
    return out


def learning(found: list[Learned]) -> str:
    """In a sentence."""
    n = len(found)
    before, after = sum(r.error_before for r in found) / n, sum(r.error for r in found) / n
    close = sum(0.8 <= r.expected / r.billed <= 1.25 for r in found) / n
    return (
        f"{n} rows, each left out of what it is calibrated with: mean error {before:.1%} before, {after:.1%} after; "
        f"{sum(r.row.close for r in found) / n:.0%} before, {close:.0%} after within 0.8–1.25 of the bill; "
        f"{sum(r.inside for r in found) / n:.0%} inside the interval."
    )


def put(text: str, begin: str, end: str, content: str) -> str:
    before, rest = text.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n{content}\n{end}{after}"


def main() -> None:
    if "--learn" in sys.argv:
        print(learning(learned(rows())))
        return
    counted, shown = table(rows()), other_table(others())
    if "--write" not in sys.argv:
        print(counted, shown, sep="\n\n")
        return
    text = put(README.read_text(), BEGIN, END, counted)
    README.write_text(put(text, OTHERS_BEGIN, OTHERS_END, shown))


if __name__ == "__main__":
    main()
