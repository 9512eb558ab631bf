"""What the handlers of one server share."""

from __future__ import annotations

import asyncio
from collections import deque

from ..service.account import BASE, Keys
from ..service.service import Service


class App:
    """The service, its keys, and what is known of the requests."""

    def __init__(self, service: Service, keys: Keys, stop: asyncio.Event) -> None:
        self.service = service
        self.keys = keys
        self.stop = stop
        self.address = ""
        self.hosts: frozenset[str] = frozenset()
        self.seen = service.clock.now()  # when the last request arrived
        self.requests: deque[tuple[str, str, int]] = deque(maxlen=100_000)  # method, path, status

    @property
    def api_base(self) -> str:
        """The address below which the API is."""
        return self.address + BASE

    def listens_on(self, host: str, port: int) -> None:
        """Set the address, and the `Host` headers that are answered.

        A web page can reach loopback under a name of its own (DNS rebinding), so no other names are.
        """
        self.address = f"http://{host}:{port}"
        self.hosts = frozenset(f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]"))
