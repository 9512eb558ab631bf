"""What outlives the service and the kernel: a run in a file, and its report."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import tracemalloc
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.executor_sampler import Sampler

import qmode_widgets as qmode
from qmode_widgets.errors import ArchiveError, IncompleteResultError
from qmode_widgets.model.snapshot import JobState

NASTY = "<script>alert(1)</script>"


@pytest.fixture
def batch(backend, emulator):
    controller = qmode.BatchController.open(backend)
    yield controller
    controller.end(running=False)


class Page(HTMLParser):
    """A page's tags, and the text of each section by its heading."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.sections: dict[str, str] = {"": ""}
        self._at, self._inside = "", ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self._inside = tag

    def handle_data(self, data):
        if self._inside == "h2":
            self._at, self._inside = data, ""
            self.sections[data] = ""
        elif self._inside != "style":
            self.sections[self._at] += data + " "


# --- a run in a file -----------------------------------------------------------------------------------------------


def test_a_saved_run_gives_the_same_result_in_a_process_without_the_service(batch, sampler, rotations, tmp_path):
    run = batch.submit(sampler(batch.primitive_mode), rotations(5), partitions=3, label="sweep")
    live = run.result(timeout=60)
    path = run.save(tmp_path / "sweep.qmode")
    code = (
        "import sys, qmode_widgets as qmode; run = qmode.load(sys.argv[1]); result = run.result();"
        "print([pub.data.meas.get_int_counts() for pub in result]);"
        "print(run.label, [str(j.state) for j in run.jobs], run.usage.status, run.id)"
    )
    alone = {k: v for k, v in os.environ.items() if not k.startswith(("QISKIT_", "IAM_", "GLOBAL_"))}
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, env=alone
    )
    counts, about = done.stdout.splitlines()
    assert counts == str([pub.data.meas.get_int_counts() for pub in live])
    assert about.split(" ", 1)[0] == "sweep"
    assert about.endswith(run.id)
    assert about.count("done") == 3


def test_a_loaded_run_merges_parameter_sets_that_were_split_over_jobs(batch, isa, tmp_path):
    theta = Parameter("θ")
    circuit = QuantumCircuit(1)
    circuit.ry(theta, 0)
    turned = isa(circuit)
    observable = SparsePauliOp("Z").apply_layout(turned.layout)
    angles = np.linspace(0, np.pi, 6)
    pub = (turned, observable, angles.reshape(6, 1))
    estimator = Estimator(mode=batch.primitive_mode)
    parts = [
        qmode.Partition((qmode.Piece(0, 0, 4, shape=(6,)),)),
        qmode.Partition((qmode.Piece(0, 4, 6, shape=(6,)),)),
    ]
    run = batch.submit(estimator, [pub], partitions=parts, precision=0.1)
    live = run.result(timeout=60)
    saved = qmode.load(run.save(tmp_path / "run.qmode"))
    np.testing.assert_array_equal(saved.result()[0].data.evs, live[0].data.evs)
    assert saved.result()[0].data.evs.shape == (6,)
    assert saved.result().metadata.keys() == live.metadata.keys()


def test_jobs_usage_and_provenance_come_back_as_they_were(batch, sampler, rotations, tmp_path):
    run = batch.submit(sampler(batch.primitive_mode), rotations(2), partitions=2)
    run.result(timeout=60)
    assert batch.wait_until(lambda _: run.usage.status == "final" and all(j.finished for j in run.jobs), 60)
    saved = qmode.load(run.save(tmp_path / "run.qmode"))
    assert saved.jobs == run.jobs
    assert saved.usage == run.usage
    assert saved.usage.reported == sum(j.usage.reported for j in run.jobs)
    assert saved.snapshot().workload_id == batch.workload_id
    assert saved.provenance.options["default_shots"] == 400
    assert saved.provenance.calibrated < run.jobs[0].created
    assert saved.provenance.versions["qmode_widgets"] == qmode.__version__


