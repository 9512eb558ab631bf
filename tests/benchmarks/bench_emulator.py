"""Figures of the embedded service and of the scheduler."""

from __future__ import annotations

import gc
import json
import subprocess
import tempfile
import threading
import time

import psutil
import requests
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import Batch, Session
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.executor_sampler import Sampler

from qmode_widgets.emulator import start
from qmode_widgets.model.scheduler import Rules, Scheduler

Row = tuple[str, str, str]


def run() -> list[Row]:
    """What, measured, bar."""
    with start(shared=False, speed=float("inf")) as emulator:
        waiting = _processes(emulator)
        backend = emulator.service.backend("emu_fez")
        pm = generate_preset_pass_manager(backend=backend, optimization_level=1)
        bell = pm.run(_entangled(2))
        Sampler(mode=backend).run([bell], shots=10).result()
        rows = [waiting, _round_trip(backend, bell), _batch(emulator, backend, bell), _answers(emulator, backend, pm)]
    return [*rows, _iterations(), _large_body(), _memory(bell), *_scheduler()]


def _entangled(n: int, angle: float = 0.0) -> QuantumCircuit:
    circuit = QuantumCircuit(n)
    circuit.h(0)
    for i in range(n - 1):
        circuit.cx(i, i + 1)
        if angle:
            circuit.rx(angle, i)
    circuit.measure_all()
    return circuit


def _processes(emulator) -> Row:
    """Before its first job."""
    own = psutil.Process(emulator.pid)
    megabytes = [p.memory_full_info().uss / 2**20 for p in (own, *own.children(recursive=True))]
    what = f"a service that waits for its first job: memory of its {len(megabytes)} processes"
    return what, f"{sum(megabytes):.0f} MB", "200 MB"


def _round_trip(backend, bell) -> Row:
    times = []
    for _ in range(10):
        began = time.perf_counter()
        Sampler(mode=backend).run([bell], shots=1000).result()
        times.append(time.perf_counter() - began)
    return "Bell job, submission to result in the client (polls every 0.5 s)", f"{sorted(times)[5]:.2f} s", "1 s"


def _batch(emulator, backend, bell) -> Row:
    began = time.perf_counter()
    with Batch(backend=backend) as batch:
        sampler = Sampler(mode=batch)
        jobs = [sampler.run([bell], shots=1000) for _ in range(200)]
    emulator.faults.wait_for(batch.session_id, "closed", timeout=60)
    seconds = time.perf_counter() - began
    assert all(job.status() == "DONE" for job in jobs)
    return "200 two-qubit jobs in a batch at speed inf", f"{seconds:.1f} s", "30 s"


def _answers(emulator, backend, pm) -> Row:
    heavy = [pm.run(_entangled(20, 0.1 + i)) for i in range(2)]
    jobs = [Sampler(mode=backend).run([(c, None, 100_000)] * 40, shots=100_000) for c in heavy]
    for job in jobs:
        emulator.faults.wait_for(job.job_id(), "Running")
    login = requests.post(f"{emulator.url}/identity/token", data={"apikey": emulator.token}, timeout=10).json()
    session = requests.Session()
    session.headers.update(
        {
            "Authorization": f"Bearer {login['access_token']}",
            "Service-CRN": emulator.environment["QISKIT_IBM_INSTANCE"],
        }
    )
    address = f"{emulator.environment['QISKIT_IBM_URL']}/jobs/{jobs[0].job_id()}?exclude_params=true"
    count, worst, began = 0, 0.0, time.perf_counter()
    while (now := time.perf_counter()) - began < 4:
        assert session.get(address, timeout=10).ok
        count, worst = count + 1, max(worst, time.perf_counter() - now)
    running = sum(job.status() == "RUNNING" for job in jobs)
    assert running == len(jobs), "the jobs ended before the measurement did: make them longer"
    for job in jobs:
        if job.status() not in job.JOB_FINAL_STATES:
            job.cancel()
    what = f"status GETs a second, and the worst, while {running} 20-qubit jobs run"
    return what, f"{count / 4:.0f} /s, {worst * 1000:.0f} ms", "300 /s, 100 ms"


