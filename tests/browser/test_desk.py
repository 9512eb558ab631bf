"""The panel as a desk: what needs you, across kernels; signals; the page reloaded, kernels gone and back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser import lab as harness
from tests.browser import probes
from tests.browser.conftest import BEGIN, Open
from tests.browser.lab import Lab, Notebook

MANY = """
from qmode_widgets.model.snapshot import Ttl, WorkloadState
D, R, Q, F = scripted.D, scripted.R, scripted.Q, scripted.F
now = time.time()
def idle(id, left, **more):
    ttl = Ttl(max_ttl=28800, max_deadline=now + 25000, interactive_ttl=300, interactive_deadline=now + left)
    return scripted.idle_session(id=id, ttl=ttl, **more)
failed = scripted.batch(created=now - 60)  # the newest
runs = scripted.workload("batch", [D] * 12 + [R] * 3 + [Q] * 25, id="runs0000000000000001", backend="ibm_torino")
queued = scripted.workload("job", [Q], id="queued01")
one, two = idle("idle0000000000000001", 200), idle("idle0000000000000002", 280)
done = scripted.workload("batch", [D] * 6, id="done0000000000000001", state=WorkloadState.CLOSED, accepting_jobs=False,
                         closed=now - 5, events=())
for each in (failed, runs, queued, one, two, done):
    show(each)
