"""The house of ARCHITECTURE: what import-linter cannot see."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "qmode_widgets"

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


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def own_private_parts(tree: ast.AST) -> set[str]:
    """The private methods and attributes that the classes of a module give their objects."""
    found: set[str] = set()
    for class_ in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        for node in ast.walk(class_):
            match node:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    found.add(name)
                case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
                    found.add(name)
        for node in class_.body:
            match node:
                case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                    found.add(name)
    return set(filter(is_private, found))


def touched_private_parts(tree: ast.AST) -> set[str]:
    """The private attributes of anything but `self` that a module reads, writes or names to `getattr` and the like."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                pass
            case ast.Attribute(attr=name):
                found.add(name)
            case ast.Call(
                func=ast.Name(id="getattr" | "setattr" | "hasattr" | "delattr"),
                args=[_, ast.Constant(value=str(name)), *_],
            ):
                found.add(name)
    return set(filter(is_private, found))


@cache
def private_parts_of_the_client() -> set[str]:
    """Those of all classes of qiskit-ibm-runtime as it is installed."""
    (folder,) = importlib.util.find_spec("qiskit_ibm_runtime").submodule_search_locations
    return set().union(*(own_private_parts(ast.parse(path.read_text())) for path in Path(folder).rglob("*.py")))


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
    assert touched_private_parts(tree) & private_parts_of_the_client() - own_private_parts(tree) == set()


def test_the_clients_private_parts_are_recognised_where_they_are_touched():
    touched = touched_private_parts(ast.parse((PACKAGE / "ibm" / "client.py").read_text()))
    assert {"_get_api_clients", "_session_id", "_active", "_max_time"} <= touched & private_parts_of_the_client()


SOURCES = re.compile(r"""(?:from|import)\s*\(?['"]([^'"]+)['"]""")
VIEWS = sorted((ROOT / "js" / "core").rglob("*.ts*"))


@pytest.mark.parametrize("path", VIEWS, ids=lambda p: p.name)
def test_the_views_know_neither_jupyter_nor_anywidget(path):
    sources = SOURCES.findall(path.read_text())
    assert not [s for s in sources if re.match(r"@jupyter|@lumino|anywidget|@anywidget|\.\./(cell|lab)", s)]


def test_what_the_views_import_is_seen():
    assert {"./protocol", "plotly.js-dist-min"} & {s for path in VIEWS for s in SOURCES.findall(path.read_text())}


def test_importing_the_package_imports_neither_qiskit_nor_anywidget():
    heavy = {"qiskit", "qiskit_ibm_runtime", "anywidget", "ipywidgets"}
    code = f"import sys, qmode_widgets; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_every_public_name_loads():
    import qmode_widgets

    assert [name for name in qmode_widgets.__all__ if getattr(qmode_widgets, name) is None] == []
    assert len(qmode_widgets.__all__) > 20
    with pytest.raises(AttributeError, match="no attribute 'Batch'"):
        qmode_widgets.Batch  # noqa: B018
