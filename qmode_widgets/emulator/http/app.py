"""What the handlers of one server share."""

from __future__ import annotations

import asyncio
import time
from collections import deque

from ..service.account import Keys
from ..service.service import Service


class App:
    """What the handlers share."""

    def __init__(self, service: Service, keys: Keys, stop: asyncio.Event) -> None:
        self.service = service
        self.keys = keys
        self.stop = stop
        self.hosts: frozenset[str] = frozenset()
        self.seen = time.monotonic()
        self.requests: deque[tuple[str, str, int]] = deque(maxlen=100_000)

    def listens_on(self, port: int) -> None:
        """A web page reaches loopback under a name of its own (DNS rebinding): only these are answered."""
        self.hosts = frozenset(f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]"))
