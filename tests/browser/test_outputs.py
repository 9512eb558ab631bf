"""Outputs that last: a notebook saved, its kernel ended, the page reloaded, in JupyterLab and Notebook 7."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import lab as harness
from tests.browser.conftest import BEGIN
from tests.browser.lab import Lab, Notebook

SHOW = "batch = scripted.batch(); show(batch)"
END = """for n in range(12): batch.set(n, scripted.D)
batch.change(state=scripted.WorkloadState.CLOSED, accepting_jobs=False)"""
MIME = "application/vnd.qmode-widgets.workload+json"
ATTACH = """import sys, types
service = object()
again = scripted.batch()
sys.modules["qmode_widgets"].attach = lambda id, service: show(again)"""


@pytest.fixture(scope="module", params=["jupyterlab", "notebook"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with harness.lab(tmp_path_factory.mktemp("outputs"), app=request.param) as started:
        yield started


@pytest.fixture(scope="module")
def module_page(chromium_browser: Browser, place: Lab) -> Iterator[Page]:
    made = chromium_browser.new_page(viewport={"width": 1300, "height": 950})
    yield made
    made.close()


@pytest.fixture
def page(module_page: Page, place: Lab) -> Iterator[Page]:
    """One for all tests, each with a notebook and a kernel of its own: they look at its cells only."""
    yield module_page
    place.stop_kernels()


def begun(place: Lab, page: Page, name: str, *cells: str) -> Notebook:
    harness.notebook(Path(place.root) / f"{name}.ipynb", [BEGIN, SHOW, *cells])
    book = Notebook.beside(place, page, f"{name}.ipynb")
    book.run(0)
    book.run(1)
    expect(book.card_of(1)).to_have_attribute("data-saved", "false")
    return book


def stored(book: Notebook, cell: int = 1) -> dict[str, Any]:
    """What the file on the disk holds of a cell's output."""
    cells = json.loads((Path(book.lab.root) / book.name).read_text())["cells"]
    found: dict[str, Any] = cells[cell]["outputs"][0]["data"]
    return found


def html(book: Notebook) -> str:
    return "".join(stored(book)["text/html"])


def save(book: Notebook) -> None:
    book.save()
    book.page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")


def test_a_saved_notebook_shows_the_last_state_without_its_kernel_and_leads_back(place: Lab, page: Page) -> None:
    book = begun(place, page, "kept", "batch.set(5, scripted.D)", ATTACH)
    book.run(2)
    expect(book.card_of(1).locator(".qm-progress .qm-big")).to_have_text("5 of 12 done")
    save(book)
    assert "5 of 12 done" in html(book)
    book.restart()
    expect(book.card_of(1)).to_have_attribute("data-saved", "true")
    save(book)
    book.reload()
    card = book.card_of(1)
    expect(card).to_have_attribute("data-saved", "true")
    expect(card).to_contain_text("As of ")
    expect(card).to_contain_text("no kernel watches it")
    expect(card.locator(".qm-progress .qm-big")).to_have_text("5 of 12 done")
    expect(card.locator("[data-action]")).to_have_count(0)
    card.locator("tr[data-key]").first.locator(".qm-expand").click()
    expect(card.locator("[data-detail]")).to_contain_text("IBM’s advice: retry the job.")
    book.screenshot(f"saved-{place.app}")
    book.wait_idle()
    card.locator("[data-reattach]").click()
    expect(card).to_contain_text("run the cell that makes `service` for the instance premium-team")  # none is known
    book.run(0)
    book.run(4)  # one down: the new cell stands before it
    card.locator("[data-reattach]").click()
    expect(card).to_have_attribute("data-saved", "false")
    expect(card.locator(".qm-progress .qm-big")).to_have_text("4 of 12 done")
    count = "() => window.jupyterapp.shell.currentWidget.content.widgets.length"
    assert page.evaluate(count) == 5, "one cell, however often it was asked for"
    assert book.errors == []


