"""Ours beside what was billed: rebuilds the published rows from their own fields and makes the README's table.

    python tests/benchmarks/usage_table.py            # print the table
    python tests/benchmarks/usage_table.py --write    # put it into qmode_widgets/planning/README.md
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from qiskit_ibm_runtime.fake_provider import FakeBrisbane, FakeFez, FakeMarrakesh, FakeTorino

from qmode_widgets.model.timing import Timing
from qmode_widgets.planning.usage import UsageEstimate, counted_usage

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data" / "usage_published.json"
README = ROOT / "qmode_widgets" / "planning" / "README.md"
BEGIN, END = "<!-- usage table: begin -->", "<!-- usage table: end -->"

# The durations of the same QPU where the client ships them, else of the nearest of its family.
FAMILY = {"torino": FakeTorino, "fez": FakeFez, "marrakesh": FakeMarrakesh, "brisbane": FakeBrisbane,
          "kingston": FakeMarrakesh, "aachen": FakeMarrakesh, "heron": FakeMarrakesh,
          "eagle": FakeBrisbane}  # fmt: skip

WHY = {                                            # misses, by the source's last words: what the row does not say
    "fit, E=34": "a regression's line at E = 34, billed 171 µs an execution, under the rep_delay: its executions must "
    "have been fewer",
    "dafc00bdd5gc73d9kohg": "the layer count is assumed; two layers give 3.8 s",
    "60 us delays; one job": "the delays stand in some of its circuits only: without them 36.2 s, with them 44.0 s",
    "delays; one job assumed": "delays of unknown length inside the circuits",
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
    return FAMILY[name]()


def family(row: dict[str, Any]) -> str | None:
    text = (row["backend"] or "").lower()
    if "heron" not in text and "eagle" not in text:
        return None
    return next(name for name in FAMILY if name in text)


def rebuildable(row: dict[str, Any]) -> bool:
    """Measured usage of jobs on a Heron or Eagle, with a number of executions. A session is billed by the clock."""
    return (
        row["kind"] == "measured"
        and row["row_type"] == "workload"
        and row["mode"] != "session"
        and row["executions"] is not None
        and row["usage_seconds"] is not None
        and family(row) is not None
    )


def numbers(text: str, pattern: str) -> float | None:
    """The first number a pattern finds; of a range (`135-1682`) the middle."""
    if (m := re.search(pattern, text)) is None:
        return None
    found = [float(g.replace(",", "")) for g in m.groups() if g]
    return sum(found) / len(found)


def rebuild(row: dict[str, Any], on: str | None = None) -> Row:
    """Ours, from the row's executions, learning, jobs, and the depth, delays and rep_delay that it states."""
    text = f"{row['workload']} | {row['note']}"
    device = backend(on or family(row) or "heron")
    depth = numbers(text, r"depth ~?([\d,]+)(?:-([\d,]+))?")
    delay = numbers(text, r"(\d+)(?:-(\d+))? us delays") or 0.0
    rep_delay = numbers(row["options"] or "", r"rep_delay (\d+) us")
    timing = Timing.of(device)
    ours = counted_usage(
        device,
        row["executions"],
        learning_executions=row["learning_executions"] or 0,
        jobs=row["jobs"] or 1,
        length=(depth or 0) * timing.typical_layer() + timing.measure + delay * 1e-6,
        rep_delay=None if rep_delay is None else rep_delay * 1e-6,
        primitive="estimator" if "Estimator" in (row["primitive"] or "") else "sampler",
    )
    billed = row["usage_seconds"]
    low, high = billed if isinstance(billed, list) else (billed, billed)
    return Row(row, (float(low), float(high)), ours)


def rows() -> list[Row]:
    return [rebuild(row) for row in json.loads(DATA.read_text()) if rebuildable(row)]


def why(row: Row) -> str:
    text = f"{row.data['source']} | {row.data['note']}"
    if (row.close and row.inside) or row.ratio == 1:
        return ""
    return next((reason for key, reason in WHY.items() if key in text), "not explained")


def table(found: list[Row]) -> str:
    lines = ["| workload | QPU | executions + learning | jobs | billed s | ours s (low–high) | ratio | |",
             "|---|---|---:|---:|---:|---:|---:|---|"]  # fmt: skip
    for r in found:
        billed = "–".join(f"{b:g}" for b in dict.fromkeys(r.billed))
        mark = "" if r.close and r.inside else "✗ " + ("" if r.inside else "outside; ")
        learned = f" + {r.data['learning_executions']:,}" if r.data["learning_executions"] else ""
        name = r.data["workload"].replace("|", "/")
        device = (r.data["backend"] or "").replace("ibm_", "")
        lines.append(
            f"| {name} ({r.data['options'] or 'defaults'}) | {device} | {r.data['executions']:,}{learned} | "
            f"{r.data['jobs']} | {billed} | {r.ours.expected:.1f} ({r.ours.low:.0f}–{r.ours.high:.0f}) | "
            f"{r.ratio:.2f} | {mark}{why(r)} |"
        )
    near, held = sum(r.close for r in found), sum(r.inside for r in found)
    lines.append("")
    lines.append(
        f"{len(found)} rows: {near} ({near / len(found):.0%}) within 0.8–1.25 of the billed usage, "
        f"{held} ({held / len(found):.0%}) inside the interval."
    )
    return "\n".join(lines)


def main() -> None:
    text = table(rows())
    if "--write" not in sys.argv:
        print(text)
        return
    before, rest = README.read_text().split(BEGIN)
    _, after = rest.split(END)
    README.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


if __name__ == "__main__":
    main()
