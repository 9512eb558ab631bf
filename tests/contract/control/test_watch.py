"""`watch()`: code that opens modes and submits by itself, unchanged, its own or a library's."""

from __future__ import annotations

import contextvars
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest
from qiskit_ibm_runtime import Batch, EstimatorV2, Executor, QiskitRuntimeService, RuntimeJobV2, SamplerV2, Session
from qiskit_ibm_runtime.exceptions import IBMRuntimeError
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.executor_sampler import Sampler

import qmode_widgets as qmode
from qmode_widgets.control.registry import registry
from qmode_widgets.ibm.client import tags_of
from qmode_widgets.model.snapshot import JobState
from tests.peek import requests_of, unwatch

from ..conftest import legacy


@pytest.fixture
def watching(emulator):
    found = qmode.watch(retries=1)
    yield found
    qmode.unwatch()
    for controller in found.controllers:
        controller.forget()


def test_an_unmodified_batch_is_watched_and_protected(watching, backend, rotations, emulator):
    emulator.faults.fail_jobs(1, code=9707)
    with Batch(backend=backend):
        sampler = legacy(SamplerV2)
        jobs = [sampler.run([pub]) for pub in rotations(3)]
        rows = [j.job_id for j in watching.controllers[0].jobs if not j.attempt]
    assert rows == [job.job_id() for job in jobs]
    assert [len(job.result()) for job in jobs] == [1, 1, 1]
    [batch] = watching.controllers
    assert isinstance(batch, qmode.BatchController)
    # The retry may be overtaken by the end of the `with` block: refused then, it goes on in a new batch.
    ran = [j for j in batch.jobs if j.state is not JobState.REFUSED]
    assert sorted(bool(j.attempt) for j in ran) == [False, False, False, True]
    assert batch.wait_until(lambda shot: shot.accepting_jobs is False, 60)  # the retry's new batch as well
    assert any("test_watch.py, line" in e.text for e in batch.events)


def test_job_mode_goes_to_one_controller_a_backend(watching, backend, sampler, rotations, emulator, service):
    emulator.faults.fail_requests(504, method="POST", path="/jobs", when="after")
    jobs = [sampler(backend).run(rotations(1)) for _ in range(4)]
    [controller] = watching.controllers
    assert isinstance(controller, qmode.JobController)
    assert [j.job_id for j in controller.jobs] == [job.job_id() for job in jobs]
    assert [type(job) for job in jobs] == [RuntimeJobV2] * 4
    assert controller.wait(60)
    assert sorted(controller.results(30)) == sorted(job.job_id() for job in jobs)
    assert qmode.JobController(jobs[0]) is controller
    written = [tags_of(j) for j in service.jobs(limit=10)]
    assert sum("qmode:" + controller.runs[0].id in t for t in written) == 1


def test_a_job_that_is_loaded_by_its_id_follows_too(watching, backend, sampler, rotations, emulator, service):
    """pytket keeps ids, and loads the job when it wants the result."""
    emulator.faults.fail_jobs(1, code=9707)
    with Session(backend) as session:
        id_ = sampler(session).run(rotations(1)).job_id()
        loaded = service.job(id_)
        assert loaded.result()[0].data.meas.num_shots == 400
        assert (loaded.job_id(), type(loaded)) == (id_, RuntimeJobV2)
        again = next(j.job_id for j in watching.controllers[0].jobs if j.attempt == 1)
        assert service.job(again).status() == "DONE"
        assert service.job(id_).status() == "DONE"
    qmode.unwatch()
    assert service.job(id_).status() == "ERROR"


def test_many_single_jobs_cost_one_listing_a_look(watching, backend, sampler, rotations, emulator):
    emulator.faults.pause(queue=True)
    for _ in range(8):
        sampler(backend).run(rotations(1))
    [controller] = watching.controllers
    unwatch(controller)
    assert requests_of(controller, controller.refresh) == 1
    emulator.faults.resume()
    assert controller.wait(60)


def test_unwatch_puts_the_client_back(backend, emulator):
    init, run, load = Session.__init__, QiskitRuntimeService._run, QiskitRuntimeService.job
    qmode.watch()
    assert Session.__init__ is not init
    assert qmode.watch(retries=2) is qmode.watch()
    qmode.unwatch()
    qmode.unwatch()
    assert (Session.__init__, QiskitRuntimeService._run, QiskitRuntimeService.job) == (init, run, load)
    with Batch(backend) as mode:
        assert registry.find(mode.session_id) is None