def test_a_document_stays_small_is_read_elsewhere_and_gets_the_end_by_itself(
    place: Lab, page: Page, chromium_browser: Browser
) -> None:
    book = begun(place, page, "ended", "big = scripted.big(1000); show(big)", END)
    book.run(2)
    expect(book.card_of(2)).to_have_attribute("data-saved", "false")
    save(book)
    assert "4 of 12 done" in html(book)
    kept = stored(book, 2)
    assert sum(len(json.dumps(form, ensure_ascii=False).encode()) for form in kept.values()) <= 50_000
    text = "".join(kept["text/html"])
    assert "497 of 1000 done, 3 failed" in text
    assert "and 193 queued, 250 not sent yet, 497 done (4075.4 s)" in text
    file = Path(place.root) / book.name
    command = [sys.executable, "-m", "nbconvert", "--to", "html", str(file)]
    subprocess.run(command, check=True, capture_output=True, cwd=place.root)
    with chromium_browser.new_page() as reader:
        reader.goto(file.with_suffix(".html").as_uri())
        caption = "Batch d2f0b8c4k3a0008v77a1 on ibm_fez: active, 4 of 12"
        expect(reader.locator("table caption").first).to_contain_text(caption)

    shared = "window.jupyterapp.shell.currentWidget.content.widgets[1].model.sharedModel.youtputs"
    page.evaluate(f"() => {{ window.before = {shared}.get(0); }}")
    book.run(3)
    expect(book.card_of(1).locator(".qm-progress .qm-big")).to_have_text("12 of 12 done")
    model = "() => JSON.stringify(window.jupyterapp.shell.currentWidget.content.widgets[1].model.toJSON().outputs)"
    page.wait_for_function(f"() => ({model})().includes('12 of 12 done')")
    # In place: pages that share the document would each add a new one.
    assert page.evaluate(f"() => {shared}.length === 1 && {shared}.get(0) === window.before")
    page.wait_for_function("() => window.jupyterapp.shell.currentWidget.context.model.dirty")
    save(book)
    assert "closed, 12 of 12 done" in html(book)
    assert "application/vnd.jupyter.widget-view+json" not in stored(book)

    book.reload()
    for cell in (1, 2):
        expect(book.card_of(cell)).to_have_attribute("data-saved", "false")
    page.wait_for_timeout(500)  # what would be written comes after the view is in place
    dirty = page.evaluate("() => window.jupyterapp.shell.currentWidget.context.model.dirty")
    assert not dirty, "an output that says the same was written again"

    place.stop_kernels()
    book.reload()
    expect(book.card_of(1).locator(".qm-progress .qm-big")).to_have_text("12 of 12 done")
    expect(book.card_of(1)).to_contain_text("As of ")
    expect(book.card_of(1).locator("[data-reattach]")).to_have_count(0)  # nothing is left to watch
    assert "model not found" not in page.content()
    card = book.card_of(2)
    expect(card.locator(".qm-progress .qm-big")).to_have_text("497 of 1,000 done")
    expect(card.locator(".qm-fold")).to_contain_text("497 more done")
    book.screenshot(f"saved-thousand-{place.app}")


REAL = """import qmode_widgets as qmode
from qiskit import QuantumCircuit, transpile
from qiskit_ibm_runtime.executor_sampler import Sampler
emulator = qmode.emulator.start()
backend = emulator.service.least_busy()
bell = QuantumCircuit(2); bell.h(0); bell.cx(0, 1); bell.measure_all()
emulator.faults.pause()
batch = qmode.BatchController.open(backend)
run = batch.submit(Sampler(mode=batch.primitive_mode), [transpile(bell, backend)] * 4, partitions=4)
print(emulator.pid)"""


def test_a_real_service_that_hangs_and_is_killed(tmp_path: Path, chromium_browser: Browser) -> None:
    harness.notebook(tmp_path / "real.ipynb", [REAL, "batch"])
    with harness.lab(tmp_path, env={"JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}) as running:
        page = chromium_browser.new_page(viewport={"width": 1300, "height": 950})
        book = Notebook.open(running, page, "real.ipynb")
        book.run(0)
        book.run(1)
        card, service = book.card_of(1), int(book.output(0).split()[-1])
        expect(card.locator("tr[data-key]")).to_have_count(4)
        expect(card.locator("[data-banner]")).to_have_count(0)
        os.kill(service, signal.SIGSTOP)
        expect(card.locator("[data-banner=service]")).to_contain_text("has not answered", timeout=15_000)
        expect(card).to_contain_text("last seen")
        book.screenshot("service-hangs")
        os.kill(service, signal.SIGCONT)
        expect(card.locator("[data-banner]")).to_have_count(0, timeout=20_000)
        os.kill(service, signal.SIGKILL)
        expect(card.locator("[data-banner=service]")).to_contain_text("the service cannot be reached", timeout=20_000)
        book.screenshot("service-killed")
        page.close()
