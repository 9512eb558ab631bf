"""The account without a notebook, what a kernel leaves behind, and how to begin: real client, embedded service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from qiskit_ibm_runtime import Batch, Session

import qmode_widgets as qmode
from qmode_widgets.emulator.client.launch import Emulator
from tests.browser import lab as harness
from tests.browser.lab import Lab, Notebook
from tests.elsewhere import Elsewhere

START = 60_000  # a kernel imports qiskit and the client


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runtime")


@pytest.fixture(scope="module")
def emulator(runtime: Path) -> Iterator[Emulator]:
    """The very service that kernels find: all look into the same runtime directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_RUNTIME_DIR", str(runtime))
        started = qmode.emulator.start()
        yield started
        started.stop()


@pytest.fixture(scope="module")
def lab(runtime: Path, emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    env = {"JUPYTER_RUNTIME_DIR": str(runtime), "HOME": str(runtime)}  # and no saved account
    with harness.lab(tmp_path_factory.mktemp("notebooks"), env=env) as started:
        yield started


@pytest.fixture
def page(chromium_browser: Browser, lab: Lab) -> Iterator[Page]:
    started = chromium_browser.new_page(viewport={"width": 1400, "height": 1000})
    yield started
    started.close()
    lab.stop_kernels()


def begun(lab: Lab, page: Page) -> None:
    """JupyterLab without a notebook."""
    page.goto(f"{lab.url}/lab?token={lab.token}&reset")
    page.wait_for_function("() => window.jupyterapp?.commands.hasCommand('qmode-widgets:show')", timeout=START)
    page.evaluate("() => window.jupyterapp.restored")
    page.locator("#jupyterlab-splash").wait_for(state="detached")
    page.wait_for_selector(".jp-Launcher:focus", timeout=START)  # it comes last, and takes the focus from who has it


def empty(lab: Lab, page: Page) -> Locator:
    """The same, and its panel."""
    begun(lab, page)
    page.evaluate("() => window.jupyterapp.commands.execute('qmode-widgets:show')")
    panel = page.locator("#qmode-workloads")
    panel.wait_for(state="visible")
    return panel


def book(lab: Lab, page: Page, name: str, *cells: str) -> Notebook:
    harness.notebook(Path(lab.root) / f"{name}.ipynb", list(cells))
    return Notebook.open(lab, page, f"{name}.ipynb")


def row(panel: Locator, id_: str) -> Locator:
    return panel.locator(f"[data-entry='{id_}']")


def names(lab: Lab) -> list[str]:
    return [session["name"] for session in lab.get("api/sessions")]


def test_the_account_without_a_notebook(lab: Lab, page: Page, emulator: Emulator) -> None:
    backend = emulator.service.backend("emu_fez")
    session, batch, third = Session(backend), Batch(backend), Batch(backend)
    theirs = Batch(emulator.connect("emulator-payg", colleague=True).backend("emu_fez"))
    panel = empty(lab, page)
    panel.get_by_role("button", name="Look at my account").click()
    expect(panel.get_by_role("alert")).to_contain_text("There is no saved IBM Quantum account", timeout=START)
    assert names(lab) == []  # and no kernel stays behind
    panel.get_by_role("button", name="Use the embedded service").click()
    expect(panel.locator("[data-instance=emulator-open]")).to_contain_text(
        "0 s of 10 min used · 10 min left", timeout=START
    )
    expect(panel.locator("[data-instance=emulator-payg]")).to_contain_text("0 s used")
    assert names(lab) == ["Quantum account"]
    page.evaluate("() => window.jupyterapp.shell.activateById('jp-running-sessions')")
    expect(page.locator("#jp-running-sessions")).to_contain_text("Quantum account")
    page.evaluate("() => window.jupyterapp.commands.execute('qmode-widgets:show')")

    for mine in (session, batch, third):
        expect(row(panel, mine.session_id)).to_have_attribute("data-group", "unwatched")
    expect(row(panel, theirs.session_id)).to_have_count(0)
    page.screenshot(path=str(harness.ARTIFACTS / "account.png"))

    row(panel, session.session_id).get_by_role("button", name="End session").click()
    expect(row(panel, session.session_id).locator(".qm-ask")).to_contain_text("End this session?")
    row(panel, session.session_id).locator("[data-confirm=yes]").click()
    expect(row(panel, session.session_id)).to_have_count(0)
    assert session.status() == "Closed"

    row(panel, third.session_id).locator("[data-act=cancel]").click()
    row(panel, third.session_id).locator("[data-confirm=yes]").click()
    expect(row(panel, third.session_id)).to_have_count(0)
    assert third.status() == "Closed"

    row(panel, batch.session_id).get_by_role("button", name="Watch it").click()
    expect(row(panel, batch.session_id)).to_have_attribute("data-group", "open")
    expect(row(panel, batch.session_id).locator(".qm-place")).to_have_text("Quantum account")

    page.reload()  # its kernel watches: it stays, and the panel finds it again
    panel = page.locator("#qmode-workloads")
    expect(row(panel, batch.session_id)).to_have_attribute("data-group", "open", timeout=START)
    expect(panel.locator("[data-instance=emulator-open]")).to_be_visible()
    assert names(lab) == ["Quantum account"]

    expect(panel.get_by_role("button", name="Disconnect")).to_be_visible(timeout=START)
    panel.get_by_role("button", name="Disconnect").click()
    expect(row(panel, batch.session_id)).to_have_attribute("data-group", "unwatched")
    assert names(lab) == []
    assert theirs.status() != "Closed"
    batch.close()
    theirs.close()


def test_the_account_is_remembered_and_its_kernel_ends_with_the_page(lab: Lab, page: Page, emulator: Emulator) -> None:
    session = Session(emulator.service.backend("emu_fez"))
    panel = empty(lab, page)
    panel.get_by_role("button", name="Look at the embedded service").click()
    expect(row(panel, session.session_id)).to_be_visible(timeout=START)
    page.wait_for_function("id => JSON.stringify(localStorage).includes(id)", arg=session.session_id)
    page.evaluate("() => window.jupyterapp.commands.execute('filebrowser:activate')")
    page.reload()
    page.wait_for_function("() => window.jupyterapp?.commands.hasCommand('qmode-widgets:show')", timeout=START)
    page.wait_for_function("async () => (await (await fetch('/api/sessions')).json()).length === 0")
    # Nobody has looked yet in this page: the row and the time of the last look are the last visit's.
    page.route("**/api/sessions", lambda route: route.abort() if route.request.method == "POST" else route.continue_())
    page.evaluate("() => window.jupyterapp.commands.execute('qmode-widgets:show')")
    expect(row(panel, session.session_id)).to_have_attribute("data-group", "unwatched")
    expect(panel.locator(".qm-account")).to_contain_text("Read ", timeout=START)
    session.close()


def test_a_kernel_with_a_service_is_asked_instead(lab: Lab, page: Page, emulator: Emulator) -> None:
    session = Session(emulator.service.backend("emu_fez"))
    notebook = book(
        lab,
        page,
        "own",
        "import qmode_widgets as qmode; service = qmode.emulator.start().service",
        "import pathlib, time\nwhile not pathlib.Path('go on').exists():\n    time.sleep(0.05)",
    )
    notebook.run(0)
    notebook.run(1, wait=False)  # a cell that runs is no hindrance
    panel = notebook.sidebar()
    panel.get_by_role("button", name="Look at my account").click()
    expect(row(panel, session.session_id)).to_be_visible(timeout=START)
    expect(panel.locator("[data-instance]")).to_have_count(1)
    assert names(lab) == ["own.ipynb"]
    assert notebook.is_running(1)
    (Path(lab.root) / "go on").touch()
    session.close()
    panel.get_by_role("button", name="Refresh").click()
    expect(row(panel, session.session_id)).to_have_count(0)


OPEN = """
import qmode_widgets as qmode
service = qmode.emulator.start().service
backend = service.backend("emu_fez")
session = qmode.SessionController.open(backend)
batch = qmode.BatchController.open(backend)
print(session.workload_id, batch.workload_id)
"""


def test_what_an_exit_closes_is_no_alarm_and_a_killed_kernel_leaves_what_may_still_cost(lab: Lab, page: Page) -> None:
    notebook = book(lab, page, "exit", OPEN, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    notebook.run(0, timeout=START)
    session, batch = notebook.output(0).split()
    panel = notebook.sidebar()
    for id_ in (session, batch):
        expect(row(panel, id_)).to_have_attribute("data-group", "open")
    notebook.restart()
    expect(row(panel, batch)).to_have_attribute("data-group", "unwatched")  # a batch is left: an idle one costs nothing
    panel.get_by_role("button", name="Finished today").click()
    expect(row(panel, session)).to_contain_text("closed when its kernel ended")
    page.screenshot(path=str(harness.ARTIFACTS / "exit.png"))
    notebook.run(0, timeout=START)
    expect(panel.locator("[data-group=unwatched].qm-row")).to_have_count(1)

    session, _ = notebook.output(0).split()
    expect(row(panel, session)).to_be_visible()
    notebook.run(1, wait=False)
    page.locator(".jp-Dialog").get_by_role("button").last.click()  # JupyterLab tells of the death
    expect(row(panel, session)).to_have_attribute("data-group", "unwatched", timeout=START)
    expect(row(panel, session)).to_contain_text("It may still be open and cost usage.")
    row(panel, session).get_by_role("button", name="Look it up").click()
    expect(panel.get_by_role("alert")).to_contain_text("There is no saved IBM Quantum account", timeout=START)
    panel.get_by_role("button", name="Use the embedded service").click()
    expect(row(panel, session).get_by_role("button", name="End session")).to_be_visible(timeout=START)


SCRIPTS = """() => performance.getEntriesByType('resource').map(({ name }) => name)
    .filter(name => name.includes('/qmode-widgets/static/'))"""


def test_the_empty_panel_checks_the_installation_and_says_how_to_begin(lab: Lab, page: Page) -> None:
    begun(lab, page)
    page.evaluate("() => window.jupyterapp.serviceManager.sessions.refreshRunning()")
    assert len(page.evaluate(SCRIPTS)) == 1  # JupyterLab's start waits for no more
    ours = "**/qmode-widgets/static/*.js*"
    page.route(ours, lambda route: route.abort())
    page.evaluate("() => window.jupyterapp.commands.execute('qmode-widgets:show')")
    panel = page.locator("#qmode-workloads")
    expect(panel.get_by_role("alert")).to_contain_text("The panel was not loaded")
    page.screenshot(path=str(harness.ARTIFACTS / "not-loaded.png"))
    page.unroute(ours)
    panel.get_by_role("button", name="Try again").press("Enter")
    expect(panel).to_be_focused()
    panel.get_by_role("button", name="Open the quickstart").wait_for()
    expect(panel.get_by_role("alert")).to_have_count(0)
    assert len(page.evaluate(SCRIPTS)) > 1
    page.evaluate("() => window.jupyterapp.commands.execute('qmode-widgets:check')")
    check = panel.locator(".qm-check")
    expect(check.get_by_role("status")).to_contain_text("1 thing fails.", timeout=START)
    failed = check.locator("li[data-state=failed]")
    expect(failed).to_have_css("color", "rgb(211, 47, 47)")
    expect(failed).to_contain_text("Save an account with QiskitRuntimeService.save_account(…)")
    expect(check.locator("li", has_text="extension").first).to_have_attribute("data-state", "ok")
    expect(check.locator("pre")).to_contain_text("Read-only: nothing was submitted")
    page.screenshot(path=str(harness.ARTIFACTS / "check.png"))
    assert names(lab) == []  # the kernel that looked has ended
    check.get_by_role("button", name="Put the check away").click()
    expect(check).to_have_count(0)

    expect(panel).to_contain_text("it needs no account, and nothing on it is billed")
    panel.get_by_role("button", name="Open the quickstart").click()
    page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=START)
    path = "() => window.jupyterapp.shell.currentWidget.context.path"
    assert page.evaluate(path) == "quickstart.ipynb"
    quickstart = (harness.ROOT / "notebooks" / "quickstart.ipynb").read_text()
    assert (lab.root / "quickstart.ipynb").exists()
    assert "a partitioned batch, live" in quickstart
    assert "a partitioned batch, live" in (lab.root / "quickstart.ipynb").read_text()

    panel.get_by_role("button", name="Insert into a new notebook").click()
    page.wait_for_function("() => /Untitled/.test(window.jupyterapp.shell.currentWidget?.context?.path)", timeout=START)
    notebook = Notebook(lab, page, "Untitled.ipynb")
    notebook.wait_idle()
    notebook.run(0, timeout=START)
    shown = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-OutputArea .qm-card .qm-progress .qm-big")
    expect(shown).to_have_text("2 of 2 done", timeout=START)
    expect(notebook.sidebar().locator(".qm-row")).to_contain_text("2 of 2")
    notebook.page.screenshot(path=str(harness.ARTIFACTS / "begin.png"))
    assert notebook.errors == []


WATCHING = "import qmode_widgets as qmode\nservice = qmode.emulator.start().service\nqmode.watch();"


def test_what_opened_past_the_client_is_in_the_panel_and_can_be_watched(
    lab: Lab, page: Page, emulator: Emulator
) -> None:
    book(lab, page, "strays", WATCHING).run(0)
    batch = Elsewhere(emulator).open("batch")  # nobody looks at the account
    page.evaluate("() => window.jupyterapp.commands.execute('qmode-widgets:show')")
    panel = page.locator("#qmode-workloads")
    expect(row(panel, batch)).to_have_attribute("data-group", "unwatched", timeout=START)
    row(panel, batch).get_by_role("button", name="Watch it").click()
    expect(row(panel, batch)).to_have_attribute("data-group", "open")
    expect(row(panel, batch).locator(".qm-place")).to_have_text("strays.ipynb")
    qmode.attach(batch, emulator.service).close()