def test_an_unfinished_run_keeps_what_there_is_and_says_what_is_missing(batch, sampler, rotations, emulator, tmp_path):
    emulator.faults.fail_jobs(1, code=9707, skip=1)
    run = batch.submit(sampler(batch.primitive_mode), rotations(4), partitions=2)
    assert batch.wait(60)
    saved = qmode.load(run.save(tmp_path / "run.qmode"))
    with pytest.raises(IncompleteResultError, match=f"1 of 2 partitions.*9707.*attach\\('{run.id}'"):
        saved.result()
    assert len(saved.partial_result().pubs) == 2
    assert sorted(j.state for j in saved.jobs) == [JobState.DONE, JobState.FAILED]


def test_a_private_result_that_was_read_once_is_still_saved(batch, sampler, rotations, in_pub_order, tmp_path):
    primitive = sampler(batch.primitive_mode)
    primitive.options.environment.private = True
    run = batch.submit(primitive, rotations(2), partitions=1)
    in_pub_order(run.result(timeout=60), 2)
    in_pub_order(qmode.load(run.save(tmp_path / "run.qmode")).result(), 2)


def test_saving_reads_a_private_result_and_keeps_it(batch, sampler, rotations, in_pub_order, tmp_path):
    primitive = sampler(batch.primitive_mode)
    primitive.options.environment.private = True
    run = batch.submit(primitive, rotations(2), partitions=1)
    assert run.wait(60)
    saved = run.save(tmp_path / "run.qmode")
    in_pub_order(run.result(), 2)
    in_pub_order(qmode.load(saved).result(), 2)


def test_a_failed_save_leaves_the_old_file_as_it_was(batch, sampler, rotations, emulator, tmp_path):
    run = batch.submit(sampler(batch.primitive_mode), rotations(1), partitions=1)
    assert run.wait(60)
    path = run.save(tmp_path / "run.qmode")
    before = path.read_bytes()
    emulator.faults.fail_requests(404, path=".*/results", count=1)
    with pytest.raises(qmode.QmodeError):
        run.save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["run.qmode"]


@pytest.fixture(scope="module")
def archive(shared_emulator, backend, rotations, tmp_path_factory):
    batch = qmode.BatchController.open(backend)
    primitive = Sampler(mode=batch.primitive_mode)
    primitive.options.default_shots = 400
    run = batch.submit(primitive, rotations(1), partitions=1)
    assert run.wait(60)
    batch.close()
    return run.save(tmp_path_factory.mktemp("archive") / "run.qmode")


@pytest.fixture
def saved(archive, tmp_path):
    return Path(shutil.copy(archive, tmp_path / "run.qmode"))


def rewrite(path, change):
    """The same archive with another head."""
    with zipfile.ZipFile(path) as old:
        content = {name: old.read(name) for name in old.namelist()}
    head = json.loads(content["run.json"])
    change(head)
    with zipfile.ZipFile(path, "w") as new:
        for name, data in (content | {"run.json": json.dumps(head).encode()}).items():
            new.writestr(name, data)


def test_a_result_that_cannot_be_decoded_is_named_by_its_partition(saved):
    with zipfile.ZipFile(saved) as old:
        content = {name: old.read(name) for name in old.namelist()}
    entry = json.loads(content["run.json"])["partitions"]["0"]["result"]
    with zipfile.ZipFile(saved, "w") as new:
        for name, data in (content | {entry: b'{"__type__": "Result"'}).items():
            new.writestr(name, data)
    with pytest.raises(qmode.QmodeError, match=r"the result of partition 1 in .*run\.qmode cannot be decoded"):
        qmode.load(saved).result()


def test_a_file_of_a_newer_version_is_refused_with_the_way_out(saved):
    rewrite(saved, lambda head: head.update(version=2))
    with pytest.raises(ArchiveError, match=r"version 2, this qmode_widgets reads up to 1: pip install --upgrade"):
        qmode.load(saved)


