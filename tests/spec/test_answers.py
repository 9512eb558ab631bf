"""Every answer of the embedded service is what IBM's specification says, or deviates for a reason that stands here."""

from __future__ import annotations

import base64
import io
import json
import re
from typing import Any

import pytest
from qiskit import QuantumCircuit, qpy
from qiskit_ibm_runtime.json import RuntimeEncoder

from qmode_widgets.emulator import start
from qmode_widgets.emulator.client.launch import Emulator
from qmode_widgets.emulator.service.account import ACCOUNT_ID, OPEN, PAY_AS_YOU_GO, PREMIUM

from .specification import DOCUMENT, Client

# Patterns for "operation: deviation", and why the embedded service answers so.
ACCEPTED = {
    r".*errors\.\*\.code: .* is not of type 'string'": "it says string here and number there; numbers were seen",
    r".*field errors\.solution is not in the specification": "one of its two error shapes has it, and it was seen",
    r"(GET|POST) /sessions.*: 200 (started_at|activated_at|closed_at|last_job_started|last_job_completed): None .*": (
        "seen: null before the first job, and while it is open"
    ),
    r"GET /jobs/\{id\}/metrics: 200 timestamps\.(running|finished): None .*": "seen: null before it runs and ends",
    r"GET /jobs/\{id\}/results: content type text/plain .*": "seen: results come as text",
    r"GET /backends/\{id\}/.*: status 404 .*": "it names no errors at all for backends; an unknown one must get one",
    r"GET /backends: status (400|401|403) .*": "it names no errors at all for backends",
    r"GET /backends: field devices\.(class|physical_qubits) .*": "read by the client 0.51",
    r"GET /backends/\{id\}/configuration: 200 (clops|gates\.\*\.(parameters|qasm_def)): None .*": (
        "as the client's own fake backends have it"
    ),
    r"GET /jobs: status 429 .*": "not named, documented elsewhere",
    r"(GET /tags|PUT /jobs/\{id\}/tags|PATCH /sessions/\{id\}|GET /analytics/usage_grouped): status 400 .*": (
        "it names no status for a request that cannot be understood; 400 was seen for `PUT /jobs/{id}/tags`"
    ),
}
BACKEND = "ibm_torino"
QASM3 = 'OPENQASM 3.0; include "stdgates.inc"; bit[2] c; x $0; c[0] = measure $0; c[1] = measure $1;'
QASM2 = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; creg c[2]; x q[0]; measure q -> c;'


def bits() -> QuantumCircuit:
    """An ISA circuit that measures 01."""
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.measure([0, 1], [0, 1])
    return circuit


def as_qpy(circuit: QuantumCircuit) -> str:
    """A circuit as base64 QPY."""
    buffer = io.BytesIO()
    qpy.dump(circuit, buffer, version=13)
    return base64.b64encode(buffer.getvalue()).decode()


def as_json(circuit: QuantumCircuit) -> Any:
    """A circuit as the client sends it."""
    return json.loads(json.dumps(circuit, cls=RuntimeEncoder))


def sampler(circuit: Any = None, shots: int = 100, **params: Any) -> dict[str, Any]:
    """A submission of one circuit."""
    pubs = [[as_json(bits()) if circuit is None else circuit, None, shots]]
    known = {"version": 2, "support_qiskit": True, "pubs": pubs, "options": {}}
    return {"program_id": "sampler", "backend": BACKEND, "params": {**known, **params}}


