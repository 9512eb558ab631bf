"""The public names: the reference page lists exactly those, and whatever they return is one of them."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from pathlib import Path
from typing import Any

import pytest

import qmode_widgets as qmode

API = Path(__file__).resolve().parents[2] / "docs" / "api.md"
LISTED = re.findall(r"^\.\. auto(\w+):: qmode_widgets\.([\w.]+)$", API.read_text(), re.MULTILINE)
PUBLIC = {name: getattr(qmode, name) for name in qmode.__all__}  # before a module of the same name is imported
INSIDE = {"Account", "Submission", "Work"}  # what plans are made from; their fields may change


def test_the_reference_lists_exactly_the_public_names():
    names = [path.rpartition(".")[2] for _, path in LISTED]
    assert sorted(names) == sorted(qmode.__all__)


@pytest.mark.parametrize(("kind", "path"), LISTED, ids=lambda value: value)
def test_the_reference_names_each_where_it_is(kind, path):
    module, _, name = path.rpartition(".")
    found = getattr(importlib.import_module(f"qmode_widgets.{module}".rstrip(".")), name)
    assert found is PUBLIC[name]
    if kind != "module":
        assert inspect.isclass(found) == (kind in ("class", "exception"))


def test_every_name_can_be_imported_and_is_listed_for_completion():
    assert None not in PUBLIC.values()
    assert set(qmode.__all__) <= set(dir(qmode))
    with pytest.raises(AttributeError, match="no attribute 'attached'"):
        qmode.attached  # noqa: B018


def returned(thing: Any) -> list[tuple[str, str]]:
    """What a function, or the methods and properties of a class, say they return, and in which module."""
    if inspect.isfunction(thing):
        return [(str(thing.__annotations__.get("return", "")), thing.__module__)]
    found = []
    for base in (b for b in thing.__mro__ if b.__module__.startswith("qmode_widgets")):
        for name, value in vars(base).items():
            function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if not name.startswith("_") and inspect.isfunction(function):
                found.append((str(function.__annotations__.get("return", "")), base.__module__))
    return found


def ours(name: str, module: str) -> type | None:
    """The class of ours that a module calls so, imported for its annotations only or not."""
    found = vars(sys.modules[module]).get(name)
    if found is None:
        line = re.search(rf"from (\.[\w.]*) import .*\b{name}\b", inspect.getsource(sys.modules[module]))
        if line is not None:
            package = sys.modules[module].__package__
            found = getattr(importlib.import_module(line[1], package), name, None)
    return found if inspect.isclass(found) and found.__module__.startswith("qmode_widgets") else None


@pytest.mark.parametrize("name", sorted(set(qmode.__all__) - {"emulator"}))
def test_what_a_public_name_returns_can_be_imported(name):
    for said, module in returned(PUBLIC[name]):
        for word in re.findall(r"\b[A-Z]\w+", said):
            kind = ours(word, module)
            if kind is not None and kind.__name__ not in INSIDE:
                assert PUBLIC.get(kind.__name__) is kind, f"{name} returns {kind.__name__}"
