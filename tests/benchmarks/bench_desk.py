"""The panel in a real JupyterLab: what it adds to the start, to open it, to be out of sight; messages while idle."""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # run as a script: the tests' own modules are found from there

from playwright.sync_api import Browser, CDPSession, WebSocket  # noqa: E402

from tests.browser import lab as harness  # noqa: E402
from tests.browser.conftest import BEGIN  # noqa: E402
from tests.browser.lab import Lab, Notebook  # noqa: E402

STARTS, CHANGES = 5, 50
SAMPLE = 0.1  # milliseconds between two samples of the profiler
SHOW = "() => window.jupyterapp.commands.execute('qmode-widgets:show')"
HIDE = "() => window.jupyterapp.commands.execute('filebrowser:activate')"
FRAMES = "() => new Promise(done => requestAnimationFrame(() => setTimeout(done, 300)))"
MANY = """
made = [scripted.workload("batch", [scripted.D] * 50 + [scripted.R] * 5 + [scripted.Q] * 45, id=f"many{i:016d}")
        for i in range(20)]
for each in made: hub.register(each)
"""
CHANGE = f"for n in range({CHANGES}): made[n % 20].set(55 + n // 20, scripted.R); time.sleep(0.05)"


def run() -> list[tuple[str, str, str]]:
    """The rows of the table."""
    folder = Path(tempfile.mkdtemp())
    harness.notebook(folder / "many.ipynb", [BEGIN, MANY, CHANGE])
    with harness.lab(folder, whole=True) as lab, harness.browser() as chromium:
        return [*_start(lab, chromium), *_panel(lab, chromium)]


def _start(lab: Lab, chromium: Browser) -> list[tuple[str, str, str]]:
    """JupyterLab without a kernel, and with a notebook whose kernel runs already."""
    alone = _ours_in(chromium, f"{lab.url}/lab?token={lab.token}&reset", "body")
    book = Notebook.open(lab, chromium.new_page(), "many.ipynb")
    book.run(0)
    book.run(1)
    watched = _ours_in(chromium, f"{lab.url}/lab/tree/many.ipynb?token={lab.token}&reset", ".qm-status-button")
    book.page.close()
    lab.stop_kernels()
    return [
        (f"JupyterLab's start: CPU of our script and what it calls, median of {STARTS}", alone, "5 ms"),
        ("with a notebook whose kernel watches 20 workloads, drawn in its cells", watched, "-"),
    ]


def _ours_in(chromium: Browser, url: str, there: str) -> str:
    """Milliseconds of CPU of our script and what it calls while a page loads.

    The share of our script comes from profiled loads, the page's CPU from others: the profiler costs a third of it.
    """
    pages = [(_load(chromium, url, there, profiled=True), _load(chromium, url, there)) for _ in range(STARTS)]
    cpu = statistics.median(cpu for _, (_, cpu) in pages)
    found = [share * cpu for (share, _), _ in pages]
    return f"{statistics.median(found):.1f} ms ({min(found):.1f} to {max(found):.1f}) of {cpu:,.0f}"


def _load(chromium: Browser, url: str, there: str, *, profiled: bool = False) -> tuple[float, float]:
    """Our share of what a page does while it loads (0 unless profiled), and its CPU in milliseconds."""
    page = chromium.new_page()
    cdp = page.context.new_cdp_session(page)
    cdp.send("Performance.enable", {"timeDomain": "threadTicks"})
    if profiled:
        cdp.send("Profiler.enable")
        cdp.send("Profiler.setSamplingInterval", {"interval": int(SAMPLE * 1000)})
        cdp.send("Profiler.start")
    page.goto(url)
    page.wait_for_function("() => window.jupyterapp?.commands.hasCommand('qmode-widgets:show')", timeout=60_000)
    page.wait_for_selector(there, state="attached")
    page.wait_for_timeout(2000)
    share = _ours(cdp.send("Profiler.stop")["profile"]) if profiled else 0.0
    cpu = _cpu(cdp)
    page.close()
    return share, cpu


def _ours(profile: dict[str, Any]) -> float:
    """The share of our extension in what the page does: of the samples in which it is busy, those with us on the stack.

    A share, and not the time between samples: a busy machine takes fewer samples than asked for, and while another
    process has the core time passes that nobody in the page has used.
    """
    nodes = {n["id"]: n for n in profile["nodes"]}
    parents = {child: n["id"] for n in profile["nodes"] for child in n.get("children", ())}

    def ours(node: int | None) -> bool:
        while node is not None:
            if "qmode-widgets" in nodes[node]["callFrame"]["url"]:
                return True
            node = parents.get(node)
        return False

    busy = [n for n in profile["samples"] if nodes[n]["callFrame"]["functionName"] != "(idle)"]
    return sum(ours(n) for n in busy) / len(busy)


def _cpu(cdp: CDPSession) -> float:
    """Milliseconds of CPU that the page's main thread has used."""
    metrics = {m["name"]: m["value"] for m in cdp.send("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"]) * 1000


def _panel(lab: Lab, chromium: Browser) -> list[tuple[str, str, str]]:
    page = chromium.new_page(viewport={"width": 1400, "height": 1000})
    frames = [0]

    def follow(socket: WebSocket) -> None:
        if "/channels" in socket.url:  # a kernel's; JupyterLab's own events have another
            socket.on("framereceived", lambda _: frames.__setitem__(0, frames[0] + 1))

    page.on("websocket", follow)
    book = Notebook.open(lab, page, "many.ipynb")
    cdp = page.context.new_cdp_session(page)
    cdp.send("Performance.enable")
    book.run(0)
    book.run(1)
    page.wait_for_selector(".qm-status-button")
    begun = _script(cdp)
    book.run(2)
    hidden = _script(cdp) - begun
    nodes = page.evaluate("() => document.querySelectorAll('#qmode-workloads *').length")
    begun = _script(cdp)
    page.evaluate(SHOW)
    page.wait_for_selector(".qm-row >> nth=19")
    page.evaluate(FRAMES)
    first = _script(cdp) - begun
    page.evaluate(HIDE)
    page.wait_for_function("() => document.querySelector('#qmode-workloads *') === null")
    begun = _script(cdp)
    page.evaluate(SHOW)
    page.wait_for_selector(".qm-row >> nth=19")
    page.evaluate(FRAMES)
    again = _script(cdp) - begun
    page.locator(".qm-title1").first.click()
    page.wait_for_selector(".qm-row .qm-card")
    page.wait_for_timeout(5000)  # a panel that is opened asks each kernel once, which reads a while
    frames[0] = 0
    page.wait_for_timeout(10_000)
    page.close()
    return [
        (
            "20 workloads, 2,000 jobs: open the panel, first and again: script",
            f"{first:.0f} ms, {again:.0f} ms",
            "150 ms",
        ),
        (
            "panel out of sight: elements in it; script for a change of one of 20, notebook included",
            f"{nodes}, {hidden / CHANGES:.1f} ms",
            "0 elements",
        ),
        ("messages from kernels in 10 s in which nothing changes, panel open", str(frames[0]), "0"),
    ]


def _script(cdp: CDPSession) -> float:
    metrics = {m["name"]: m["value"] for m in cdp.send("Performance.getMetrics")["metrics"]}
    return float(metrics["ScriptDuration"]) * 1000


if __name__ == "__main__":
    for row in run():
        print(*row, sep="  |  ")
