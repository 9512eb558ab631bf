"""Finding, starting and ending a service."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import ClassVar

import psutil
import pytest
from qiskit import QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import Batch
from qiskit_ibm_runtime.executor_sampler import Sampler

from qmode_widgets import emulator as package
from qmode_widgets.emulator.client import launch
from qmode_widgets.emulator.client.faults import AdminClient
from qmode_widgets.emulator.client.launch import Emulator
from qmode_widgets.emulator.options import Options
from qmode_widgets.emulator.processes import find


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """A Jupyter runtime directory of our own; a shared service left in it is stopped."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    yield tmp_path / "qmode-emulator.json"
    if (tmp_path / "qmode-emulator.json").exists():
        with contextlib.suppress(ValueError):
            package.start().stop()


def alive(pid):
    return find(pid) is not None


def gone(pid, timeout=60):
    process = find(pid)
    if process is not None:
        with contextlib.suppress(psutil.TimeoutExpired):
            process.wait(timeout)
    return not alive(pid)


def children(pid):
    return [process.pid for process in psutil.Process(pid).children(recursive=True)]


def test_kernels_that_start_together_share_a_service_that_survives_them(runtime):
    code = "from qmode_widgets import emulator; print(emulator.start().url)"
    started = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    [url] = {process.communicate(timeout=60)[0].strip() for process in started}
    found = package.start()
    assert found.url == url
    assert stat.S_IMODE(runtime.stat().st_mode) == 0o600
    known = json.loads(runtime.read_text())
    assert known["pid"] == found.pid
    assert os.getsid(found.pid) == found.pid  # an interrupt of the kernel does not reach it
    assert package.start(speed=2.0).url == found.url
    with pytest.raises(ValueError, match=r"runs with lanes=5, not 2"):
        package.start(lanes=2)
    found.stop()
    assert not alive(found.pid)
    assert not runtime.exists()


def test_a_proxy_in_between_is_said(emulator, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(RuntimeError, match=r"add 127\.0\.0\.1 to NO_PROXY"):
        emulator.connect("emulator-payg")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert emulator.connect("emulator-payg").jobs() is not None


def written(**values):
    """A runtime file as this process would have written it, with some values changed."""
    me = {"pid": os.getpid(), "started": psutil.Process().create_time()}
    return json.dumps({"url": "http://127.0.0.1:9", "token": "t", "version": "1", "options": {}} | me | values)


@pytest.fixture
def replacement(monkeypatch):
    """What `start()` gives where nothing is found: how a service starts is the other tests' matter."""
    new = Emulator("http://127.0.0.1:9", "t", 0, Options())
    monkeypatch.setattr(launch, "_launch", lambda options, shared: new)
    return new


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "{}",
        written(),
        written(pid=2**22 - 3),
        written(started=1.0),
        written(url="http://evil.example"),
        written(options={"no": 1}),
    ],
)
def test_a_stale_runtime_file_is_removed_and_a_new_service_started(runtime, text, replacement):
    runtime.write_text(text)
    assert package.start() is replacement
    assert not runtime.exists()


def test_a_service_of_another_version_is_replaced_and_none_leaves_its_runtime_file(runtime):
    old = package.start()
    known = json.loads(runtime.read_text())
    runtime.write_text(json.dumps(known | {"version": "0"}))
    new = package.start()
    assert new.pid != old.pid
    assert not alive(old.pid)
    os.kill(new.pid, signal.SIGTERM)  # one that ends by itself deletes its file
    assert gone(new.pid)
    assert not runtime.exists()
    killed = package.start()
    os.kill(killed.pid, signal.SIGKILL)
    assert gone(killed.pid)
    assert runtime.exists()
    killed.stop()
    assert not runtime.exists()


def test_a_service_whose_code_was_removed_is_replaced(runtime, tmp_path, replacement):
    """An environment or a checkout that is deleted leaves a service behind whose jobs could only fail."""
    home = tmp_path / "checkout"
    shutil.copytree(Path(package.__file__).parents[1], home / "qmode_widgets")
    code = "from qmode_widgets import emulator; print(emulator.start().pid)"
    around = {"env": os.environ | {"PYTHONPATH": str(home)}, "cwd": tmp_path, "timeout": 60}
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, **around)
    old = int(made.stdout)
    assert str(home) in psutil.Process(old).environ()["PYTHONPATH"]
    shutil.rmtree(home)
    assert package.start() is replacement
    assert not alive(old)
    assert not runtime.exists()