def test_a_mode_opened_before_is_taken_when_it_is_submitted_to(backend, emulator, sampler, rotations):
    mode = Batch(backend)
    found = qmode.watch()
    try:
        job = sampler(mode).run(rotations(1))
        assert registry.find(mode.session_id).jobs[0].job_id == job.job_id()
        assert registry.find(mode.session_id) in found.controllers
    finally:
        qmode.unwatch()
        mode.cancel()


def test_a_session_by_its_id_is_taken_as_well(watching, backend, emulator, sampler, rotations, service):
    first = Session(backend)
    again = Session.from_id(first.session_id, service)
    job = sampler(again).run(rotations(1))
    assert [j.job_id for j in registry.find(first.session_id).jobs] == [job.job_id()]
    again.cancel()


class OwnBatch(Session):
    """As libraries make them: a batch whose class is not made from Batch."""

    def _create_session(self, *, create_new=True):
        client = self._service._get_api_client(self._instance)
        return (
            client.create_session(self.backend(), self._instance, self._max_time, "batch")["id"] if create_new else None
        )


def test_a_librarys_class_is_taken_by_its_mode(watching, backend, emulator, sampler, rotations):
    mode = OwnBatch(backend)
    [controller] = watching.controllers
    assert isinstance(controller, qmode.BatchController)
    assert sampler(mode).run(rotations(1)).result()
    with pytest.raises(qmode.QmodeError, match="use BatchController"):
        qmode.SessionController(OwnBatch(backend))
    mode.cancel()


def test_local_mode_stays_as_it_is(watching, bell):
    from qiskit_ibm_runtime.fake_provider import FakeManilaV2

    with Session(FakeManilaV2()) as mode:
        assert mode.session_id is None
    assert watching.controllers == []


def test_a_group_names_what_anything_inside_submits(watching, backend, emulator, sampler, rotations, service):
    with qmode.group("bond 0.74"):
        lone = sampler(backend).run(rotations(1))
        with Batch(backend) as mode:
            inside = sampler(mode).run(rotations(1))
            with ThreadPoolExecutor(1) as pool:
                context = contextvars.copy_context()
                pooled = pool.submit(context.run, sampler(mode).run, rotations(1)).result()
            with qmode.group("bond 0.80"):
                nested = sampler(mode).run(rotations(1))
    after = sampler(backend).run(rotations(1))
    groups = {j.job_id: j.group for c in watching.controllers for j in c.jobs}
    assert [groups[job.job_id()] for job in (lone, inside, pooled)] == ["bond 0.74"] * 3
    assert (groups[nested.job_id()], groups[after.job_id()]) == ("bond 0.80", None)
    assert any("bond 0.74" in tag for tag in tags_of(service.job(lone.job_id())))
    with pytest.raises(qmode.ArgumentError, match="0 characters"), qmode.group(""):
        pass


def test_our_tags_are_not_shown_and_stay_when_the_user_replaces_theirs(watching, backend, emulator, sampler, rotations):
    service = emulator.connect("emulator-payg")
    with Batch(backend) as mode:
        primitive = sampler(mode)
        primitive.options.environment.job_tags = ["mine"]
        with qmode.group("bond 0.74"):
            job = primitive.run(rotations(1))
        ours = set(tags_of(service.job(job.job_id()))) - {"mine"}
        assert len(ours) == 3  # the run, the attempt, the group

        def shown():
            return [job.tags, service.job(job.job_id()).tags, service.jobs(limit=1)[0].tags]

        assert shown() == [["mine"]] * 3
        for who in (job, service.job(job.job_id()), service.jobs(limit=1)[0]):
            name = f"renamed {id(who)}"
            assert who.update_tags([name]) == [name]
            assert who.tags == [name]
            assert set(tags_of(service.job(job.job_id()))) == {name, *ours}
        seven = [f"mine {i}" for i in range(7)]
        assert set(service.jobs(limit=1)[0].update_tags(seven)) == set(seven)
        assert ours & set(tags_of(service.job(job.job_id())))  # by which the attempt is found
    [batch] = watching.controllers
    assert batch.wait(60)
    qmode.unwatch()
    assert set(service.job(job.job_id()).tags) > set(seven)


