"""The house of ARCHITECTURE: what import-linter cannot see."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "qmode_widgets"

# Private parts of qiskit-ibm-runtime that we rely on; each may stand in ibm/client.py only.
CLIENTS = {
    "_active_api_client",
    "_api_clients",
    "_get_api_client",
    "_get_api_clients",
    "_all_instances",
    "_session_id",
    "_active",
    "_max_time",
    "_instance",
    "_api_client",
    "_account",
    "_client_params",
    "_url_resolver",
    "_create_session",
}
ABROAD = {
    "qiskit_ibm_runtime",
    "anywidget",
    "ipywidgets",
    "ipykernel",
    "IPython",
    "comm",
    "requests",
    "aiohttp",
    "tornado",
    "plotly",
}


def modules(folder: str) -> list[Path]:
    return sorted((PACKAGE / folder).rglob("*.py"))


def imported(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("path", modules("model"), ids=lambda p: p.stem)
def test_the_ground_floor_knows_no_client_no_jupyter_and_no_network(path):
    assert not imported(ast.parse(path.read_text())) & ABROAD


@pytest.mark.parametrize(
    "path",
    [p for f in ("control", "planning", "frontend", "mcp", "ibm") for p in modules(f) if p.name != "client.py"],
    ids=lambda p: f"{p.parent.name}/{p.stem}",
)
def test_private_parts_of_the_client_stay_in_one_file(path):
    tree = ast.parse(path.read_text())
    theirs = [
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
    ]
    assert not set(theirs) & CLIENTS


def test_the_views_know_neither_jupyter_nor_anywidget():
    for path in [*(ROOT / "js" / "core").rglob("*.ts"), *(ROOT / "js" / "core").rglob("*.tsx")]:
        sources = re.findall(r"""(?:from|import)\s*\(?['"]([^'"]+)['"]""", path.read_text())
        assert not [s for s in sources if re.match(r"@jupyter|@lumino|anywidget|@anywidget|\.\./(cell|lab)", s)], path


def test_importing_the_package_imports_neither_qiskit_nor_anywidget():
    heavy = {"qiskit", "qiskit_ibm_runtime", "anywidget", "ipywidgets"}
    code = f"import sys, qmode_widgets; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_every_public_name_loads():
    import qmode_widgets

    for name in qmode_widgets.__all__:
        assert getattr(qmode_widgets, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Batch'"):
        qmode_widgets.Batch  # noqa: B018
