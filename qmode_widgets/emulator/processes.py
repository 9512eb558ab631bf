"""How our own processes are started: the same interpreter, this package, nothing of the working directory."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def command(module: str, *args: str) -> list[str]:
    """Runs a module. `-P`: a file of the user's that is called like a library must not stand in for it."""
    return [sys.executable, "-P", "-m", module, *args]


def environment(**more: str) -> dict[str, str]:
    """Our environment; a source tree that is not installed is found where this process found it."""
    root = Path(__file__).parents[2]
    given = os.environ.get("PYTHONPATH", "")
    if root.name in ("site-packages", "dist-packages"):
        return os.environ | more                   # on PYTHONPATH, packages would come before the standard library
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(root), given]))} | more
