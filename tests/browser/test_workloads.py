"""What a user sees and does: in a cell and in the sidebar, with the kernel idle and while a cell blocks it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from tests.browser import probes
from tests.browser.conftest import Open
from tests.browser.lab import Notebook

BLOCK = "print(batch.wait_click(60), batch.said[-1])"  # True: the click was carried out while the cell ran
SHOW = "batch = scripted.batch(id=scripted.fresh()); show(batch)"
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
    entry = entry_of(book)
    entry.locator(".qm-title1").click()
    return entry.locator(".qm-card")


def entry_of(book: Notebook) -> Locator:
    """The panel's row of the workload that the notebook shows: it remembers those of other tests as well."""
    return book.sidebar().locator("[data-entry]").filter(has_text=book.name)


@pytest.mark.parametrize("place", ["cell", "sidebar"])
@pytest.mark.parametrize("kernel", ["idle", "busy"])
def test_cancel_and_resubmit(open_beside: Open, place: str, kernel: str) -> None:
    book = open_beside(SHOW, BLOCK, BLOCK, "print(batch.said)", name=f"{place}-{kernel}")
    book.run(1)
    card = place_of(book, place)
    for cell, key, after in ((2, "5.0", "cancelled"), (3, "4.0", "queued")):
        expect(row(card, key)).to_be_visible()
        if kernel == "busy":
            book.run(cell, wait=False)
            book.page.wait_for_function(probes.BUSY)
        click(card, key)
        expect(row(card, key if after == "cancelled" else "4.1")).to_have_attribute("data-state", after)
        if kernel == "busy":
            book.wait_done(cell)
            assert "True" in book.output(cell), "the click waited for the cell"
    expect(card.get_by_role("status")).to_contain_text("Run partition 5 (PUBs 8–9) again: resubmitted")
    expect(row(card, "4.1").locator(".qm-outcome-done")).to_contain_text("resubmitted")
    book.run(4)
    assert book.output(4).strip() == "[('cancel', 'a1b2c3d4:5.0'), ('resubmit', 'a1b2c3d4:4.0')]"
    book.screenshot(f"clicks-{place}-{kernel}")
    assert book.errors == []


def test_both_places_show_the_same_and_tick_by_themselves(open_beside: Open) -> None:
    change = "batch.set(5, scripted.D); batch.set(8, scripted.R); batch.say('partition 9 is running')"
    book = open_beside(SHOW, change)
    book.run(1)
    cell, side = place_of(book, "cell"), place_of(book, "sidebar")
    for place in (cell, side):
        place.get_by_role("button", name="by number").click()
        expect(row(place, "5.0")).to_have_attribute("data-state", "running")
    book.run(2)
    for place in (cell, side):
        expect(row(place, "5.0")).to_contain_text("✓ Done")
        expect(row(place, "8.0")).to_contain_text("▶ Running")
        expect(place).to_contain_text("partition 9 is running")
    left = cell.get_by_role("timer").inner_text()
    expect(cell.get_by_role("timer")).not_to_have_text(left)
    expect(cell.locator(".qm-counts")).to_contain_text("5 done")
    expect(cell.locator(".qm-progress .qm-big")).to_have_text("5 of 12 done")


def test_the_question_and_the_answer_stand_where_the_button_was(open_beside: Open) -> None:
    book = open_beside(SHOW, "batch.refuse = 'HTTP 409: the job is in a final state'")
    book.run(1)
    book.run(2)
    card = place_of(book, "cell")
    places = "e => [...e.querySelectorAll('tr[data-key]')].map(r => [r.dataset.key, r.getBoundingClientRect().top])"
    before = card.evaluate(places)
    row(card, "5.0").locator("[data-action]").click()
    under = "([x, y]) => document.elementFromPoint(x, y).closest('button')?.dataset.confirm"
    box = row(card, "6.0").locator("[data-action]").bounding_box()
    assert box is not None
    middle = [box["x"] + box["width"] - 8, box["y"] + box["height"] / 2 - 32]
    assert book.page.evaluate(under, middle) == "no", "the pointer rests on what would cancel"
    assert card.evaluate(places) == before
    card.locator("[data-confirm=yes]").click()
    said = "Cancel partition 6 (PUBs 10–11): HTTP 409: the job is in a final state"
    expect(card.get_by_role("status")).to_contain_text(said)
    expect(row(card, "5.0").locator(".qm-outcome-failed")).to_contain_text("the job is in a final state")
    assert card.evaluate(places) == before
    book.screenshot("refused")
    expect(row(card, "5.0")).to_have_attribute("data-state", "running")
    row(card, "5.0").get_by_role("button", name="Dismiss").click()
    expect(row(card, "5.0").locator("[data-action=cancel]")).to_be_visible()


