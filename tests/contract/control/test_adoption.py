"""What a user's own code submits through a wrapped mode object: the client's own handles, under our protection."""

from __future__ import annotations

import copy

import pytest
from qiskit_ibm_runtime import Batch, EstimatorV2, RuntimeJobV2, SamplerV2
from qiskit_ibm_runtime.exceptions import IBMInputValueError, IBMRuntimeError, RuntimeJobFailureError

import qmode_widgets as qmode
from qmode_widgets.model.snapshot import JobState
from tests.peek import at_pace, end_waits_of_the_pacer

from ..conftest import legacy


@pytest.fixture
def mode(backend, emulator):
    found = Batch(backend)
    yield found
    found.cancel()


@pytest.fixture
def batch(mode):
    controller = qmode.BatchController(mode)
    at_pace(controller)
    yield controller
    end_waits_of_the_pacer(controller)
    controller.forget()


def on_service(service, controller):
    return service.jobs(session_id=controller.workload_id, limit=None)


def test_the_callers_handle_is_the_clients_own_and_the_row_is_there_at_once(batch, mode, sampler, rotations, service):
    job = sampler(mode).run(rotations(1))
    assert type(job) is RuntimeJobV2
    assert [j.job_id for j in batch.jobs] == [job.job_id()]
    assert job.session_id == mode.session_id
    assert job.result()[0].data.meas.num_shots == 400
    assert job.metrics()["timestamps"]["running"]
    assert service.job(job.job_id()).result()[0].data.meas.num_shots == 400
    assert copy.copy(job).status() == "DONE"


@pytest.mark.parametrize("primitive", [SamplerV2, EstimatorV2])
def test_legacy_primitives_are_taken_too(batch, mode, rotations, primitive):
    from qiskit.quantum_info import SparsePauliOp

    circuit, values = rotations(1)[0]
    bare = circuit.remove_final_measurements(inplace=False)
    pub = (
        (circuit, values)
        if primitive is SamplerV2
        else (bare, SparsePauliOp("Z" + "I" * (bare.num_qubits - 1)), values)
    )
    job = legacy(primitive, mode=mode).run([pub])
    assert [j.job_id for j in batch.jobs] == [job.job_id()]
    assert len(job.result()) == 1


def test_a_lost_answer_makes_one_job(batch, mode, sampler, rotations, emulator, service):
    emulator.faults.fail_requests(504, method="POST", path="/jobs", when="after")
    job = sampler(mode).run(rotations(1))
    assert job.result()
    assert [j.job_id() for j in on_service(service, batch)] == [job.job_id()]


def test_a_cap_reaches_the_service_and_ends_what_goes_over_it(batch, mode, sampler, rotations, service):
    batch.usage_cap = 7
    job = sampler(mode).run(rotations(1))
    assert service._get_api_client().job_get(job.job_id())["cost"] == 7
    job.result()

    def submit():
        for _ in range(40):
            sampler(mode).run(rotations(1)).result()

    with pytest.raises(IBMRuntimeError, match=r"usage cap of 7 s"):
        submit()
    assert batch.wait_until(lambda shot: shot.accepting_jobs is False, 60)
    with pytest.raises(IBMRuntimeError, match=r"closed|usage cap"):
        submit()
    assert len(on_service(service, batch)) < 8


def test_eight_in_a_row_against_five_a_minute_are_all_sent(batch, mode, sampler, rotations, emulator, service):
    jobs = [sampler(mode).run(rotations(1)) for _ in range(5)]
    emulator.faults.fail_requests(429, method="POST", path="/jobs", retry_after=0.3, count=3)
    jobs += [sampler(mode).run(rotations(1)) for _ in range(3)]
    assert len({job.job_id() for job in jobs}) == 8
    assert len(on_service(service, batch)) == 8


def test_a_handle_follows_a_retry_and_keeps_its_id(mode, sampler, rotations, emulator, service):
    batch = qmode.BatchController(mode, retries=2)
    emulator.faults.fail_jobs(1, code=9707)
    job = sampler(mode).run(rotations(1))
    first = job.job_id()
    assert job.result()[0].data.meas.num_shots == 400
    assert job.job_id() == first
    assert job.status() == "DONE"
    assert [j.state for j in batch.jobs] == [JobState.FAILED, JobState.DONE]
    assert len(on_service(service, batch)) == 2
    batch.forget()


def test_a_users_error_is_not_retried_and_raises_as_always(mode, sampler, rotations, emulator):
    batch = qmode.BatchController(mode, retries=2)
    emulator.faults.fail_jobs(1, code=1517)
    with pytest.raises(RuntimeJobFailureError, match="1517"):
        sampler(mode).run(rotations(1)).result()
    batch.forget()


