"""A language pack: JupyterLab's translator reaches the panel, the cell, and a widget in a layout of the user's own."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import lab as harness
from tests.browser.conftest import BEGIN
from tests.browser.lab import Lab, Notebook

LANGUAGE = "eo"
PACK = "qmode_test_language"
LITERAL = r"""\s*(?:'((?:[^'\\\n]|\\.)*)'|"((?:[^"\\\n]|\\.)*)")"""
SHOW = "batch = scripted.batch(); show(batch)"
LAYOUT = """from ipywidgets import VBox
from qmode_widgets.frontend.display import widget
VBox([widget(batch)])"""


def catalogue() -> dict[str, object]:
    """Every message of the sources, marked, as a language pack holds it."""
    found: dict[str, object] = {
        "": {"domain": "qmode_widgets", "language": LANGUAGE, "plural_forms": "nplurals=2; plural=(n != 1);"}
    }
    sources = (file for folder in ("core", "cell", "lab") for file in (harness.ROOT / "js" / folder).rglob("*.ts*"))
    for source in (file.read_text(encoding="utf8") for file in sources):
        for call in re.finditer(rf"trans\.(?:__\({LITERAL}|_n\({LITERAL},{LITERAL})", source):
            forms = [re.sub(r"\\(.)", r"\1", form) for form in call.groups() if form]
            found[forms[0]] = [f"⟦{form}⟧" for form in forms]
    return found


@pytest.fixture(scope="module")
def speaking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab in another language: the pack is found as an installed one is, by its entry point."""
    site = tmp_path_factory.mktemp("pack")
    (site / PACK).mkdir()
    (site / PACK / "__init__.py").touch()
    (site / PACK / "qmode_widgets.json").write_text(json.dumps(catalogue()))
    info = site / f"{PACK}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PACK}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[jupyterlab.languagepack]\n{LANGUAGE} = {PACK}\n")
    path = os.pathsep.join([str(site), str(harness.ROOT), str(Path(__file__).parent)])
    settings = {"@jupyterlab/translation-extension:plugin": {"locale": LANGUAGE}}
    with harness.lab(tmp_path_factory.mktemp("language"), settings=settings, env={"PYTHONPATH": path}) as started:
        yield started


@pytest.fixture
def page(chromium_browser: Browser, speaking: Lab) -> Iterator[Page]:
    made = chromium_browser.new_page(viewport={"width": 1400, "height": 1000})
    yield made
    made.close()
    speaking.stop_kernels()


def test_all_of_it_speaks_the_language_of_jupyterlab(speaking: Lab, page: Page) -> None:
    harness.notebook(Path(speaking.root) / "language.ipynb", [BEGIN, SHOW, LAYOUT])
    book = Notebook.open(speaking, page, "language.ipynb")
    for cell in range(3):
        book.run(cell)
    panel = book.sidebar()
    expect(panel).to_contain_text("⟦Quantum workloads⟧")
    for card in (book.card_of(1), book.card_of(2)):
        expect(card).to_contain_text("▶⟦Running⟧")
        expect(card.locator(".qm-progress .qm-big")).to_have_text(re.compile(r"^⟦\d+ of \d+ done⟧$"))
        expect(card.locator(".qm-count").first).to_have_text(re.compile(r"^⟦1 failed⟧$"))
        expect(card.locator("table")).to_contain_text("⟦Usage⟧")
    book.screenshot("language")
    # A document is read by others: it stays as the kernel wrote it.
    book.save()
    assert "⟦" not in (Path(speaking.root) / "language.ipynb").read_text()
    assert not book.errors
