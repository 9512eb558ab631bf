"""Runs a service until it is stopped, or idle for too long."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import tornado.httpserver

from ..backends import devices
from ..options import Options
from ..service.account import PAY_AS_YOU_GO, Keys
from ..service.clock import Clock
from ..service.faults import Faults
from ..service.service import Service
from ..service.store import Store
from ..simulation.pool import Engine
from .app import App
from .server import BASE, MAX_BODY, application

HOST = "127.0.0.1"


def environment(address: str, key: str) -> dict[str, str]:
    """What an unmodified `QiskitRuntimeService()` needs to find the service at `address`."""
    return {
        "IAM_URL": address,
        "GLOBAL_SEARCH_URL": address,
        "GLOBAL_CATALOG_URL": f"{address}/api/v1",
        "QISKIT_IBM_CHANNEL": "ibm_quantum_platform",
        "QISKIT_IBM_TOKEN": key,
        "QISKIT_IBM_URL": f"{address}{BASE}",
        "QISKIT_IBM_INSTANCE": PAY_AS_YOU_GO.crn,
    }


def listen(port: int) -> list[socket.socket]:
    """A socket on loopback.

    Raises:
        ValueError: the port is in use.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setblocking(False)
    try:
        sock.bind((HOST, port))
    except OSError as error:
        sock.close()
        raise ValueError(f"port={port} cannot be used ({error.strerror}): choose another, or 0 for any") from None
    sock.listen(256)
    return [sock]


async def serve(options: Options, announce: Callable[[str, str], None], *, parent: int | None = None) -> None:
    """Serve until SIGINT, SIGTERM, the control endpoint or the idle time ends it.

    Args:
        options: how it behaves.
        announce: called once it can answer, with its address and its key.
        parent: a process without which it ends, for a private instance.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C raises KeyboardInterrupt instead
            loop.add_signal_handler(signum, stop.set)
    known = devices(options.backend_names)
    sockets = listen(options.port)
    store = Store(options.state)
    engine = Engine(options.backend_names, options.workers, noise=options.noise, max_qubits=options.max_qubits)
    service = Service(options, known, engine, store, Clock(), Faults(options.seed))
    keys = Keys()
    app = App(service, keys, stop)
    port = sockets[0].getsockname()[1]
    app.listens_on(port)
    http = tornado.httpserver.HTTPServer(application(app), max_buffer_size=MAX_BODY, max_body_size=MAX_BODY)
    http.add_sockets(sockets)
    try:
        await engine.start()
        service.start()
        announce(f"http://{HOST}:{port}", keys.key)
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 1.0)
            service.tick()  # if the machine slept, timers are late but the clock is not
            if parent is not None and not alive(parent):
                break
            idle = time.monotonic() - app.seen
            if options.idle_exit and idle > options.idle_exit and not service.busy:
                break
    finally:
        http.stop()
        await engine.stop()
        store.close()


def alive(pid: int) -> bool:
    """Whether a process exists."""
    if sys.platform == "win32":  # there, os.kill(pid, 0) would send Ctrl-C
        import ctypes

        handle = ctypes.windll.kernel32.OpenProcess(0x1000, False, pid)
        if handle:
            ctypes.windll.kernel32.CloseHandle(handle)
        return bool(handle)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def announcer(
    env_file: str | None, runtime_file: str | None, version: str, options: Options
) -> Callable[[str, str], None]:
    """What is done once the service answers: `export` lines on standard output, and the files asked for."""

    def announce(address: str, key: str) -> None:
        lines = "".join(f"export {name}='{value}'\n" for name, value in environment(address, key).items())
        if env_file:
            write_private(Path(env_file), lines)
        if runtime_file:
            known = {"url": address, "token": key, "pid": os.getpid(), "version": version, "options": options.to_dict()}
            write_private(Path(runtime_file), json.dumps(known))
        sys.stdout.write(lines)
        sys.stdout.flush()

    return announce


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    part.replace(path)
