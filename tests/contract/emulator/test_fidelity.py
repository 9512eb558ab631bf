"""What the service says and refuses, as IBM's does: shapes, limits, plans, users, calibrations."""

from __future__ import annotations

import json
import threading
import time
import warnings
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import requests
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives.containers import BitArray
from qiskit.providers.exceptions import QiskitBackendNotFoundError
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import Batch, Calibrator, EstimatorV2, Executor, QuantumProgram, SamplerV2, Session
from qiskit_ibm_runtime.circuit import MeasureReset, MidCircuitMeasure, MidCircuitReset
from qiskit_ibm_runtime.circuit.library import XSlowGate
from qiskit_ibm_runtime.exceptions import IBMRuntimeError
from qiskit_ibm_runtime.executor_sampler import Sampler

from qmode_widgets import estimate_usage
from qmode_widgets.emulator import start
from qmode_widgets.emulator.service.account import COLLEAGUE_ID, INSTANCES, USER_ID

from .test_workloads import ask

INF = float("inf")
CRN = {instance.name: crn for crn, instance in INSTANCES.items()}


def legacy(primitive, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return primitive(**kwargs)


def params_of(emulator, job):
    return ask(emulator, "GET", f"/jobs/{job.job_id()}").json()["params"]


@pytest.fixture
def body(emulator, backend, bell):
    """A submission of the client's, to be changed."""
    job = Sampler(mode=backend).run([bell], shots=10)
    job.wait_for_final_state()
    return {"program_id": "executor", "backend": "emu_fez", "params": params_of(emulator, job)}


# -- results --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ry(backend):
    """An ISA circuit with one parameter, and Z on its qubit."""
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("t"), 0)
    isa = generate_preset_pass_manager(backend=backend, optimization_level=1).run(circuit)
    return isa, SparsePauliOp("Z").apply_layout(isa.layout)


def test_a_scalar_pub_gives_arrays(emulator, backend, ry):
    isa, z = ry
    data = legacy(EstimatorV2, mode=backend).run([(isa, z, [0.3])]).result()[0].data
    assert isinstance(data.evs, np.ndarray)
    assert isinstance(data.stds, np.ndarray)
    assert data.evs.shape == data.stds.shape == data.ensemble_standard_error.shape == ()
    assert abs(data.evs - np.cos(0.3)) < 5 * data.stds


def test_observables_of_a_circuit_without_parameters(emulator, backend):
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    isa = generate_preset_pass_manager(backend=backend, optimization_level=1).run(circuit)
    observables = [SparsePauliOp(p).apply_layout(isa.layout) for p in ("ZZ", "XX", "YY", "ZI", "II")]
    data = legacy(EstimatorV2, mode=backend).run([(isa, observables), (isa, observables[0])], precision=0.05).result()
    assert np.allclose(data[0].data.evs, [1, 1, -1, 0, 1], atol=0.25)
    assert data[1].data.evs.shape == ()
    assert float(data[1].data.evs) == 1


def test_shots_are_randomizations_times_the_shots_of_each(emulator, backend, ry):
    isa, z = ry
    estimator = legacy(EstimatorV2, mode=backend)
    estimator.options.default_shots = 400
    estimator.options.twirling.num_randomizations = 16
    estimator.options.twirling.shots_per_randomization = 100
    result = estimator.run([(isa, z, [0.3])]).result()
    assert result[0].metadata["shots"] == 1600
    assert result[0].metadata["num_randomizations"] == 16


@pytest.mark.parametrize("kind", [SamplerV2, EstimatorV2])
def test_a_pubs_own_shots_are_obeyed_and_twirlings_replace_the_default(emulator, backend, bell, kind):
    primitive = legacy(kind, mode=backend)
    primitive.options.default_shots = 400
    primitive.options.twirling.enable_gates = True
    primitive.options.twirling.num_randomizations = 16
    primitive.options.twirling.shots_per_randomization = 100
    if kind is SamplerV2:
        pubs = [bell, (bell, None, 100)]
        shots = [primitive.run([pub]).result()[0].data.meas.num_shots for pub in pubs]
    else:
        primitive.options.resilience.measure_mitigation = False
        unmeasured = bell.remove_final_measurements(inplace=False)
        zz = SparsePauliOp("Z" * unmeasured.num_qubits)
        pubs = [(unmeasured, zz), (unmeasured, zz, None, 0.1)]
        shots = [primitive.run([pub]).result()[0].metadata["shots"] for pub in pubs]
    assert shots == [1600, 100]
    assert [estimate_usage([pub], backend, primitive).executions for pub in pubs] == shots


