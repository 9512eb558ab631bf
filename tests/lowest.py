"""The lower bounds of pyproject.toml as exact requirements: `make test-lowest` installs and tests them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
for requirement in [
    *project["dependencies"],
    *project["optional-dependencies"]["lab"],
    *project["optional-dependencies"]["mcp"],
]:
    name, lowest = re.match(r"([\w.-]+)>=([\d.]+)", requirement).groups()
    print(f"{name}=={lowest}" + (".*" if lowest.count(".") < 2 else ""))