def test_another_kind_of_file_is_refused(saved, tmp_path):
    rewrite(saved, lambda head: head.update(format="holiday pictures"))
    with pytest.raises(ArchiveError, match="holds 'holiday pictures'"):
        qmode.load(saved)
    (tmp_path / "notes.txt").write_text("not a zip")
    with pytest.raises(ArchiveError, match="not a saved run"):
        qmode.load(tmp_path / "notes.txt")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda head: head.pop("provenance"),
        lambda head: head["provenance"]["workload"].update(jobs=[{"state": "sleeping"}]),
        lambda head: head["partitions"]["0"].update(result="results/9.json"),
        lambda head: head.update(of=3),
        lambda head: head.update(partitions=[1]),
        lambda head: head.update(of=30_000_000),
        lambda head: head.update(of=3e7),
        lambda head: head.update(of=True),
        lambda head: head.update(partitions={"1": head["partitions"]["0"]}),
        lambda head: head.update(version=-1),
        lambda head: head.update(version=0),
        lambda head: head.update(version=True),
        lambda head: head.update(version="1"),
        lambda head: head.update(version=None),
    ],
)
def test_a_damaged_head_is_a_clear_error(saved, spoil):
    rewrite(saved, spoil)
    with pytest.raises(ArchiveError, match="damaged"):
        qmode.load(saved)


def replaced(path, name, pieces):
    """The archive with one member written anew, in pieces."""
    with zipfile.ZipFile(path) as old:
        content = {each: old.read(each) for each in old.namelist() if each != name}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for each, data in content.items():
            new.writestr(each, data)
        with new.open(name, "w", force_zip64=True) as member:
            for piece in pieces:
                member.write(piece)


@pytest.mark.parametrize("name", ["run.json", "results/0.json"])
def test_a_bomb_is_refused_before_it_is_unpacked(saved, name):
    replaced(saved, name, itertools.repeat(b" " * 2**20, 300))
    assert saved.stat().st_size < 2**20
    tracemalloc.start()
    try:
        with pytest.raises(ArchiveError, match="unpacks to 314,572,800 bytes"):
            qmode.load(saved)
        assert tracemalloc.get_traced_memory()[1] < 32 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("brackets", [b"[", b'{"a":'])
def test_json_that_is_nested_too_deep_is_a_clear_error(saved, brackets):
    replaced(saved, "run.json", [brackets * 200_000])
    with pytest.raises(ArchiveError, match="damaged"):
        qmode.load(saved)