def test_the_tags_of_an_adopted_object_without_watch(backend, emulator, sampler, rotations, service):
    with Batch(backend) as mode:
        batch = qmode.adopt(mode)
        job = sampler(mode).run(rotations(1))
        assert job.tags == []
        assert job.update_tags(["mine"]) == ["mine"]
        assert job.tags == ["mine"]
        assert len(service.job(job.job_id()).tags) == 3
    assert batch.wait(60)
    batch.forget()


# --- one workload, by its id -----------------------------------------------------------------------------------------


def test_a_job_that_something_else_posted_is_watched_by_its_id(emulator, service, elsewhere):
    emulator.faults.pause(queue=True)
    jobs = qmode.watch(elsewhere.job(), service=service, usage_cap=50, label="theirs")
    waits = qmode.watch(elsewhere.job(), service=service)
    assert isinstance(jobs, qmode.JobController)
    assert [j.state for j in jobs.jobs] == [JobState.QUEUED]
    assert jobs.usage.cap == 50
    assert waits.cancel(waits.jobs[0].job_id)
    emulator.faults.resume()
    assert jobs.wait(60)
    assert waits.wait(60)
    assert [j.state for c in (jobs, waits) for j in c.jobs] == [JobState.DONE, JobState.CANCELLED]
    assert jobs.usage.reported > 0
    assert jobs.result(60)
    assert qmode.watch(jobs.jobs[0].job_id, service=service) is jobs


def test_a_job_in_a_batch_of_something_else_brings_the_batch(emulator, service, elsewhere, watching):
    id_ = elsewhere.open("batch")
    job = elsewhere.job(session_id=id_)
    batch = qmode.watch(job, service=service)
    assert isinstance(batch, qmode.BatchController)
    assert batch.workload_id == id_
    assert [j.job_id for j in batch.jobs] == [job]
    assert watching.controllers == [batch]
    batch.end(running=False)


def test_an_id_that_cannot_be_watched_says_why(emulator, service, elsewhere, monkeypatch, tmp_path):
    with pytest.raises(qmode.QmodeError, match=r"no session, batch, job or run 'nope-1'.* emulator-payg"):
        qmode.watch("nope-1", service=service)
    other = emulator.connect("emulator-open")  # its account does not know the instance of the job
    with pytest.raises(qmode.QmodeError, match=r"in .*emulator-open.*pass the service of the account it belongs to"):
        qmode.watch(elsewhere.job(), service=other)
    with pytest.raises(qmode.ArgumentError, match=r"an id as text, not a Batch.* adopt\(object\)"):
        qmode.watch(Batch.__new__(Batch))
    with pytest.raises(qmode.ArgumentError, match=r"max_time= is for what is opened later"):
        qmode.watch("nope-1", service=service, max_time="5m")
    with pytest.raises(qmode.ArgumentError, match=r"service= goes with the id"):
        qmode.watch(service=service)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(
        "qiskit_ibm_runtime.accounts.management._DEFAULT_ACCOUNT_CONFIG_JSON_FILE", str(tmp_path / "no")
    )
    with pytest.raises(qmode.QmodeError, match=r"no saved IBM Quantum account and no service was passed"):
        qmode.watch("nope-1")


def test_our_failure_is_not_the_users(watching, backend, emulator, sampler, rotations):
    emulator.faults.fail_requests(400, method="GET", path="/sessions/.*", count=50)
    with Batch(backend) as mode:
        job = sampler(mode).run(rotations(1))
    emulator.faults.clear()
    assert job.result()


def test_one_object_is_wrapped_with_its_limits_and_a_name(backend, emulator, sampler, rotations, service):
    mode = Session(backend)
    session = qmode.adopt(mode, label="calibration", usage_cap=50, close_when_idle=0.1)
    job = sampler(mode).run(rotations(1))
    assert session.usage.cap == 50
    assert [j.label for j in session.jobs] == ["calibration"]
    assert "qmode=calibration" in service.job(job.job_id()).tags
    assert session.wait_until(lambda shot: shot.accepting_jobs is False, 60)
    lone = sampler(backend).run(rotations(1))
    assert qmode.adopt(lone).result(60)[0].data.meas.num_shots == 400
    assert qmode.adopt(service.job(job.job_id())) is session
    with pytest.raises(qmode.QmodeError, match="not a str"):
        qmode.adopt("ibm_fez")