def test_after_a_cap_what_is_missing_runs_again_under_one_that_fits(open_beside: Open) -> None:
    book = open_beside("batch = scripted.capped(); show(batch)", "print(batch.usage_cap, batch.said)")
    book.run(1)
    banner = place_of(book, "cell").locator("[data-banner=cap]")
    expect(banner).to_contain_text("3 jobs of 6 are not done.")
    banner.get_by_role("button", name="Run 3 missing again ≈ 24 s").click()
    expect(banner.locator(".qm-confirm")).to_contain_text("Expected usage ≈ 24 s. The usage cap becomes 54 s.")
    banner.locator("[data-confirm=yes]").click()
    expect(row(place_of(book, "cell"), "3.1")).to_have_attribute("data-state", "queued")
    book.run(2)
    assert book.output(2).startswith("54.0 [('resubmit', ")


def test_several_are_cancelled_only_after_a_question(open_beside: Open) -> None:
    book = open_beside(SHOW, "print(batch.said)", "print(batch.said)")
    book.run(1)
    card = place_of(book, "cell")
    card.get_by_role("button", name="Select…").click()
    for n in range(3):
        card.locator(".qm-choose:enabled").nth(n).check()
    card.get_by_role("button", name="Cancel 3, saves up to ≈ 24 s").click()
    expect(card.locator(".qm-fold .qm-confirm")).to_contain_text(
        "What the 3 running ones have used until then stays billed."
    )
    book.run(2)
    assert book.output(2).strip() == "[]"
    card.locator("[data-confirm=yes]").click()
    expect(card.locator("tr[data-state=cancelled]")).to_have_count(3)
    book.run(3)
    assert book.output(3).count("'cancel'") == 3


def test_a_refused_click_is_red_until_it_is_dismissed(open_beside: Open) -> None:
    book = open_beside(SHOW, "batch.refused = 'you may not cancel this job'")
    book.run(1)
    book.run(2)
    card = place_of(book, "cell")
    click(card, "5.0")
    answer = row(card, "5.0").locator(".qm-outcome-failed")
    expect(answer).to_contain_text("refused: 403 you may not cancel this job")
    red, green = (card.evaluate(f"e => getComputedStyle(e).getPropertyValue('--qm-{tone}')") for tone in ("fail", "ok"))
    assert red != green
    expect(answer.locator(".qm-shape")).to_have_text("!")
    book.screenshot("refused-outcome")
    row(card, "6.0").locator("[data-action]").first.click()  # another click leaves it
    expect(answer).to_be_visible()
    row(card, "5.0").get_by_role("button", name="Dismiss").click()
    expect(answer).to_have_count(0)


def test_a_page_of_another_protocol_shows_the_kernels_own_widget(open_beside: Open) -> None:
    older = (
        "from qmode_widgets.frontend.hub import hub; hub._pages['older'] = 1  # what an older extension's request says"
    )
    book = open_beside(older, SHOW, "print(*sorted(display(batch)))")
    for cell in (1, 2, 3):
        book.run(cell)
    assert book.output(3).split() == ["application/vnd.jupyter.widget-view+json", "text/html", "text/plain"]
    widget = book.card_of(2)
    expect(row(widget, "5.0")).to_be_visible()
    click(widget, "5.0")
    expect(row(widget, "5.0")).to_have_attribute("data-state", "cancelled")


def test_both_places_work_after_a_page_reload_while_a_cell_blocks(open_beside: Open) -> None:
    book = open_beside(SHOW, "print('blocked', batch.wait_click(40), batch.said)")
    book.run(1)
    book.run(2, wait=False)
    expect(entry_of(book)).to_be_visible()
    book.save()
    book.reload()
    cell = place_of(book, "cell")
    expect(cell).to_have_attribute("data-saved", "false")  # live again, though the kernel is busy
    click(cell, "5.0")
    expect(row(cell, "5.0")).to_have_attribute("data-state", "cancelled")
    expect(row(place_of(book, "sidebar"), "5.0")).to_have_attribute("data-state", "cancelled")
    book.screenshot("reloaded-while-busy")
    book.wait_idle()


