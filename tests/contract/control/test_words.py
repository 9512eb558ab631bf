"""Whatever the service leaves out, or says in words that nobody knows: no hang, no exception, nothing billed unseen."""

from __future__ import annotations

import pytest
from qiskit_ibm_runtime import Batch, RuntimeJobFailureError, Session

import qmode_widgets as qmode
from qmode_widgets.control.registry import registry
from qmode_widgets.ibm.wire import RAN_TOO_LONG, SHAPES
from qmode_widgets.model.snapshot import JobState

SUBJECTS = {"session": "sessions", "job": "jobs", "metrics": "metrics"}
OPTIONAL = [
    (shape, field) for shape in SUBJECTS for field in SHAPES[shape].fields if field.promise in ("optional", "nullable")
]


@pytest.fixture(autouse=True)
def nothing_left_open(emulator):
    yield
    emulator.faults.clear()
    for controller in registry.all():
        controller.forget()


def opened(kind, backend):
    if kind == "job":
        return qmode.JobController.open(backend)
    return qmode.BatchController(Batch(backend)) if kind == "batch" else qmode.SessionController(Session(backend))


def variations(field):
    """How a field can be odd, as calls on the faults."""
    odd = {
        "object": "a text",
        "list": "a text",
        "flag": "perhaps",
        "seconds": "soon",
        "time": 17,
        "code": {},
        "text": {},
    }
    yield lambda faults, of: faults.leave_out(field.path, of=of)
    yield lambda faults, of: faults.change({field.path: None}, of=of)
    yield lambda faults, of: faults.change({field.path: odd.get(field.kind, [])}, of=of)
    if field.kind == "word":
        yield lambda faults, of: faults.change({field.path: "a word of tomorrow"}, of=of)


@pytest.mark.parametrize("kind", ["batch", "session", "job"])
@pytest.mark.parametrize(("shape", "field"), OPTIONAL, ids=lambda x: x if isinstance(x, str) else x.path)
def test_an_optional_field_may_be_missing_null_odd_or_unknown(
    kind, shape, field, backend, sampler, rotations, emulator, service
):
    ways = list(variations(field))
    if kind != "batch":  # each kind of controller meets each field, the batch in all ways
        ways = ways[(len(field.path) + len(kind)) % len(ways) :][:1]
    for way in ways:
        way(emulator.faults, SUBJECTS[shape])
    controller = opened(kind, backend)
    run = controller.submit(sampler(controller.primitive_mode), rotations(1))
    assert run.wait(60)
    again = run
    if kind != "job":
        id_ = controller.workload_id
        controller.forget()
        controller = qmode.attach(id_, service)
        assert controller.wait(60)
        again = controller
    emulator.faults.clear()
    controller.refresh()
    assert [j.state for j in again.jobs] == [JobState.DONE]
    assert controller.snapshot().problem is None
    controller.close()


@pytest.mark.parametrize(
    ("said", "instead", "state"),
    [
        ("Completed", "Expired", JobState.FAILED),
        ("Failed", "Error: the QPU went away", JobState.FAILED),
        ("Completed", "Done", JobState.DONE),
        ("Cancelled", RAN_TOO_LONG, JobState.FAILED),
    ],
)
def test_a_final_word_that_nobody_knows_ends_the_job(said, instead, state, backend, sampler, rotations, emulator):
    batch = qmode.BatchController(Batch(backend))
    emulator.faults.say({said: instead}, of="jobs")
    if said == "Failed":
        emulator.faults.fail_jobs(1)
    if said == "Cancelled":
        emulator.faults.pause(queue=True)
    run = batch.submit(sampler(batch.primitive_mode), rotations(1))
    if said == "Cancelled":
        assert batch.wait_until(lambda _: run.jobs[0].job_id is not None, 60)
        batch.cancel_all()
    assert run.wait(60)
    [job] = run.jobs
    assert job.state is state
    assert job.service_status == instead
    batch.close()


def test_a_job_handle_ends_with_a_word_that_the_client_does_not_know(backend, sampler, rotations, emulator):
    batch = qmode.BatchController(Batch(backend))
    emulator.faults.say({"Failed": "Error: the QPU went away"}, of="jobs")
    emulator.faults.fail_jobs(1)
    job = sampler(batch.primitive_mode).run(rotations(1))
    with pytest.raises(RuntimeJobFailureError):
        job.result(timeout=60)
    assert job.status() == "ERROR"
    batch.close()


def test_an_idle_session_of_an_unknown_state_is_closed_all_the_same(backend, sampler, rotations, emulator):
    session = qmode.SessionController(Session(backend))
    session.close_when_idle(0.5)
    emulator.faults.change({"state": "a word of tomorrow"}, of="sessions")
    session.submit(sampler(session.primitive_mode), rotations(1))
    assert session.wait_until(lambda shot: shot.accepting_jobs is False, 60)


def test_a_copy_of_our_tags_is_somebodys_own_job(backend, sampler, rotations, emulator, service):
    batch = qmode.BatchController(Batch(backend))
    run = batch.submit(sampler(batch.primitive_mode), rotations(1))
    assert run.wait(60)
    copied = service.job(run.jobs[0].job_id).tags
    batch.release()
    emulator.faults.pause(queue=True)
    primitive = sampler(batch.primitive_mode)
    primitive.options.environment.job_tags = copied
    job = primitive.run(rotations(1))
    assert batch.wait_until(lambda shot: any(j.job_id == job.job_id() for j in shot.jobs), 60)
    batch.refresh()
    assert job.status() == "QUEUED"
    emulator.faults.resume()
    assert batch.wait(60)
    assert {j.state for j in batch.jobs} == {JobState.DONE}
    batch.close()


def test_results_that_may_not_be_read_now_are_not_called_lost(backend, sampler, rotations, emulator):
    batch = qmode.BatchController(Batch(backend))
    run = batch.submit(sampler(batch.primitive_mode), rotations(1))
    assert run.wait(60)
    emulator.faults.fail_requests(403, method="GET", path="/jobs/.*/results", count=100)
    with pytest.raises(qmode.ServiceError) as caught:
        run.result(30)
    assert caught.value.status == 403
    emulator.faults.clear()
    assert len(run.result(30)) == 1
    batch.close()


def test_a_row_says_how_it_was_simulated_where_that_was_not_exact(rotations, sampler):
    with qmode.emulator.start(shared=False, workers=1, speed=float("inf"), simulation="shapes") as emulator:
        backend = emulator.service.backend("emu_fez")
        batch = qmode.BatchController.open(backend)
        run = batch.submit(sampler(batch.primitive_mode), rotations(1))
        assert run.wait(60)
        assert batch.wait_until(lambda _: "shape" in str(run.jobs[0].note), 60)
        assert "shape" in str(batch)
        batch.end()