"""
KEYS = "e => [...e.querySelectorAll('.qm-group, .qm-row')].map(n => n.dataset.entry ?? '# ' + n.dataset.group)"


def row(panel: Locator, key: str) -> Locator:
    return panel.locator(f"[data-entry='{key}']")


def unfold(panel: Locator, key: str) -> None:
    row(panel, key).locator(".qm-title1").click()


def shown(panel: Locator) -> list[str]:
    found: list[str] = panel.evaluate(KEYS)
    return found


def test_what_needs_you_first_and_after_a_reload_too(open_notebook: Open) -> None:
    book = open_notebook(MANY, "failed.set(4, scripted.D)", "one.said, two.said, runs.said, queued.said, failed.said")
    book.run(1)
    panel = book.sidebar()
    expect(panel.locator(".qm-row")).to_have_count(5)
    assert shown(panel) == [
        "# needs", "d2f0b8c4k3a0008v77a1",
        "# running", "runs0000000000000001", "queued01",
        "# idle", "idle0000000000000001", "idle0000000000000002",
        "# today",
    ]  # fmt: skip
    expect(row(panel, "d2f0b8c4k3a0008v77a1")).to_contain_text("! 1 failed")
    expect(row(panel, "runs0000000000000001")).to_contain_text("12 of 40")
    expect(row(panel, "idle0000000000000001")).to_contain_text(
        re.compile(r"≈ 2\d\d s used, [56]\d s idle · waiting on costs at most ≈ \d+ s more")
    )

    panel.get_by_role("button", name="Finished today").click()
    expect(row(panel, "done0000000000000001")).to_contain_text("49.2 s used")

    # A reload keeps rows open, and raises no false alarm.
    unfold(panel, "runs0000000000000001")
    expect(row(panel, "runs0000000000000001").locator(".qm-card")).to_be_visible()
    for id_ in ("runs0000", "d2f0b8c4k3a0008v77a1"):
        book.page.wait_for_function("id => JSON.stringify(localStorage).includes(id)", arg=id_)
    book.page.add_init_script(
        """window.groups = new Set();
           new MutationObserver(() => document.querySelectorAll('.qm-row').forEach(r => groups.add(r.dataset.group)))
             .observe(document, {subtree: true, childList: true, attributes: true});"""
    )
    book.save()
    book.reload()
    panel = book.sidebar()
    expect(row(panel, "d2f0b8c4k3a0008v77a1")).to_have_attribute("data-group", "needs")
    expect(row(panel, "runs0000000000000001").locator(".qm-card")).to_be_visible()
    expect(row(panel, "done0000000000000001")).to_be_visible()
    expect(panel.locator(".qm-card")).to_have_count(1)
    assert "unwatched" not in book.page.evaluate("() => [...groups]")
    unfold(panel, "runs0000000000000001")
    book.wait_idle()

    box = panel.get_by_role("searchbox")
    box.fill("torino")
    expect(panel.locator(".qm-row")).to_have_count(1)
    expect(panel.get_by_text("1 workload", exact=True)).to_be_visible()
    box.fill("")

    book.run(2)  # it ran again by itself, and well: it needs nobody any more
    expect(panel.locator("[data-group=needs]")).to_have_count(0)
    assert shown(panel)[:3] == ["# running", "d2f0b8c4k3a0008v77a1", "runs0000000000000001"]

    panel.get_by_role("button", name="End all idle").click()
    question = panel.locator(".qm-ask")
    expect(question).to_be_focused()
    expect(question).to_contain_text("End 2 idle sessions?")
    expect(question).to_contain_text("idle…0001 on ibm_fez, idle…0002 on ibm_fez")
    book.page.keyboard.press("Escape")
    expect(question).to_have_count(0)
    panel.get_by_role("button", name="End all idle").click()
    expect(panel.locator("[data-confirm=yes]")).to_have_text(re.compile(r"End 2 sessions, saves ≈ \d"))
    panel.locator("[data-confirm=yes]").click()
    expect(panel.locator(".qm-group[data-group=idle]")).to_have_count(0)

    panel.get_by_role("button", name="Cancel all 36 jobs…").click()
    expect(question).to_contain_text("Cancel 36 jobs of d2f0…77a1 (7), runs…0001 (28), d2f1…b000 (1)?")
    expect(question).to_contain_text("What the 6 running ones have used until then stays billed.")
    expect(question.locator("[data-confirm=yes]")).to_have_text("Cancel 36, saves up to ≈ 288 s")
    panel.locator("[data-confirm=yes]").click()
    expect(panel.locator("[data-group=running]")).to_have_count(0)
    book.run(3)
    said = book.output(3)
    assert said.count("close") == 2
    assert said.count("cancel_all") == 3
    assert book.errors == []


def test_a_workload_of_two_notebooks_is_one_row_and_leads_to_its_cells(open_notebook: Open, open_beside: Open) -> None:
    first = open_beside("x = 1", "batch = scripted.batch(); show(batch)", *["# far away\n" * 40] * 4, name="first")
    first.run(2)
    second = open_notebook("batch = scripted.batch(); show(batch)", name="second")
    second.run(1)
    for book in (first, second):  # another page knows a cell's output by the file
        book.save()
        book.page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")
    panel = second.sidebar()
    entry = row(panel, "d2f0b8c4k3a0008v77a1")
    expect(panel.locator(".qm-row")).to_have_count(1)
    expect(entry.locator(".qm-where")).to_contain_text("+1")
    expect(second.page.locator(".jp-SideBar [data-qmode-badge]")).to_have_attribute("data-qmode-badge", "1")

    first.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.scrollToItem(6, 'end')")
    side = first.sidebar()
    link = row(side, "d2f0b8c4k3a0008v77a1").locator(".qm-place")
    # Whichever notebook the row names: it opens, and the cell that shows the batch comes into sight.
    name = link.inner_text()
    link.click()
    tab = first.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) [data-workload='d2f0b8c4k3a0008v77a1']")
    current = "name => window.jupyterapp.shell.currentWidget?.context?.path === name"
    first.page.wait_for_function(current, arg=name)
    expect(tab).to_be_in_viewport()


def test_run_again_asks_once_in_the_row(open_beside: Open) -> None:
    book = open_beside("batch = scripted.batch(id='again000000000000001'); show(batch)", "batch.said")
    book.run(1)
    panel = book.sidebar()
    entry = row(panel, "again000000000000001")
    entry.get_by_role("button", name="Run partition 5 again ≈ 8 s").click()
    expect(entry.locator(".qm-ask")).to_be_focused()
    expect(entry.locator(".qm-ask")).to_contain_text("≈ 8 s")
    entry.locator("[data-confirm=yes]").click()
    expect(entry).to_have_attribute("data-group", "running")
    book.run(2)
    assert book.output(2) == "[('resubmit_failed', None)]"


def test_failures_put_aside_stay_aside(open_beside: Open) -> None:
    book = open_beside("batch = scripted.batch(id='aside000000000000001'); show(batch)", "batch.set(5, scripted.F)")
    book.run(1)
    panel = book.sidebar()
    entry = row(panel, "aside000000000000001")
    entry.get_by_role("button", name="Put asid…0001 aside").click()
    expect(entry).to_have_attribute("data-group", "running")
    book.run(2)
    expect(entry).to_have_attribute("data-group", "needs")
    expect(entry).to_contain_text("! 2 failed")


# --- kernels and pages ---------------------------------------------------------------------------------------------


def test_a_restarted_kernel_leaves_its_workloads_unwatched_once(open_notebook: Open) -> None:
    book = open_notebook("batch = scripted.batch(); show(batch)")
    book.run(1)
    panel = book.sidebar()
    expect(panel.locator(".qm-row")).to_have_count(1)
    book.restart()
    entry = row(panel, "d2f0b8c4k3a0008v77a1")
    expect(entry).to_have_attribute("data-group", "unwatched")
    expect(entry).to_contain_text("5 jobs are still queued or run, ≈ 40 s")
    expect(entry.locator(".qm-why")).to_contain_text("seen")
    book.save()
    book.reload()  # and not forgotten with the page
    panel = book.sidebar()
    expect(row(panel, "d2f0b8c4k3a0008v77a1")).to_have_attribute("data-group", "unwatched")
    book.wait_idle()
    book.run(0)
    book.run(1)
    expect(row(panel, "d2f0b8c4k3a0008v77a1")).to_have_attribute("data-group", "needs")
    expect(panel.locator(".qm-row")).to_have_count(1)
    assert shown(panel) == ["# needs", "d2f0b8c4k3a0008v77a1"]


def test_another_protocol_is_named(open_beside: Open) -> None:
    book = open_beside(
        "from qmode_widgets.frontend import protocol\nprotocol.PROTOCOL = 99\nhub._broadcast(hub.greeting())"
    )
    book.run(1)
    banner = book.sidebar().get_by_role("alert")
    expect(banner).to_contain_text("speaks protocol 99")
    expect(banner).to_contain_text("install the same version")
    assert book.errors == []


def test_a_console_is_followed_as_a_notebook_is(open_beside: Open) -> None:
    book = open_beside("1")
    book.page.evaluate(
        "() => window.jupyterapp.commands.execute('console:create', {kernelPreference: {name: 'python3'}})"
    )
    book.page.wait_for_selector(".jp-CodeConsole")
    code = BEGIN + "\nbatch = scripted.batch(id='console0000000000001'); hub.register(batch)"
    book.page.evaluate(
        """async code => { const { console: c } = window.jupyterapp.shell.currentWidget;
                           await c.sessionContext.ready; await c.inject(code); }""",
        code,
    )
    panel = book.sidebar()
    entry = row(panel, "console0000000000001")
    expect(entry.locator(".qm-place")).to_contain_text("Console 1")
    entry.locator(".qm-place").click()
    assert book.page.evaluate("() => window.jupyterapp.shell.currentWidget.console !== undefined")


# --- signals -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loud_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab whose notifications may disturb."""
    with harness.lab(tmp_path_factory.mktemp("loud"), settings=harness.LOUD) as started:
        yield started