def test_a_thousand_jobs(open_beside: Open) -> None:
    book = open_beside("big = scripted.big(1000); show(big)", "big.set(900, scripted.F)")
    book.run(1)
    card = place_of(book, "cell")
    expect(card).to_have_attribute("data-saved", "false")
    rows = card.locator("tbody tr[data-key]")
    expect(rows.first).to_have_attribute("data-state", "failed")
    assert rows.count() < 60
    expect(card.locator("[data-visible]")).to_contain_text("of 1,000")
    expect(card.locator("[data-unfold]")).to_contain_text("496 more done")
    expect(card.locator(".qm-scroll")).to_have_attribute("data-more", "")
    card.get_by_role("button", name="by number").click()
    scroll = card.locator(".qm-scroll")
    scroll.evaluate("e => e.scrollTop = e.scrollHeight")
    expect(row(card, "999.0")).to_be_visible()
    expect(card.locator(".qm-scroll")).not_to_have_attribute("data-more", "")
    scroll.evaluate("e => e.scrollTop = e.scrollHeight * 0.9")
    expect(row(card, "900.0")).to_have_attribute("data-state", "waiting")
    book.run(2)
    expect(row(card, "900.0")).to_have_attribute("data-state", "failed")
    card.get_by_role("button", name="failed only").click()
    expect(rows).to_have_count(4)
    card.get_by_role("button", name="failed only").click()
    card.get_by_role("button", name="needs you first").click()
    expect(rows.nth(3)).to_have_attribute("data-key", K.format("900.0"))
    book.screenshot("thousand")
    worst = book.page.evaluate(probes.WORST_FRAME)
    assert worst < 500, f"the page stood still for {worst:.0f} ms while it ticked"


def test_keyboard_only(open_beside: Open) -> None:
    book = open_beside(SHOW)
    book.run(1)
    card, keys = place_of(book, "cell"), book.page.keyboard
    cells = "() => window.jupyterapp.shell.currentWidget.content.widgets.length"
    count = book.page.evaluate(cells)
    card.locator(".qm-head [data-action=cancel_remaining]").focus()
    seen = []
    for _ in range(20):
        keys.press("Tab")
        seen.append(book.page.evaluate(probes.FOCUSED))
        assert book.page.evaluate(probes.SEEN), f"{seen[-1]} has the focus and cannot be seen"
        if seen[-1].startswith("Details of partition 5"):
            break
    assert {"End batch…", "Run partition 5 again ≈ 8 s", "1 failed", "Details of partition 5 (PUBs 8–9)"} <= set(seen)
    keys.press("x")  # would cut the cell
    keys.press("ArrowDown")
    expect(card.get_by_role("button", name="Details of partition 6")).to_be_focused()
    keys.press("Enter")
    expect(card.locator(f"[data-detail='{K.format('5.0')}']")).to_be_visible()
    keys.press("ArrowLeft")
    expect(card.locator("[data-detail]")).to_have_count(0)
    keys.press("Tab")
    expect(card.get_by_role("button", name="Cancel partition 6")).to_be_focused()
    keys.press("Enter")
    expect(card.get_by_role("group", name="Cancel partition 6")).to_be_focused()
    keys.press("Escape")
    expect(row(card, "5.0").locator("[data-action]")).to_be_focused()
    keys.press("Enter")
    expect(card.get_by_role("group", name="Cancel partition 6")).to_be_focused()
    keys.press("Tab")
    expect(card.locator("[data-confirm=yes]")).to_be_focused()
    book.screenshot("keyboard")
    keys.press("Enter")
    expect(row(card, "5.0")).to_have_attribute("data-state", "cancelled")
    assert card.evaluate("e => e.contains(document.activeElement)"), "the focus left the workload"
    assert book.page.evaluate(cells) == count, "a key meant for the view reached the notebook"


