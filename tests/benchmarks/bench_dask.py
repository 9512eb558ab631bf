"""What a Dask cluster costs a job, beside the local pool on the same cores.

Needs the extra `dask`; not part of `make bench`.

python tests/benchmarks/bench_dask.py [jobs]
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from distributed import LocalCluster
from qiskit import QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import Batch
from qiskit_ibm_runtime.executor_sampler import Sampler

from qmode_widgets.emulator import start
from qmode_widgets.emulator.client.launch import Emulator

Row = tuple[str, str, str]


def run(jobs: int = 200) -> list[Row]:
    """What, measured, bar."""
    rows: list[Row] = []
    for qubits in (2, 20):
        local, cluster = (min(_seconds(workers, qubits, jobs) for _ in range(2)) for workers in (2, -2))
        each = 1000 * (cluster - local) / jobs
        what = f"{jobs} jobs of {qubits} qubits, 2 workers: the pool {local:.1f} s, a cluster {cluster:.1f} s"
        rows.append((what, f"{each:+.1f} ms a job", "≤ 10 ms"))
    times = {n: _seconds(-n, 20, jobs) for n in (1, 2, 4)}
    fall = ", ".join(f"{n}: {seconds:.1f} s" for n, seconds in times.items())
    return [*rows, (f"{jobs} jobs of 20 qubits on a cluster, by workers", fall, "falls with the cores")]


@contextmanager
def _service(workers: int) -> Iterator[Emulator]:
    """With so many workers of its own or, below 0, of a cluster."""
    if workers > 0:
        with start(shared=False, speed=float("inf"), workers=workers) as emulator:
            yield emulator
        return
    with (
        LocalCluster(n_workers=-workers, threads_per_worker=1, dashboard_address=None) as cluster,
        start(shared=False, speed=float("inf"), dask=cluster.scheduler_address) as emulator,
    ):
        yield emulator


def _seconds(workers: int, qubits: int, count: int) -> float:
    """From the moment when all jobs may run to the end of the last one."""
    circuit = QuantumCircuit(qubits)
    for layer in range(4):
        circuit.rx(0.3 + layer, range(qubits))
        for q in range(qubits - 1):
            circuit.cx(q, q + 1)
    circuit.measure_all()
    with _service(workers) as emulator:
        backend = emulator.service.backend("emu_fez")
        isa = generate_preset_pass_manager(backend=backend, optimization_level=1, seed_transpiler=1).run(circuit)
        for job in [Sampler(mode=backend).run([isa], shots=100) for _ in range(4)]:  # every worker has its libraries
            job.result()
        emulator.faults.pause(queue=True)
        with Batch(backend=backend) as batch:
            sent = [Sampler(mode=batch).run([isa], shots=100) for _ in range(count)]
        began = time.perf_counter()
        emulator.faults.resume()
        assert emulator.faults.wait_for(batch.session_id, "closed", timeout=600) == "closed"
        seconds = time.perf_counter() - began
        assert all(job.status() == "DONE" for job in sent)
    return seconds


if __name__ == "__main__":
    logging.getLogger("distributed").setLevel(logging.ERROR)
    for row in run(int(sys.argv[1]) if len(sys.argv) > 1 else 200):
        print(*row, sep=" | ", flush=True)
