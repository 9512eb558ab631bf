"""The cell's view in a real Chromium: CPU time to draw, to change, to tick; bytes to open; growth with patches."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, CDPSession, Page, Route

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # run as a script: the tests' own modules are found from there

from qmode_widgets.frontend import protocol  # noqa: E402
from qmode_widgets.model.snapshot import JobState  # noqa: E402
from tests.browser import lab as harness  # noqa: E402
from tests.browser import scripted  # noqa: E402
from tests.browser.conftest import BEGIN  # noqa: E402
from tests.browser.lab import Notebook  # noqa: E402

JOBS, CHANGES, TICKS, PATCHES = 1000, 100, 10, 10_000
SIZES = (0, 12, JOBS)
PAGES = 5  # of each size

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
    spent: dict[tuple[str, int], list[dict[str, float]]] = {}
    with harness.browser() as chromium:
        for _ in range(PAGES):  # in turn: what else the machine does is shared by all of them
            for jobs in SIZES:
                with _view(chromium, jobs) as view:
                    for name, each in view.measure().items():
                        spent.setdefault((name, jobs), []).append(each)
        with _view(chromium, JOBS) as view:
            view.measure(ticks=0)
            grown = view.growth()
    medians = {
        key: {part: statistics.median(each[part] for each in found) for part in found[0]}
        for key, found in spent.items()
    }
    empty = medians["draw", 0]
    above = {part: value - empty[part] for part, value in medians["draw", JOBS].items()}
    rows = [
        ("draw an empty cell: script, and all work", _ms(empty), ""),
        ("draw 12 jobs: script, and all work", _ms(medians["draw", 12]), ""),
        (f"draw {JOBS:,} jobs, above an empty cell: script, and all work", _ms(above), "45 ms of script"),
        (f"one change of {JOBS:,} jobs: script, and all work", _ms(medians["change", JOBS]), "2 ms of script"),
        (f"a tick of {JOBS:,} jobs: script, and all work", _ms(medians["tick", JOBS]), "1 ms of script"),
        (f"memory of the page after {PATCHES:,} patches", grown, "no growth"),
    ]
    return rows if "--view" in sys.argv else [*rows, *_wire()]


@contextmanager
def _view(chromium: Browser, jobs: int) -> Iterator[View]:
    page = chromium.new_page(viewport={"width": 1200, "height": 1000})
    yield View(page, jobs)
    page.close()


class View:
    """A cell with so many jobs, and what its page's main thread spends on it."""

    def __init__(self, page: Page, jobs: int) -> None:
        self.page, self.jobs = page, jobs
        self.controller = scripted.big(jobs) if jobs > 100 else scripted.batch(**({} if jobs else {"jobs": ()}))
        state = self.controller.snapshot()
        self.hello = protocol.hello(version="0", process="p", busy=False, workloads=[state.id], problem=None)
        start = {
            "workload": state.id,
            "hello": self.hello,
            "snapshot": protocol.snapshot(state, seq=1, now=time.time()),
        }
        _serve(page, json.dumps(start))
        page.wait_for_function("() => window.ready")
        self.cdp = page.context.new_cdp_session(page)
        # CPU time of the thread, not the time that passed: what else the machine does is not ours.
        self.cdp.send("Performance.enable", {"timeDomain": "threadTicks"})

    def measure(self, ticks: int = TICKS) -> dict[str, dict[str, float]]:
        """Seconds for each: draw it, as saved and then live, as a page does; one change; a tick."""
        found: dict[str, dict[str, float]] = {}
        with _spent(self.cdp) as found["draw"]:
            self.page.evaluate(
                """hello => new Promise(done => setTimeout(async () => {
                     draw();
                     await frame();
                     say(hello);
                     frame().then(done);
                   }))""",
                self.hello,
            )
        if self.jobs < JOBS:
            return found
        messages = self._changes()
        with _spent(self.cdp, CHANGES) as found["change"]:
            self.page.evaluate("async messages => { for (const m of messages) { say(m); await frame(); } }", messages)
        if ticks:
            with _spent(self.cdp, ticks) as found["tick"]:
                self.page.wait_for_timeout(ticks * 1000)
        return found

    def _changes(self) -> list[protocol.Message | None]:
        """A job is done and another one begins, a hundred times."""
        messages, last = [], self.controller.snapshot()
        for n in range(CHANGES):
            running = next(j.partition for j in last.jobs if j.state is JobState.RUNNING)
            queued = next(j.partition for j in last.jobs if j.state is JobState.QUEUED)
            self.controller.set(running or 0, JobState.DONE, note=str(n))
            self.controller.set(queued or 0, JobState.RUNNING)
            messages.append(protocol.patch(last, self.controller.snapshot(), seq=n + 2, now=time.time()))
            last = self.controller.snapshot()
        return messages

    def growth(self) -> str:
        """Memory and elements of the page before and after many patches."""
        feed = """async ({workload, seq, keys, count}) => {
          for (let n = 0; n < count; n++) {
            say({kind: 'patch', workload, epoch: 0, seq: seq + n, now: Date.now() / 1000, set: {},
                 jobs: {[keys[n % keys.length]]: {note: `n${n}`}},
                 events: [{id: seq + n, time: 1, level: 'info', text: `patch ${seq + n}`, job: null}]});
            if (n % 20 === 0) await frame();
          }
          await frame();
        }"""
        state = self.controller.snapshot()
        args = {"workload": state.id, "keys": [j.key for j in state.jobs]}
        first = CHANGES + 2
        self.page.evaluate(feed, {**args, "seq": first, "count": 1000})  # they fill what is bounded
        before = self._size()
        self.page.evaluate(feed, {**args, "seq": first + 1000, "count": PATCHES})
        after = self._size()
        assert f"patch {first + 1000 + PATCHES - 1}" in self.page.inner_text(".qm-events"), "no patch was taken"
        return f"{before[0]:.1f} → {after[0]:.1f} MB, {before[1]:,} → {after[1]:,} nodes"

    def _size(self) -> tuple[float, int]:
        self.cdp.send("HeapProfiler.collectGarbage")
        found = {m["name"]: m["value"] for m in self.cdp.send("Performance.getMetrics")["metrics"]}
        return found["JSHeapUsedSize"] / 1e6, int(found["Nodes"])


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
def _spent(cdp: CDPSession, times: int = 1) -> Iterator[dict[str, float]]:
    """Seconds of the page's main thread in between, each time: in scripts, and in all."""

    def read() -> dict[str, float]:
        found = {m["name"]: m["value"] for m in cdp.send("Performance.getMetrics")["metrics"]}
        return {"script": found["ScriptDuration"], "task": found["TaskDuration"]}

    spent: dict[str, float] = {}
    before = read()
    yield spent
    spent |= {name: (value - before[name]) / times for name, value in read().items()}


def _ms(spent: dict[str, float]) -> str:
    return f"{1e3 * spent['script']:.1f} ms, {1e3 * spent['task']:.1f} ms"


if __name__ == "__main__":
    for row in run():
        print(*row, sep="  |  ")
