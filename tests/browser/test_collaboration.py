"""Two people on one notebook (jupyter-collaboration): `make test-libraries` runs it, in an environment that has it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import lab as harness
from tests.browser.conftest import BEGIN
from tests.browser.lab import Notebook

pytest.importorskip("jupyter_collaboration", reason="make test-libraries installs it")

# ipywidgets keeps one control comm a kernel: the second page's takes the place of the first one's, whose end is then
# told to both pages.
NOT_OURS = ("Failed to load resource", "Comm not found for comm id")
END = """for n in range(12): batch.set(n, scripted.D)
batch.change(state=scripted.WorkloadState.CLOSED, accepting_jobs=False)"""
OUTPUTS = "i => window.jupyterapp.shell.currentWidget.content.widgets[i].model.sharedModel.outputs.length"


def test_two_pages_on_one_notebook_end_with_one_output(tmp_path: Path, chromium_browser: Browser) -> None:
    file = tmp_path / "shared.ipynb"
    harness.notebook(file, [BEGIN, "batch = scripted.batch(); show(batch)", "batch.set(5, scripted.F)", END,
                            "other = scripted.batch(id='other000000000000001'); show(other)"])  # fmt: skip

    def stored(cell: int) -> list[dict[str, object]]:
        outputs: list[dict[str, object]] = json.loads(file.read_text())["cells"][cell]["outputs"]
        return outputs

    # Whole: jupyter-collaboration's provider of documents needs parts of JupyterLab that other tests do without.
    with harness.lab(tmp_path, settings=harness.LOUD, whole=True) as lab:
        people = [chromium_browser.new_context(viewport={"width": 1300, "height": 950}) for _ in range(2)]
        mine, theirs = (Notebook.open(lab, person.new_page(), file.name) for person in people)
        assert mine.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.model.collaborative")

        def agreed(cell: int, text: str) -> None:
            """Both pages show one output, and so does the file once they have saved it."""
            for book in (mine, theirs):
                card = book.card_of(cell)
                expect(card).to_have_count(1)
                expect(card).to_contain_text(text)
            for book in (mine, theirs):  # each writes what it thinks is right
                book.save()
                book.page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")
            assert [book.page.evaluate(OUTPUTS, cell) for book in (mine, theirs)] == [1, 1]
            for _ in range(100):
                if text in str(stored(cell)):
                    break
                mine.page.wait_for_timeout(100)  # the server writes the file a moment after
            assert len(stored(cell)) == 1
            assert text in str(stored(cell))

        mine.run(0)
        mine.run(1)
        agreed(1, "4 of 12 done")
        mine.run(2)
        for book in (mine, theirs):  # each person is told, once
            expect(book.page.locator(".Toastify__toast", has_text="failed")).to_have_count(1)
        mine.run(3)
        agreed(1, "12 of 12 done")
        mine.run(4)
        agreed(4, "4 of 12 done")
        mine.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
        for book in (mine, theirs):
            expect(book.card_of(4)).to_have_attribute("data-saved", "true")
        agreed(4, "4 of 12 done")
        agreed(1, "12 of 12 done")
        assert [text for text in mine.errors + theirs.errors if not text.startswith(NOT_OURS)] == []
        for person in people:
            person.close()