@pytest.fixture
def loud(loud_lab: Lab) -> Iterator[Lab]:
    """It, without kernels of other tests."""
    yield loud_lab
    loud_lab.stop_kernels()


@pytest.fixture
def page(chromium_browser: Browser) -> Iterator[Page]:
    started = chromium_browser.new_page(viewport={"width": 1400, "height": 1000})
    yield started
    started.close()


def opened(lab: Lab, page: Page, name: str, *cells: str) -> Notebook:
    harness.notebook(Path(lab.root) / f"{name}.ipynb", [BEGIN, *cells])
    book = Notebook.open(lab, page, f"{name}.ipynb")
    book.run(0)
    return book


def toast(page: Page, text: str) -> Locator:
    return page.locator(".Toastify__toast", has_text=text)


def test_signals_reach_elsewhere_once_each_with_its_action(loud: Lab, page: Page) -> None:
    book = opened(
        loud,
        page,
        "signals",
        "batch = scripted.workload('batch', [scripted.R] * 3, usage=scripted.Usage(cap=60.0)); show(batch)",
        "batch.set(1, scripted.F, reason='transient', reason_code=9707)",
        "batch.set(0, scripted.D); batch.set(2, scripted.D)",
        "from qmode_widgets.model.snapshot import Ttl\n"
        "ttl = Ttl(interactive_ttl=160, interactive_deadline=time.time() + 131.5)\n"
        "session = scripted.idle_session(ttl=ttl); show(session)",
        "session.change(ttl=Ttl(interactive_ttl=60, interactive_deadline=time.time() + 30.5))",
        "session.change(ttl=Ttl(interactive_ttl=60)); session.set(0, scripted.R)",
        "from qmode_widgets.model.snapshot import Limit, Usage\n"
        "capped = scripted.workload('batch', [scripted.R, scripted.Q], id='capped00000000000001', created=time.time(),"
        " usage=Usage(61.0, 'running', None, None, None, 60.0), limits=()); show(capped)",
        "capped.change(limits=(Limit('usage cap', '60 s', 'kernel', time.time()),))",
        "mended = scripted.workload('batch', [scripted.R] * 2, id='mended00000000000001', created=time.time())\n"
        "show(mended)",
        "mended.set(0, scripted.F, reason='transient', reason_code=9707)",
        "mended.set(0, scripted.D, reason=None, reason_code=None); mended.set(1, scripted.D)",
    )
    status = page.locator(".qm-status-button")
    badge = page.locator(".jp-SideBar [data-qmode-badge]")
    book.run(1)
    offer = toast(page, "listed in the panel")
    expect(offer).to_be_visible()
    expect(status).to_have_text("1 running")
    expect(badge).to_have_count(0)

    assert page.locator("#qmode-workloads *").count() == 0  # out of sight, nothing is drawn
    book.run(2)
    failed = toast(page, "1 job of d2f0…77a1 failed: transient (9707)")
    expect(failed).to_be_visible()
    expect(badge).to_have_attribute("data-qmode-badge", "1")
    expect(status).to_contain_text("1 needs you")
    book.run(3)
    ended = toast(page, "d2f0…77a1 finished: 2 of 3 done, 1 failed")
    expect(ended).to_be_visible()
    expect(failed).to_have_count(0)
    page.screenshot(path=str(harness.ARTIFACTS / "signals.png"))
    ended.get_by_role("button", name="Run again…").click()
    panel = page.locator("#qmode-workloads")
    expect(panel.locator(".qm-ask")).to_contain_text("Run 1 failed job again?")
    panel.locator("[data-confirm=no]").click()

    book.run(4)
    expect(status).to_contain_text(re.compile(r"1 needs you · ≈ 2[4-9]\d s today"))
    book.run(5)
    near = toast(page, "idle and billed; inactive in 0:")
    expect(near).to_be_visible()
    expect(near).not_to_contain_text(re.compile(r"in 0:(29|3\d)"))  # its countdown runs
    expect(status).to_contain_text("◷ cz3k…79f1 0:")
    expect(badge).to_have_attribute("data-qmode-badge", "2")
    book.run(6)  # a job came: the warning no longer holds
    expect(near).to_have_count(0)
    expect(badge).to_have_attribute("data-qmode-badge", "1")

    book.run(7)
    book.run(8)
    expect(toast(page, "capped…0001".replace("capped", "capp") + " has reached its usage cap")).to_be_visible()
    book.run(9)
    book.run(10)
    expect(toast(page, "1 job of mend…0001 failed")).to_be_visible()
    book.run(11)
    good = toast(page, "mend…0001 finished: 2 of 2 done")
    expect(good).to_have_class(re.compile("jp-Notification-Toast-success"))
    expect(toast(page, "mend…0001")).to_have_count(1)
    status.click()
    expect(panel).to_be_visible()
    told = page.evaluate("() => JSON.parse(localStorage[Object.keys(localStorage).find(k => k.endsWith(':said'))])")
    assert sum(name.startswith("failed:") for name in told) == 2
    book.save()
    book.reload()
    book.sidebar()
    expect(row(panel, "d2f0b8c4k3a0008v77a1")).to_be_visible()
    expect(page.locator(".Toastify__toast")).to_have_count(0)  # said before the reload
    assert book.errors == []