class Drive:
    """Brings the service into all its states, and asks everything in each."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator, self.faults = emulator, emulator.faults
        self.ask = Client(emulator.url, emulator.token)

    def get(self, operation: str, state: str, *, crn: str = PAY_AS_YOU_GO.crn, **more: Any) -> Any:
        return self.ask(f"GET {operation}", state, crn=crn, **more)

    def submit(self, state: str, *, crn: str = PAY_AS_YOU_GO.crn, expect: int = 200, **body: Any) -> str:
        asked = {**sampler(), **body}
        return str(self.ask("POST /jobs", state, crn=crn, expect=expect, json=asked).json().get("id", ""))

    def look(self, job: str, state: str, *, crn: str = PAY_AS_YOU_GO.crn) -> None:
        self.get("/jobs/{id}", state, path=f"/jobs/{job}", crn=crn)
        self.get("/jobs/{id}", state, path=f"/jobs/{job}", query="exclude_params=true", crn=crn)
        for part in ("metrics", "logs", "results"):
            self.get(f"/jobs/{{id}}/{part}", state, path=f"/jobs/{job}/{part}", crn=crn)
        self.get("/jobs", state, query="exclude_params=false&limit=3", crn=crn)
        self.get("/workloads", state, query="limit=50&sort=-createdAt", crn=crn)

    def everything(self) -> None:
        self.account()
        self.jobs()
        self.inputs()
        self.workloads()
        self.lists()

    def account(self) -> None:
        self.ask("GET /versions", "without a token", crn=None, version=None, expect=200)
        self.ask("GET /jobs", "without a token", crn=None, expect=401)
        self.get("/jobs", "an instance of another account", crn="crn:v1:nope", expect=403)
        for name in (BACKEND, "ibm_fez"):
            for part in ("properties", "configuration", "status", "defaults"):
                self.get(f"/backends/{{id}}/{part}", name, path=f"/backends/{name}/{part}", expect=200)
        self.get("/backends/{id}/status", "unknown", path="/backends/nope/status", expect=404)
        self.get("/backends", "waiting times before any job", query="fields=wait_time_seconds", expect=200)
        self.get("/backends", "unknown fields", query="fields=nope", expect=400)
        for instance in (OPEN, PAY_AS_YOU_GO, PREMIUM):
            for operation in ("/instance", "/instances/configuration", "/instances/usage"):
                self.get(operation, instance.name, crn=instance.crn, expect=200)
            self.get("/accounts/{id}", instance.name, path=f"/accounts/{ACCOUNT_ID}", crn=instance.crn, expect=200)
        self.get("/accounts/{id}", "unknown", path="/accounts/nope", expect=404)
        for name, group in (
            ("usage", ""),
            ("usage_grouped", "plan"),
            ("usage_grouped_by_date", "instance"),
            ("filters", ""),
        ):
            self.get(f"/analytics/{name}", "nothing ran yet", query=f"group_by={group}", expect=200)

    def jobs(self) -> None:
        self.faults.pause(queue=True)
        job = self.submit("in job mode", tags=["a", "b"])
        self.look(job, "queued")
        self.faults.resume()
        self.faults.pause()
        self.faults.wait_for(job, "Running")
        self.look(job, "running")
        self.faults.resume()
        self.faults.wait_for(job, "Completed")
        self.look(job, "completed")
        tags = f"/jobs/{job}/tags"
        self.ask(
            "PUT /jobs/{id}/tags", "completed", path=tags, crn=PAY_AS_YOU_GO.crn, json={"tags": ["tag-x"]}, expect=204
        )
        self.ask("PUT /jobs/{id}/tags", "no tags", path=tags, crn=PAY_AS_YOU_GO.crn, json={}, expect=400)
        self.get("/tags", "found", query="type=job&search=tag", expect=200)
        self.get("/tags", "too short", query="type=job&search=t", expect=400)
        self.cancel(job, "completed", 409)
        private = self.submit("private", private=True)
        self.faults.wait_for(private, "Completed")
        self.look(private, "private, first look")
        self.look(private, "private, second look")
        self.faults.fail_jobs(code=1517, reason="Not an ISA circuit.", solution="Transpile it.")
        failed = self.submit("that fails")
        self.faults.wait_for(failed, "Failed")
        self.look(failed, "failed")
        long = self.submit("longer than its cost", cost=1)
        self.faults.wait_for(long, "Cancelled")
        self.look(long, "ran too long")
        self.faults.pause(queue=True)
        queued = self.submit("to be cancelled")
        self.cancel(queued, "queued", 204)
        self.look(queued, "cancelled while queued")
        self.faults.resume()
        self.faults.pause()
        running = self.submit("to be cancelled while it runs")
        self.faults.wait_for(running, "Running")
        self.ask("DELETE /jobs/{id}", "running", path=f"/jobs/{running}", crn=PAY_AS_YOU_GO.crn, expect=400)
        self.cancel(running, "running", 204)
        self.look(running, "cancelled while running")
        self.faults.resume()
        self.ask("DELETE /jobs/{id}", "completed", path=f"/jobs/{job}", crn=PAY_AS_YOU_GO.crn, expect=204)
        for part in ("", "/results", "/logs", "/metrics"):
            self.get(f"/jobs/{{id}}{part}", "unknown", path=f"/jobs/nope{part}", expect=404)
        for change, status in (
            ({"program_id": "nope"}, 404),
            ({"backend": "nope"}, 404),
            ({"tags": list("123456789")}, 400),
            ({"cost": -1}, 400),
            ({"log_level": "loud"}, 400),
            ({"session_id": "nope"}, 404),
            ({"private": "yes"}, 400),
            ({"params": {"pubs": []}}, 400),
            ({"calibration_id": "x"}, 404),
        ):
            self.submit(f"wrong {next(iter(change))}", expect=status, **change)

    def cancel(self, job: str, state: str, expect: int) -> None:
        self.ask("POST /jobs/{id}/cancel", state, path=f"/jobs/{job}/cancel", crn=PAY_AS_YOU_GO.crn, expect=expect)

    def inputs(self) -> None:
        """Circuits in every form that the specification has, options and params, right and wrong."""
        estimator = {"pubs": [[QASM3, "Z" + "I" * 132, [], 0.1]], "version": 2}
        self.submit("estimator with OpenQASM on hardware qubits", program_id="estimator", params=estimator)
        learner = {"circuits": [QASM3.replace("x $0", "cz $0, $1")], "options": {}, "version": 2}
        self.submit("noise learner, version 2", program_id="noise-learner", params=learner)
        for options, status in (
            ({"twirling": {"enable_gates": True}}, 200),
            ({"dynamical_decoupling": {"enable": True, "sequence_type": "XY4"}}, 200),
            ({"execution": {"meas_type": "kerneled"}}, 200),
            ({"simulator": {"seed_simulator": 4}}, 200),
            ({"experimental": {"a": 1}, "default_shots": 7}, 200),
            ({"nope": 1}, 400),
        ):
            self.submit(f"options {options}", expect=status, **sampler(options=options))
        self.submit("a param that is not allowed", expect=400, **sampler(nope=1))
        self.settle()

    def settle(self) -> None:
        """Wait until no job is left that would keep an execution lane."""
        while jobs := self.get("/jobs", "to settle", query="pending=true").json()["jobs"]:
            self.faults.wait_for(jobs[-1]["id"], "Completed", "Cancelled", "Failed")

    def workloads(self) -> None:
        for mode in ("batch", "dedicated"):
            self.workload(mode)
        for body, status in (
            ({}, 400),
            ({"mode": "x", "backend": BACKEND}, 400),
            ({"mode": "batch"}, 400),
            ({"mode": "batch", "backend": BACKEND, "max_ttl": 0}, 400),
            ({"mode": "batch", "backend": BACKEND, "max_ttl": 28_801}, 400),
            ({"mode": "batch", "backend_name": BACKEND}, 200),
            ({"mode": "batch", "backend": "nope"}, 400),
        ):
            self.ask("POST /sessions", f"{body}", crn=PAY_AS_YOU_GO.crn, json=body, expect=status)
        body = {"mode": "dedicated", "backend": BACKEND}
        self.ask("POST /sessions", "a session on the Open plan", crn=OPEN.crn, json=body, expect=400)

    def workload(self, mode: str) -> None:
        crn = PAY_AS_YOU_GO.crn

        def opened(state: str, **more: Any) -> str:
            body = {"mode": mode, "backend": BACKEND, **more}
            return str(self.ask("POST /sessions", f"{mode}, {state}", crn=crn, json=body, expect=200).json()["id"])

        def look(state: str) -> None:
            self.get("/sessions/{id}", f"{mode}, {state}", path=f"/sessions/{id_}", expect=200)

        def patch(state: str, body: dict[str, Any], expect: int) -> None:
            self.ask("PATCH /sessions/{id}", state, path=f"/sessions/{id_}", crn=crn, json=body, expect=expect)

        self.settle()
        id_ = opened("new", max_ttl=300)
        look("open")
        self.faults.pause()
        job = self.submit(f"in a {mode}", session_id=id_)
        self.faults.wait_for(job, "Running")
        look("a job prepares")
        self.look(job, f"running in a {mode}")
        self.faults.resume()
        self.faults.wait_for(job, "Completed")
        look("idle")
        self.faults.wait_for(id_, "inactive")
        look("inactive")
        patch("to stay open", {"accepting_jobs": True}, 204)
        patch("nothing", {}, 400)
        patch("to close", {"accepting_jobs": False}, 204)
        look("closed")
        self.submit("in a closed one", session_id=id_, expect=400)
        patch("to close again", {"accepting_jobs": False}, 204)
        patch("to open again", {"accepting_jobs": True}, 400)
        self.ask("DELETE /sessions/{id}/close", "closed", path=f"/sessions/{id_}/close", crn=crn, expect=204)
        id_ = opened("max TTL of 1 s", max_ttl=1)
        self.faults.pause()
        self.submit("that runs when its workload expires", session_id=id_)
        late = self.submit("that waits when its workload expires", session_id=id_)
        self.faults.resume()
        self.faults.wait_for(id_, "closed")
        look("its max TTL has ended")
        self.look(late, "its workload has expired")
        id_ = opened("to be cancelled")
        self.faults.pause(queue=True)
        queued = self.submit("in one that is cancelled", session_id=id_)
        self.ask("DELETE /sessions/{id}/close", "a job waits", path=f"/sessions/{id_}/close", crn=crn, expect=204)
        look("cancelled")
        self.look(queued, "its workload was cancelled")
        self.faults.resume()
        id_ = opened("never used")
        self.faults.wait_for(id_, "closed")
        look("never used")
        self.get("/sessions/{id}", "unknown", path="/sessions/nope", expect=404)

    def lists(self) -> None:
        mocks = self.get("/backends", "with mocks", crn=PREMIUM.crn, query="include_mocks=true").json()["devices"]
        mock = next(entry["name"] for entry in mocks if entry["name"].startswith("mock"))
        dry = self.submit("a dry run", crn=PREMIUM.crn, backend=mock)
        self.faults.wait_for(dry, "Completed")
        self.look(dry, "dry run", crn=PREMIUM.crn)
        self.submit("a dry run on pay-as-you-go", backend=mock, expect=403)
        for limit, status in ((5000, 204), (None, 204)):
            body = {"instance_limit": limit}
            self.ask("PUT /instances/configuration", f"{limit}", crn=PREMIUM.crn, json=body, expect=status)
            for operation in ("/instance", "/instances/configuration", "/instances/usage"):
                self.get(operation, f"limit {limit}", crn=PREMIUM.crn, expect=200)
        self.faults.pause(queue=True)
        for number in range(4):
            self.submit(f"pending job {number + 1} on Open", crn=OPEN.crn, expect=200 if number < 3 else 403)
        self.faults.resume()
        self.faults.use_up("emulator-open", 700)
        self.submit("on Open, used up", crn=OPEN.crn, expect=409)
        self.get("/instances/usage", "used up", crn=OPEN.crn)
        self.get("/backends", "waiting times", query="fields=wait_time_seconds")
        for query in ("", "limit=2", "user=me&mode=batch", "status=completed&status=failed", "search=tag", "tags=a"):
            page = self.get("/workloads", query, query=query, expect=200).json()
            if query == "limit=2":
                more = page["next"]["href"].split("?")[1]
                self.get("/workloads", "the next page", query=f"limit=2&{more}", expect=200)
        for query in ("limit=0", "limit=51", "user=other", "sort=x", "status=x", "next=x"):
            self.get("/workloads", f"wrong {query}", query=query, expect=400)
        for query in ("pending=true", "pending=false", "limit=0", "limit=999", "sort=ASC", "offset=3", "tags=a&tags=b"):
            self.get("/jobs", query, query=query, expect=200)
        for query in ("pending=x", "sort=x", "created_after=x"):
            self.get("/jobs", f"wrong {query}", query=query, expect=400)
        for name, query in (
            ("usage", ""),
            ("usage_grouped", "group_by=plan"),
            ("usage_grouped", "group_by=subscription_id"),
            ("usage_grouped", "group_by=nope"),
            ("usage_grouped_by_date", "group_by=instance"),
            ("filters", ""),
        ):
            self.get(f"/analytics/{name}", f"everything {query}", query=query)
        for version in ("2024-01-01", "2025-01-01", "2026-02-15", "2026-03-15", "2026-04-15", "2999-01-01"):
            jobs = self.get("/jobs", version, version=version, query="pending=false&limit=5", expect=200).json()["jobs"]
            self.get("/jobs/{id}", version, version=version, path=f"/jobs/{jobs[0]['id']}", expect=200)
            for job in jobs:
                self.get("/jobs/{id}/metrics", version, version=version, path=f"/jobs/{job['id']}/metrics", expect=200)
        self.get("/jobs", "a version that is no date", version="20260415", expect=400)
        self.faults.fail_requests(429, retry_after=3)
        self.get("/jobs", "too many requests", expect=429)


@pytest.fixture(scope="module")
def emulator():
    with start(
        shared=False,
        speed=20.0,
        workers=1,
        interactive_ttl=1.0,
        max_ttl=600.0,
        empty_close=2.0,
        backends=f"{BACKEND},ibm_fez",
    ) as running:
        yield running


@pytest.fixture(scope="module")
def drive(emulator):
    drive = Drive(emulator)
    try:
        drive.everything()
    finally:
        emulator.faults.clear()
    return drive


def test_no_answer_deviates_without_a_reason(drive):
    found = {d: state for d, state in drive.ask.found.items() if not any(re.fullmatch(p, d, re.S) for p in ACCEPTED)}
    assert found == {}


def test_every_accepted_deviation_is_still_there(drive):
    unseen = [p for p in ACCEPTED if not any(re.fullmatch(p, d, re.S) for d in drive.ask.found)]
    assert unseen == []


def test_every_operation_of_the_specification_was_answered(drive):
    asked = {answer.operation for answer in drive.ask.answers if answer.response.ok}
    known = {
        f"{method.upper()} {path.removeprefix('/v1')}" for path, told in DOCUMENT["paths"].items() for method in told
    }
    assert known - asked == set()


def test_no_refusal_speaks_python(drive):
    """A name of an exception or of a type of Python's is no word of IBM's."""
    python = re.compile(r"\b\w+(Error|Exception)\b|Traceback|'(str|int|dict|list|NoneType)'|object has no|line \d+ col")
    refused = [answer for answer in drive.ask.answers if answer.response.status_code >= 400]
    assert len(refused) > 50
    for answer in refused:
        assert not python.search(answer.response.text), (answer.state, answer.response.text)


@pytest.mark.parametrize(
    ("circuit", "bits_of"),
    [(QASM3, 133), (QASM2, 2), (as_qpy(bits()), 2), (as_json(bits())["__value__"], 2), (as_json(bits()), 2)],
    ids=["OpenQASM 3", "OpenQASM 2", "QPY", "compressed QPY", "Qiskit JSON"],
)
def test_circuits_in_every_documented_form(emulator, circuit, bits_of):
    """All give the result that their circuit has; without `support_qiskit` it is JSON without Qiskit's types."""
    drive = Drive(emulator)
    body = sampler(circuit, 20)
    del body["params"]["support_qiskit"]
    job = drive.submit("a circuit", **body)
    emulator.faults.wait_for(job, "Completed")
    result = drive.get("/jobs/{id}/results", "plain", path=f"/jobs/{job}/results").json()
    assert result["results"][0]["data"] == {"c": {"samples": ["0x1"] * 20, "num_bits": 2}}
    (span,) = result["metadata"]["execution"]["execution_spans"]
    assert span[0]["date"] < span[1]["date"]


