"""One JupyterLab and one Chromium for all browser tests; a notebook for each, and a page for some."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import lab as harness
from tests.browser.lab import Lab, Notebook

Open = Callable[..., Notebook]
expect.set_options(timeout=30_000)

BEGIN = """
import time, scripted
from IPython.display import display as _show
from qmode_widgets.frontend.display import display
from qmode_widgets.frontend.hub import hub
def show(controller):
    _show(display(controller), raw=True)
"""


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with harness.lab(tmp_path_factory.mktemp("notebooks")) as started:
        yield started


@pytest.fixture(scope="session")
def chromium_browser() -> Iterator[Browser]:
    with harness.browser() as started:
        yield started


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, to be run in a page."""
    return (harness.ROOT / "js" / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf8")


def _written(running: Lab, name: str, cells: tuple[str, ...]) -> str:
    """A notebook of these cells, after the one that begins the package; its file."""
    file = f"{name.removeprefix('test_')[:40]}.ipynb"
    harness.notebook(Path(running.root) / file, [BEGIN, *cells])
    return file


@pytest.fixture
def open_notebook(running: Lab, chromium_browser: Browser, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Write a notebook of the given cells, open it in a page of its own; the first cell begins the package."""
    pages = []

    def open_(*cells: str, name: str = "", width: int = 1400, height: int = 1000) -> Notebook:
        file = _written(running, name or request.node.name, cells)
        page = chromium_browser.new_page(viewport={"width": width, "height": height})
        pages.append(page)
        book = Notebook.open(running, page, file)
        book.run(0)
        return book

    yield open_
    for page in pages:
        page.close()
    running.stop_kernels()


@pytest.fixture(scope="module")
def module_page(running: Lab, chromium_browser: Browser) -> Iterator[Page]:
    page = chromium_browser.new_page()
    yield page
    page.close()
    running.stop_kernels()


@pytest.fixture
def open_beside(running: Lab, module_page: Page, request: pytest.FixtureRequest) -> Iterator[Open]:
    """As `open_notebook`, with a kernel of its own, in the one page of the module: most of a test's cost is its page.

    The panel there remembers other tests' workloads: a test needs ids of its own, or looks at its cells only.
    """
    books = []

    def open_(*cells: str, name: str = "", width: int = 1400, height: int = 1000) -> Notebook:
        file = _written(running, name or request.node.name, cells)
        module_page.set_viewport_size({"width": width, "height": height})
        book = Notebook.beside(running, module_page, file)
        books.append(book)
        book.run(0)
        return book

    yield open_
    for book in books:
        book.close()
    running.stop_kernels()
