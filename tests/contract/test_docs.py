"""Every Python block of the README and of the guides runs as it is written, against the embedded service."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import qmode_widgets as qmode
from qmode_widgets import emulator as package

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", "docs/saved_runs.md", *(f"docs/howto/{path.name}" for path in ROOT.glob("docs/howto/*.md"))]
FENCE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ID = "id of a batch, session, job or run"  # a reader puts in a real one


def run(page: str, names: dict[str, object]) -> None:
    """Run a page's blocks, one after the other, in one namespace."""
    text = (ROOT / page).read_text()
    blocks = [*FENCE.finditer(text)]
    assert blocks, f"{page} shows no code"
    for block in blocks:
        line = text[: block.start(1)].count("\n")
        # Empty lines in front, so that a traceback names the line of the page.
        exec(compile("\n" * line + block[1], page, "exec"), names)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    """The shared service that the pages find, as fast as the simulation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        with package.start(speed=float("inf")) as running:
            yield running


@pytest.fixture(scope="module")
def practised(emulator):
    """What the page about practising leaves behind; the other pages begin there."""
    names: dict[str, object] = {}
    run("docs/howto/practise.md", names)
    return names


@pytest.mark.filterwarnings("ignore:.* is left behind:UserWarning")  # a page shows how to open, not always how to close
@pytest.mark.parametrize("page", sorted(set(PAGES) - {"docs/howto/practise.md"}))
def test_a_page_runs_as_written(page, practised, environment, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # pages write files
    batch = qmode.BatchController.open(practised["backend"])  # what some pages go on with
    batch.submit(practised["sampler"], practised["pubs"][:1])
    real = qmode.attach
    monkeypatch.setattr(qmode, "attach", lambda id_, service: real(batch.id if id_ == ID else id_, service))
    names = {**practised, "batch": batch}
    try:
        run(page, names)
    finally:
        qmode.unwatch()
        for name in ("controller", "session"):
            if name in names:
                names[name].close()
        batch.close()