def test_a_parameter_set_is_billed_for_the_observables_that_it_meets(emulator, backend, ry):
    """Three sets that each meet one observable are three circuits, not three bases times three sets."""
    isa, _ = ry
    observables = [SparsePauliOp(p).apply_layout(isa.layout) for p in "XYZ"]
    estimator = legacy(EstimatorV2, mode=backend)
    estimator.options.resilience_level = 0
    job = estimator.run([(isa, observables, [[0.0], [0.5], [1.0]])], precision=0.01)
    evs = job.result()[0].data.evs
    assert np.allclose(evs, [0.0, 0.0, np.cos(1.0)], atol=0.05)
    assert job.usage() == pytest.approx(2 + 3 * 10_000 * 252e-6, abs=1)


# -- shapes ---------------------------------------------------------------------------------------------------------


def test_backends_tell_their_qubits_speed_and_errors(emulator):
    devices = ask(emulator, "GET", "/backends").json()["devices"]
    fez = next(d for d in devices if d["name"] == "emu_fez")
    assert fez["physical_qubits"] == fez["qubits"] == 156
    assert fez["clops"] == {"type": "hardware", "value": 195000}
    metrics = fez["performance_metrics"]
    best, median = metrics["two_q_error_best"], metrics["two_q_error_median"]
    assert best["gate"] == "cz"
    assert len(best["qubits"]) == 2
    assert 0 < best["value"] < median["value"] < 0.1
    assert 0 < metrics["readout_error_median"]["value"] < 0.1


def test_jobs_tell_their_cost_and_are_silent_about_what_is_not(emulator, body):
    made = ask(emulator, "POST", "/jobs", json=body).json()
    assert set(made) == {"id", "backend"}
    shown = ask(emulator, "GET", f"/jobs/{made['id']}").json()
    assert shown["cost"] == 10_800
    assert not {"private", "session_id", "calibration_id"} & set(shown)
    made = ask(emulator, "POST", "/jobs", json=body | {"private": True, "cost": 7}).json()
    assert made["private"] is True
    shown = ask(emulator, "GET", f"/jobs/{made['id']}").json()
    assert (shown["private"], shown["cost"]) == (True, 7)


def test_metrics_tell_the_client(emulator, backend, bell):
    job = Sampler(mode=backend).run([bell], shots=10)
    job.wait_for_final_state()
    assert "qiskit" in job.metrics()["caller"]


def test_the_premium_plan_has_an_allocation_and_no_limit(emulator):
    usage = emulator.connect("emulator-premium").usage()
    assert usage["usage_allocation_seconds"] == 28_800
    assert "usage_limit_seconds" not in usage
    assert "usage_limit_reached" not in usage  # IBM leaves it out where there is no limit
    assert "usage_allocation_seconds" not in emulator.service.usage()


def test_a_link_leads_to_the_next_page(emulator, backend, bell):
    batches = [Batch(backend=backend) for _ in range(3)]
    page = ask(emulator, "GET", "/workloads?limit=2&sort=-createdAt").json()
    href = page["next"]["href"]
    assert href.startswith(emulator.environment["QISKIT_IBM_URL"] + "/workloads?next=")
    cursor = parse_qs(urlsplit(href).query)["next"][0]
    following = ask(emulator, "GET", "/workloads", params={"limit": 2, "sort": "-createdAt", "next": cursor}).json()
    seen = [w["id"] for w in page["workloads"] + following["workloads"]]
    assert seen[:3] == [b.session_id for b in batches[::-1]]
    assert "href" in following["previous"]
    for batch in batches:
        batch.close()


def test_an_open_sessions_usage_is_the_same_wherever_it_is_asked_for(emulator, backend, bell):
    with Session(backend=backend) as session:
        Sampler(mode=session).run([bell], shots=10).result()
        emulator.faults.wait_for(session.session_id, "active")
        before = ask(emulator, "GET", f"/sessions/{session.session_id}").json()["elapsed_time"]
        listed = ask(emulator, "GET", f"/workloads?search={session.session_id}").json()["workloads"][0]
        after = ask(emulator, "GET", f"/sessions/{session.session_id}").json()["elapsed_time"]
        assert 2 <= before <= listed["usage"]["qpu_charge_time_seconds"] <= after
        assert "status" not in listed["usage"]
        assert listed["accepting_jobs"] is True


