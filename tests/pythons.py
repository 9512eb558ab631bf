"""`make test-pythons`: unit and contract tests on each supported Python that is found, and a table of how they went.

Looks for interpreters on PATH, at pyenv's and at uv's. Each gets an environment of its own in `.venv-pythons`, which is
kept for the next time. `PYTHONS="3.12 3.13"` names some only, arguments name other tests:

    make test-pythons PYTHONS=3.13 TESTS=tests/unit
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / ".venv-pythons"
SUPPORTED = ("3.11", "3.12", "3.13", "3.14")
TESTS = ("tests/unit", "tests/contract")


@dataclass
class Outcome:
    """How the tests went on one Python."""

    python: str
    found: str = "not found"
    counts: dict[str, int] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)
    seconds: float = 0.0
    passed: bool = False

    def row(self) -> tuple[str, ...]:
        return (
            self.python,
            self.found,
            *(str(self.counts.get(what, "–")) for what in ("tests", "failures", "errors", "skipped")),
            f"{self.seconds / 60:.1f}" if self.seconds else "–",
        )


def version_of(python: Path | str) -> str | None:
    """The full version of an interpreter, or None where it does not run: pyenv's shims may lead nowhere."""
    code = "import platform; print(platform.python_version())"
    try:
        return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def find(wanted: str) -> tuple[str, str] | None:
    """An interpreter of this version, and its full version."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{wanted}"), *sorted(pyenv.glob(f"{wanted}.*/bin/python"), reverse=True)]
    if uv := shutil.which("uv"):
        found = subprocess.run([uv, "python", "find", wanted], capture_output=True, text=True)
        candidates.append(found.stdout.strip() if found.returncode == 0 else None)
    for candidate in filter(None, candidates):
        version = version_of(candidate)
        if version is not None and version.startswith(f"{wanted}."):
            return str(candidate), version
    return None


def install(python: str, home: Path) -> None:
    """Make or bring up to date the environment of one Python."""
    if not (home / "bin" / "python").exists():
        subprocess.run([python, "-m", "venv", home], check=True)
        subprocess.run([home / "bin" / "pip", "install", "--quiet", "--upgrade", "pip>=25.1"], check=True)
    what = ["--editable", ".[lab,mcp,export]", "--group", "test"]
    subprocess.run([home / "bin" / "pip", "install", "--quiet", *what], check=True, cwd=ROOT)


def run(wanted: str, tests: list[str]) -> Outcome:
    """Install and test on one Python."""
    outcome = Outcome(wanted)
    if (found := find(wanted)) is None:
        return outcome
    python, outcome.found = found
    home, report = HOME / wanted, HOME / f"{wanted}.xml"
    print(f"\n=== Python {outcome.found}: {python}", flush=True)
    try:
        install(python, home)
    except subprocess.CalledProcessError as error:
        outcome.bad.append(f"not installed: {' '.join(map(str, error.cmd))}")
        return outcome
    report.unlink(missing_ok=True)
    began = time.monotonic()
    command = [home / "bin" / "pytest", "-q", "-n", "2", "--dist", "loadfile", f"--junitxml={report}", *tests]
    outcome.passed = subprocess.run(command, cwd=ROOT).returncode == 0
    outcome.seconds = time.monotonic() - began
    if report.exists():
        for suite in ElementTree.parse(report).iter("testsuite"):
            for what in ("tests", "failures", "errors", "skipped"):
                outcome.counts[what] = outcome.counts.get(what, 0) + int(suite.get(what, 0))
            for case in suite.iter("testcase"):
                if case.find("failure") is not None or case.find("error") is not None:
                    outcome.bad.append(f"{case.get('classname')}::{case.get('name')}")
    return outcome


def table(rows: list[tuple[str, ...]]) -> str:
    """Columns of equal width."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)).rstrip() for row in rows)


def main(tests: list[str]) -> int:
    """Test on all of them, then say how each went; 1 where one failed or none was found."""
    HOME.mkdir(exist_ok=True)
    wanted = os.environ.get("PYTHONS", "").split() or list(SUPPORTED)
    outcomes = [run(version, tests or list(TESTS)) for version in wanted]
    print()
    for outcome in outcomes:
        for name in outcome.bad:
            print(f"Python {outcome.found}: {name}")
    print(table([("Python", "found", "tests", "failed", "errors", "skipped", "minutes"), *(o.row() for o in outcomes)]))
    ran = [o for o in outcomes if o.found != "not found"]
    return 0 if ran and all(o.passed for o in ran) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
