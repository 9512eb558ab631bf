"""Who may ask, and what hostile requests get."""

from __future__ import annotations

import base64
import io
import json
import socket
import struct
import subprocess
import sys
import zlib

import numpy as np
import psutil
import pytest
import qiskit.qpy
import requests
from hypothesis import given
from hypothesis import strategies as st
from qiskit_ibm_runtime.executor_sampler import Sampler

from qmode_widgets.emulator import start
from tests.examples import examples

from .test_workloads import ask


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:{port}"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_web_pages_cannot_reach_it(emulator, headers):
    port = emulator.url.rsplit(":", 1)[1]
    headers = {name: value.format(port=port) for name, value in headers.items()}
    login = {"apikey": emulator.token}
    answer = requests.post(f"{emulator.url}/identity/token", data=login, headers=headers, timeout=10)
    assert answer.status_code == 403
    assert "access_token" not in answer.text
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_refused_client_is_told_that_its_connection_closes(emulator):
    # One that is not told uses it again, and is reset if the request is sent before the closing has arrived.
    with requests.Session() as session:
        session.trust_env = False
        for method in ("GET", "POST", "PATCH"):
            answer = session.request(method, emulator.environment["QISKIT_IBM_URL"] + "/jobs", json={}, timeout=10)
            assert (answer.status_code, answer.headers["Connection"]) == (401, "close")


def test_a_foreign_key_is_refused_and_not_logged(emulator):
    key = "somebodys-real-api-key"
    answer = requests.post(f"{emulator.url}/identity/token", data={"apikey": key}, timeout=10)
    assert answer.status_code == 401
    for authorization in (f"apikey {key}", f"Bearer {key}", "", "Bearer"):
        headers = {"Authorization": authorization, "Service-CRN": emulator.environment["QISKIT_IBM_INSTANCE"]}
        answer = requests.get(emulator.environment["QISKIT_IBM_URL"] + "/backends", headers=headers, timeout=10)
        assert answer.status_code == 401
        assert answer.json()["errors"][0]["code"] == 1200
        assert key not in answer.text
    assert key not in emulator.log


def test_a_foreign_instance_is_refused(emulator):
    token = requests.post(f"{emulator.url}/identity/token", data={"apikey": emulator.token}, timeout=10).json()
    headers = {"Authorization": f"Bearer {token['access_token']}", "Service-CRN": "crn:v1:somebody:else"}
    answer = requests.get(emulator.environment["QISKIT_IBM_URL"] + "/backends", headers=headers, timeout=10)
    assert answer.status_code == 403


def test_it_listens_on_loopback_only(emulator):
    sockets = psutil.Process(emulator.pid).net_connections("inet")
    listening = [s.laddr for s in sockets if s.status == psutil.CONN_LISTEN]
    assert [(a.ip, a.port) for a in listening] == [("127.0.0.1", int(emulator.url.rsplit(":", 1)[1]))]


def test_another_bind_address_is_no_option():
    command = [sys.executable, "-m", "qmode_widgets.emulator", "--host", "0.0.0.0"]
    ended = subprocess.run(command, capture_output=True, timeout=30, check=False, text=True)
    assert ended.returncode == 2
    assert "--host" in ended.stderr


def bare(emulator, head, *parts):
    """Send bytes as they are; return the answer's first line, or b"" for a connection that was closed."""
    port = int(emulator.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head.format(port=port).encode() + b"\r\n\r\n")
        try:
            for part in parts:
                connection.sendall(part)
            return connection.recv(1000).partition(b"\r\n")[0]
        except ConnectionError:
            return b""


def authorized(emulator):
    token = requests.post(f"{emulator.url}/identity/token", data={"apikey": emulator.token}, timeout=10).json()
    crn = emulator.environment["QISKIT_IBM_INSTANCE"]
    return f"Authorization: Bearer {token['access_token']}\r\nService-CRN: {crn}\r\n"