# -- lenient and strict ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "limit=0", "limit=-3", "limit=201", "limit=x", "offset=-1", "offset=x"])
def test_a_page_out_of_bounds_is_the_default_page(emulator, body, query):
    ask(emulator, "POST", "/jobs", json=body)
    page = ask(emulator, "GET", f"/jobs?{query}").json()
    assert (page["limit"], page["offset"]) == (200, 0)
    assert page["jobs"]


@pytest.mark.parametrize(("given", "kept"), [(0, 10_800), (1, 1), (10_800, 10_800), (10**9, 10_800)])
def test_a_cost_is_capped(emulator, body, given, kept):
    made = ask(emulator, "POST", "/jobs", json=body | {"cost": given}).json()
    assert ask(emulator, "GET", f"/jobs/{made['id']}").json()["cost"] == kept


def test_a_backend_may_be_called_backend_name(emulator, body):
    renamed = {"program_id": "executor", "backend_name": "emu_fez", "params": body["params"]}
    assert ask(emulator, "POST", "/jobs", json=renamed).json()["backend"] == "emu_fez"
    batch = ask(emulator, "POST", "/sessions", json={"mode": "batch", "backend_name": "emu_fez"}).json()
    assert batch["backend_name"] == "emu_fez"
    assert ask(emulator, "DELETE", f"/sessions/{batch['id']}/close").status_code == 204


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"log_level": "loud"}, "log_level must be one of"),
        ({"private": "yes"}, "private must be true or false"),
        ({"program_id": None}, "program_id is missing"),
        ({"backend": None}, "backend is missing"),
        ({"cost": -1}, "cost must be whole seconds"),
        ({"cost": 1.5}, "cost must be whole seconds"),
        ({"tags": "one"}, "tags must be a list"),
        ({"params": []}, "params must be an object"),
    ],
)
def test_a_submission_with_a_wrong_field_is_refused(emulator, body, change, words):
    answer = ask(emulator, "POST", "/jobs", json={k: v for k, v in (body | change).items() if v is not None})
    assert answer.status_code == 400
    assert words in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"backend": "emu_fez"}, "mode must be"),
        ({"mode": "batch"}, "backend is missing"),
        ({"mode": "batch", "backend": "emu_fez", "max_ttl": 60.5}, "whole seconds"),
        ({"mode": "batch", "backend": "emu_fez", "max_ttl": 0}, "at least 1"),
        ({"mode": "batch", "backend": "emu_fez", "max_ttl": 10**6}, "at most 28800"),
    ],
)
def test_a_session_with_a_wrong_field_is_refused(emulator, asked, words):
    answer = ask(emulator, "POST", "/sessions", json=asked)
    assert answer.status_code == 400
    assert words in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/workloads?user=other", "user can only be me"),
        ("/workloads?created_before=garbage", "must be a date"),
        ("/jobs?created_before=2026-99-99", "must be a date"),
        ("/backends/emu_fez/properties?updated_before=garbage", "must be a date"),
        ("/tags?type=job&search=ab", "3 to 100 characters"),
        ("/tags?search=abc", "type must be job"),
        ("/analytics/usage_grouped?group_by=mood", "group_by must be"),
        ("/analytics/usage?interval_start=garbage", "must be a date"),
    ],
)
def test_a_query_with_a_wrong_value_is_refused(emulator, path, words):
    answer = ask(emulator, "GET", path)
    assert answer.status_code == 400
    assert words in answer.json()["errors"][0]["message"]


def test_tags_are_only_replaced_by_tags(emulator, backend, bell):
    sampler = Sampler(mode=backend)
    sampler.options.environment.job_tags = ["kept"]
    job = sampler.run([bell], shots=10)
    for wrong in ({}, {"tags": None}, {"tags": [1]}):
        assert ask(emulator, "PUT", f"/jobs/{job.job_id()}/tags", json=wrong).status_code == 400
    assert emulator.service.job(job.job_id()).tags == ["kept"]
    assert ask(emulator, "PUT", f"/jobs/{job.job_id()}/tags", json={"tags": []}).status_code == 204


