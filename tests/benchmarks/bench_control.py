"""Speed of the controllers against the client's own way, side by side in one run."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qiskit import QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import Batch
from qiskit_ibm_runtime.executor_sampler import Sampler

import qmode_widgets as qmode
from qmode_widgets.control.state.ledger import Ledger
from qmode_widgets.control.state.merge import merge as merge_rows
from qmode_widgets.ibm.client import decode
from qmode_widgets.ibm.wire import Job
from qmode_widgets.model.command import Action
from qmode_widgets.model.merge import merge
from qmode_widgets.portal import portal
from tests.peek import peek, requests_of, unwatch
from tests.proxy import Proxy
from tests.unit.control.account import Account

ROOT = Path(__file__).parents[2]
Row = tuple[str, str, str]


def timed(work: Callable[[], Any]) -> float:
    """Wall seconds of one call."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def median(work: Callable[[], Any], times: int = 7) -> float:
    """The median of a few calls, in seconds."""
    return sorted(timed(work) for _ in range(times))[times // 2]


def prepared(backend: Any) -> Any:
    """An ISA circuit of one qubit."""
    circuit = QuantumCircuit(1)
    circuit.x(0)
    circuit.measure_all()
    return generate_preset_pass_manager(backend=backend, optimization_level=1).run(circuit)


def refreshing(emulator: Any, jobs: int = 200) -> list[Row]:
    """One refresh of a batch of queued jobs, beside `job.status()` of each through the client."""
    backend = emulator.service.least_busy()
    emulator.faults.pause(queue=True)
    batch = qmode.BatchController.open(backend)
    batch.submit(Sampler(mode=batch.primitive_mode), [prepared(backend)] * jobs, partitions=jobs)
    batch.wait_until(lambda shot: all(j.job_id for j in shot.jobs), 300)
    unwatch(batch)

    def refresh() -> None:
        batch.refresh()
        unwatch(batch)

    refresh()
    requests = requests_of(batch, refresh)
    ours = median(refresh)
    listed = emulator.service.jobs(session_id=batch.workload_id, limit=None)
    theirs = timed(lambda: [job.status() for job in listed])
    batch.end(running=False)
    emulator.faults.clear()
    return [
        (f"refresh of a {jobs}-job batch: requests", str(requests), "≤ 2"),
        (
            f"the same: wall time, client's {theirs * 1e3:.0f} ms / ours {ours * 1e3:.1f} ms",
            f"{theirs / ours:.0f} ×",
            "≥ 20 ×",
        ),
    ]


def idling(emulator: Any, jobs: int = 1000, seconds: float = 20.0) -> list[Row]:
    """CPU of the whole process while a workload of many ended jobs is watched, and messages meanwhile."""
    backend = emulator.service.least_busy()
    batch = qmode.BatchController.open(backend)
    batch.submit(Sampler(mode=batch.primitive_mode), [prepared(backend)] * jobs, partitions=jobs)
    batch.wait_until(lambda shot: shot.usage.status == "final", 900)
    batch.wait_until(lambda shot: all(job.finished for job in shot.jobs), 900)  # all metrics are read: now it idles
    heard: list[object] = []
    batch.on_change(heard.append)
    threading.Event().wait(3)  # the last changes of the end
    heard.clear()
    begun = time.process_time()
    threading.Event().wait(seconds)
    share = (time.process_time() - begun) / seconds
    messages = len(heard)
    batch.end(running=False)
    return [
        (f"idle watching of a {jobs}-job batch: share of a core", f"{share:.2%}", "< 1 %"),
        ("the same: messages", str(messages), "0"),
    ]


def holding(jobs: int = 1000) -> list[Row]:
    """How long the loop is busy with a listing in which every row changed, beside a view for each changed row."""
    ledger = Ledger(Account(), "s", "batch", "b")

    def listed(word: str) -> None:
        merge_rows(ledger, [Job(f"j{i}", word, session_id="s") for i in range(jobs)], scope="s")

    def on_the_loop(work: Callable[[], Any]) -> float:
        def busy() -> float:
            begun = time.thread_time()
            work()
            return time.thread_time() - begun

        return float(portal().call(busy))

    on_the_loop(lambda: listed("Queued"))
    rows, view = on_the_loop(lambda: listed("Running")), on_the_loop(ledger.snapshot)
    ours, naive = rows + view, rows + jobs * view
    what = f"{jobs} rows change: the loop is held {ours * 1e3:.0f} ms, with a view for each {naive * 1e3:,.0f} ms"
    return [(what, f"{naive / ours:.0f} ×", "≥ 20 ×")]


OBSERVED = """
import sys, time
from tests.proxy import Proxy

with Proxy(sys.argv[1]) as proxy:
    print(proxy.port, flush=True)
    known = 0

    def cancels():
        return sum(times for what, times in proxy.seen.items() if what.endswith("/cancel"))

    while proxy.wait_until(lambda: cancels() > known, 600):
        known = cancels()
        print(time.monotonic(), flush=True)
"""


def clicking(emulator: Any, times: int = 25) -> list[Row]:
    """From a click's arrival in the kernel to its request at the service, seen by a process beside: idle, and busy."""
    with subprocess.Popen(
        [sys.executable, "-c", OBSERVED, emulator.url], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as beside:
        out = beside.stdout
        assert out is not None
        way = Proxy(emulator.url)
        way.port = int(out.readline())
        backend = way.connect(emulator).least_busy()
        emulator.faults.pause(queue=True)
        batch = qmode.BatchController.open(backend)
        batch.submit(Sampler(mode=batch.primitive_mode), [prepared(backend)] * 2 * times, partitions=2 * times)
        batch.wait_until(lambda shot: all(j.job_id for j in shot.jobs), 300)
        unwatch(batch)
        keys = [job.key for job in batch.jobs]

        def clicks(chosen: list[str]) -> list[float]:
            found = []
            for key in chosen:
                time.sleep(0.05)  # what the click before set off is over: each is measured alone
                begun = time.monotonic()
                portal().send(batch.perform, Action.CANCEL, key)
                found.append(float(out.readline()) - begun)
            return found

        idle = clicks(keys[:times])
        found: list[float] = []
        clicker = threading.Thread(target=lambda: found.extend(clicks(keys[times:])))
        clicker.start()
        while clicker.is_alive():  # a cell in pure Python
            pass
        batch.end(running=False)
        emulator.faults.clear()
        beside.kill()
    what = "a click to its request at the service: idle, and while a cell computes in pure Python"
    return [(what, f"{sorted(idle)[times // 2] * 1e3:.1f}, {sorted(found)[times // 2] * 1e3:.1f} ms", "≤ 20 ms")]


def importing() -> list[Row]:
    """`import qmode_widgets` in a fresh interpreter, which imports neither qiskit nor anywidget."""
    code = (
        "import sys, time; t = time.perf_counter(); import qmode_widgets; t = time.perf_counter() - t; "
        "assert not {'qiskit', 'anywidget', 'ipywidgets'} & set(sys.modules); print(t)"
    )
    found = sorted(
        float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
        for _ in range(7)
    )
    return [("import qmode_widgets, without qiskit or anywidget", f"{found[3] * 1e3:.1f} ms", "< 50 ms")]


def merging(emulator: Any, pubs: int = 1000, partitions: int = 10) -> list[Row]:
    """Merging the results of many PUBs beside decoding them."""
    backend = emulator.service.least_busy()
    jobs = qmode.JobController.open(backend)
    sampler = Sampler(mode=backend)
    sampler.options.default_shots = 100
    run = jobs.submit(sampler, [prepared(backend)] * pubs, partitions=partitions)
    run.wait(900)
    client = emulator.service._get_api_client()
    texts = {j.partition: (j.program, client.job_results(j.job_id)) for j in run.jobs if j.partition is not None}
    parts = peek(jobs, lambda ledger: [ledger.records[j.key].partition for j in run.jobs])
    decoded: dict[int, Any] = {}

    def decode_all() -> None:
        decoded.update({i: decode(program, text) for i, (program, text) in texts.items()})

    decoding = median(decode_all, 3)
    joining = median(lambda: merge([p for p in parts if p is not None], decoded), 3)
    what = f"merging {pubs} PUB results {joining * 1e3:.0f} ms / decoding them {decoding * 1e3:.0f} ms"
    return [(what, f"{joining / decoding:.2f} ×", "< 1 ×")]


def many(emulator: Any, workloads: int = 300, seconds: float = 20.0) -> list[Row]:
    """CPU and threads of the process while many open batches are watched and nothing happens."""
    backend = emulator.service.least_busy()
    before = threading.active_count()
    batches = [qmode.BatchController(Batch(backend)) for _ in range(workloads)]
    for batch in batches:
        batch.wait_until(lambda shot: shot.seen_at is not None, 300)
    threading.Event().wait(60)  # the looks of the beginning are over
    begun = time.process_time()
    threading.Event().wait(seconds)
    share = (time.process_time() - begun) / seconds
    more = threading.active_count() - before
    for batch in batches:
        batch.forget()
    return [
        (f"idle watching of {workloads} open batches: share of a core", f"{share:.2%}", "< 2 %"),
        ("the same: threads more than before", str(more), "≤ 1"),
    ]


def run() -> list[Row]:
    """All rows."""
    with qmode.emulator.start(shared=False, speed=float("inf")) as emulator:
        parts = (refreshing, clicking, merging, idling, many)
        return [*importing(), *holding(), *(row for part in parts for row in part(emulator))]
