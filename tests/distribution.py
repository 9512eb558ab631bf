"""`make test-dist`: what `make dist` made, as a user gets it.

Looks into the sdist and the wheel, then installs the wheel into an empty environment of each Python found, where PATH
has neither Node nor anything else of this machine, and starts it. Then the sdist, in its place.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from tests.pythons import SUPPORTED, find

ROOT = Path(__file__).resolve().parents[1]
BUILT = ("qmode_widgets/static/widget.js", "qmode_widgets/labextension/package.json")
ENABLED = re.compile(r"qmode-widgets v\S+.*enabled.*OK")


def only(pattern: str) -> Path:
    """The one file in dist/ of this kind."""
    found = sorted((ROOT / "dist").glob(pattern))
    if len(found) != 1:
        raise SystemExit(f"dist/{pattern}: found {len(found)}, not one: run `make dist` first")
    return found[0]


def faults(sdist: Path, wheel: Path) -> list[str]:
    """What must not be in them, or is missing."""
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    said = [
        f"{sdist.name} lacks {name}: whoever installs from it would need Node" for name in BUILT if name not in inside
    ]
    machine = [str(path).encode() for path in (ROOT, Path.home(), Path(tempfile.gettempdir())) if path != Path("/")]
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if {"node_modules", "tests", "js"} & set(Path(name).parts):
                said.append(f"{wheel.name} holds {name}")
            data = archive.read(name)
            said += [f"{wheel.name}: {name} names {path.decode()}" for path in machine if path + b"/" in data]
    return said


def install(python: str, home: Path, sdist: Path, wheel: Path) -> list[str]:
    """Install and start both; returns what went wrong."""
    subprocess.run([python, "-m", "venv", home], check=True)
    dirs = {
        name: str(home / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    }
    environment = {**os.environ, **dirs, "PATH": str(home / "bin")}
    environment.pop("PYTHONPATH", None)  # the installed package is meant, not this tree
    said: list[str] = []

    def run(*command: str) -> str:
        ended = subprocess.run(
            [home / "bin" / command[0], *command[1:]], env=environment, cwd=home, capture_output=True, text=True
        )
        output = ended.stdout + ended.stderr
        if ended.returncode:
            said.append(f"`{' '.join(command)}` ended with {ended.returncode}:\n{output}")
        return output

    run("pip", "install", "--quiet", f"{wheel}[lab]")
    run("pip", "check")
    for package in (wheel, sdist):
        run("pip", "install", "--quiet", "--force-reinstall", "--no-deps", str(package))
        run("python", "-m", "qmode_widgets.check", "--rehearse")
        listed = run("jupyter", "labextension", "list")
        if not ENABLED.search(listed):
            said.append(f"{package.name}: JupyterLab does not list the extension as enabled:\n{listed}")
    return said


def main() -> int:
    """Say what is wrong with each; 1 where anything is."""
    sdist, wheel = only("*.tar.gz"), only("*.whl")
    print(f"{sdist.name}: {sdist.stat().st_size / 1000:,.0f} kB, {wheel.name}: {wheel.stat().st_size / 1000:,.0f} kB")
    said = faults(sdist, wheel)
    for wanted in os.environ.get("PYTHONS", "").split() or SUPPORTED:
        if (found := find(wanted)) is None:
            print(f"Python {wanted}: not found")
            continue
        with tempfile.TemporaryDirectory() as folder:
            wrong = install(found[0], Path(folder) / "env", sdist, wheel)
        print(f"Python {found[1]}: {'wrong, see below' if wrong else 'installed and started'}", flush=True)
        said += wrong
    for line in said:
        print(line, file=sys.stderr)
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