def test_a_number_of_partitions_takes_no_memory(saved):
    rewrite(saved, lambda head: head.update(of=30_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(ArchiveError, match="1 of 30000000 partitions"):
            qmode.load(saved)
        assert tracemalloc.get_traced_memory()[1] < 32 * 2**20
    finally:
        tracemalloc.stop()


def test_a_file_of_the_first_version_is_read(in_pub_order):
    old = qmode.load(Path(__file__).parents[2] / "data" / "run-1.qmode")
    assert (old.label, old.usage.status, len(old.jobs)) == ("version 1", "final", 2)
    in_pub_order(old.result(), 2)
    assert "version 1" in repr(old)


def test_a_report_is_written_whole_or_not_at_all(saved, tmp_path, monkeypatch):
    page = tmp_path / "page.html"
    page.write_text("the old page")
    real = Path.write_text

    def half(self, text, **kwargs):
        real(self, text[: len(text) // 2], **kwargs)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(OSError, match="No space left"):
        qmode.load(saved).report(page)
    assert page.read_text() == "the old page"
    assert sorted(os.listdir(tmp_path)) == ["page.html", "run.qmode"]
    monkeypatch.undo()
    assert qmode.load(saved).report(page).read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("where", [0.05, 0.3, 0.6, 0.95])
def test_a_damaged_byte_never_passes_for_a_result(saved, where):
    before = qmode.load(saved).result()
    content = bytearray(saved.read_bytes())
    content[int(len(content) * where)] ^= 0xFF
    saved.write_bytes(content)
    try:
        after = qmode.load(saved).result()
    except ArchiveError:
        return
    assert after[0].data.meas == before[0].data.meas  # a byte that only zip's own bookkeeping has


def test_half_a_file_is_a_clear_error(saved):
    saved.write_bytes(saved.read_bytes()[: saved.stat().st_size // 2])
    with pytest.raises(ArchiveError, match="damaged"):
        qmode.load(saved)


# --- the report ----------------------------------------------------------------------------------------------------


def test_a_report_tells_plan_bill_attempts_options_and_versions(batch, sampler, rotations, emulator, backend, tmp_path):
    emulator.faults.fail_jobs(1, code=9707, skip=1)
    primitive = sampler(batch.primitive_mode)
    primitive.options.twirling.enable_measure = True
    pubs = rotations(4)
    run = batch.submit(primitive, pubs, partitions=2, label="twirled")
    assert batch.wait(60)
    batch.resubmit_failed()
    run.result(timeout=60)
    assert batch.wait_until(lambda _: run.usage.status == "final", 60)
    run.plan = qmode.plan(pubs, backend, sampler(backend))
    page = Page(run.report(tmp_path / "report.html").read_text())
    said = page.sections
    assert "twirled" in said[""]
    assert "2 done" in said[""]
    assert "✓ advised" in said["Plan"]
    assert f"{run.usage.reported:.1f} s" in said["Estimate and bill"]
    assert f"≈ {run.usage.estimated:.1f} s" in said["Estimate and bill"]
    assert said["Jobs and attempts"].count("Failed") == 1
    assert "9707" in said["Jobs and attempts"]
    assert [j.job_id in said["Jobs and attempts"] for j in batch.jobs] == [True] * 3
    assert "twirling.enable_measure True" in said["Options"]
    assert "qiskit-ibm-runtime" in said["Calibration and versions"]
    assert "UTC" in said["Calibration and versions"]
    assert page.tags.count("rect") > 6
    assert "on the QPU" in said["Timeline"]


def test_a_report_needs_nothing_else_runs_nothing_and_holds_no_token(batch, sampler, rotations, emulator, tmp_path):
    primitive = sampler(batch.primitive_mode)
    primitive.options.environment.job_tags = [NASTY[:20]]
    emulator.faults.fail_jobs(1, code=1517, reason=f"{NASTY} \x1b[31m", solution="<img src=x onerror=alert(1)>")
    run = batch.submit(primitive, rotations(1), partitions=1, label='<b onmouseover="x">')
    assert batch.wait(60)
    html = run.report(tmp_path / "report.html").read_text()
    page = Page(html)
    assert not {"script", "img", "b", "link", "iframe", "a"} & set(page.tags)
    assert not [(k, v) for k, v in page.attributes if k.startswith("on") or k in ("src", "href")]
    assert NASTY in page.sections["Jobs and attempts"]
    assert "\x1b" not in html
    assert emulator.token not in html
    assert "default-src 'none'" in dict(page.attributes)["content"] or "default-src 'none'" in html


def test_a_plan_that_ran_is_in_its_runs_report(emulator, backend, sampler, rotations, tmp_path):
    planned = qmode.plan(rotations(3), backend, sampler(backend))
    controller = planned.run()
    try:
        run = controller.runs[0]
        assert run.wait(60)
        assert "✓ advised" in Page(run.report(tmp_path / "report.html").read_text()).sections["Plan"]
        again = qmode.load(run.save(tmp_path / "run.qmode"))
        assert again.provenance.plan.mode == planned.mode
        assert "✓ advised" in Page(again.report(tmp_path / "again.html").read_text()).sections["Plan"]
    finally:
        controller.cancel_all()
        controller.close()


def test_a_report_before_anything_ran_says_unknown_not_zero(batch, sampler, rotations, emulator, tmp_path):
    emulator.faults.pause(queue=True)
    run = batch.submit(sampler(batch.primitive_mode), rotations(1), partitions=1)
    said = Page(run.report(tmp_path / "report.html").read_text()).sections
    assert "the service has reported nothing yet" in said["Estimate and bill"]
    assert "not known" not in said["Calibration and versions"]
    emulator.faults.resume()
