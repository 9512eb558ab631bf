"""Find or start an embedded service, and talk to it: what `qmode_widgets.emulator.start()` does."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import requests
from filelock import FileLock
from jupyter_core.paths import jupyter_runtime_dir

from ..http.serve import alive, environment
from ..options import VERSION, Options
from ..service.account import INSTANCES
from ..simulation import pool
from .faults import Control, Faults

if TYPE_CHECKING:
    from qiskit_ibm_runtime import QiskitRuntimeService

IDLE_EXIT = 3600.0
_START = 60.0
DEFAULTS: dict[str, Any] = {"speed": 2.0, "rate_limit": False}
_ENVIRONMENT = threading.Lock()


@dataclass(eq=False)
class Emulator:
    """A connection to an embedded service."""

    url: str
    token: str
    pid: int
    options: Options
    _own: tuple[subprocess.Popen[bytes], IO[bytes]] | None = field(default=None, repr=False)
    _log: str = field(default="", repr=False)

    @cached_property
    def control(self) -> Control:
        """Its control endpoint."""
        return Control(self.url, self.token)

    @cached_property
    def faults(self) -> Faults:
        """What is to go wrong."""
        return Faults(self.control)

    @cached_property
    def service(self) -> QiskitRuntimeService:
        """The client, connected to the pay-as-you-go instance."""
        return self.connect("emulator-payg")

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which a bare `QiskitRuntimeService()` finds it. Do not export them in your own kernel: a
        client of your real account would then send its key to the emulator."""
        return environment(self.url, self.token)

    def connect(self, instance: str | None = None) -> QiskitRuntimeService:
        """A new client.

        Args:
            instance: a name ("emulator-open", "emulator-payg", "emulator-premium") or CRN; None for all of them. A
                client of one instance stays with it: for another one it would ask IBM's real IAM for a token.

        Raises:
            ValueError: no such instance.
            RuntimeError: a proxy stands between the client and loopback.
        """
        from qiskit_ibm_runtime import QiskitRuntimeService

        by_name = {i.name: crn for crn, i in INSTANCES.items()}
        crn = by_name.get(instance, instance) if instance is not None else None
        if crn is not None and crn not in INSTANCES:
            raise ValueError(f"no instance {instance!r}: there are {', '.join(by_name)}")
        if requests.utils.get_environ_proxies(self.url):
            raise RuntimeError(
                f"requests to {self.url} would go through the proxy of your environment: add 127.0.0.1 to NO_PROXY"
            )
        with _variables({**self.environment, "QISKIT_IBM_INSTANCE": crn, "QISKIT_FUNCTIONS_EXPERIMENTAL": None}):
            return QiskitRuntimeService()

    @property
    def log(self) -> str:
        """What a service of our own has written to its error stream; "" for a shared one."""
        if self._own is not None and not self._own[1].closed:
            self._own[1].seek(0)
            self._log = self._own[1].read().decode(errors="replace")
        return self._log

    def stop(self) -> None:
        """End the service, and wait until it has ended."""
        with contextlib.suppress(requests.RequestException):
            self.control.post("stop")
        until = time.monotonic() + 10
        while _runs(self.pid) and time.monotonic() < until:
            time.sleep(0.02)
        if _runs(self.pid):
            os.kill(self.pid, signal.SIGTERM)
        if self._own is not None:
            process, errors = self._own
            process.wait()
            _ = self.log
            errors.close()

    def __enter__(self) -> Emulator:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Emulator {self.url} speed={self.options.speed:g}>"


def _runs(pid: int) -> bool:
    """Whether a process runs; one of our own children that has ended is laid to rest."""
    with contextlib.suppress(ChildProcessError, AttributeError):
        os.waitpid(pid, os.WNOHANG)
    return alive(pid)


@contextlib.contextmanager
def _variables(values: dict[str, str | None]) -> Iterator[None]:
    """Set environment variables for as long as the block runs, and for nobody else's service."""
    with _ENVIRONMENT:
        before = {name: os.environ.get(name) for name in values}
        _set(values)
        try:
            yield
        finally:
            _set(before)


def _set(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def start(*, shared: bool = True, **given: Any) -> Emulator:
    """See `qmode_widgets.emulator.start`."""
    if not shared:
        return _launch(Options.of(DEFAULTS | given), shared=None)
    wanted = Options.of(DEFAULTS | {"idle_exit": IDLE_EXIT} | given)
    folder = Path(jupyter_runtime_dir())
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    runtime = folder / "qmode-emulator.json"
    with FileLock(folder / "qmode-emulator.lock", timeout=_START + 20):
        running = _running(runtime)
        if running is None:
            return _launch(wanted, shared=runtime)
        for name, value in given.items():
            if (is_ := getattr(running.options, name)) != value:
                raise ValueError(
                    f"the shared emulator runs with {name}={is_!r}, not {value!r}: stop it first with "
                    "qmode_widgets.emulator.start().stop(), or start one of your own with shared=False"
                )
        return running


def _running(runtime: Path) -> Emulator | None:
    """The service a runtime file names, if it answers to the file's key; else what is left of it is cleared away."""
    try:
        known = json.loads(runtime.read_text())
        found = Emulator(str(known["url"]), str(known["token"]), int(known["pid"]), Options.of(known["options"]))
        version = str(known["version"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        runtime.unlink(missing_ok=True)
        return None
    if not found.url.startswith("http://127.0.0.1:"):
        runtime.unlink(missing_ok=True)
        return None
    try:
        pong = found.control.get("ping", timeout=5)
    except requests.RequestException:
        runtime.unlink(missing_ok=True)
        return None
    if pong.get("pid") == found.pid and pong.get("version") == version == VERSION:
        return found
    # It answered to its own key, so it is ours and safe to stop.
    found.stop()
    runtime.unlink(missing_ok=True)
    return None


def _launch(options: Options, shared: Path | None) -> Emulator:
    """Start a service and wait until it answers."""
    with tempfile.TemporaryDirectory(prefix="qmode-") as folder:
        runtime = shared or Path(folder) / "runtime.json"
        command = pool.command("qmode_widgets.emulator", *options.to_args(), f"--runtime-file={runtime}")
        if shared is None:
            command.append(f"--parent={os.getpid()}")
        errors = _private(runtime.with_suffix(".log"))
        # A session of its own: interrupting or restarting the kernel does not reach it.
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
            env=pool.environment(),
        )
        until = time.monotonic() + _START
        while time.monotonic() < until and process.poll() is None:
            with contextlib.suppress(OSError, ValueError):
                known = json.loads(runtime.read_text())
                if known.get("pid") == process.pid:
                    if shared:
                        errors.close()
                        process.returncode = 0  # it outlives us: no warning that it still runs
                    own = None if shared else (process, errors)
                    return Emulator(known["url"], known["token"], process.pid, options, own)
            time.sleep(0.02)
        process.kill()
        process.wait()
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip()[-2000:] or "it said nothing"
        errors.close()
    raise RuntimeError(f"the emulator did not start (exit code {process.returncode}): {said}")


def _private(path: Path) -> IO[bytes]:
    return open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "w+b")