@pytest.mark.parametrize("version", ["nonsense", "2019-01-01", "2026-13-45"])
def test_an_api_version_that_never_was_is_refused(emulator, version):
    token = requests.post(f"{emulator.url}/identity/token", data={"apikey": emulator.token}, timeout=10).json()
    headers = {"Authorization": f"Bearer {token['access_token']}", "Service-CRN": CRN["emulator-payg"]}
    address = emulator.environment["QISKIT_IBM_URL"] + "/backends"
    assert requests.get(address, headers=headers | {"IBM-API-Version": version}, timeout=10).status_code == 400
    assert requests.get(address, headers=headers | {"IBM-API-Version": "2026-04-15"}, timeout=10).ok


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"colour": "red"}, "params have no 'colour'"),
        ({"options": {"mood": 1}}, "options have no 'mood'"),
        ({"options": {"resilience": {}}}, "options have no 'resilience'"),
        ({"options": {"execution": 3}}, "options.execution must be an object"),
        ({"options": {"execution": {"rep_delay": "soon"}}}, "rep_delay='soon'"),
    ],
)
def test_unknown_options_are_refused(emulator, backend, bell, change, words):
    job = legacy(SamplerV2, mode=backend).run([bell], shots=10)
    params = params_of(emulator, job)
    good = {"program_id": "sampler", "backend": "emu_fez", "params": params}
    assert ask(emulator, "POST", "/jobs", json=good).ok
    answer = ask(emulator, "POST", "/jobs", json=good | {"params": params | change})
    assert answer.status_code == 400
    assert words in answer.json()["errors"][0]["message"]


# -- inputs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["NaN", "Infinity", "null", "true"])
@pytest.mark.parametrize("program", ["sampler", "estimator"])
def test_parameter_values_that_are_no_numbers_are_an_error_of_the_input(emulator, backend, ry, program, value):
    isa, z = ry
    if program == "sampler":
        measured = isa.copy()
        measured.measure_all()
        job = legacy(SamplerV2, mode=backend).run([(measured, [0.5])], shots=10)
    else:
        job = legacy(EstimatorV2, mode=backend).run([(isa, z, [0.5])])
    params = params_of(emulator, job)
    place = 1 if program == "sampler" else 2
    params["pubs"][0][place] = [["the value"]]
    text = json.dumps({"program_id": program, "backend": "emu_fez", "params": params})
    answer = ask(emulator, "POST", "/jobs", data=text.replace('"the value"', value))
    if value == "true":  # a number for Python, and so for the service
        assert answer.ok
        return
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["code"] == 1210
    assert "must be finite numbers" in error["message"]


def test_a_program_with_values_that_are_not_finite_is_refused(emulator, backend, ry):
    isa, _ = ry
    measured = isa.copy()
    measured.measure_all()
    program = QuantumProgram(shots=10)
    program.append_circuit_item(measured, circuit_arguments=np.array([[0.1], [np.nan]]))
    with pytest.raises(IBMRuntimeError, match="must be finite numbers, not nan"):
        Executor(mode=backend).run(program)


def test_a_delay_with_a_parameter_is_an_error_of_the_input(emulator, backend):
    circuit, wait = QuantumCircuit(1), Parameter("waiting")
    circuit.x(0)
    circuit.delay(wait, 0, "dt")
    circuit.measure_all()
    isa = generate_preset_pass_manager(backend=backend, optimization_level=1).run(circuit)
    with pytest.raises(IBMRuntimeError, match=r"a delay has .*parameter .*as its duration: assign it"):
        Sampler(mode=backend).run([(isa, [[0], [1000]])], shots=10)
    bound = Sampler(mode=backend).run([isa.assign_parameters([1000])], shots=10).result()
    assert bound[0].data.meas.get_counts() == {"1": 10}


def test_a_job_with_too_many_executions_is_refused(emulator, backend, bell):
    with pytest.raises(IBMRuntimeError, match=r"12000000 executions, more than 10000000"):
        Sampler(mode=backend).run([bell] * 12, shots=1_000_000)


# -- plans and users ------------------------------------------------------------------------------------------------


