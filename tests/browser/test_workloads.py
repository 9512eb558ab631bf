"""What a user sees and does: in a cell and in the sidebar, with the kernel idle and while a cell blocks it."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Locator, expect

from tests.browser import probes
from tests.browser.conftest import Open
from tests.browser.lab import Notebook

BLOCK = "print(batch.wait_click(30), batch.said[-1])"
SHOW = "batch = scripted.batch(); show(batch)"
K = "a1b2c3d4:{}"  # rows' keys in scripted workloads


def row(place: Locator, key: str) -> Locator:
    return place.locator(f"tr[data-key='{K.format(key)}']")


def click(place: Locator, key: str) -> None:
    """The row's action, then yes."""
    row(place, key).locator("[data-action]").click()
    place.locator("[data-confirm=yes]").click()


def place_of(book: Notebook, place: str) -> Locator:
    if place == "cell":
        return book.widget().first
    card = book.sidebar().locator(".qm-card").first
    card.get_by_role("button", name="Open").click()
    return card


@pytest.mark.parametrize("place", ["cell", "sidebar"])
@pytest.mark.parametrize("kernel", ["idle", "busy"])
def test_cancel_and_resubmit(open_notebook: Open, place: str, kernel: str) -> None:
    book = open_notebook(SHOW, BLOCK, BLOCK, "print(batch.said)", name=f"{place}-{kernel}")
    book.run(1)
    card = place_of(book, place)
    for cell, key, after in ((2, "5.0", "cancelled"), (3, "4.0", "queued")):
        expect(row(card, key)).to_be_visible()
        if kernel == "busy":
            book.run(cell, wait=False)
            book.page.wait_for_function(probes.BUSY)
        begun = time.monotonic()
        click(card, key)
        expect(row(card, key if after == "cancelled" else "4.1")).to_have_attribute("data-state", after)
        if kernel == "busy":
            book.wait_done(cell)
            assert time.monotonic() - begun < 5, "the click waited for the cell"
            assert "True" in book.output(cell)
    expect(card.get_by_role("status")).to_contain_text("Resubmit partition 5 (PUBs 8–9): done")
    book.run(4)
    assert book.output(4).strip() == "[('cancel', 'a1b2c3d4:5.0'), ('resubmit', 'a1b2c3d4:4.0')]"
    book.screenshot(f"clicks-{place}-{kernel}")
    assert book.errors == []


def test_both_places_show_the_same_and_tick_by_themselves(open_notebook: Open) -> None:
    change = "batch.set(5, scripted.D); batch.set(8, scripted.R); batch.say('partition 9 is running')"
    book = open_notebook(SHOW, change)
    book.run(1)
    cell, side = place_of(book, "cell"), place_of(book, "sidebar")
    for place in (cell, side):
        expect(row(place, "5.0")).to_have_attribute("data-state", "running")
    book.run(2)
    for place in (cell, side):
        expect(row(place, "5.0")).to_contain_text("✓ Done")
        expect(row(place, "8.0")).to_contain_text("▶ Running")
        expect(place).to_contain_text("partition 9 is running")
    left = cell.get_by_role("timer").inner_text()
    expect(cell.get_by_role("timer")).not_to_have_text(left)
    expect(cell.locator(".qm-counts")).to_contain_text("5 done")


def test_the_service_says_no(open_notebook: Open) -> None:
    book = open_notebook(SHOW, "batch.refuse = 'HTTP 409: the job is in a final state'")
    book.run(1)
    book.run(2)
    card = place_of(book, "cell")
    click(card, "5.0")
    said = "Cancel partition 6 (PUBs 10–11): HTTP 409: the job is in a final state"
    expect(card.get_by_role("status")).to_contain_text(said)
    expect(row(card, "5.0")).to_have_attribute("data-state", "running")
    card.get_by_role("button", name="Dismiss").click()
    expect(card.get_by_role("status")).to_have_text("")


def test_the_sidebar_works_after_a_page_reload_while_a_cell_blocks(open_notebook: Open) -> None:
    book = open_notebook(SHOW, "print('blocked', batch.wait_click(40), batch.said)")
    book.run(1)
    book.run(2, wait=False)
    expect(book.sidebar().locator(".qm-card")).to_be_visible()
    book.save()
    book.reload()
    card = place_of(book, "sidebar")
    expect(book.sidebar().locator(".qm-kernel")).to_contain_text("(busy)")
    click(card, "5.0")
    expect(row(card, "5.0")).to_have_attribute("data-state", "cancelled")
    book.screenshot("reloaded-while-busy")
    book.wait_idle()
    expect(book.widget().first).to_contain_text("⊘ Cancelled")  # and the cell's widget is back when it can be


def test_a_restarted_kernel_is_forgotten_and_found_again(open_notebook: Open) -> None:
    book = open_notebook(SHOW)
    book.run(1)
    expect(book.sidebar().locator("[data-workload]")).to_have_count(1)
    book.restart()
    orphan = book.sidebar().locator("[data-orphan]")
    expect(orphan).to_contain_text('qmode.attach("d2f0b8c4k3a0008v77a1", service)')
    expect(book.sidebar().locator("[data-workload]")).to_have_count(0)
    expect(book.widget().first).to_contain_text("The kernel that showed this has ended")
    expect(book.widget().first.locator("[data-action]")).to_have_count(0)
    book.screenshot("kernel-gone")
    book.run(0)
    book.run(1)
    expect(book.sidebar().locator("[data-workload]")).to_have_count(1)
    expect(orphan).to_have_count(0)
    click(place_of(book, "sidebar"), "5.0")
    expect(row(book.sidebar(), "5.0")).to_have_attribute("data-state", "cancelled")