def test_a_body_that_is_too_large_is_refused(emulator):
    head = "POST /experimental/jobs HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n" + authorized(emulator)
    assert bare(emulator, f"{head}Content-Length: {10**10}", b"x" * 1000) in (b"", b"HTTP/1.1 400 Bad Request")
    login = "POST /identity/token HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
    assert bare(emulator, f"{login}Content-Length: 9000", b"x" * 9000) in (b"", b"HTTP/1.1 400 Bad Request")
    assert ask(emulator, "GET", "/backends").ok


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("Host: 127.0.0.1:{port}", b"HTTP/1.1 401 Unauthorized"),
        ("Host: 127.0.0.1:{port}\r\nAuthorization: Bearer no", b"HTTP/1.1 401 Unauthorized"),
        ("Host: evil.example", b"HTTP/1.1 403 Forbidden"),
        ("Host: 127.0.0.1:{port}\r\nOrigin: https://evil.example", b"HTTP/1.1 403 Forbidden"),
    ],
)
def test_who_may_not_ask_is_told_before_the_body_is_read(emulator, headers, status):
    """The answer comes although none of the announced body was sent, and a body that is sent is not kept."""
    head = f"POST /experimental/jobs HTTP/1.1\r\n{headers}\r\nContent-Length: {200 * 2**20}"
    assert bare(emulator, head) == status
    before = psutil.Process(emulator.pid).memory_info().rss
    bare(emulator, head, *[b"x" * 2**20] * 200)
    assert psutil.Process(emulator.pid).memory_info().rss - before < 50 * 2**20


def test_a_partial_upload_times_out(bell):
    with start(shared=False, workers=1, speed=float("inf"), upload_timeout=0.5) as emulator:
        head = "POST /experimental/jobs HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n" + authorized(emulator)
        assert bare(emulator, f"{head}Content-Length: 1000", b'{"params":') == b""
        assert ask(emulator, "GET", "/backends").ok


def qpy(version=17, rest=b"\0" * 60):
    return base64.b64encode(zlib.compress(struct.pack("!6sB", b"QISKIT", version) + rest)).decode()


def typed(kind, value):
    return {"__type__": kind, "__value__": value}


def bomb(mebibytes):
    """Zeros, packed; what repeats is packed once."""
    packer = zlib.compressobj()
    first, again = (packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    checksum = struct.pack(">I", (mebibytes * 2**20 % 65521) << 16 | 1)  # Adler-32 of so many zeros
    return first + again * (mebibytes - 1) + packer.flush()[:-4] + checksum


HOSTILE = [
    typed("QuantumCircuit", "not base64!"),
    typed("QuantumCircuit", base64.b64encode(b"not zlib").decode()),
    typed("QuantumCircuit", qpy()),
    typed("QuantumCircuit", qpy(version=9)),  # older formats could carry what is evaluated
    typed("QuantumCircuit", qpy(version=255)),
    typed("QuantumCircuit", base64.b64encode(bomb(1024)).decode()),
    typed("ndarray", base64.b64encode(zlib.compress(b"\x93NUMPY\x01\x00\x76\x00garbage")).decode()),
    typed("settings", {"x": 1}) | {"__module__": "os", "__class__": "system"},
    typed("_json", {"x": 1}) | {"__module__": "os", "__class__": "system"},
    typed("spmatrix", "AAAA"),
    typed("NoiseModel", {}),
    {"__type__": ["QuantumCircuit"]},
    None,
    [],
    "circuit",
    1e400,
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("program", ["sampler", "estimator"])
def test_hostile_circuits_get_400(emulator, program, hostile):
    body = {"program_id": program, "backend": "emu_fez", "params": {"pubs": [[hostile, None, 10]], "version": 2}}
    answer = ask(emulator, "POST", "/jobs", data=json.dumps(body))
    assert answer.status_code == 400, answer.text
    assert answer.json()["errors"][0]["message"]


def test_broken_circuits_get_400(emulator, bell):
    """Bytes of a valid circuit are changed one by one: it is read, or refused, and never takes the reader down."""
    file = io.BytesIO()
    qiskit.qpy.dump(bell, file, version=17)
    whole = bytearray(file.getvalue())
    seen = set()

    @examples(60, shared=True)
    @given(st.dictionaries(st.integers(0, len(whole) - 1), st.integers(0, 255), min_size=1, max_size=4), st.booleans())
    def check(changes, cut):
        raw = bytearray(whole)
        for place, value in changes.items():
            raw[place] = value
        if cut:
            del raw[min(changes) :]
        circuit = typed("QuantumCircuit", base64.b64encode(zlib.compress(bytes(raw))).decode())
        body = {"program_id": "sampler", "backend": "emu_fez", "params": {"pubs": [[circuit, None, 1]], "version": 2}}
        answer = ask(emulator, "POST", "/jobs", json=body)
        seen.add(answer.status_code)
        assert answer.status_code in (200, 400), answer.text

    emulator.faults.pause(queue=True)
    check()
    assert 400 in seen


def test_a_pickle_in_an_array_is_not_loaded(emulator, tmp_path, bell):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "written"), "w"))

    file = io.BytesIO()
    np.save(file, np.array([Evil()], dtype=object), allow_pickle=True)
    array = typed("ndarray", base64.b64encode(zlib.compress(file.getvalue())).decode())
    body = {"program_id": "sampler", "backend": "emu_fez", "params": {"pubs": [[array]], "version": 2}}
    assert ask(emulator, "POST", "/jobs", json=body).status_code == 400
    assert not (tmp_path / "written").exists()