def test_the_open_plan_has_three_pending_jobs_at_most(emulator, bell):
    service = emulator.connect("emulator-open")
    backend = service.backend("emu_fez")
    emulator.faults.pause(queue=True)
    jobs = [Sampler(mode=backend).run([bell], shots=10) for _ in range(3)]
    with pytest.raises(IBMRuntimeError, match="3458"):
        Sampler(mode=backend).run([bell], shots=10)
    jobs[0].cancel()
    jobs.append(Sampler(mode=backend).run([bell], shots=10))
    emulator.faults.resume()
    for job in jobs[1:]:
        assert job.result()


def at_its_limit(emulator, bell):
    """A batch on the Open plan with one job on the QPU and two that wait when the limit is reached."""
    backend = emulator.connect("emulator-open").backend("emu_fez")
    emulator.faults.pause()
    batch = Batch(backend=backend)
    jobs = [Sampler(mode=batch).run([bell], shots=10) for _ in range(3)]
    emulator.faults.wait_for(jobs[0].job_id(), "Running")
    emulator.faults.use_up("emulator-open", 600)
    emulator.faults.resume()
    assert jobs[0].result()  # work under way goes on
    return batch, jobs


def test_pending_jobs_wait_at_the_usage_limit(bell):
    with start(shared=False, workers=1, speed=INF, lanes=1) as emulator:
        batch, jobs = at_its_limit(emulator, bell)
        assert [job.status() for job in jobs[1:]] == ["QUEUED", "QUEUED"]
        with pytest.warns(UserWarning, match="usage limit"), pytest.raises(IBMRuntimeError, match="4317"):
            Sampler(mode=batch).run([bell], shots=10)
        other = Sampler(mode=emulator.service.backend("emu_fez")).run([bell], shots=10)
        assert other.result()  # other instances are not held up
        assert [job.status() for job in jobs[1:]] == ["QUEUED", "QUEUED"]
        assert batch.status() == "In progress, accepting new jobs"
        emulator.faults.use_up("emulator-open", 0)
        assert [len(job.result()) for job in jobs[1:]] == [1, 1]
        batch.close()
        emulator.faults.wait_for(batch.session_id, "closed")


def test_pending_jobs_are_cancelled_and_the_batch_ends_at_the_usage_limit(bell):
    with start(shared=False, workers=1, speed=INF, lanes=1, at_usage_limit="cancel") as emulator:
        batch, jobs = at_its_limit(emulator, bell)
        emulator.faults.wait_for(batch.session_id, "closed")
        assert [job.status() for job in jobs] == ["DONE", "CANCELLED", "CANCELLED"]
        assert "usage limit" in ask_open(emulator, f"/jobs/{jobs[1].job_id()}")["state"]["reason"]


def ask_open(emulator, path):
    token = requests.post(f"{emulator.url}/identity/token", data={"apikey": emulator.token}, timeout=10).json()
    headers = {"Authorization": f"Bearer {token['access_token']}", "Service-CRN": CRN["emulator-open"]}
    return requests.get(emulator.environment["QISKIT_IBM_URL"] + path, headers=headers, timeout=10).json()


def test_two_users_share_an_instance(emulator, service, backend, bell):
    theirs = emulator.connect("emulator-payg", colleague=True)
    mine = Sampler(mode=backend).run([bell], shots=10)
    other = Sampler(mode=theirs.backend("emu_fez")).run([bell], shots=10)
    for job in (mine, other):
        job.wait_for_final_state()
    assert other.job_id() not in [j.job_id() for j in service.jobs(limit=20)]
    assert [j.job_id() for j in theirs.jobs(limit=20)] == [other.job_id()]
    page = ask(emulator, "GET", "/workloads?limit=2&sort=-createdAt").json()["workloads"]
    assert [(w["id"], w["user_id"]) for w in page] == [(other.job_id(), COLLEAGUE_ID), (mine.job_id(), USER_ID)]
    page = ask(emulator, "GET", "/workloads?limit=50&sort=-createdAt&user=me").json()["workloads"]
    assert page[0]["id"] == mine.job_id()
    assert {w["user_id"] for w in page} == {USER_ID}
    emulator.faults.pause(queue=True)
    waiting = Sampler(mode=theirs.backend("emu_fez")).run([bell], shots=10)
    service.job(waiting.job_id()).cancel()  # members of an instance can cancel each other's jobs
    assert theirs.job(waiting.job_id()).status() == "CANCELLED"