def test_all_kernels_are_listed_by_notebook_and_an_empty_panel_says_how_to_begin(open_notebook: Open) -> None:
    first = open_notebook(SHOW, name="first")
    panel = first.sidebar()
    expect(panel).to_contain_text("import qmode_widgets as qmode")
    first.screenshot("empty")
    first.run(1)
    expect(panel.locator(".qm-kernel")).to_contain_text(["first.ipynb"])
    second = open_notebook("session = scripted.idle_session(); show(session)", name="second")
    second.run(1)
    for book in (first, second):
        expect(book.sidebar().locator(".qm-kernel")).to_contain_text(["first.ipynb", "second.ipynb"])
        expect(book.sidebar().locator(".qm-title")).to_contain_text("2 open")
    expect(second.sidebar()).to_contain_text("Idle, billed")
    session = second.sidebar().locator("[data-workload=cz3kw0q2r5hg008n79f1]")
    session.get_by_role("button", name="Close").click()
    session.locator("[data-confirm=yes]").click()
    expect(session.get_by_role("status")).to_contain_text("Close: done")
    expect(first.sidebar()).to_contain_text("Closing")  # the other page sees it as well
    second.screenshot("two-kernels")


def test_a_thousand_jobs(open_notebook: Open) -> None:
    book = open_notebook("big = scripted.big(1000); show(big)", "big.set(900, scripted.F)")
    book.run(1)
    card = place_of(book, "cell")
    expect(card.locator("tbody tr[data-key]").first).to_be_visible()
    assert card.locator("tbody tr[data-key]").count() < 60
    scroll = card.locator(".qm-scroll")
    scroll.evaluate("e => e.scrollTop = e.scrollHeight")
    expect(row(card, "999.0")).to_be_visible()
    scroll.evaluate("e => e.scrollTop = e.scrollHeight * 0.9")
    expect(row(card, "900.0")).to_have_attribute("data-state", "waiting")
    book.run(2)
    expect(row(card, "900.0")).to_have_attribute("data-state", "failed")
    card.locator(".qm-count", has_text="failed").click()
    expect(card.locator("tbody tr[data-key]")).to_have_count(4)
    card.locator(".qm-count", has_text="failed").click()
    book.sidebar()
    book.page.wait_for_timeout(300)
    book.screenshot("thousand")
    worst = book.page.evaluate(probes.WORST_FRAME)
    assert worst < 500, f"the page stood still for {worst:.0f} ms while it ticked"


def test_keyboard_only(open_notebook: Open) -> None:
    book = open_notebook(SHOW)
    book.run(1)
    card, keys = place_of(book, "cell"), book.page.keyboard
    card.locator("[data-action=resubmit_failed]").focus()
    seen = []
    for _ in range(14):
        keys.press("Tab")
        seen.append(book.page.evaluate(probes.FOCUSED))
        if seen[-1].startswith("Cancel partition 6"):
            break
    reached = {"Cancel remaining (4)", "Close", "1 failed", "Jobs, scrollable", "Resubmit partition 5 (PUBs 8–9)"}
    assert reached <= set(seen)
    keys.press("Enter")
    expect(card.get_by_role("group", name="Cancel partition 6")).to_be_focused()
    keys.press("Escape")
    expect(row(card, "5.0").get_by_role("button")).to_be_focused()
    keys.press("Enter")
    expect(card.get_by_role("group", name="Cancel partition 6")).to_be_focused()
    keys.press("Tab")
    expect(card.locator("[data-confirm=yes]")).to_be_focused()
    book.screenshot("keyboard")
    keys.press("Enter")
    expect(row(card, "5.0")).to_have_attribute("data-state", "cancelled")
    assert card.evaluate("e => e.contains(document.activeElement)"), "the focus left the workload"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_themes_and_widths(open_notebook: Open, theme: str) -> None:
    others = ["session = scripted.idle_session(); show(session)", "big = scripted.big(300); show(big)"]
    book = open_notebook(SHOW, *others, name=theme)
    book.theme(theme)
    for cell in (1, 2, 3):
        book.run(cell)
    panel = book.sidebar()
    expect(panel.locator(".qm-card")).to_have_count(3)
    for width in (250, 300, 480):
        book.sidebar_width(width)
        book.page.wait_for_timeout(200)  # the ring's movement settles; only for the picture
        assert panel.evaluate("e => e.scrollWidth <= e.clientWidth"), f"the panel overflows at {width}"
        book.screenshot(f"{theme}-{width}")
    panel.get_by_role("button", name="Open").first.click()
    book.sidebar_width(300)
    assert panel.evaluate("e => e.scrollWidth <= e.clientWidth"), "the opened card overflows at 300"
    book.page.evaluate("() => document.querySelector('.jp-OutputArea .qm-card').scrollIntoView()")
    book.screenshot(f"{theme}-open")
    contrast = book.widget().first.evaluate(probes.CONTRAST)
    assert min(contrast.values()) >= 3, contrast
