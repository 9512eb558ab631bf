"""Worker processes: what a dead or cancelled one takes with it, and what it does not."""

from __future__ import annotations

import asyncio
import json

import psutil
import pytest
from qiskit import QuantumCircuit
from qiskit_ibm_runtime.json import RuntimeEncoder

from qmode_widgets.emulator import processes
from qmode_widgets.emulator.backends import devices
from qmode_widgets.emulator.options import Options
from qmode_widgets.emulator.simulation import workers
from qmode_widgets.emulator.simulation.answer import DIED
from qmode_widgets.emulator.simulation.engine import Engine

DEVICE = devices(["emu_fez"])["emu_fez"]


def params(qubits, layers):
    """A legacy sampler's params: a state vector along a tree of neighbours."""
    pairs, used = [], {0}
    for a, b in sorted({tuple(sorted(pair)) for pair in DEVICE.configuration["coupling_map"]}):
        if len(used) < qubits and len({a, b} & used) == 1:
            used |= {a, b}
            pairs.append((a, b))
    circuit = QuantumCircuit(DEVICE.qubits, len(used))
    for layer in range(layers):
        for a, b in pairs:
            for q in (a, b):
                circuit.sx(q)
                circuit.rz(0.3 + layer, q)
                circuit.sx(q)
            circuit.cz(a, b)
    circuit.measure(sorted(used), range(len(used)))
    assert len(used) == qubits
    return json.dumps({"pubs": [[circuit, None, 10]], "version": 2}, cls=RuntimeEncoder).encode()


LONG, SHORT = params(22, 200), params(2, 1)  # minutes, and no time


@pytest.fixture
def run():
    """Runs a coroutine with an engine of two simulating processes."""

    def inside(body):
        async def main():
            engine = Engine(Options(workers=2))
            assert not engine.ready
            await engine.start()
            try:
                await body(engine)
            finally:
                await engine.stop()

        asyncio.run(main())

    return inside


async def busy(count):
    """The worker processes that compute, once there are so many."""
    before = {}
    async with asyncio.timeout(100):
        while True:
            now = {process: process.cpu_times().user for process in psutil.Process().children(recursive=True)}
            found = [process for process, seconds in now.items() if seconds > before.setdefault(process, seconds) + 0.3]
            if len(found) >= count:
                return found
            await asyncio.sleep(0.05)


async def started(engine):
    """Wait until all processes have imported their libraries."""
    await asyncio.shield(engine._starting)
    assert engine.ready


def test_a_worker_that_dies_fails_its_own_job_only(run):
    async def body(engine):
        await started(engine)
        jobs = {engine.run("sampler", DEVICE, LONG) for _ in range(2)}
        waiting = engine.run("sampler", DEVICE, SHORT)
        computing = await busy(2)
        computing[0].kill()
        done, left = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
        assert [job.result()[0] for job in done] == [DIED]
        assert (await waiting)[1]
        assert (await engine.read("sampler", DEVICE, SHORT))["qpu"] > 1
        assert len(left) == 1
        assert computing[1].is_running()
        for job in left:
            engine.cancel(job)

    run(body)


def test_no_job_fails_for_workers_that_died_while_idle(run):
    async def body(engine):
        await started(engine)
        alive = [process for process in psutil.Process().children() if process.status() != psutil.STATUS_ZOMBIE]
        (forks,) = [process for process in alive if "forkserver" in " ".join(process.cmdline())]
        dead = forks.children()
        for process in dead:
            process.kill()
        psutil.wait_procs(dead, timeout=60)
        assert len(dead) == 3
        assert (await engine.run("sampler", DEVICE, SHORT))[1]

    run(body)


def test_a_cancelled_job_frees_its_core(run):
    async def body(engine):
        await started(engine)
        jobs = [engine.run("sampler", DEVICE, LONG) for _ in range(2)]
        waiting = engine.run("sampler", DEVICE, LONG)
        computing = await busy(2)
        for job in (*jobs, waiting):
            engine.cancel(job)
        await asyncio.wait([*jobs, waiting])
        assert waiting.cancelled()
        psutil.wait_procs(computing, timeout=60)
        assert not any(map(processes.alive, computing))
        assert (await engine.run("sampler", DEVICE, SHORT))[1]

    run(body)


def test_the_first_answer_does_not_wait_for_the_workers(run):
    async def body(engine):
        assert not engine.ready
        answer = await engine.read("sampler", DEVICE, SHORT)
        assert answer["qpu"] > 1

    run(body)


def test_where_processes_cannot_be_forked_each_begins_anew(run, monkeypatch):
    monkeypatch.setattr(workers, "FORKS", False)

    async def body(engine):
        assert (await engine.run("sampler", DEVICE, SHORT))[1]

    run(body)


def test_an_error_of_a_library_fails_its_job_and_is_logged(run, caplog):
    async def body(engine):
        answer, _ = await engine._call({"task": "run"} | engine._common, b"")
        assert answer["failed"]["reason"] == "Internal error."

    run(body)
    assert "KeyError" in caplog.text


def test_the_memory_of_all_workers_together_is_bounded():
    engine = Engine(Options(workers=4))
    assert engine._settings.memory * 4 <= processes.memory() * 3 // 4
    assert processes.memory() <= psutil.virtual_memory().total