class Stranger(http.server.BaseHTTPRequestHandler):
    """Another program on the port: agrees to everything, and keeps what it was sent."""

    seen: ClassVar[list[str]] = []

    def do_GET(self):
        length = int(self.headers.get("Content-Length", 0))
        self.seen.append(f"{self.path} {self.headers} {self.rfile.read(length)}")
        body = json.dumps({"proof": "0" * 64, "pid": os.getpid(), "version": "1", "access_token": "x"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.do_GET()

    def log_message(self, *args):
        pass


@pytest.fixture
def stranger():
    server = http.server.HTTPServer(("127.0.0.1", 0), Stranger)
    Stranger.seen.clear()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_stranger_on_the_port_is_never_sent_the_key(runtime, stranger, replacement):
    runtime.write_text(written(url=stranger, token="the-secret-key"))
    assert package.start() is replacement
    known = Emulator(stranger, "the-secret-key", os.getpid(), Options())
    with pytest.raises(PermissionError, match="is not the emulator"):
        known.connect("emulator-payg")
    with pytest.raises(PermissionError, match="is not the emulator"):
        known.faults.pending()
    assert len(Stranger.seen) == 3
    assert not [line for line in Stranger.seen if "the-secret-key" in line]


def test_the_proof_is_for_one_address(emulator):
    """A server in between that passes the question on to the real one gets an answer that proves nothing."""
    assert AdminClient(emulator.url, emulator.token).prove()["pid"] == emulator.pid
    other = AdminClient(emulator.url.replace("127.0.0.1", "localhost"), emulator.token)
    with pytest.raises(PermissionError, match="is not the emulator"):
        other.prove()
    with pytest.raises(PermissionError, match="is not the emulator"):
        AdminClient(emulator.url, "another-key").prove()


def test_a_silent_stranger_is_given_up_on(runtime, replacement):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        runtime.write_text(written(url=f"http://127.0.0.1:{silent.getsockname()[1]}"))
        assert package.start() is replacement


def test_a_private_service_and_its_workers_end_with_the_process_that_started_it():
    code = (
        "import os, signal; from qmode_widgets import emulator\n"
        "e = emulator.start(shared=False); print(e.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    started = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert gone(int(started.stdout))


def test_workers_die_with_a_killed_server_even_while_they_simulate():
    emulator = package.start(shared=False, speed=float("inf"))
    backend = emulator.service.backend("emu_fez")
    circuit = QuantumCircuit(24)
    for layer in range(60):
        circuit.rx(0.3 + layer, range(24))
        for q in range(23):
            circuit.cx(q, q + 1)
    circuit.measure_all()
    long = generate_preset_pass_manager(backend=backend, optimization_level=1).run(circuit)
    Sampler(mode=backend).run([long], shots=10)
    workers = children(emulator.pid)
    assert len(workers) >= 2
    while not any(psutil.Process(pid).cpu_percent(0.2) > 20 for pid in workers):
        workers = children(emulator.pid)
    os.kill(emulator.pid, signal.SIGKILL)
    emulator.stop()
    assert [pid for pid in workers if not gone(pid)] == []


def test_the_users_environment_is_left_alone(emulator, monkeypatch):
    monkeypatch.setenv("IAM_URL", "https://mine.example")
    monkeypatch.delenv("QISKIT_IBM_TOKEN", raising=False)
    before = dict(os.environ)
    emulator.connect()
    assert dict(os.environ) == before


def test_an_idle_service_ends_but_not_with_an_open_workload():
    with package.start(shared=False, idle_exit=600) as emulator:
        Batch(backend=emulator.service.backend("emu_fez"))
        emulator.faults.advance_clock(1200)
        assert not gone(emulator.pid, timeout=2.5)  # it looks every second
        emulator.faults.advance_clock(1200)  # without a job the batch closes after half an hour
        assert gone(emulator.pid, timeout=60)


def test_unknown_and_impossible_options_are_refused():
    with pytest.raises(TypeError, match="no option 'sped'"):
        package.start(shared=False, sped=2)
    for wrong in ({"speed": 0}, {"lanes": 0}, {"max_ttl": -1}, {"noise": "yes"}, {"backends": "emu_nowhere"}):
        with pytest.raises((ValueError, RuntimeError), match=next(iter(wrong)).replace("backends", "emu_nowhere")):
            package.start(shared=False, **wrong)


def test_a_port_in_use_is_said(emulator):
    port = int(emulator.url.rsplit(":", 1)[1])
    with pytest.raises(RuntimeError, match=f"port={port} cannot be used"):
        package.start(shared=False, port=port)


def test_the_command_line_prints_what_to_export(tmp_path):
    file = tmp_path / "env"
    command = [sys.executable, "-m", "qmode_widgets.emulator", "--port", "0", "--speed", "inf", "--env-file", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        lines = [running.stdout.readline() for _ in range(7)]
        assert [line.split("=")[0] for line in lines] == [
            "export IAM_URL", "export GLOBAL_SEARCH_URL", "export GLOBAL_CATALOG_URL", "export QISKIT_IBM_CHANNEL",
            "export QISKIT_IBM_TOKEN", "export QISKIT_IBM_URL", "export QISKIT_IBM_INSTANCE",
        ]  # fmt: skip
        assert file.read_text() == "".join(lines)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        env = {k: v for k, v in os.environ.items() if not k.startswith("QISKIT_")}
        env |= dict(line.removeprefix("export ").strip().replace("'", "").split("=", 1) for line in lines)
        code = "from qiskit_ibm_runtime import QiskitRuntimeService as S; print(S().least_busy().name)"
        asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
        assert asked.stdout.strip() in ("emu_fez", "emu_torino")
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 0
        assert running.stderr.read() == ""


def test_files_of_the_user_do_not_stand_in_for_libraries(tmp_path, monkeypatch, bell):
    for name in ("tornado", "random", "qiskit", "qmode_widgets"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    with package.start(shared=False, speed=float("inf")) as emulator:
        assert Sampler(mode=emulator.service.backend("emu_fez")).run([bell], shots=5).result()


def test_importing_the_package_is_cheap():
    code = (
        "import sys, qmode_widgets.emulator as e; e.start\n"
        "print([m for m in ('qiskit', 'qiskit_aer', 'tornado', 'requests', 'numpy') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_a_state_file_that_is_none_is_refused(tmp_path):
    Path(tmp_path / "state").write_text("something else entirely, and long enough to be looked at as a database")
    with pytest.raises(RuntimeError, match="cannot be used"):
        package.start(shared=False, state=str(tmp_path / "state"))
