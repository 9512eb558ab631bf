"""What the server did not open it neither closes nor cancels, beyond its own runs; and the same call pays once."""

from __future__ import annotations

import json
import secrets

import pytest
from qiskit_ibm_runtime import Batch, Session
from qiskit_ibm_runtime.executor_sampler import Sampler

from .conftest import BELL, RefusedError, connected

WORK = {"circuits": [{"qasm": BELL}], "shots": 200, "transpile": True, "usage_cap_seconds": 60}


def submit(agent, **more):
    return agent("submit", **({"backend": "emu_fez", "key": secrets.token_hex(8)} | WORK | more))


def posted(emulator):
    return [r for r in emulator.faults.requests() if r[0] == "POST" and r[1].endswith("/jobs")]


# --- whose it is ---------------------------------------------------------------------------------------------------


def test_the_users_session_stays_open_and_each_job_carries_its_share_of_the_cap(agent, service, backend, bell):
    session = Session(backend)
    found = submit(agent, backend=None, workload=session.session_id, wait_seconds=60, usage_cap_seconds=50)
    assert found["whose"] == "the user's"
    assert found["counts"] == {"done": 1}
    assert found["usage"]["cap"] is None  # a cap of the whole would end the user's own jobs
    stored = service._get_api_client().job_get(found["jobs"][0]["job"], exclude_params=False)
    assert stored["cost"] == 50 or "50" in json.dumps(stored)
    assert session.details()["accepting_jobs"]
    assert Sampler(mode=session).run([bell], shots=10).job_id()
    session.close()


def test_a_job_that_its_share_of_the_cap_must_cut_off_is_not_sent(agent, emulator, backend):
    session = Session(backend)
    more = {"circuits": WORK["circuits"] * 3, "jobs": 2, "shots": 50_000, "mode": "session"}
    with pytest.raises(RefusedError, match=r"=50 is 25 s for each of 2 jobs, and partition \d is expected to use"):
        submit(agent, backend=None, workload=session.session_id, usage_cap_seconds=50, **more)
    assert posted(emulator) == []
    session.close()


def test_at_its_end_the_server_cancels_its_own_queue_and_nothing_of_the_users(emulator, backend, bell, tmp_path):
    session = Session(backend)
    emulator.faults.pause(queue=True)
    mine = Sampler(mode=session).run([bell], shots=10)
    with connected(tmp_path / "log", emulator.environment, "--instance", "emulator-payg") as one:
        theirs = submit(one, backend=None, workload=session.session_id, circuits=WORK["circuits"] * 2, jobs=2)
    own = [job["job"] for job in theirs["jobs"] if job["job"] != mine.job_id()]
    assert len(own) == 2
    for job in own:
        assert emulator.faults.wait_for(job, "Cancelled") == "Cancelled"
    assert mine.status() == "QUEUED"
    assert session.details()["accepting_jobs"]
    emulator.faults.resume()
    session.cancel()


def test_cancel_says_whose_a_workload_is_and_wants_it_said(agent, emulator, backend, bell):
    emulator.faults.pause(queue=True)
    batch = Batch(backend)
    job = Sampler(mode=batch).run([bell], shots=10)
    for given in ({"id": batch.session_id}, {"id": batch.session_id, "job": job.job_id()}, {"id": job.job_id()}):
        with pytest.raises(RefusedError, match=r"nothing was cancelled.*the user's own, opened elsewhere.*whose="):
            agent("cancel", **given)
    with pytest.raises(RefusedError, match="the user's own"):
        agent("cancel", id=batch.session_id, whose="a colleague's")
    assert job.status() == "QUEUED"
    done = agent("cancel", id=batch.session_id, whose="the user's")
    assert done["whose"] == "the user's"
    assert not done["failed"], done
    assert emulator.faults.wait_for(job.job_id(), "Cancelled") == "Cancelled"
    emulator.faults.resume()


def test_a_colleagues_workload_needs_the_explicit_word(agent, emulator, bell):
    theirs = emulator.connect("emulator-payg", colleague=True).backend("emu_fez")
    emulator.faults.pause(queue=True)
    batch = Batch(theirs)
    job = Sampler(mode=batch).run([bell], shots=10)
    assert agent("watch", id=batch.session_id)["whose"] in ("a colleague's", "not known")
    for whose in ("this server's", "the user's"):
        with pytest.raises(RefusedError, match=r"nothing was cancelled.*colleague's"):
            agent("cancel", id=batch.session_id, whose=whose)
    assert job.status() == "QUEUED"
    done = agent("cancel", id=batch.session_id, whose="a colleague's")
    assert not done["failed"], done
    assert emulator.faults.wait_for(job.job_id(), "Cancelled") == "Cancelled"
    emulator.faults.resume()


