"""Every notebook we ship runs from top to bottom, without a screen, and leaves nothing behind."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from qmode_widgets import emulator as package

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
SAYS = {
    "quickstart": ["24 PUBs, 48000 shots", "9707", "of QPU time"],
    "choose_a_mode": ["rep_delay", "session\n", "The price of the session", "PUB 0: "],
    "compare_mitigation_batch": ["s of QPU time expected", "twirled    +", "✓ Done"],
    "vqe_session": ["10 evaluations", "of which idle", "5 points in one job"],
    "noise_learning_session": ["layers learned by job", "point 2:", "s old"],
    "your_code_already": ["GHZ of 4: ", "✓ Done (attempt ", "the client is as it was"],
    "recover": ["ended with 9", "not watched here", "missing: ['PUB", "8 PUBs,"],
    "big_job": ["(20, 20) shots of each set: 500", "were expected"],
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The service that the notebooks find, as fast as the simulation."""
    home = tmp_path_factory.mktemp("runtime")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_RUNTIME_DIR", str(home))
        patch.setenv("IPYTHONDIR", str(home / "ipython"))
        started = package.start(speed=float("inf"))
        yield started
        started.stop()


@pytest.fixture
def fast(shared):
    """The same, without what a notebook's faults left over."""
    shared.faults.clear()
    return shared


@pytest.mark.parametrize("name", sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")))
def test_it_runs_and_prints_what_it_should(fast, name):
    command = [sys.executable, str(NOTEBOOKS / "headless.py"), str(NOTEBOOKS / f"{name}.ipynb")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    for text in SAYS[name]:
        assert text in done.stdout, done.stdout


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


FIRST_SHOWN_THEN_RUN = [
    """
import qmode_widgets as qmode
from qiskit import QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime.executor_sampler import Sampler

service = qmode.emulator.start().service
backend = service.least_busy()
circuit = QuantumCircuit(1)
circuit.measure_all()
isa = generate_preset_pass_manager(backend=backend, optimization_level=1).run(circuit)
""",
    "batch = qmode.BatchController.open(backend)\nbatch",
    "run = batch.submit(Sampler(mode=batch.primitive_mode), [isa] * 3, partitions=3)\nrun.wait()",
    "batch.close()\nbatch.wait_until(lambda shot: shot.state == 'closed', 120)",
]


def test_an_output_that_no_page_follows_says_how_its_workload_ended(fast):
    """By nbclient, papermill, nbconvert: the cell that showed the batch before it had a job ends with all done."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in FIRST_SHOWN_THEN_RUN])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    NotebookClient(notebook, timeout=280, kernel_name="python3", extra_arguments=["--log-level=ERROR"]).execute()
    [shown] = [o for o in notebook.cells[1].outputs if "data" in o]
    assert shown["data"]["text/plain"].count("✓ Done") == 3
    assert "closed" in shown["data"]["text/plain"]
    assert shown["data"]["text/html"].count("Done") >= 3
    assert "application/vnd.jupyter.widget-view+json" not in shown["data"]


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_it_is_saved_as_it_ended(path):
    """`make saved-notebooks` ran it: whatever cell shows a workload shows its end, and nothing of that machine."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("image/png", None)  # base64: any word may stand in it
            assert output.output_type != "error"
            shown = output.get("data", {}).get("application/vnd.qmode-widgets.workload+json")
            assert shown is None or shown["state"]["state"] == "closed"
    assert not re.search(r"/(home|root|tmp|work|Users)/|eyJ[\w-]{12,}|Bearer ", nbformat.writes(notebook))
