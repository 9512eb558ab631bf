"""`make test-client`, second part: clients that are not written in Python, and requests that nobody would send.

QRMI (PyPI, Rust) runs a whole batch: token, backends, batch, jobs as Qiskit JSON and as QPY, results, logs, release.
Schemathesis sends what IBM's specification allows and what it forbids: nothing may be answered with a server error.
Both are in an environment of their own: `python tests/spec/other_clients.py <its bin folder>`.
"""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import requests
from qiskit import QuantumCircuit, qpy
from qiskit_ibm_runtime.json import RuntimeEncoder

import qmode_widgets as qmode
from qmode_widgets.emulator.service.account import BASES, PAY_AS_YOU_GO

HERE = Path(__file__).resolve().parent
BACKEND = "ibm_torino"
KINDS = {"IBMQuantumComputeService": "QCS", "IBMQiskitRuntimeService": "QRS"}  # a type of QRMI: its environment's name
SECONDS = 60  # that Schemathesis may take


def circuits() -> list[Any]:
    """A circuit that measures 01, as Qiskit JSON, as QPY and as OpenQASM 3."""
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.measure([0, 1], [0, 1])
    buffer = io.BytesIO()
    qpy.dump(circuit, buffer, version=13)
    text = 'OPENQASM 3.0; include "stdgates.inc"; bit[2] c; x $0; c[0] = measure $0; c[1] = measure $1;'
    return [json.loads(json.dumps(circuit, cls=RuntimeEncoder)), base64.b64encode(buffer.getvalue()).decode(), text]


def qrmi(python: Path, emulator: Any, base: str, kind: str, mode: str) -> None:
    """A workload of three jobs."""
    prefix = f"{BACKEND}_QRMI_IBM_{KINDS[kind]}_"
    settings = {
        "ENDPOINT": emulator.url + base,
        "IAM_ENDPOINT": emulator.url,
        "IAM_APIKEY": emulator.token,
        "SERVICE_CRN": PAY_AS_YOU_GO.crn,
        "SESSION_MODE": mode,
        "SESSION_MAX_TTL": "300",
        "TIMEOUT_SECONDS": "100",
    }
    environment = {**os.environ, **{prefix + name: value for name, value in settings.items()}}
    inputs = [{"version": 2, "support_qiskit": False, "pubs": [[c, None, 50]], "options": {}} for c in circuits()]
    asked = json.dumps({"resource": BACKEND, "type": kind, "inputs": inputs})
    done = subprocess.run(
        [python, HERE / "qrmi_batch.py"], input=asked, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["states"] == ["TaskStatus.Completed"] * 3, found["states"]
    for result in found["results"]:
        assert result["results"][0]["data"]["c"] == {"samples": ["0x1"] * 50, "num_bits": 2}, result
    emulator.faults.wait_for(found["workload"], "closed")
    listed = emulator.service.jobs(session_id=found["workload"], limit=10)
    assert {job.job_id() for job in listed} == set(found["tasks"])
    print(f"QRMI, {kind}, {mode}, {base}: 3 jobs, results and logs, released")


def fuzz(program: Path, emulator: Any) -> int:
    """Whether a request of whatever kind meets a server error."""
    form = {"grant_type": "urn:ibm:params:oauth:grant-type:apikey", "apikey": emulator.token}
    token = requests.post(f"{emulator.url}/identity/token", data=form, timeout=30).json()["access_token"]
    command = [program, "run", HERE / "openapi.json", "--url", f"{emulator.url}/api"]
    command += ["--header", f"Authorization: Bearer {token}", "--header", f"Service-CRN: {PAY_AS_YOU_GO.crn}"]
    command += ["--checks", "not_a_server_error", "--phases", "coverage,fuzzing", "--max-examples", "40"]
    command += ["--max-time", str(SECONDS), "--generation-deterministic", "--warnings", "off", "--no-color"]
    with tempfile.TemporaryDirectory() as folder:  # it keeps a cache where it runs
        code = subprocess.run(command, cwd=folder).returncode
    assert emulator.admin.get("ping")["pid"] == emulator.pid
    return code


def main() -> int:
    """Run both."""
    folder = Path(sys.argv[1]).absolute()
    with qmode.emulator.start(shared=False, speed=20.0, backends=BACKEND, interactive_ttl=1.0) as emulator:
        for base in BASES:
            for kind in KINDS:
                for mode in ("batch", "dedicated"):
                    qrmi(folder / "python", emulator, base, kind, mode)
        return fuzz(folder / "schemathesis", emulator)


if __name__ == "__main__":
    sys.exit(main())
