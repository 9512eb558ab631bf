"""Take the README's two pictures: `make pictures`. The quickstart, run in a real JupyterLab."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import expect

import qmode_widgets as qmode
from tests.browser import lab as harness
from tests.browser.lab import ROOT, Notebook
from tests.browser.test_quickstart import CONNECT, SUBMIT, WAIT, WORK, cells, expect_running, row

PICTURES = ROOT / "notebooks" / "pictures"


def main() -> None:
    """Light: a batch half done. Dark: a question, while a cell blocks the kernel."""
    folder = Path(tempfile.mkdtemp())
    os.environ["JUPYTER_RUNTIME_DIR"] = str(folder / "runtime")
    (folder / "notebooks").mkdir()
    shutil.copy(ROOT / "notebooks" / "quickstart.ipynb", folder / "notebooks")
    emulator = qmode.emulator.start()
    env = {"JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    with harness.lab(folder / "notebooks", env=env) as running, harness.browser() as chromium:
        page = chromium.new_page(viewport={"width": 1360, "height": 860})
        book = Notebook.open(running, page, "quickstart.ipynb")
        code = cells(book)
        book.sidebar()
        book.sidebar_width(320)
        for step in (CONNECT, WORK, SUBMIT):
            book.run(code[step])
        cell = book.widget().first
        expect(row(cell, 1)).to_have_attribute("data-state", "failed", timeout=40_000)
        expect(row(cell, 3)).to_have_attribute("data-state", "done", timeout=40_000)
        emulator.faults.pause()
        cell.scroll_into_view_if_needed()
        page.wait_for_timeout(1500)  # a picture has nothing to wait for
        page.screenshot(path=str(PICTURES / "light.png"))
        book.run(code[WAIT], wait=False)
        expect_running(book, code[WAIT])
        book.theme("dark")
        row(cell, 1).locator("[data-action]").click()
        cell.scroll_into_view_if_needed()
        page.wait_for_timeout(2500)
        page.screenshot(path=str(PICTURES / "dark.png"))
        emulator.faults.resume()
        book.wait_done(code[WAIT])
        page.close()
    emulator.stop()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