def test_two_tabs_tell_once_and_a_hidden_one_through_the_browser(loud: Lab, chromium_browser: Browser) -> None:
    context = chromium_browser.new_context(permissions=["notifications"])
    page, other = context.new_page(), context.new_page()
    page.add_init_script(
        """window.told = [];
           window.Notification = class {
             static permission = 'granted'; static requestPermission = async () => 'granted';
             constructor(title, options) { told.push(options.body); } close() {} };"""
    )
    book = opened(
        loud,
        page,
        "tabs",
        "batch = scripted.workload('batch', [scripted.R] * 4); show(batch)",
        *(f"batch.set({n}, scripted.F)" for n in (1, 2, 3)),
    )
    book.run(1)
    other.goto(f"{loud.url}/lab/workspaces/other?token={loud.token}&reset")
    other.wait_for_selector(".qm-status-button")
    book.run(2)
    for tab in (page, other):
        expect(tab.locator(".jp-SideBar [data-qmode-badge]")).to_have_attribute("data-qmode-badge", "1")
    page.wait_for_function("() => JSON.stringify(localStorage).includes('failed:d2f0b8c4k3a0008v77a1:1')")
    for _ in range(300):
        told = [tab.locator(".Toastify__toast", has_text="failed").count() for tab in (page, other)]
        if any(told):
            break
        page.wait_for_timeout(100)  # which of the two tells is theirs to settle: none can be awaited
    assert sum(told) == 1
    other.close()

    hide = "hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true}); }"
    page.evaluate(hide, True)
    book.run(3)
    page.wait_for_function("() => JSON.stringify(localStorage).includes('failed:d2f0b8c4k3a0008v77a1:2')")
    assert page.evaluate("() => told") == []  # off unless the user allows it
    page.evaluate("() => window.jupyterapp.commands.execute('qmode-widgets:allow-browser-notifications')")
    book.run(4)
    page.wait_for_function("() => told.length === 1")
    assert "3 jobs of d2f0…77a1 failed" in page.evaluate("() => told[0]")
    page.evaluate("() => window.jupyterapp.commands.execute('qmode-widgets:allow-browser-notifications')")
    context.close()


