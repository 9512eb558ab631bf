"""A request is over when its time is: connecting, sending and reading together.

The time-outs of requests are those of one read: a service that sends a byte every two seconds keeps a thread for ever.
When the time is over the connection is shut, which ends whatever the thread is waiting for on it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class Deadline:
    """`with Deadline(30): …` one request through a session with `DeadlineAdapter`s, on this thread.

    `passed` tells whether the time was over first: then an answer that looks whole may have been cut.
    """

    def __init__(self, seconds: float) -> None:
        self.passed = False
        self._over = False
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._pass)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._token = _current.set(self)
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        _current.reset(self._token)
        with self._lock:  # a connection that goes back to the pool is shut by nobody
            self._over, self._socket = True, None

    def uses(self, sock: socket.socket) -> None:
        """The request goes over this socket."""
        with self._lock:
            self._socket = sock
            if self.passed:
                _shut(sock)

    def _pass(self) -> None:
        with self._lock:
            if not self._over:
                self.passed = True
                if self._socket is not None:
                    _shut(self._socket)


_current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # closed already
        sock.shutdown(socket.SHUT_RDWR)


def _note(sock: object) -> None:
    deadline = _current.get()
    if deadline is not None and isinstance(sock, socket.socket):
        deadline.uses(sock)


class _Connection(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _note(self.sock)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _note(self.sock)  # one from the pool; a new one connects in here
        super().request(*args, **kwargs)


class _SecureConnection(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        _note(self.sock)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _note(self.sock)
        super().request(*args, **kwargs)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS = {"http": _Pool, "https": _SecurePool}


class DeadlineAdapter(HTTPAdapter):
    """requests' adapter, whose connections end with the deadline of the request they carry."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """As the base does it."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """As the base does it."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager
