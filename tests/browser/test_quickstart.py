"""The quickstart as a newcomer meets it: real JupyterLab, real Chromium, real client, embedded service."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect

import qmode_widgets as qmode
from qmode_widgets.emulator.client.launch import Emulator
from tests.browser import lab as harness
from tests.browser.lab import ROOT, Notebook

CONNECT, WORK, SUBMIT, WAIT, AGAIN, RESULT, PLOT, CLOSE = range(8)


@pytest.fixture
def emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """The very service the notebook will find: both look into the same runtime directory."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    started = qmode.emulator.start()
    yield started
    started.stop()


@pytest.fixture
def book(emulator: Emulator, tmp_path: Path, chromium_browser: Browser) -> Iterator[Notebook]:
    root = tmp_path / "notebooks"
    root.mkdir()
    shutil.copy(ROOT / "notebooks" / "quickstart.ipynb", root)
    with harness.lab(root, env={"JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}, whole=True) as running:
        page = chromium_browser.new_page(viewport={"width": 1400, "height": 1000})
        yield Notebook.open(running, page, "quickstart.ipynb")
        page.close()


def cells(book: Notebook) -> list[int]:
    """The code cells' places in the notebook."""
    return book.page.evaluate("""() => window.jupyterapp.shell.currentWidget.content.widgets
        .map((c, i) => c.model.type === 'code' ? i : -1).filter(i => i >= 0)""")


def row(place: Locator, partition: int) -> Locator:
    """A partition's row, counted from 1 as on the screen."""
    named = place.page.locator(".qm-expand", has_text=re.compile(rf"^{partition}$"))
    return place.locator("tr[data-key]").filter(has=named)


def press(place: Locator, partition: int, name: str) -> None:
    """The row's button, then yes."""
    row(place, partition).locator("[data-action]", has_text=name).click()
    place.locator("[data-confirm=yes]").click()


def expect_running(book: Notebook, cell: int) -> None:
    """Wait until the cell runs."""
    state = "i => window.jupyterapp.shell.currentWidget.content.widgets[i].model.executionState"
    book.page.wait_for_function(f"{state} === 'running'", arg=cell)


def on_service(emulator: Emulator) -> dict[str, list[str]]:
    """Statuses of the jobs by partition (from 1), oldest attempt first, as the service tells them."""
    found: dict[str, list[tuple[str, str]]] = {}
    for job in emulator.service.jobs(limit=None):
        key = next(t for t in job.tags if t.count(".") == 2).split(":")[2]
        partition, _, attempt = key.split(".")
        found.setdefault(str(int(partition) + 1), []).append((attempt, job.status()))
    return {k: [status for _, status in sorted(v)] for k, v in found.items()}


def test_the_quickstart(book: Notebook, emulator: Emulator) -> None:
    code = cells(book)
    panel = book.sidebar()
    book.run(code[CONNECT])
    book.run(code[WORK])
    emulator.faults.pause(queue=True)
    book.run(code[SUBMIT])
    cell = book.widget().first
    expect(cell.locator("tr[data-key]")).to_have_count(6)
    for n in range(1, 7):
        expect(row(cell, n)).to_have_attribute("data-state", "queued")
        expect(row(cell, n)).to_contain_text("≈")
    panel.locator("[data-entry] .qm-title1").first.click()
    card = panel.locator(".qm-card").first
    for place in (cell, card):
        place.get_by_role("button", name="by number").click()

    def expect_shown(partition: int, state: str) -> None:
        """In both: with what is told above them the rows may move, and a click that is under way would miss."""
        for place in (cell, card):
            expect(row(place, partition)).to_have_attribute("data-state", state)

    # Idle kernel: cancel one in the cell, one in the sidebar.
    press(cell, 6, "Cancel")
    expect_shown(6, "cancelled")
    press(card, 5, "Cancel")
    expect_shown(5, "cancelled")
    assert [on_service(emulator)[n] for n in "56"] == [["CANCELLED"], ["CANCELLED"]]

    # The rows change state by themselves; the first was told to fail.
    emulator.faults.resume()
    expect(row(cell, 1)).to_have_attribute("data-state", "failed", timeout=40_000)
    expect(row(cell, 1)).to_contain_text("9707")
    for n in (2, 3, 4):
        expect(row(cell, n)).to_have_attribute("data-state", "done", timeout=40_000)
    assert on_service(emulator)["1"] == ["ERROR"]
    book.screenshot("quickstart-light")

    # Idle kernel: run one again from the cell, one from the sidebar.
    emulator.faults.pause(queue=True)
    press(cell, 1, "Run again")
    expect_shown(1, "queued")
    press(card, 5, "Run again")
    expect_shown(5, "queued")
    assert [on_service(emulator)[n] for n in "15"] == [["ERROR", "QUEUED"], ["CANCELLED", "QUEUED"]]

    # A cell waits for results and blocks the kernel: cancel and resubmit work all the same.
    book.run(code[WAIT], wait=False)
    expect_running(book, code[WAIT])
    press(cell, 1, "Cancel")
    expect_shown(1, "cancelled")
    press(card, 6, "Run again")
    expect_shown(6, "queued")
    press(card, 5, "Cancel")
    expect_shown(5, "cancelled")
    press(cell, 1, "Run again")
    expect_shown(1, "queued")
    press(card, 5, "Run again")
    expect_shown(5, "queued")
    assert book.is_running(code[WAIT])
    assert on_service(emulator) == {
        "1": ["ERROR", "CANCELLED", "QUEUED"],
        "2": ["DONE"],
        "3": ["DONE"],
        "4": ["DONE"],
        "5": ["CANCELLED", "CANCELLED", "QUEUED"],
        "6": ["CANCELLED", "QUEUED"],
    }
    book.theme("dark")
    book.screenshot("quickstart-dark-busy")
    emulator.faults.resume()
    book.wait_done(code[WAIT])

    # The rest of the notebook: merged results in PUB order, a plot, the end.
    for step in (AGAIN, RESULT, PLOT, CLOSE):
        book.run(code[step])
    assert "24 PUBs, 48000 shots" in book.output(code[RESULT])
    assert "of QPU time" in book.output(code[CLOSE])
    expect(row(cell, 6)).to_have_attribute("data-state", "done")
    book.screenshot("quickstart-dark-done")
    assert book.errors == []