def test_an_instances_limit_can_be_set(emulator, service, backend, bell):
    assert ask(emulator, "GET", "/instances/configuration").json() == {}
    Sampler(mode=backend).run([bell], shots=10).result()
    used = service.usage()["usage_consumed_seconds"]
    try:
        assert ask(emulator, "PUT", "/instances/configuration", json={"instance_limit": 1}).status_code == 409
        assert ask(emulator, "PUT", "/instances/configuration", json={"instance_limit": "9"}).status_code == 400
        assert ask(emulator, "PUT", "/instances/configuration", json={}).status_code == 400
        assert ask(emulator, "PUT", "/instances/configuration", json={"instance_limit": used}).status_code == 204
        assert ask(emulator, "GET", "/instances/configuration").json() == {"instance_limit": used}
        assert service.usage()["usage_limit_reached"]
        details = ask(emulator, "GET", "/instance").json()
        assert details["instance_limit_seconds"] == str(used)
        assert details["backends"] == ["emu_fez", "emu_torino"]
        with pytest.warns(UserWarning, match="usage limit"), pytest.raises(IBMRuntimeError, match="4317"):
            Sampler(mode=backend).run([bell], shots=10)
    finally:
        assert ask(emulator, "PUT", "/instances/configuration", json={"instance_limit": None}).status_code == 204
    assert Sampler(mode=backend).run([bell], shots=10).result()


# -- the rest of the API --------------------------------------------------------------------------------------------


def test_versions_and_tags(emulator, backend, bell):
    versions = {v["version"]: v for v in ask(emulator, "GET", "/versions").json()["versions"]}
    assert versions["2026-04-15"] == {"version": "2026-04-15", "status": "live"}
    assert versions["2025-05-01"]["sunset_date"] == "2027-01-01"
    sampler = Sampler(mode=backend)
    sampler.options.environment.job_tags = ["versions-test:one", "versions-test:two"]
    sampler.run([bell], shots=10)
    found = ask(emulator, "GET", "/tags?type=job&search=VERSIONS-test").json()
    assert found == {"tags": ["versions-test:one", "versions-test:two"]}


def test_analytics_add_up(bell):
    with start(shared=False, workers=1, speed=INF) as emulator:
        backend = emulator.service.backend("emu_fez")
        Sampler(mode=backend).run([bell], shots=10).result()
        Sampler(mode=emulator.connect("emulator-open").backend("emu_fez")).run([bell], shots=10).result()
        with Batch(backend=backend) as batch:
            for _ in range(2):
                Sampler(mode=batch).run([bell], shots=10)
        emulator.faults.wait_for(batch.session_id, "closed")
        everything = ask(emulator, "GET", "/analytics/usage").json()
        assert (everything["jobs"], everything["individual_jobs"], everything["batch_sessions"]) == (4, 2, 1)
        assert everything["usage"] == everything["sessions_usage"] + everything["individual_jobs_usage"] == 8000
        assert everything["max_batch_sessions_usage"] == 4000
        assert everything["avg_individual_jobs_usage"] == 2000
        plans = ask(emulator, "GET", "/analytics/usage_grouped?group_by=plan").json()["data"]
        assert {d["key"]: d["usage"] for d in plans} == {"open": 2000, "pay-as-you-go": 6000}
        counts = [
            ask(emulator, "GET", f"/analytics/usage?backend={b}").json()["jobs"] for b in ("emu_fez", "emu_torino")
        ]
        assert counts == [4, 0]
        assert ask(emulator, "GET", "/analytics/usage?plan=premium").json()["jobs"] == 0
        days = ask(emulator, "GET", "/analytics/usage_grouped_by_date?group_by=instance").json()["data"]
        assert sum(day["usage"] for day in days) == 8000
        assert {day["key"] for day in days} == {CRN["emulator-open"], CRN["emulator-payg"]}
        filters = ask(emulator, "GET", "/analytics/filters").json()
        assert [b["name"] for b in filters["backends"]] == ["emu_fez", "emu_torino"]


# -- calibrations ---------------------------------------------------------------------------------------------------