# --- settings and commands -----------------------------------------------------------------------------------------


def test_settings_and_commands(open_beside: Open) -> None:
    book = open_beside("batch = scripted.batch(id='settings000000000001'); show(batch)")
    book.run(1)
    page = book.page
    ids: list[str] = page.evaluate("() => window.jupyterapp.commands.listCommands().filter(c => c.startsWith('qmode'))")
    schema = json.loads((harness.ROOT / "js" / "schema" / "sidebar.json").read_text())
    items = schema["jupyter.lab.menus"]["main"][0]["items"]
    assert sorted(ids) == sorted(item["command"] for item in items if "command" in item)
    page.evaluate("() => window.jupyterapp.commands.execute('apputils:activate-command-palette')")
    expect(page.locator(".lm-CommandPalette").get_by_text("Show Quantum Workloads")).to_be_visible()
    menu = page.locator(".lm-MenuBar-item", has_text="Quantum")
    menu.click()
    expect(page.locator(".lm-Menu-item", has_text="Cancel All Quantum Jobs…")).to_be_visible()
    page.keyboard.press("Escape")

    panel = book.sidebar()
    page.evaluate("() => void window.jupyterapp.commands.execute('settingeditor:open', {query: 'Quantum'})")
    page.locator("select[name$='sidebar_side']").select_option("right")  # the open panel moves at once, and stays open
    expect(page.locator("#jp-right-stack #qmode-workloads")).to_be_visible()
    expect(row(panel, "settings000000000001")).to_be_visible()
    page.evaluate("() => window.jupyterapp.commands.execute('application:close')")

    keep = "raw => window.jupyterapp.serviceManager.settings.save('qmode-widgets:sidebar', raw)"
    page.evaluate(keep, json.dumps({"side": "right", "statusItem": False, "badge": False}))
    book.save()
    book.reload()
    book.sidebar()
    assert page.evaluate("() => document.querySelector('#jp-right-stack #qmode-workloads') !== null")
    expect(row(panel, "settings000000000001")).to_be_visible()
    expect(page.locator(".qm-status-button")).to_have_count(0)
    expect(page.locator("[data-qmode-badge]")).to_have_count(0)
    page.evaluate(keep, "{}")

    page.evaluate("() => window.jupyterapp.commands.execute('qmode-widgets:insert-adopt')")
    sources = "() => window.jupyterapp.shell.currentWidget.content.widgets.map(c => c.model.sharedModel.getSource())"
    index = next(i for i, source in enumerate(page.evaluate(sources)) if "qmode.watch()" in source)
    book.wait_idle()
    book.run(index)  # it runs as it stands
    model = "window.jupyterapp.shell.currentWidget.content.widgets[i].model.sharedModel"
    kinds = f"i => {model}.outputs.map(o => o.output_type)"
    assert "error" not in page.evaluate(kinds, index)