def _iterations(count: int = 40) -> Row:
    """A variational loop of the client-side Estimator on two qubits of 156, with one worker."""
    circuit = QuantumCircuit(2)
    angles = ParameterVector("t", 4)
    for qubit, angle in zip((0, 1), angles[:2], strict=True):
        circuit.ry(angle, qubit)
    circuit.cx(0, 1)
    for qubit, angle in zip((0, 1), angles[2:], strict=True):
        circuit.ry(angle, qubit)
    with start(shared=False, speed=float("inf"), workers=1) as emulator:
        backend = emulator.service.backend("emu_fez")
        isa = generate_preset_pass_manager(backend=backend, optimization_level=1).run(circuit)
        energy = SparsePauliOp.from_list([("ZI", -0.4), ("IZ", 0.4), ("ZZ", -0.01), ("XX", 0.2)])
        energy = energy.apply_layout(isa.layout)
        with Session(backend=backend) as session:
            estimator = Estimator(mode=session)
            estimator.run([(isa, energy, [0.1] * 4)]).result()
            began = time.perf_counter()
            for i in range(count):
                estimator.run([(isa, energy, [0.1 * i] * 4)]).result()
            seconds = time.perf_counter() - began
    return f"{count} evaluations of a two-qubit Estimator in a session, one worker", f"{seconds:.1f} s", "11 s"


def _large_body(megabytes: int = 100) -> Row:
    """How long other requests wait while a large submission arrives and is parsed."""
    with start(shared=False, speed=float("inf"), workers=1) as emulator:
        login = requests.post(f"{emulator.url}/identity/token", data={"apikey": emulator.token}, timeout=10).json()
        session = requests.Session()
        session.headers.update(
            {
                "Authorization": f"Bearer {login['access_token']}",
                "Service-CRN": emulator.environment["QISKIT_IBM_INSTANCE"],
            }
        )
        base = emulator.environment["QISKIT_IBM_URL"]
        params = {"pubs": [["x" * (megabytes * 2**20)]], "version": 2}
        body = json.dumps({"program_id": "sampler", "backend": "emu_fez", "params": params})
        headers = dict(session.headers)
        thread = threading.Thread(target=lambda: requests.post(f"{base}/jobs", data=body, headers=headers, timeout=120))
        thread.start()
        worst = 0.0
        while thread.is_alive():
            now = time.perf_counter()
            assert session.get(f"{base}/jobs?limit=1", timeout=60).ok
            worst = max(worst, time.perf_counter() - now)
    return f"the worst GET while {megabytes} MB are submitted", f"{worst * 1000:.0f} ms", "1000 ms"


def _memory(bell, total: int = 5000) -> Row:
    """Posts the same job over and over by bare HTTP, from four threads."""
    with (
        tempfile.TemporaryDirectory() as folder,
        start(shared=False, speed=float("inf"), state=f"{folder}/state") as emulator,
    ):
        job = Sampler(mode=emulator.service.backend("emu_fez")).run([bell], shots=100)
        job.result()
        login = requests.post(f"{emulator.url}/identity/token", data={"apikey": emulator.token}, timeout=10).json()
        headers = {
            "Authorization": f"Bearer {login['access_token']}",
            "Service-CRN": emulator.environment["QISKIT_IBM_INSTANCE"],
        }
        base = emulator.environment["QISKIT_IBM_URL"]
        params = requests.get(f"{base}/jobs/{job.job_id()}", headers=headers, timeout=10).json()["params"]
        body = json.dumps({"program_id": "executor", "backend": "emu_fez", "params": params})

        def post(count: int) -> None:
            with requests.Session() as session:
                for _ in range(count):
                    assert session.post(f"{base}/jobs", data=body, headers=headers, timeout=60).ok

        def phase(count: int) -> float:
            threads = [threading.Thread(target=post, args=(count // 4,)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            while requests.get(f"{base}/jobs?pending=true", headers=headers, timeout=10).json()["count"]:
                time.sleep(0.1)
            said = subprocess.run(["ps", "-o", "rss=", "-p", str(emulator.pid)], capture_output=True, check=True)
            return int(said.stdout) / 1024

        early = phase(total // 5)
        late = phase(total - total // 5)
    what = f"server memory after {total // 5} and {total} jobs, with a state file"
    return what, f"{early:.0f}, {late:.0f} MB", "flat"


def _scheduler() -> list[Row]:
    def seconds(n: int) -> float:
        began = time.perf_counter()
        s = Scheduler(Rules(queue_wait=10))
        s.open(0, "batch", "batch")
        s.open(0, "session", "session")
        for i in range(n):
            s.submit(i * 0.5, str(i), (None, "batch", "session")[i % 3], prep=2, qpu=1)
        s.drain()
        return time.perf_counter() - began

    gc.freeze()  # or the collector walks through all of Qiskit while we count
    each = {n: min(seconds(n) for _ in range(3)) for n in (1000, 10_000, 100_000)}
    gc.unfreeze()
    growth = ", ".join(f"{t / n * 1e6:.1f}" for n, t in each.items())
    return [
        ("scheduler: a history of 10,000 jobs", f"{each[10_000]:.2f} s", "0.5 s"),
        ("scheduler: µs a job at 1,000, 10,000, 100,000", growth, "no faster than log n"),
    ]


if __name__ == "__main__":
    for row in run():
        print(*row, sep=" | ")
