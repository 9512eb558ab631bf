"""Finding or starting an embedded service: what `qmode_widgets.emulator.start()` does."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import psutil
import requests
from filelock import FileLock
from jupyter_core.paths import jupyter_runtime_dir

from .. import processes
from ..options import VERSION, Options
from ..service.account import INSTANCES, PAY_AS_YOU_GO, Instance, colleague_key, environment, twin_instance
from ..twin import Twin
from .faults import AdminClient, Faults
from .recorder import is_ours, twin_options

if TYPE_CHECKING:
    from qiskit_ibm_runtime import QiskitRuntimeService

IDLE_EXIT = 3600.0
_START = 60.0
DEFAULTS: dict[str, Any] = {"speed": 2.0, "rate_limit": False}
_ENVIRONMENT = threading.Lock()


@dataclass(eq=False)
class Emulator:
    """A connection to an embedded service.

    Args:
        url: its address.
        token: the API key.
        pid: its process id.
        options: how it runs.
        started: when its process was created, in seconds since the epoch.
    """

    url: str
    token: str
    pid: int
    options: Options
    started: float | None = None
    _own: tuple[subprocess.Popen[bytes], IO[bytes]] | None = field(default=None, repr=False)
    _runtime_file: Path | None = field(default=None, repr=False)
    _log: str = field(default="", repr=False)

    @cached_property
    def admin(self) -> AdminClient:
        """Its admin endpoint."""
        return AdminClient(self.url, self.token)

    @cached_property
    def faults(self) -> Faults:
        """What is to go wrong."""
        return Faults(self.admin)

    @cached_property
    def twin(self) -> Twin | None:
        """What it is the twin of, or None."""
        return Twin.load(self.options.twin) if self.options.twin else None

    @cached_property
    def home(self) -> Instance:
        """The instance that `service` is connected to: the twin's or, without a twin, the pay-as-you-go one."""
        return PAY_AS_YOU_GO if self.twin is None else twin_instance(self.twin.instance)

    @cached_property
    def service(self) -> QiskitRuntimeService:
        """The client, connected to the twin's instance or, without a twin, to the pay-as-you-go instance."""
        return self.connect(self.home.name)

    def save(self, path: str | Path) -> Path:
        """Write the twin into one file, with which `start(like=path)` needs no account.

        The file holds no key, no CRN and no name of a person.

        Returns:
            Where it was written.

        Raises:
            ValueError: this service is no twin.
        """
        if self.twin is None:
            raise ValueError("this embedded service is no twin: start one with start(like=service)")
        return self.twin.save(path)

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which a bare `QiskitRuntimeService()` finds it.

        Do not export them in your own kernel: a client of your real account would then send its key to the emulator.
        """
        return environment(self.url, self.token, self.home)

    def connect(self, instance: str | None = None, *, colleague: bool = False) -> QiskitRuntimeService:
        """Return a new client.

        Args:
            instance: a name ("emulator-open", "emulator-payg", "emulator-premium", and "emulator-twin" where there is
                one) or CRN; None for all of them.
            colleague: connect as the second user of the account.

        Raises:
            ValueError: there is no such instance.
            RuntimeError: requests would go through a proxy.
            PermissionError: another program answers at the service's address.
        """
        from .runtime import EmulatedRuntimeService

        known = {**INSTANCES, self.home.crn: self.home}
        by_name = {i.name: crn for crn, i in known.items()}
        crn = by_name.get(instance, instance) if instance is not None else None
        if crn is not None and crn not in known:
            raise ValueError(f"no instance {instance!r}: there are {', '.join(by_name)}")
        if requests.utils.get_environ_proxies(self.url):
            raise RuntimeError(
                f"requests to {self.url} would go through the proxy of your environment: add 127.0.0.1 to NO_PROXY"
            )
        self.admin.prove()  # the client is about to send the key
        variables = environment(self.url, colleague_key(self.token) if colleague else self.token)
        wanted = {**variables, "QISKIT_IBM_INSTANCE": crn, "QISKIT_FUNCTIONS_EXPERIMENTAL": None}
        return EmulatedRuntimeService(lambda: _variables(wanted))

    def wait_until_ready(self, until: float) -> None:
        """Wait until the first worker can take a job, at most until this time of `time.monotonic()`."""
        while time.monotonic() < until and processes.find(self.pid, self.started) is not None:
            with contextlib.suppress(requests.RequestException):
                if self.admin.prove()["ready"]:
                    return
            time.sleep(0.1)  # each question takes the cores on which its workers import

    @property
    def log(self) -> str:
        """What a private service has written to its error stream; "" for a shared one."""
        if self._own is not None and not self._own[1].closed:
            self._own[1].seek(0)
            self._log = self._own[1].read().decode(errors="replace")
        return self._log

    def stop(self) -> None:
        """End the service, and wait until it has ended."""
        process = processes.find(self.pid, self.started)
        if process is not None:
            with contextlib.suppress(requests.RequestException, PermissionError):
                self.admin.post("stop")
            try:
                process.wait(10)
            except psutil.TimeoutExpired:
                process.terminate()
                process.wait(10)
        if self._own is not None:
            own, errors = self._own
            own.wait()
            _ = self.log
            errors.close()
        if is_ours(self.options.twin):
            _ = self.twin  # it can still be saved
            Path(self.options.twin).unlink(missing_ok=True)
        if self._runtime_file is not None:  # a service that was killed leaves its file
            _remove(self._runtime_file, self.pid)

    def __enter__(self) -> Emulator:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Emulator {self.url} speed={self.options.speed:g}>"


@contextlib.contextmanager
def _variables(values: dict[str, str | None]) -> Iterator[None]:
    """Set environment variables while the block runs."""
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


def start(*, shared: bool = True, like: QiskitRuntimeService | str | Path | None = None, **given: Any) -> Emulator:
    """See `qmode_widgets.emulator.start`."""
    if like is not None:
        given = twin_options(like, given, shared=shared)
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
                    "qmode_widgets.emulator.start().stop(), or start a private one with shared=False"
                )
        return running


def _running(runtime: Path) -> Emulator | None:
    """Return the service that a runtime file names, or None after removing a file that names none.

    The key is sent to nobody: the process must be the one that wrote the file, and must prove that it knows the key.
    """
    try:
        known = json.loads(runtime.read_text())
        version = str(known["version"])
        url, pid, started = str(known["url"]), int(known["pid"]), float(known["started"])
        if not url.startswith("http://127.0.0.1:") or processes.find(pid, started) is None:
            raise ValueError("a file of a service that has ended")
        found = Emulator(url, str(known["token"]), pid, Options.of(known["options"]), started, _runtime_file=runtime)
        said = found.admin.prove()
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):  # requests' exceptions are OSErrors
        runtime.unlink(missing_ok=True)
        return None
    if said.get("pid") == pid and said.get("version") == version == VERSION and said.get("whole"):
        return found
    found.stop()  # a service of another version, or one whose code is gone
    runtime.unlink(missing_ok=True)
    return None


def _remove(runtime: Path, pid: int) -> None:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        if json.loads(runtime.read_text())["pid"] == pid:
            runtime.unlink()


def _launch(options: Options, shared: Path | None) -> Emulator:
    """Start a service and wait until it could run a job at once.

    It answers much earlier: its workers import their libraries for some seconds.
    """
    with tempfile.TemporaryDirectory(prefix="qmode-") as folder:
        runtime = shared or Path(folder) / "runtime.json"
        command = processes.command("qmode_widgets.emulator", *options.to_args(), f"--runtime-file={runtime}")
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
            env=processes.environment(),
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
                    found = Emulator(
                        known["url"], known["token"], process.pid, options, known["started"], own, _runtime_file=shared
                    )
                    found.wait_until_ready(until)
                    return found
            time.sleep(0.02)
        process.kill()
        process.wait()
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip()[-2000:] or "it said nothing"
        errors.close()
    raise RuntimeError(f"the emulator did not start (exit code {process.returncode}): {said}")


def _private(path: Path) -> IO[bytes]:
    return open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "w+b")
