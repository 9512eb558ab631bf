"""The cell's view in a real Chromium: script time to draw, to change, to tick; bytes to open; growth with patches."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import CDPSession, Page, Route

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # run as a script: the tests' own modules are found from there

from qmode_widgets.frontend import protocol  # noqa: E402
from qmode_widgets.model.snapshot import JobState  # noqa: E402
from tests.browser import lab as harness  # noqa: E402
from tests.browser import scripted  # noqa: E402
from tests.browser.conftest import BEGIN  # noqa: E402
from tests.browser.lab import Notebook  # noqa: E402

JOBS, CHANGES, TICKS, PATCHES = 1000, 100, 10, 10_000

# An anywidget model, as far as the cell's entry uses one.
PLAY = """
  import widget from './widget.js';
  const listeners = {};
  const start = await (await fetch('./start.json')).json();
  const model = {
    get: () => start, set: () => {}, send: () => {}, off: () => {},
    on: (event, callback) => { listeners[event] = callback; },
  };
  const { initialize, render } = widget();
  initialize({ model });
  window.draw = () => render({ model, el: document.querySelector('#cell') });
  window.say = message => listeners['msg:custom'](message);
  window.frame = () => new Promise(done => requestAnimationFrame(() => setTimeout(done)));
  window.ready = true;
"""


def run() -> list[tuple[str, str, str]]:
    """The rows of the table."""
    with harness.browser() as chromium:
        rows = []
        for jobs in (12, JOBS):
            rows += _view(chromium.new_page(viewport={"width": 1200, "height": 1000}), jobs)
    return rows if "--view" in sys.argv else [*rows, *_wire()]


def _view(page: Page, jobs: int) -> list[tuple[str, str, str]]:
    controller = scripted.big(jobs) if jobs > 100 else scripted.batch()
    state = controller.snapshot()
    hello = protocol.hello(version="0", process="p", busy=False, workloads=[state.id], problem=None)
    start = {"workload": state.id, "hello": hello, "snapshot": protocol.snapshot(state, seq=1, now=time.time())}
    _serve(page, json.dumps(start))
    page.wait_for_function("() => window.ready")
    cdp = page.context.new_cdp_session(page)
    cdp.send("Performance.enable")
    with _spent(cdp) as drawing:
        page.evaluate("() => new Promise(done => setTimeout(() => { draw(); frame().then(done); }))")
    messages, last = [], state
    for n in range(CHANGES):  # jobs that run, done, one after the other
        running = next(j.partition for j in last.jobs if j.state is JobState.RUNNING)
        queued = next((j.partition for j in last.jobs if j.state is JobState.QUEUED), None)
        controller.set(running or 0, JobState.DONE if jobs > 100 else JobState.RUNNING, note=str(n))
        if queued is not None and jobs > 100:
            controller.set(queued, JobState.RUNNING)
        messages.append(protocol.patch(last, controller.snapshot(), seq=n + 2, now=time.time()))
        last = controller.snapshot()
    with _spent(cdp) as changing:
        page.evaluate("async messages => { for (const m of messages) { say(m); await frame(); } }", messages)
    with _spent(cdp) as ticking:
        page.wait_for_timeout(TICKS * 1000)
    rows = [
        (f"draw {jobs:,} jobs: script, and all work", _ms(drawing), "100 ms of script"),
        (f"one change of {jobs:,} jobs: script, and all work", _ms(changing, CHANGES), "4 ms of script"),
        (f"a tick of {jobs:,} jobs: script, and all work", _ms(ticking, TICKS), "1 ms of script"),
    ]
    if jobs > 100:
        grown = _growth(page, cdp, state.id, CHANGES + 2, [j.key for j in last.jobs])
        rows.append((f"memory of the page after {PATCHES:,} patches", grown, "no growth"))
    page.close()
    return rows


def _growth(page: Page, cdp: CDPSession, workload: str, seq: int, keys: list[str]) -> str:
    def size() -> tuple[float, int]:
        cdp.send("HeapProfiler.collectGarbage")
        found = {m["name"]: m["value"] for m in cdp.send("Performance.getMetrics")["metrics"]}
        return found["JSHeapUsedSize"] / 1e6, int(found["Nodes"])

    feed = """async ({workload, seq, keys, count}) => {
      for (let n = 0; n < count; n++) {
        say({kind: 'patch', workload, seq: seq + n, now: Date.now() / 1000, set: {},
             jobs: {[keys[n % keys.length]]: {note: `n${n}`}},
             events: [{id: 1000 + n, time: 1, level: 'info', text: 'x', job: null}]});
        if (n % 20 === 0) await frame();
      }
    }"""
    args = {"workload": workload, "keys": keys}
    page.evaluate(feed, {**args, "seq": seq, "count": 1000})  # the first fill what is bounded
    before = size()
    page.evaluate(feed, {**args, "seq": seq + 1000, "count": PATCHES})
    after = size()
    return f"{before[0]:.1f} → {after[0]:.1f} MB, {before[1]:,} → {after[1]:,} nodes"


def _wire() -> list[tuple[str, str, str]]:
    """What the kernel's websockets bring when a notebook shows 1,000 jobs, and when the page is opened again."""
    folder = Path(tempfile.mkdtemp())
    harness.notebook(folder / "wire.ipynb", [BEGIN, f"big = scripted.big({JOBS}); show(big)"])
    received = [0]

    def count(frame: Any) -> None:
        received[0] += len(frame.encode() if isinstance(frame, str) else frame)

    with harness.lab(folder) as running, harness.browser() as chromium:
        page = chromium.new_page(viewport={"width": 1400, "height": 1000})
        page.on("websocket", lambda socket: socket.on("framereceived", count))
        book = Notebook.open(running, page, "wire.ipynb")
        book.run(0)
        page.wait_for_timeout(1000)
        received[0] = 0
        book.run(1)
        book.widget().first.wait_for()
        page.wait_for_timeout(2000)
        first = received[0]
        book.save()
        page.wait_for_timeout(1000)
        output = json.loads((folder / "wire.ipynb").read_text())["cells"][1]["outputs"][0]["data"]
        kept = sum(len(json.dumps(form, ensure_ascii=False).encode()) for form in output.values())
        received[0] = 0
        book.reload()
        book.widget().first.wait_for()
        page.wait_for_timeout(3000)
        again = received[0]
        received[0] = 0
        page.wait_for_timeout(5000)
        idle = received[0]
    return [
        (f"show {JOBS:,} jobs in a cell and the sidebar: bytes from the kernel", f"{first / 1e6:.2f} MB", "0.7 MB"),
        ("the same when the page is opened again", f"{again / 1e6:.2f} MB", "0.7 MB"),
        ("what the document keeps of them", f"{kept / 1e3:.0f} kB", "50 kB"),
        ("bytes from the kernel in 5 s in which nothing changes", f"{idle}", "0"),
    ]