def test_a_cap_of_the_watch_acts_in_job_mode(backend, emulator, sampler, rotations):
    found = qmode.watch(usage_cap=5)
    try:

        def submit():
            for _ in range(10):
                sampler(backend).run(rotations(1)).result()

        with pytest.raises(IBMRuntimeError, match=r"usage cap of 5 s"):
            submit()
    finally:
        qmode.unwatch()
        for controller in found.controllers:
            controller.forget()


def test_what_the_cap_refuses_says_cap_and_used_and_is_one_of_the_clients_errors(backend, emulator, sampler, rotations):
    session = qmode.adopt(Session(backend), usage_cap=4)
    mode = session.primitive_mode
    sampler(mode).run(rotations(1))
    assert session.wait_until(lambda shot: any("is reached" in e.text for e in shot.events), 60)
    with pytest.raises(qmode.UsageCapReached, match=r"the usage cap of 4 s is reached") as reached:
        sampler(mode).run(rotations(1))
    assert isinstance(reached.value, IBMRuntimeError)
    assert reached.value.cap == 4
    assert reached.value.used >= 4
    refused = sampler(backend)
    session.close()
    emulator.faults.fail_requests(400, method="POST", path=".*/jobs", count=1)
    with pytest.raises(IBMRuntimeError) as other:  # without a cap that acted it is none of these
        refused.run(rotations(1))
    assert not isinstance(other.value, qmode.UsageCapReached)


def test_a_library_that_leaves_its_session_idle_is_named(backend, emulator, sampler, rotations, monkeypatch):
    from qmode_widgets.control.engine import guards

    monkeypatch.setattr(guards, "LEFT_OPEN", 0.1)
    session = qmode.SessionController(Session(backend))
    session._opened_by("pytket (ibm.py, line 412)", library="pytket")
    sampler(session.primitive_mode).run(rotations(1)).result()
    assert session.wait_until(lambda shot: any("left this session open" in e.text for e in shot.events), 60)
    assert "pytket (ibm.py, line 412)" in next(e.text for e in session.events if "left" in e.text)
    session.close()


def test_the_library_and_the_users_line_are_told_apart(tmp_path):
    from qmode_widgets.control.watch import opener

    library = tmp_path / "site-packages" / "somelib.py"
    source = "def open_one(f):\n    return f()\n"
    scope = {"__name__": "somelib.backends"}
    exec(compile(source, str(library), "exec"), scope)
    found = scope["open_one"](opener)
    assert found.library == "somelib"
    assert "line 2" in str(found)
    assert "called from" in str(found)
    assert "test_watch.py" in str(found)
    assert opener().library is None


# --- the client's own primitives on a controller ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["batch", "job", "only watched"])
def test_a_controllers_primitives_are_the_clients_own(kind, backend, emulator, rotations):
    controller = {
        "batch": lambda: qmode.BatchController.open(backend),
        "job": lambda: qmode.JobController.open(backend),
        "only watched": lambda: qmode.BatchController.open(backend, adopt=False),
    }[kind]()
    sampler = controller.sampler({"default_shots": 123})
    assert type(sampler) is Sampler
    assert type(controller.estimator()) is Estimator
    assert type(controller.executor()) is Executor
    emulator.faults.fail_requests(504, method="POST", path="/jobs", when="after")
    job = sampler.run(rotations(1))
    assert [j.job_id for j in controller.jobs] == [job.job_id()]
    assert job.result()[0].data.meas.num_shots == 123
    assert controller.submit(sampler, rotations(1)).result(60)
    controller.end(running=False) if kind != "job" else None


def test_service_side_options_give_the_service_side_primitive(backend, emulator):
    from qiskit_ibm_runtime.options import EstimatorOptions, SamplerOptions

    jobs = qmode.JobController.open(backend)
    assert type(legacy(jobs.sampler, SamplerOptions())) is SamplerV2
    assert type(legacy(jobs.estimator, EstimatorOptions())) is EstimatorV2


