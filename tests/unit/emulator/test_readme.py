"""The README's tables say everything there is."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from qmode_widgets import emulator
from qmode_widgets.emulator.client.faults import Faults
from qmode_widgets.emulator.http.routes import ROUTES
from qmode_widgets.emulator.options import Options

README = (Path(emulator.__file__).parent / "README.md").read_text()


def test_every_endpoint_has_its_fidelity():
    table = README.split("## Endpoints")[1].split("## Programs")[0]
    for route in ROUTES:
        if not route.pattern.startswith("/admin"):
            path = re.sub(r"\([^)]*\)", "{}", route.pattern)
            assert f"{route.method} {path}" in re.sub(r"{\w+}", "{}", table), f"{route.method} {path}"


def test_every_option_is_explained():
    table = README.split("## Options")[1].split("## Faults")[0]
    for field in fields(Options):
        assert f"`{field.name}`" in table, field.name
        assert field.metadata["help"]


def test_every_fault_is_explained():
    for name in vars(Faults):
        if not name.startswith("_"):
            assert f"`{name}(" in README, name