def test_specially_calibrated_instructions_run_and_take_their_time(emulator, service):
    backend = service.backend("emu_fez")
    assert {"measure_2", "reset_2", "measure_reset", "measure_reset_2", "xslow"} <= set(backend.target.operation_names)
    durations = {name: backend.target[name][(0,)].duration for name in ("measure", "measure_2", "x", "xslow")}
    assert durations["measure_2"] < durations["measure"]
    assert durations["xslow"] > durations["x"]
    circuit = QuantumCircuit(2, 5)
    circuit.append(XSlowGate(), [0])
    circuit.append(MidCircuitMeasure(), [0], [0])
    circuit.append(MidCircuitReset(), [0])
    circuit.measure(0, 1)
    circuit.x(1)
    circuit.append(MeasureReset(), [1], [2])
    circuit.append(MeasureReset("measure_reset_2"), [1], [3])
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.append(XSlowGate(), [1])
    circuit.measure(1, 4)
    isa = generate_preset_pass_manager(backend=backend, optimization_level=0).run(circuit)
    data = Sampler(mode=backend).run([isa], shots=20).result()[0].data.c
    assert isinstance(data, BitArray)
    assert data.get_counts() == {"10101": 20}  # bits 0, 2 and 4


@pytest.mark.parametrize("calibration", ["slow_gates_dc", "slow_gates_ac"])
def test_an_alternative_calibration_is_slower_and_stays_with_its_jobs(emulator, service, bell, calibration):
    slow = service.backend("emu_fez", calibration_id=calibration)
    pair = next(iter(slow.target["cz"]))
    length = slow.target["cz"][pair].duration
    job = Sampler(mode=slow).run([bell], shots=10)
    assert job.result()
    assert ask(emulator, "GET", f"/jobs/{job.job_id()}").json()["calibration_id"] == calibration
    properties = {
        c: ask(emulator, "GET", f"/backends/emu_fez/properties{c}").json()["gates"]
        for c in ("", f"?calibration_id={calibration}")
    }
    fast, slower = (
        next(p["value"] for g in gates if g["gate"] == "cz" and tuple(g["qubits"]) == pair for p in g["parameters"][1:])
        for gates in properties.values()
    )
    assert fast < slower == pytest.approx(length * 1e9)


def test_a_slow_calibration_is_billed(emulator, service):
    estimates = []
    for calibration in (None, "slow_gates_dc"):
        backend = service.backend("emu_fez", calibration_id=calibration)
        circuit = QuantumCircuit(2)
        for _ in range(400):
            circuit.cz(0, 1)
            circuit.barrier()
        circuit.measure_all()
        isa = generate_preset_pass_manager(backend=backend, optimization_level=0, initial_layout=[0, 1]).run(circuit)
        job = Sampler(mode=backend).run([isa], shots=1000)
        job.wait_for_final_state()
        estimates.append(job.usage_estimation["quantum_seconds"])
    assert estimates[1] > estimates[0]


def test_an_unknown_calibration_is_refused(emulator, service, body, caplog):
    with pytest.raises(QiskitBackendNotFoundError):
        service.backend("emu_fez", calibration_id="invalid_id")
    assert "invalid_id" in caplog.text
    answer = ask(emulator, "POST", "/jobs", json=body | {"calibration_id": "invalid_id"})
    assert answer.status_code == 404
    assert "slow_gates_dc" in answer.json()["errors"][0]["solution"]


def test_a_calibration_runs_in_a_session(emulator, backend):
    with Session(backend=backend) as session:
        job = Calibrator(session).run()
        result = job.result()
    assert job.usage() == 32
    text = json.dumps(result, default=str)
    assert "start" in text
    assert "stop" in text


# -- size -----------------------------------------------------------------------------------------------------------


def test_a_large_submission_does_not_stop_the_server(emulator):
    """While 30 MB are read elsewhere, other requests are answered."""
    circuit = "x" * (30 * 2**20)
    body = json.dumps({"program_id": "sampler", "backend": "emu_fez", "params": {"pubs": [[circuit]], "version": 2}})
    answers = []
    thread = threading.Thread(target=lambda: answers.append(ask(emulator, "POST", "/jobs", data=body).status_code))
    thread.start()
    asked = 0
    until = time.monotonic() + 60
    while thread.is_alive() and time.monotonic() < until:
        assert ask(emulator, "GET", "/jobs?limit=1").ok
        asked += 1
    thread.join()
    assert answers == [400]
    assert asked > 1
    for wrong in ('{"program_id": "sampler"', '["params"]', '{"program_id": "sampler", "params": []}'):
        answer = ask(emulator, "POST", "/jobs", data=wrong + " " * 2**20)
        assert answer.status_code == 400