def test_a_handle_that_failed_follows_when_its_work_is_resubmitted(batch, mode, sampler, rotations, emulator):
    emulator.faults.fail_jobs(1, code=9707)
    job = sampler(mode).run(rotations(1))
    with pytest.raises(RuntimeJobFailureError):
        job.result()
    batch.refresh()
    assert batch.resubmit_failed()
    assert job.result()[0].data.meas.num_shots == 400
    assert any("the job handle follows" in e.text for e in batch.events)


def test_cancelling_a_handle_ends_its_work(mode, sampler, rotations, emulator):
    batch = qmode.BatchController(mode, retries=2)
    emulator.faults.pause(queue=True)
    job = sampler(mode).run(rotations(1))
    job.cancel()
    assert batch.wait(60)
    assert [j.state for j in batch.jobs] == [JobState.CANCELLED]
    batch.forget()


def test_what_the_service_refuses_is_the_clients_own_error(batch, mode, sampler, rotations, emulator):
    emulator.faults.fail_requests(400, method="POST", path="/jobs", when="before")
    with pytest.raises(IBMRuntimeError, match="Failed to run program"):
        sampler(mode).run(rotations(1))
    assert [j.state for j in batch.jobs] == [JobState.REFUSED]


def test_a_closed_batch_refuses_as_the_client_does(batch, mode, sampler, rotations):
    primitive = sampler(mode)
    mode.close()
    with pytest.raises(IBMRuntimeError, match="The session is closed"):
        primitive.run(rotations(1))
    assert batch.jobs == ()


def test_an_option_the_client_refuses_is_refused_alike(batch, mode, sampler, rotations, emulator):
    primitive = legacy(SamplerV2, mode=mode)
    primitive.options.experimental = {"image": "not an image"}
    emulator.faults.forget_requests()
    with pytest.raises(IBMInputValueError, match="image"):
        primitive.run(rotations(1))
    assert not [r for r in emulator.faults.requests() if r[0] == "POST"]


@pytest.mark.parametrize(("own", "ours"), [(6, 2), (7, 1), (8, 0)])
def test_many_tags_of_ones_own_leave_less_room_for_ours(batch, mode, sampler, rotations, service, own, ours):
    primitive = sampler(mode)
    primitive.options.environment.job_tags = [f"mine {i}" for i in range(own)]
    job = primitive.run(rotations(1))
    written = service.job(job.job_id()).tags
    assert len(written) == own + ours
    assert {t for t in written if not t.startswith("qmode")} == set(primitive.options.environment.job_tags)
    row = batch.jobs[0]
    assert row.job_id == job.job_id()
    assert (row.note == "seen, not protected") is (ours == 0)
    assert any("tags of your own" in e.text for e in batch.events) is (own > 6)
    assert batch.wait(60)


def test_tags_that_look_like_ours_are_sent_by_the_client(batch, mode, sampler, rotations, service):
    primitive = sampler(mode)
    primitive.options.environment.job_tags = ["qmode:mine"]
    job = primitive.run(rotations(1))
    assert service.job(job.job_id()).tags == ["qmode:mine"]
    assert [j.job_id for j in batch.jobs] == [job.job_id()]


def test_released_it_is_the_clients_again(batch, mode, sampler, rotations, service):
    batch.release()
    assert "_run" not in vars(mode)
    assert "close" not in vars(mode)
    job = sampler(mode).run(rotations(1))
    assert service.job(job.job_id()).tags == []
    assert batch.wait(60)
    assert [(j.job_id, j.note) for j in batch.jobs] == [(job.job_id(), "seen, not protected")]


def test_only_watched_it_is_the_clients_from_the_start(mode, sampler, rotations, service):
    batch = qmode.BatchController(mode, adopt=False)
    job = sampler(mode).run(rotations(1))
    assert service.job(job.job_id()).tags == []
    assert batch.wait(60)
    assert [j.job_id for j in batch.jobs] == [job.job_id()]
    batch.forget()


def test_a_new_workload_that_continues_the_closed_one_is_adopted_too(batch, mode, sampler, rotations, emulator):
    emulator.faults.fail_jobs(1, code=9707)
    job = sampler(mode).run(rotations(1))
    batch.close()
    assert batch.wait(60)
    batch.resubmit_failed()
    assert batch.primitive_mode is not mode
    again = sampler(batch.primitive_mode).run(rotations(1))
    assert job.result()
    assert again.result()
    assert {j.job_id for j in batch.jobs} >= {job.job_id(), again.job_id()}
    batch.end(running=False)