def _serve(page: Page, start: str) -> None:
    bundle = (ROOT / "qmode_widgets" / "static" / "widget.js").read_text(encoding="utf8")
    html = f"<!doctype html><meta charset=utf-8><div id=cell></div><script type=module>{PLAY}</script>"
    found = {
        "/": ("text/html", html), "/widget.js": ("text/javascript", bundle), "/start.json": ("application/json", start),
    }  # fmt: skip

    def answer(route: Route) -> None:
        kind, body = found.get(urlsplit(route.request.url).path, ("text/plain", ""))
        route.fulfill(content_type=kind, body=body)

    page.route("http://qmode.test/**", answer)
    page.goto("http://qmode.test/")


@contextmanager
def _spent(cdp: CDPSession) -> Iterator[dict[str, float]]:
    """Seconds of the page's main thread in between: in scripts, and in all."""

    def read() -> dict[str, float]:
        found = {m["name"]: m["value"] for m in cdp.send("Performance.getMetrics")["metrics"]}
        return {"script": found["ScriptDuration"], "task": found["TaskDuration"]}

    spent: dict[str, float] = {}
    before = read()
    yield spent
    spent |= {name: value - before[name] for name, value in read().items()}


def _ms(spent: dict[str, float], times: int = 1) -> str:
    return f"{1e3 * spent['script'] / times:.1f} ms, {1e3 * spent['task'] / times:.1f} ms"


if __name__ == "__main__":
    for row in run():
        print(*row, sep="  |  ")
