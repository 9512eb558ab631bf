"""The widget where no page of ours is: VS Code's own bundle with a kernel, and html-manager without one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import hosts
from tests.browser.conftest import BEGIN
from tests.browser.lab import ARTIFACTS, Lab

CELL = "c => host.cell(c)"


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return hosts.parts()


@pytest.fixture
def page(chromium_browser: Browser, running: Lab) -> Iterator[Page]:
    made = chromium_browser.new_page(viewport={"width": 900, "height": 900})
    yield made
    made.close()
    running.stop_kernels()


def test_vs_codes_page_and_what_it_saves(
    running: Lab, page: Page, files: dict[str, bytes], chromium_browser: Browser
) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    hosts.vscode(page, running, files)
    assert page.evaluate(CELL, BEGIN + "batch = scripted.batch(); show(batch)") == ""
    card = page.locator(".qm-card")
    expect(card.locator(".qm-big").first).to_have_text("4 of 12 done")
    expect(card).to_have_css("background-color", "rgb(27, 27, 27)")  # not white in a dark VS Code
    page.screenshot(path=str(ARTIFACTS / "vscode.png"))

    # A cell that ends only when the click has acted.
    wait = "end = time.time() + 30\nwhile not batch.said and time.time() < end: time.sleep(.05)\nprint(batch.said)"
    page.evaluate("c => { window.blocks = host.cell(c); }", wait)
    card.locator("tr[data-key] [data-action=cancel]").first.click()
    card.locator("[data-confirm=yes]").click()
    assert page.evaluate("() => window.blocks").startswith("[('cancel',")
    page.evaluate(CELL, "show(scripted.big(20))")  # no page of ours followed: the next output is a widget as well
    expect(page.locator(".qm-card")).to_have_count(2)
    assert errors == []

    by_page, model = page.evaluate("() => host.save()")
    by_kernel = page.evaluate(
        "async c => JSON.parse(await host.cell(c))",
        "import json\nfrom ipywidgets import Widget\nprint(json.dumps(Widget.get_manager_state(drop_defaults=False)))",
    )
    for name, state in (("page", by_page), ("kernel", by_kernel)):
        with chromium_browser.new_page(viewport={"width": 900, "height": 900}) as reader:
            hosts.saved(reader, running, files, state, model)
            card = reader.locator(".qm-card")
            expect(card).to_have_attribute("data-saved", "true")
            expect(card).to_contain_text("As of ")
            expect(card).to_contain_text("to watch it again: qmode.attach(")
            expect(card.locator("tr[data-key]")).not_to_have_count(0)
            assert card.locator("[data-action]").count() == 0, f"buttons that nothing answers, saved by the {name}"
            said = card.inner_text()
            reader.wait_for_timeout(1200)
            assert card.inner_text() == said, f"a clock ticks in what the {name} saved"
            reader.screenshot(path=str(ARTIFACTS / f"saved-widget-{name}.png"))
