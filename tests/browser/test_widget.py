"""The widget where our JupyterLab extension is not: its clicks go over the kernel of the manager that holds it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import lab as harness
from tests.browser import probes
from tests.browser.conftest import BEGIN
from tests.browser.lab import Notebook

KEY = "a1b2c3d4:5.0"

# As in VS Code: comms go to the shell that a cell keeps busy. And what is sent on the control channel is noted.
WITHOUT_SUBSHELLS = """() => {
  const { kernel } = window.jupyterapp.shell.currentWidget.sessionContext.session;
  kernel.commsOverSubshells = 'disabled';
  Object.defineProperty(kernel, 'supportsSubshells', { get: () => false });
  window.sent = [];
  kernel.anyMessage.connect((_, { msg, direction }) => {
    if (direction === 'send' && msg.channel === 'control') window.sent.push(msg.header.msg_type);
  });
}"""


@pytest.fixture
def book(tmp_path: Path, chromium_browser: Browser) -> Iterator[Notebook]:
    cells = [BEGIN, "batch = scripted.batch(); show(batch)", "print(batch.wait_click(60), batch.said)", "batch.said"]
    harness.notebook(tmp_path / "plain.ipynb", cells)
    with harness.lab(tmp_path, extension=False) as running:
        page = chromium_browser.new_page(viewport={"width": 1300, "height": 950})
        yield Notebook.open(running, page, "plain.ipynb")
        page.close()


def test_a_click_reaches_a_kernel_that_a_cell_keeps_busy(book: Notebook) -> None:
    assert not book.page.evaluate("() => window.jupyterapp.commands.hasCommand('qmode-widgets:show')")
    book.page.evaluate(WITHOUT_SUBSHELLS)
    book.run(0)
    book.run(1)
    card = book.widget().first
    row = card.locator(f"tr[data-key='{KEY}']")
    expect(row.locator("[data-action=cancel]")).to_be_visible()
    book.run(2, wait=False)
    book.page.wait_for_function(probes.BUSY)
    row.locator("[data-action=cancel]").click()
    card.locator("[data-confirm=yes]").click()
    book.wait_done(2)
    assert book.output(2).strip() == f"True [('cancel', '{KEY}')]"  # the cell itself saw it come
    assert "qmode_request" in book.page.evaluate("() => window.sent")
    expect(row).to_have_attribute("data-state", "cancelled")


def test_what_its_kernel_showed_stays_when_it_ends_and_leads_back(book: Notebook) -> None:
    book.run(0)
    book.run(1)
    card = book.widget().first
    expect(card.locator(".qm-progress .qm-big")).to_have_text("4 of 12 done")
    book.restart()
    expect(card).to_contain_text("qmode.attach(")
    expect(card.locator("[data-action]")).to_have_count(0)
    expect(card.locator(".qm-progress .qm-big")).to_have_text("4 of 12 done")