def test_deep_nesting_gets_400(emulator):
    assert ask(emulator, "POST", "/jobs", data="[" * 200_000).status_code == 400
    # Python 3.12 reads this much nesting, and then misses the program; 3.11 does not. Neither breaks the server.
    nested = '{"params":' * 5000 + "1" + "}" * 5000
    assert ask(emulator, "POST", "/jobs", data=nested).status_code in (400, 404)
    pubs = current = []
    for _ in range(300):
        current.append([])
        current = current[0]
    body = {"program_id": "sampler", "backend": "emu_fez", "params": {"pubs": [pubs], "version": 2}}
    assert ask(emulator, "POST", "/jobs", json=body).status_code == 400


def test_broken_executor_params_get_400(emulator, service, backend, bell):
    emulator.faults.pause(queue=True)
    job = Sampler(mode=backend).run([bell], shots=10)
    params = ask(emulator, "GET", f"/jobs/{job.job_id()}").json()["params"]
    job.cancel()

    def breakage(data):
        """Replace one leaf or subtree of the params by something else."""
        copy = json.loads(json.dumps(params))
        node, key = copy, None
        while isinstance(node, (dict, list)) and node:
            parent = node
            key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
            node = node[key]
            if data.draw(st.integers(0, 3)) == 0:
                break
        parent[key] = data.draw(
            st.one_of(st.none(), st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=2), st.just({}))
        )
        return copy

    seen = set()

    @examples(40, shared=True)
    @given(st.data())
    def check(data):
        body = {"program_id": "executor", "backend": "emu_fez", "params": breakage(data)}
        answer = ask(emulator, "POST", "/jobs", json=body)
        seen.add(answer.status_code)
        assert answer.status_code in (200, 400), answer.text

    check()
    assert 400 in seen
    emulator.faults.resume()
    assert Sampler(mode=backend).run([bell], shots=10).result()


@examples(60, shared=True)
@given(
    method=st.sampled_from(["GET", "POST", "PATCH", "PUT", "DELETE"]),
    path=st.sampled_from(
        ["/jobs", "/sessions", "/workloads", "/jobs/x", "/jobs/x/tags", "/sessions/x", "/backends/x/status"]
    ),
    query=st.dictionaries(st.sampled_from(["limit", "offset", "tags", "next", "sort", "x"]), st.text(max_size=8)),
    body=st.one_of(st.binary(max_size=40), st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(st.sampled_from(["mode", "backend", "params", "program_id", "tags", "cost"]), inner),
        ),
    ).map(json.dumps)),
)  # fmt: skip
def test_no_request_brings_it_down(emulator, method, path, query, body):
    answer = ask(emulator, method, path, params=query, data=body)
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.json()["errors"]
