"""The embedded service on a Dask cluster: results, a cancelled job, a lost worker."""

from __future__ import annotations

import os
import signal

import pytest
from distributed import Client, LocalCluster
from qiskit import QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime.executor_sampler import Sampler

from qmode_widgets import emulator as package


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as running:
        yield running


@pytest.fixture(scope="module")
def emulator(cluster):
    with package.start(shared=False, speed=float("inf"), dask=cluster.scheduler_address) as running:
        yield running


@pytest.fixture(scope="module")
def backend(emulator):
    return emulator.service.backend("emu_fez")


@pytest.fixture(scope="module")
def circuits(backend):
    """A Bell circuit, one that takes minutes, and one that takes seconds."""

    def layered(qubits, layers):
        circuit = QuantumCircuit(qubits)
        for layer in range(layers):
            for q in range(qubits):
                circuit.rx(0.3 + layer, q)
            for q in range(qubits - 1):
                circuit.cx(q, q + 1)
        circuit.measure_all()
        return circuit

    bell = QuantumCircuit(2)
    bell.h(0)
    bell.cx(0, 1)
    bell.measure_all()
    pm = generate_preset_pass_manager(backend=backend, optimization_level=1, seed_transpiler=1)
    return pm.run([bell, layered(24, 40), layered(21, 8)])


def on_workers(cluster):
    with Client(cluster) as client:
        return sum(map(len, client.processing().values()))


def test_jobs_are_simulated_on_the_cluster(backend, circuits):
    jobs = [Sampler(mode=backend).run([circuits[0]], shots=100) for _ in range(6)]
    for job in jobs:
        assert set(job.result()[0].data.meas.get_counts()) == {"00", "11"}


def test_cancelling_a_job_frees_its_worker(cluster, emulator, backend, circuits):
    long = [Sampler(mode=backend).run([circuits[1]], shots=10) for _ in range(2)]
    for job in long:
        emulator.faults.wait_for(job.job_id(), "Running")
    for job in long:
        job.cancel()
    assert Sampler(mode=backend).run([circuits[0]], shots=10).result()
    assert on_workers(cluster) == 0


def test_a_lost_workers_job_is_run_again(cluster, emulator, backend, circuits):
    with Client(cluster) as client:
        pids = client.run(os.getpid)
        job = Sampler(mode=backend).run([(circuits[2], None, 10)], shots=10)
        emulator.faults.wait_for(job.job_id(), "Running")
        while not (busy := [address for address, keys in client.processing().items() if keys]):
            assert job.status() == "RUNNING"
        os.kill(pids[busy[0]], signal.SIGKILL)
    assert job.result()[0].data.meas.num_shots == 10
    assert Sampler(mode=backend).run([circuits[0]], shots=10).result()


def test_a_cluster_that_is_not_there_is_said():
    with pytest.raises(RuntimeError, match=r"dask='tcp://127\.0\.0\.1:9': the scheduler cannot be reached"):
        package.start(shared=False, dask="tcp://127.0.0.1:9")