# --- the look ------------------------------------------------------------------------------------------------------


STRIP = """e => [...e.querySelectorAll('.qm-thin i')]
    .map(i => [i.className, getComputedStyle(i).backgroundColor + getComputedStyle(i).backgroundImage])"""


def test_the_desk_in_themes_and_widths_and_beside_cells(open_notebook: Open, axe: str) -> None:
    book = open_notebook("batch = scripted.batch(); hub.register(batch)", "show(scripted.big(20))", MANY)
    book.run(1)
    panel = book.sidebar()

    # Colours do not depend on what else the page shows: each cell's view brings the same stylesheet along, after the
    # panel's own.
    entry = row(panel, "d2f0b8c4k3a0008v77a1")
    strip = entry.locator(".qm-thin i")
    expect(strip).to_have_count(12)
    alone = dict(entry.evaluate(STRIP))
    assert len(set(alone.values())) == 5, f"done, failed, running, queued and not sent look alike: {alone}"
    book.run(2)
    expect(book.card_of(2)).to_be_visible()
    assert dict(entry.evaluate(STRIP)) == alone

    book.run(3)
    panel.get_by_role("button", name="Finished today").click()
    expect(panel.locator("[data-entry]")).not_to_have_count(0)
    for theme in ("light", "dark"):
        book.theme(theme)
        for width in (250, 300, 480):
            book.sidebar_width(width)
            assert panel.evaluate("e => e.scrollWidth <= e.clientWidth"), f"the panel overflows at {width}, {theme}"
            book.screenshot(f"desk-{theme}-{width}")
        unfold(panel, "d2f0b8c4k3a0008v77a1")
        expect(row(panel, "d2f0b8c4k3a0008v77a1").locator(".qm-card")).to_be_visible()
        for width in (300, 480):
            book.sidebar_width(width)
            assert panel.evaluate("e => e.scrollWidth <= e.clientWidth"), f"an opened row overflows at {width}, {theme}"
            book.screenshot(f"desk-{theme}-open-{width}")
        for part in ("#qmode-workloads", ".qm-status"):
            expect(book.page.locator(part)).to_be_visible()
            assert book.page.evaluate(probes.AXE, [axe, part]) == [], theme
        unfold(panel, "d2f0b8c4k3a0008v77a1")
        expect(panel.locator(".qm-card")).to_have_count(0)
