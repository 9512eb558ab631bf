"""Every notebook we ship runs from top to bottom, without a screen, and leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from qmode_widgets import emulator as package

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
SAYS = {
    "quickstart": ["24 PUBs, 48000 shots", "9707", "of QPU time"],
    "choose_a_mode": ["rep_delay", "session\n", "The price of the session", "PUB 0: "],
    "compare_mitigation_batch": ["s of QPU time expected", "twirled    +", "✓ Done"],
    "vqe_session": ["10 evaluations", "of which idle", "5 points in one job"],
    "noise_learning_session": ["layers learned by job", "point 2:", "s old"],
    "your_code_already": ["GHZ of 4: ", "attempt 2", "the client is as it was"],
    "recover": ["ended with 9", "nobody here", "missing: ['PUB", "8 PUBs,"],
    "big_job": ["(20, 20) shots of each set: 500", "were expected"],
}


@pytest.fixture
def fast(tmp_path, monkeypatch):
    """The service the notebooks will find, as fast as the simulation."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    started = package.start(speed=float("inf"))
    yield started
    started.stop()


@pytest.mark.parametrize("name", sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")))
def test_it_runs_and_prints_what_it_should(fast, name):
    command = [sys.executable, str(NOTEBOOKS / "headless.py"), str(NOTEBOOKS / f"{name}.ipynb")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    for text in SAYS[name]:
        assert text in done.stdout


FOR_IBM = [
    """
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import Batch, EstimatorV2, QiskitRuntimeService, SamplerV2, Session

service = QiskitRuntimeService()
backend = service.least_busy(operational=True, simulator=False, min_num_qubits=100)
manager = generate_preset_pass_manager(backend=backend, optimization_level=1)
""",
    """
bell = QuantumCircuit(2)
bell.h(0)
bell.cx(0, 1)
measured = bell.copy()
measured.measure_all()
isa, isa_measured = manager.run(bell), manager.run(measured)
""",
    """
with Batch(backend=backend) as batch:
    sampler = SamplerV2(mode=batch)
    jobs = [sampler.run([isa_measured], shots=256) for _ in range(3)]
print(sum(sum(job.result()[0].data.meas.get_counts().values()) for job in jobs), "shots")
print(batch.details()["mode"], batch.status(), all(job.metrics()["usage"]["status"] == "complete" for job in jobs))
""",
    """
with Session(backend=backend, max_time="10m") as session:
    estimator = EstimatorV2(mode=session)
    estimator.options.resilience_level = 0
    observable = SparsePauliOp("ZZ").apply_layout(isa.layout)
    value = float(estimator.run([(isa, observable)], precision=0.05).result()[0].data.evs)
print("correlated" if value > 0.7 else value, session.details()["max_time"])
""",
    """
print(len(service.jobs(session_id=batch.session_id, limit=10)), service.job(jobs[0].job_id()).status())
print(service.usage()["usage_consumed_seconds"] > 0)
""",
]


def test_a_notebook_written_for_ibms_service_runs_unchanged_with_the_exported_environment(environment, tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in FOR_IBM])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = tmp_path / "for_ibm.ipynb"
    nbformat.write(notebook, path)
    command = [sys.executable, str(NOTEBOOKS / "headless.py"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    for text in ("768 shots", "batch Closed True", "correlated 600", "3 DONE", "True"):
        assert text in done.stdout