def test_an_estimators_plain_result(emulator):
    drive = Drive(emulator)
    params = {"pubs": [[QASM3.partition("c[0]")[0], ["I" * 132 + "Z", "Z" + "I" * 132]]], "support_qiskit": False}
    job = drive.submit("an estimator", program_id="estimator", params=params)
    emulator.faults.wait_for(job, "Completed")
    (result,) = drive.get("/jobs/{id}/results", "plain", path=f"/jobs/{job}/results").json()["results"]
    assert result["data"]["evs"] == [-1, 1]
    assert len(result["data"]["stds"]) == 2


@pytest.mark.parametrize(
    ("circuit", "words"),
    [
        ("OPENQASM 3.0; nope", "OpenQASM"),
        ('OPENQASM 2.0; include "/etc/passwd";', "OpenQASM"),
        ("bm90IGEgY2lyY3VpdA==", "cannot be decompressed"),
        ("%%%", "not base64"),
        (5, "must begin with a circuit"),
        ({"__type__": "settings"}, "which no program takes"),
    ],
)
def test_what_is_no_circuit_is_refused_in_words(emulator, circuit, words):
    drive = Drive(emulator)
    told = drive.ask("POST /jobs", "no circuit", crn=PAY_AS_YOU_GO.crn, json=sampler(circuit), expect=400).json()
    assert words in told["errors"][0]["message"]


def test_both_bases_give_the_same(emulator):
    one, other = (Client(emulator.url, emulator.token, base) for base in ("/api/v1", "/experimental"))
    for path in ("GET /backends", "GET /instance", "GET /versions"):
        assert one(path, "", crn=OPEN.crn).json() == other(path, "", crn=OPEN.crn).json()