STATES = {
    "one": "one = scripted.workload('job', [scripted.R]); show(one)",
    "batch": SHOW,
    "idle": "session = scripted.idle_session(); show(session)",
    "many": "many = scripted.big(200); show(many)",
    "thousand": "big = scripted.big(1000); show(big)",
    "cap": "cap = scripted.capped(); show(cap)",
    "near": "near = scripted.ending(); show(near)",
    "unreachable": "far = scripted.batch(problem='The service cannot be reached', seen_at=time.time() - 14); show(far)",
    "token": "key = scripted.batch(problem='HTTP 401: Unauthorized', seen_at=time.time() - 14); show(key)",
}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_each_state_in_both_themes(open_beside: Open, theme: str, axe: str) -> None:
    book = open_beside(*STATES.values(), name=f"states-{theme}", width=1280)
    book.theme(theme)
    book.page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
    for cell, state in enumerate(STATES, start=1):
        book.run(cell)
        card = book.card_of(cell)
        card.scroll_into_view_if_needed()
        book.page.mouse.move(0, 0)
        card.screenshot(path=str(book.picture(f"{theme}-{state}")))
        assert book.page.evaluate(probes.AXE, [axe, f"#{card.evaluate(probes.NAMED)}"]) == [], state
        assert card.evaluate("e => e.scrollWidth <= e.clientWidth"), f"{state} overflows"
        contrast = card.evaluate(probes.CONTRAST)
        assert min(contrast.values()) >= 3, contrast
    assert book.errors == []


def test_narrow_places(open_beside: Open) -> None:
    states = [STATES["batch"], STATES["idle"], STATES["many"], STATES["unreachable"]]
    book = open_beside(*states)
    # In the notebook, so that it goes with it.
    begin = "e => e.append(Object.assign(document.createElement('style'), { className: 'narrow' }))"
    book.page.locator(".jp-NotebookPanel").evaluate(begin)
    for width in (280, 420, 700):
        rule = f".jp-OutputArea .qm {{ width: {width}px; }}"
        book.page.locator("style.narrow").evaluate("(style, rule) => { style.textContent = rule; }", rule)
        for cell in range(1, len(states) + 1):
            book.run(cell)
            card = book.card_of(cell)
            card.scroll_into_view_if_needed()
            assert 0 < card.evaluate("e => e.getBoundingClientRect().width") <= width
            assert card.evaluate("e => e.scrollWidth <= e.clientWidth"), f"cell {cell} overflows at {width}"
            if cell == 1:
                row(card, "5.0").locator("[data-action]").click()
                expect(card.locator("[data-confirm=yes]")).to_be_visible()
                asked = card.locator(".qm-answer-text")
                assert asked.evaluate("e => e.scrollHeight <= e.clientHeight"), f"the question is cut off at {width}"
            card.screenshot(path=str(book.picture(f"narrow-{width}-{cell}")))


def test_forced_colours_keep_what_bars_say(open_beside: Open) -> None:
    book = open_beside(SHOW, STATES["idle"])
    book.page.emulate_media(forced_colors="active")
    book.run(1)
    book.run(2)
    card = book.card_of(1)
    ground = card.evaluate(probes.GROUND)
    for part in (".qm-bar .qm-solid", ".qm-seg-ran", ".qm-seg-failed", ".qm-seg-waited", ".qm-cell.qm-job-done"):
        found = card.locator(part).first.evaluate(probes.GROUND)
        assert found != ground, f"{part} cannot be told from the ground"
    book.screenshot("forced-colours")
    assert book.card_of(2).locator(".qm-bar .qm-part-idle").first.evaluate(probes.GROUND) != ground


def test_a_service_that_hangs_and_one_that_is_gone_are_said_with_all_clocks_still(open_beside: Open) -> None:
    book = open_beside(SHOW, "batch.answers = False", "batch.answers = True", "batch.change(problem='HTTP 503: down')")
    book.run(1)
    card = place_of(book, "cell")
    book.run(2)
    banner = card.locator("[data-banner=service]")
    expect(banner).to_contain_text("has not answered the last three requests", timeout=30_000)
    expect(card).to_contain_text("last seen")
    still = card.get_by_role("timer").inner_text()
    click(card, "5.0")
    expect(row(card, "5.0")).to_contain_text("has not answered")  # within two seconds: see the views' own tests
    book.screenshot("hung")
    assert card.get_by_role("timer").inner_text() == still, "a clock goes on though nothing is known"
    book.run(3)
    expect(banner).to_have_count(0)
    expect(row(card, "5.0")).to_have_attribute("data-state", "cancelled")
    expect(card.get_by_role("timer")).not_to_have_text(still)
    book.run(4)
    expect(banner).to_contain_text("HTTP 503: down")
    expect(banner.locator("[data-action=refresh]")).to_have_text("Retry now")
