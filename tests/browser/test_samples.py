"""Every state of the samples, at the widths that people have: all that is said can be read, in light and dark."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime.fake_provider import FakeFez

from qmode_widgets.planning.plan import plan
from tests.browser import lab as harness
from tests.browser import probes

JS = harness.ROOT / "js"
WIDTHS = (260, 380, 420, 600, 700, 1000, 1400)
PANEL_WIDTHS = (240, 300, 420)
NOW = 1_800_000_000  # of the samples, in seconds
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Samples</title>
<style>body {{ margin: 8px; background: Canvas; }}</style><main id="box"></main><script>{script}</script></html>"""
CUT = "() => window.gallery.cut()"


def test_nothing_here_is_empty(gallery: Page) -> None:
    assert len(gallery.evaluate("() => window.gallery.pages")) > 30
    gallery.evaluate("() => window.gallery.show('running')")
    assert "ibm_marrakesh" in gallery.inner_text("#box")
    gallery.evaluate("""() => {
        const reason = document.querySelector('.qm-state');
        reason.style.cssText = 'overflow: hidden; width: 20px';
        reason.removeAttribute('title');
    }""")
    assert gallery.evaluate(CUT) == ["cut: Running"]
    gallery.evaluate("() => window.gallery.show('running')")
    assert gallery.evaluate(CUT) == []
    gallery.add_style_tag(content=":root[style*=dark] .qm-state { overflow: hidden; width: 20px; }")
    gallery.evaluate("() => document.querySelector('.qm-state').removeAttribute('title')")
    assert gallery.evaluate(CUT) == ["cut: Running"]
    gallery.set_viewport_size({"width": 396, "height": 900})
    gallery.locator("tr[data-state=running] .qm-button").first.click()
    gallery.locator("tr.qm-answers").evaluate("row => row.style.cssText = 'height: 50px'")
    found = gallery.evaluate(CUT)
    assert [text for text in found if text.startswith("over another row by 12: Cancel partition 6")], found
    gallery.evaluate("() => window.gallery.showPanel('all')")
    assert gallery.locator("[data-entry]").count() > 15


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The samples and the views as one script."""
    node = shutil.which("node") or str(Path(sys.executable).with_name("node"))
    out = tmp_path_factory.mktemp("gallery") / "gallery.js"
    subprocess.run([node, "test/gallery.mjs", str(out)], check=True, cwd=JS)
    return out.read_text(encoding="utf8")


@pytest.fixture
def gallery(script: str, chromium_browser: Browser, tmp_path: Path) -> Iterator[Page]:
    file = tmp_path / "samples.html"
    file.write_text(PAGE.format(script=script.replace("</script", "<\\/script")), encoding="utf8")
    page = chromium_browser.new_page(viewport={"width": 1000, "height": 900})
    page.clock.install(time=NOW)
    page.goto(file.as_uri())
    yield page
    page.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_no_text_of_a_cell_is_cut(gallery: Page, width: int) -> None:
    gallery.set_viewport_size({"width": width + 16, "height": 900})
    gallery.clock.set_fixed_time(NOW)  # else deadlines pass, and buttons come and go between looking and clicking
    names = gallery.evaluate("() => window.gallery.pages")
    found = [text for name in names for text in gallery.evaluate("n => window.gallery.check(n, false)", name)]
    assert found == []


@pytest.mark.parametrize("width", PANEL_WIDTHS)
def test_no_text_of_the_panel_is_cut(gallery: Page, width: int) -> None:
    gallery.set_viewport_size({"width": width + 16, "height": 4000})  # all rows in sight: each button can be hit
    gallery.clock.set_fixed_time(NOW)  # else deadlines pass, and rows change places between looking and clicking
    names = gallery.evaluate("() => window.gallery.panels")
    found = [text for name in names for text in gallery.evaluate("n => window.gallery.check(n, true)", name)]
    for name in gallery.evaluate("() => window.gallery.named"):
        gallery.evaluate("n => window.gallery.showPanel(n)", name)
        found += [f"{name}: {text}" for text in gallery.evaluate(CUT)]
    assert found == []


@pytest.fixture(scope="module")
def plans() -> list[str]:
    """The views of plans: one job, many partitions with a price, a session of steps, and one with errors to solve."""
    backend = FakeFez()
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.rx(Parameter("x"), 0)
    circuit.cx(0, 1)
    circuit.measure_all()
    sampled = generate_preset_pass_manager(1, backend, initial_layout=[0, 1], seed_transpiler=1).run(circuit)
    around = {"queue_wait": 600, "instance_plan": "premium", "usage_left": 1e9}
    found = [
        plan([(sampled, [0.1])], backend, **around),
        plan([(sampled, [[0.1]] * 200, 4096)] * 6, backend, price_per_minute=96, partitions=6, **around),
        plan([(sampled, [0.1])], backend, iterative=30, **around),
        plan([(sampled, [0.1])], backend, usage_left=0),
    ]
    return [each._repr_html_() for each in found]


@pytest.mark.parametrize("width", [300, *WIDTHS])
def test_no_text_of_a_plan_is_cut(gallery: Page, plans: list[str], width: int) -> None:
    gallery.set_viewport_size({"width": width + 16, "height": 4000})
    show = """html => {
        const box = document.querySelector('#box');
        box.innerHTML = html;
        for (const each of box.querySelectorAll('details')) each.open = true;
    }"""
    found = []
    for html in plans:
        gallery.evaluate(show, html)
        assert gallery.locator("#box .qmode-plan").is_visible()
        found += gallery.evaluate(CUT)
    assert found == []


@pytest.mark.parametrize("width", WIDTHS)
def test_what_a_click_waits_for_and_what_came_of_it_can_be_read(gallery: Page, width: int) -> None:
    gallery.set_viewport_size({"width": width + 16, "height": 900})
    found = []
    clicks = [("cancel", "ρ5"), ("drop", "ρ0"), ("resubmit", "ρ7"), ("cancel_remaining", None), ("close", None)]
    for action, target in clicks:
        for status, seconds in (("", 3), ("", 65), ("accepted", 5), ("failed", 0), ("done", 0)):
            gallery.evaluate(
                "a => window.gallery.click('running', ...a)",
                [action, target, status, "Λάθος" if status == "failed" else ""],
            )
            gallery.clock.run_for(seconds * 1000)
            gallery.evaluate("() => window.gallery.settle()")
            found += [f"{action} {status} {seconds}: {text}" for text in gallery.evaluate(CUT)]
    assert found == []


@pytest.mark.parametrize(
    ("kind", "dark"), [("vscode-dark", True), ("vscode-high-contrast", True), ("vscode-light", False)]
)
def test_a_card_has_the_ground_of_vs_codes_theme(gallery: Page, kind: str, dark: bool) -> None:
    """VS Code's page brings JupyterLab's light variables along, whatever its theme is."""
    gallery.add_style_tag(content=":root { --jp-layout-color1: white; --jp-ui-font-color1: black; }")
    gallery.evaluate("kind => document.body.dataset.vscodeThemeKind = kind", kind)
    gallery.evaluate("() => window.gallery.show('running')")
    style = "name => getComputedStyle(document.querySelector('.qm-card'))[name]"
    ground, text = gallery.evaluate(style, "backgroundColor"), gallery.evaluate(style, "color")
    assert (ground, text) == (
        ("rgb(27, 27, 27)", "rgb(230, 230, 230)") if dark else ("rgb(255, 255, 255)", "rgb(34, 34, 34)")
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(gallery: Page, axe: str, scheme: str) -> None:
    gallery.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    gallery.evaluate(f"() => document.documentElement.style.colorScheme = '{scheme}'")
    gallery.set_viewport_size({"width": 1016, "height": 900})
    found = []
    gallery.clock.resume()
    for shown, names in (("show", "pages"), ("showPanel", "panels")):
        for name in gallery.evaluate(f"() => window.gallery.{names}"):
            gallery.evaluate(f"n => window.gallery.{shown}(n)", name)
            found += [f"{name}: {text}" for text in gallery.evaluate(probes.AXE, [axe, "#box"])]
    assert found == []
