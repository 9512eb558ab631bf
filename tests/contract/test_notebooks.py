"""Every notebook we ship runs from top to bottom, without a screen, and leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from qmode_widgets import emulator as package

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
SAYS = {
    "quickstart": ["24 PUBs, 48000 shots", "9707", "of QPU time"],
    "planning": ["session", "s expected", "'twirled': 20000"],
    "session": ["step 3", "of which idle", "qmode.attach("],
}


@pytest.fixture
def fast(tmp_path, monkeypatch):
    """The service the notebooks will find, as fast as the simulation."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    started = package.start(speed=float("inf"))
    yield started
    started.stop()


@pytest.mark.parametrize("name", sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")))
def test_it_runs_and_prints_what_it_should(fast, name):
    command = [sys.executable, str(NOTEBOOKS / "headless.py"), str(NOTEBOOKS / f"{name}.ipynb")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    for text in SAYS[name]:
        assert text in done.stdout
