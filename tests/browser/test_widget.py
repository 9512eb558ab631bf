"""The widget where our JupyterLab extension is not: its clicks go over the kernel of the manager that holds it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import lab as harness
from tests.browser import probes
from tests.browser.conftest import BEGIN
from tests.browser.lab import Lab, Notebook

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


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab without our extension."""
    with harness.lab(tmp_path_factory.mktemp("plain"), extension=False) as running:
        yield running


@pytest.fixture(scope="module")
def module_page(chromium_browser: Browser) -> Iterator[Page]:
    page = chromium_browser.new_page(viewport={"width": 1300, "height": 950})
    yield page
    page.close()


@pytest.fixture
def book(plain: Lab, module_page: Page, request: pytest.FixtureRequest) -> Iterator[Notebook]:
    """A notebook and a kernel for each test, in one page."""
    cells = [BEGIN, "batch = scripted.batch(); show(batch)", "print(batch.wait_click(60), batch.said)", "batch.said"]
    file = f"{request.node.name}.ipynb"
    harness.notebook(plain.root / file, cells)
    yield Notebook.beside(plain, module_page, file)
    plain.stop_kernels()


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