def test_cancelling_the_users_workload_without_the_word_ends_the_servers_own_jobs_only(agent, emulator, backend, bell):
    emulator.faults.pause(queue=True)
    batch = Batch(backend)
    mine = Sampler(mode=batch).run([bell], shots=10)
    theirs = submit(agent, backend=None, workload=batch.session_id)
    said = agent("cancel", id=batch.session_id)
    assert "only what this server submitted into it" in said["outcome"]
    assert len(said["jobs_asked"]) == 1
    own = next(j["job"] for j in theirs["jobs"] if j["job"] != mine.job_id())
    assert emulator.faults.wait_for(own, "Cancelled") == "Cancelled"
    assert mine.status() == "QUEUED"
    emulator.faults.resume()
    batch.close()


def test_failed_work_in_an_open_workload_of_the_users_is_not_put_under_a_cap_of_the_server(
    agent, emulator, backend, bell
):
    emulator.faults.fail_jobs(1, code=9707)
    batch = Batch(backend)
    job = Sampler(mode=batch).run([bell], shots=10)
    emulator.faults.wait_for(job.job_id(), "Failed")
    with pytest.raises(RefusedError, match=r"did not open .*, and it is open"):
        agent("resubmit", id=batch.session_id, usage_cap_seconds=30)
    assert batch.details()["accepting_jobs"]
    batch.close()


def test_two_servers_on_one_batch_keep_one_cap(agent, emulator, service, tmp_path):
    emulator.faults.pause(queue=True)
    first = submit(agent, mode="batch", jobs=1, usage_cap_seconds=40)
    with connected(tmp_path / "log", emulator.environment, "--instance", "emulator-payg") as other:
        second = submit(other, backend=None, workload=first["id"], usage_cap_seconds=20)
        assert second["usage"]["cap"] is None
        assert len(second["jobs"]) == 2
    seen = agent("watch", id=first["id"])
    assert seen["accepting_jobs"]  # the second server's end closed nothing
    assert seen["counts"] == {"queued": 2}
    assert seen["usage"]["cap"] == 40
    agent("cancel", id=first["id"])
    emulator.faults.resume()


# --- once ----------------------------------------------------------------------------------------------------------


def test_the_same_call_again_gives_the_run_that_is_there_and_sends_nothing(agent, emulator):
    given = WORK | {"backend": "emu_fez", "shots": 211}
    first = agent("submit", **given)
    emulator.faults.forget_requests()
    second = agent("submit", **given | {"wait_seconds": 60, "usage_cap_seconds": 70})
    assert (first["repeated"], second["repeated"]) == (False, True)
    assert second["run"] == first["run"]
    assert second["key"] == first["key"]
    assert second["result"]["pubs"][0]["c"]["shots"] == 211
    assert "pass another key" in second["note"]
    assert not posted(emulator)
    third = agent("submit", **given | {"key": secrets.token_hex(8), "wait_seconds": 60})
    assert third["run"] != first["run"]
    assert len(posted(emulator)) == 1


def test_a_second_try_after_the_server_was_stopped_pays_once(emulator, tmp_path):
    given = WORK | {"backend": "emu_fez", "shots": 212}
    with connected(tmp_path / "one", emulator.environment, "--instance", "emulator-payg") as one:
        first = one("submit", **given, wait_seconds=60)
    emulator.faults.forget_requests()
    with connected(tmp_path / "two", emulator.environment, "--instance", "emulator-payg") as two:
        second = two("submit", **given, wait_seconds=60)
        assert second["repeated"]
        assert second["run"] == first["run"]
        assert second["result"] == first["result"]
        assert first["id"] not in [w["id"] for w in two("list")["workloads"]]  # it was closed, and nothing is opened
    assert not posted(emulator)


def test_a_key_stands_for_one_work(agent, emulator):
    key = secrets.token_hex(8)
    submit(agent, key=key)
    emulator.faults.forget_requests()
    with pytest.raises(RefusedError, match=rf"nothing was submitted: key='{key}' was used for other work"):
        submit(agent, key=key, shots=300)
    assert not posted(emulator)


def test_in_job_mode_the_list_knows_what_was_submitted_here(agent, emulator, backend, bell):
    emulator.faults.pause(queue=True)
    here = submit(agent, mode="job")
    elsewhere = Sampler(mode=backend).run([bell], shots=10).job_id()
    listed = {w["id"]: w["submitted_here"] for w in agent("list")["workloads"]}
    assert listed[here["jobs"][0]["job"]] is True
    assert listed[elsewhere] is False
    agent("cancel", id=here["id"])
    emulator.faults.resume()


def test_a_key_of_another_server_is_compared_with_the_content(agent, emulator, tmp_path):
    key = secrets.token_hex(8)
    with connected(tmp_path / "log", emulator.environment, "--instance", "emulator-payg") as other:
        run = submit(other, key=key, wait_seconds=60)["run"]
    with pytest.raises(RefusedError, match=f"key='{key}' was used for other work, the run {run}"):
        submit(agent, key=key, shots=7)
    again = submit(agent, key=key)
    assert (again["run"], again["repeated"]) == (run, True)
