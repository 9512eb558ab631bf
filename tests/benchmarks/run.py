"""`make bench`: a table for each benchmark: what, measured here and now, and the bar it is held to."""

from __future__ import annotations

import importlib
import sys
import warnings
from pathlib import Path

PARTS = (
    "bench_control",
    "bench_adoption",
    "bench_planning",
    "workloads",
    "bench_emulator",
    "bench_tutorials",
    "bench_frontend",
    "bench_desk",
)


def table(rows: list[tuple[str, str, str]]) -> str:
    """Rows under a head, in columns."""
    shown = [("what", "measured", "bar"), *rows]
    widths = [max(len(row[i]) for row in shown) for i in range(3)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in shown)


def main(names: list[str]) -> int:
    """Run all parts, or those named."""
    warnings.simplefilter("ignore", DeprecationWarning)  # the client's own, of the legacy primitives
    sys.path.insert(0, str(Path(__file__).parent))
    for name in names or PARTS:
        print(f"… {name}", file=sys.stderr, flush=True)
        print(table(importlib.import_module(name).run()), flush=True)  # a later part may take long, or fail
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
