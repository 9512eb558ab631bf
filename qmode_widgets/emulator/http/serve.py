"""Runs a service until it is stopped, or idle for too long."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import tornado.httpserver
from jupyter_core.paths import secure_write

from ..backends import devices
from ..options import VERSION, Options
from ..processes import alive
from ..service.account import INSTANCES, PAY_AS_YOU_GO, Instance, Keys, environment, twin_instance
from ..service.clock import Clock
from ..service.faults import FaultPlan
from ..service.service import Service
from ..service.store import Store
from ..simulation.engine import Engine
from ..twin import Twin
from .app import App
from .server import MAX_BODY, application

HOST = "127.0.0.1"


def listen(port: int) -> list[socket.socket]:
    """Return a socket that listens on loopback.

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


async def serve(options: Options, announce: Callable[[str, str, Instance], None], *, parent: int | None = None) -> None:
    """Serve until SIGINT, SIGTERM, the admin endpoint or the idle time ends it.

    Args:
        options: how it behaves.
        announce: called with the address, the key and the instance to connect to, once the service can answer.
        parent: a process id; a private service ends when this process does.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C raises KeyboardInterrupt instead
            loop.add_signal_handler(signum, stop.set)
    starter = None if parent is None else psutil.Process(parent)
    twin = Twin.load(options.twin) if options.twin else None
    known = devices(options.backend_names, twin)
    home = PAY_AS_YOU_GO
    if twin is not None:
        home = twin_instance(twin.instance)
        INSTANCES[home.crn] = home
    sockets = listen(options.port)
    store = Store(options.state)
    engine = Engine(options)
    service = Service(options, known, engine, store, Clock(), FaultPlan(options.seed))
    if twin is not None:
        service.used_elsewhere[home.crn] = twin.instance.consumed_seconds
    keys = kept_keys(store)
    app = App(service, keys, stop)
    app.listens_on(HOST, sockets[0].getsockname()[1])
    http = tornado.httpserver.HTTPServer(application(app), max_body_size=MAX_BODY, body_timeout=options.upload_timeout)
    http.add_sockets(sockets)
    try:
        await engine.start()
        service.start()
        announce(app.address, keys.key, home)
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 1.0)
            service.tick()  # if the machine slept, timers are late but the clock is not
            if starter is not None and not alive(starter):
                break
            idle = service.clock.now() - app.seen
            if options.idle_exit and idle > options.idle_exit and not service.busy:
                break
    finally:
        http.stop()
        await engine.stop()
        store.close()


def kept_keys(store: Store) -> Keys:
    """Return the keys that a state file keeps, so that clients carry on after a restart; new ones for a new file."""
    key, secret = store.meta("key"), store.meta("secret")
    keys = Keys(key, None if secret is None else bytes.fromhex(secret))
    store.set_meta("key", keys.key)
    store.set_meta("secret", keys.secret.hex())
    return keys


class Announcement:
    """What is written once the service answers: `export` lines on standard output, and the files asked for."""

    def __init__(self, env_file: str | None, runtime_file: str | None, options: Options) -> None:
        self._env_file = None if env_file is None else Path(env_file)
        self._runtime_file = None if runtime_file is None else Path(runtime_file)
        self._options = options

    def __call__(self, address: str, key: str, instance: Instance) -> None:
        """Write it."""
        lines = "".join(f"export {name}='{value}'\n" for name, value in environment(address, key, instance).items())
        if self._env_file is not None:
            _write(self._env_file, lines)
        if self._runtime_file is not None:
            known = {
                "url": address,
                "token": key,
                "pid": os.getpid(),
                "started": psutil.Process().create_time(),
                "version": VERSION,
                "options": self._options.to_dict(),
            }
            _write(self._runtime_file, json.dumps(known))
        sys.stdout.write(lines)
        sys.stdout.flush()

    def withdraw(self) -> None:
        """Delete the runtime file, unless another service has replaced it."""
        if self._runtime_file is None:
            return
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if json.loads(self._runtime_file.read_text())["pid"] == os.getpid():
                self._runtime_file.unlink()


def _write(path: Path, text: str) -> None:
    """Write a file that only its owner can read; readers see all of it or nothing."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with secure_write(str(part)) as file:
        file.write(text)
    part.replace(path)