# --- a fork ----------------------------------------------------------------------------------------------------------

FORKED = """
import os, sys
import qmode_widgets as qmode
from qmode_widgets.emulator.client.launch import Emulator
from qmode_widgets.emulator.options import Options
from qiskit_ibm_runtime import Session

service = Emulator(sys.argv[1], sys.argv[2], 0, Options()).service
qmode.watch()
session = Session(service.least_busy())
[controller] = qmode.watch().controllers
child = os.fork()
if child == 0:
    from qmode_widgets.control.registry import registry
    assert registry.all() == []
    try:
        controller.close()
    except qmode.QmodeError as error:
        assert "forked" in str(error), error
        sys.exit(7)
    sys.exit(0)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 7, status
assert controller.refresh().accepting_jobs
print(session.session_id)
"""


def test_a_forked_child_does_not_act_for_its_parent(emulator, service):
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(FORKED), emulator.url, emulator.token]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    session = Session.from_id(done.stdout.split()[-1], service)
    assert session.details()["accepting_jobs"] is False  # by the parent, when it ended


def test_the_ipython_extension_watches(backend, emulator):
    from IPython.testing.globalipapp import get_ipython as start

    shell = start() or __import__("IPython").get_ipython()
    shell.run_line_magic("load_ext", "qmode_widgets")
    try:
        with Batch(backend) as mode:
            assert registry.find(mode.session_id) is not None
    finally:
        shell.run_line_magic("unload_ext", "qmode_widgets")
    with Batch(backend) as mode:
        assert registry.find(mode.session_id) is None


def test_a_failed_job_of_a_watched_batch_can_be_resubmitted_by_hand(backend, emulator, sampler, rotations):
    emulator.faults.fail_jobs(1, code=1517)
    with Batch(backend) as mode:
        batch = qmode.adopt(mode)
        job = sampler(mode).run(rotations(1))
        assert batch.wait(60)
        assert [j.state for j in batch.jobs] == [JobState.FAILED]
        assert len(batch.resubmit_failed()) == 1
        assert job.result()


def test_a_second_watch_keeps_what_was_set_and_what_it_sets_reaches_what_is_watched(backend, emulator, sampler):
    found = qmode.watch(usage_cap=600, retries=2, label="scan")
    try:
        with Batch(backend):
            assert qmode.watch() is found
            assert [(c.usage_cap, c.retries) for c in found.controllers] == [(600, 2)]
            qmode.watch(usage_cap=700)
            assert [(c.usage_cap, c.retries) for c in found.controllers] == [(700, 2)]
        assert (found.limits.usage_cap, found.limits.retries, found.limits.label) == (700, 2, "scan")
    finally:
        qmode.unwatch()


def test_what_a_later_watch_sets_reaches_job_mode(watching, backend, emulator, sampler, rotations):
    sampler(backend).run(rotations(1))
    [controller] = watching.controllers
    qmode.watch(usage_cap=5, label="later")
    assert controller.usage_cap == 5
    job = sampler(backend).run(rotations(1))
    assert watching.controllers == [controller]
    assert {j.job_id: j.label for j in controller.jobs}[job.job_id()] == "later"


@pytest.mark.parametrize("kind", [Batch, Session])
def test_the_max_ttl_of_a_watch_holds_where_the_code_gives_none(kind, backend, emulator):
    found = qmode.watch(max_time="20m")
    try:
        with kind(backend), kind(backend, max_time=300), kind(backend, 240), kind(backend, None):
            ttls = [c.ttl.max_ttl for c in found.controllers]
        assert ttls == [1200, 300, 240, 1200]
    finally:
        qmode.unwatch()


@pytest.mark.parametrize(
    "wrong",
    [
        {"usage_cap": -1},
        {"usage_cap": "600"},
        {"retries": 1.5},
        {"max_time": "soon"},
        {"label": ""},
        {"close_when_idle": -1},
        {"on_exit": "stay"},
    ],
)
def test_a_wrong_limit_is_both_our_error_and_a_value_error_and_watches_nothing(wrong, emulator):
    with pytest.raises(qmode.QmodeError, match=next(iter(wrong))) as caught:
        qmode.watch(**wrong)
    assert isinstance(caught.value, ValueError)
    assert repr(next(iter(wrong.values()))) in str(caught.value)
