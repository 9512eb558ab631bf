"""`qmode_widgets.testing`: the page's own example, and libraries that do not come through."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from inspect import isfunction
from pathlib import Path

import pytest
from qiskit_ibm_runtime import Batch, SamplerV2

from qmode_widgets import testing
from qmode_widgets.ibm.client import tags_of
from tests.contract.conftest import legacy
from tests.contract.emulator.test_workloads import ask

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text()
CONFTEST, TEST, GROUP = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)

LIBRARY = """
from qiskit import QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import Batch
from qiskit_ibm_runtime.executor_sampler import Sampler


def energy(backend, shots):
    bell = QuantumCircuit(2)
    bell.h(0)
    bell.cx(0, 1)
    bell.measure_all()
    with Batch(backend) as batch:
        job = Sampler(mode=batch).run([generate_preset_pass_manager(backend=backend).run(bell)], shots=shots)
        counts = job.result()[0].data.meas.get_counts()
    assert counts.get("00", 0) + counts.get("11", 0) > shots * 0.7
    return counts
"""


def python(folder, *arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])},
    )


def test_the_pages_example_proves_a_library(tmp_path):
    (tmp_path / "my_library.py").write_text(LIBRARY)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_with_qmode.py").write_text(TEST)
    done = python(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "5 passed" in done.stdout, done.stdout + done.stderr


def test_the_pages_group_names_the_jobs(backend, emulator):
    names: dict[str, object] = {"backend": backend}
    exec(LIBRARY, names)
    with testing.watching() as found:
        exec(GROUP, names)
        assert [job.group for c in found.controllers for job in c.jobs] == ["bond 0.74"]


def test_without_pytest_it_says_what_to_install(tmp_path):
    code = "import sys; sys.modules['pytest'] = None; import qmode_widgets.testing"
    done = python(tmp_path, "-c", code)
    assert 'qmode_widgets.testing needs pytest: pip install "qmode-widgets[testing]"' in done.stderr


def test_the_package_itself_does_not_import_pytest(tmp_path):
    code = "import sys, qmode_widgets as q; [getattr(q, n) for n in q.__all__]; print('pytest' in sys.modules)"
    assert python(tmp_path, "-c", code).stdout.strip() == "False"


def attributes():
    """All attributes of all classes of the client."""
    classes = {c for m in [*sys.modules.values()] for c in [*vars(m).values()] if isinstance(c, type)}
    ours = [c for c in classes if str(c.__module__).startswith("qiskit_ibm_runtime")]
    return {(c, name): value for c in ours for name, value in [*vars(c).items()]}


def test_the_page_lists_what_watch_wraps(backend, emulator):
    before = attributes()
    with testing.watching():
        watched = attributes()
        with Batch(backend) as mode:
            of_objects = [name for name, value in vars(mode).items() if isfunction(value)]
    wrapped = {f"{c.__name__}.{name}" for (c, name), value in watched.items() if before.get((c, name)) is not value}
    classes, objects = re.findall(r"^\| Attribute \|.*\n\|---.*\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert wrapped == set(re.findall(r"^\| `([^`]+)`", classes, re.MULTILINE))
    assert sorted(of_objects) == sorted(re.findall(r"^\| `([^`]+)`", objects, re.MULTILINE))
    after = attributes()
    assert [k for k in before if after[k] is not before[k]] == []


@pytest.fixture
def library(bell):
    """One that comes through."""

    def work(backend):
        assert legacy(SamplerV2, backend).run([bell], shots=10).result()

    return work


@pytest.mark.parametrize("proof", testing.PROOFS, ids=lambda proof: proof.__name__)
def test_one_that_comes_through(library, backend, emulator, proof):
    proof(library, backend, emulator)


@pytest.mark.parametrize("proof", [testing.runs_plainly, testing.rows_at_once], ids=lambda proof: proof.__name__)
def test_one_that_submits_nothing(backend, emulator, proof):
    with pytest.raises(AssertionError, match="submitted no job"):
        proof(lambda _: None, backend, emulator)


def test_one_with_an_http_client_of_its_own_is_told_what_watch_sees(backend, emulator, elsewhere):
    with pytest.raises(AssertionError, match=r"1 jobs were posted, and watch\(\) saw 0: .* qiskit-ibm-runtime"):
        testing.rows_at_once(lambda _: elsewhere.job(), backend, emulator)


def test_one_that_sends_a_lost_submission_again_by_itself(library, backend, emulator, elsewhere):
    """Its second job is not seen by watch(), and the service has it under the first one's tags."""

    def work(backend):
        library(backend)
        (first,) = emulator.service.jobs(limit=1)
        elsewhere.job(tags=tags_of(first))

    with pytest.raises(AssertionError, match="the service has the jobs"):
        testing.makes_one_job(work, backend, emulator)


def test_one_whose_jobs_need_more_than_the_first_cap_is_bound_by_a_higher_one(bell, backend, emulator):
    """25,000 shots take 8 s: with a cap of 3 s none is sent."""

    def work(backend):
        assert legacy(SamplerV2, backend).run([bell], shots=25_000).result()

    testing.cap_acts(work, backend, emulator)
    [job] = emulator.service.jobs(limit=1)
    assert 8 < ask(emulator, "GET", f"/jobs/{job.job_id()}").json()["cost"] <= 30


def test_one_that_needs_more_than_all_caps_or_posts_past_watch_is_told(bell, backend, emulator, elsewhere):
    def work(backend):
        legacy(SamplerV2, backend).run([bell], shots=25_000)

    with pytest.raises(AssertionError, match=r"watch\(\) saw no job, with a cap of 1 s neither"):
        testing.cap_acts(work, backend, emulator, cap=0.01)
    with pytest.raises(AssertionError, match=r"1 jobs were posted, and watch\(\) saw none"):
        testing.cap_acts(lambda _: elsewhere.job(), backend, emulator)


def test_one_that_fails_at_the_cap_for_another_reason(backend, emulator, library):
    def work(backend):
        library(backend)
        raise KeyError("mean")

    with pytest.raises(AssertionError, match="the cap is not why it failed"):
        testing.cap_acts(work, backend, emulator)
