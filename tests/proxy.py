"""A proxy between the client and the embedded service that misbehaves in the ways networks and services do.

    with Proxy(emulator.url) as proxy:
        service = proxy.connect(emulator)          # a real client through the proxy
        proxy.add(Fault("trickle", path="/sessions/.*"))

It sees raw HTTP: it can send a byte every two seconds, hang, close in the middle, answer HTML, a wrong shape or a 401,
and hold new jobs back from listings. A clean request passes as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import urlsplit

Kind = Literal["trickle", "hang", "drop", "truncate", "html", "status", "edit", "delay"]
REASONS = {401: "Unauthorized", 429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway"}


@dataclass
class Fault:
    """What happens to the next `count` matching requests (`method` and `path` are regular expressions; `token` is what
    the `Authorization` header carries).

    `when`: "before" the service carries it out, or "after" (its answer is lost or spoiled). `seconds`: between two
    bytes of a trickle, of a delay, or of a hang (which ends the connection then); `clear` ends both at once. `edit`
    changes the JSON of an answer.
    """

    kind: Kind
    method: str = ".*"
    path: str = ".*"
    when: Literal["before", "after"] = "after"
    count: int = 1
    status: int = 502
    retry_after: str | None = None
    seconds: float = 2.0
    edit: Callable[[Any], Any] | None = None
    token: str | None = None

    def matches(self, method: str, path: str, token: str) -> bool:
        meant = re.fullmatch(self.method, method) and re.fullmatch(self.path, path)
        return self.count > 0 and bool(meant) and self.token in (None, token)


class Proxy:
    """Runs on a thread of its own. `seen` counts the requests by method and path, `faults` what was done to them.

    `came` is when each request came: seconds (monotonic), method, path.
    """

    def __init__(self, upstream: str, *, seed: int = 0) -> None:
        target = urlsplit(upstream)
        self._host, self._port = str(target.hostname), int(target.port or 80)
        self._faults: list[Fault] = []
        self._random = random.Random(seed)
        self._chance, self._kinds = 0.0, list[Fault]()
        self.lag = 0.0  # seconds for which a new job is missing from every listing
        self._born: dict[str, float] = {}
        self.seen: Counter[str] = Counter()
        self.came: list[tuple[float, str, str]] = []
        self.faults: Counter[str] = Counter()
        self.met = threading.Condition()
        self.loop = asyncio.new_event_loop()
        self._cleared = asyncio.Event()
        self._tasks: set[asyncio.Task[None] | None] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self, emulator: Any, instance: str = "emulator-payg") -> Any:
        """A real client of the emulator, all of whose requests pass here: IAM, search, and the service."""
        through = replace(emulator, url=self.url, _own=None, _runtime_file=None)
        vars(through)["admin"] = emulator.admin  # which proves who it is under its own address
        return through.connect(instance)

    def add(self, *faults: Fault) -> None:
        with self.met:
            self._faults += faults

    def clear(self) -> None:
        with self.met:
            self._faults.clear()
            self._chance = self.lag = 0.0
        self.loop.call_soon_threadsafe(self._go_on)

    def _go_on(self) -> None:
        """What is delayed goes on its way, and what hangs ends."""
        self._cleared.set()
        self._cleared = asyncio.Event()

    def by_chance(self, probability: float, kinds: list[Fault]) -> None:
        """Each request meets one of these faults with this probability."""
        with self.met:
            self._chance, self._kinds = probability, kinds

    def wait_until(self, condition: Callable[[], bool], timeout: float = 30.0) -> bool:
        """Sleep until so many requests or faults have been counted."""
        with self.met:
            return self.met.wait_for(condition, timeout)

    # --- on its thread -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**26))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self.loop.run_forever()
        server.close()
        self.loop.run_until_complete(asyncio.sleep(0))  # what was accepted just now begins, so that it can end
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)  # asyncio itself holds tasks weakly
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass  # the client has gone, or the proxy ends
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; True while the connection may carry another."""
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        path = re.sub(r"^/experimental|^/api/v1", "", target.partition("?")[0])
        length = next((int(v) for n, v in _headers(lines) if n == "content-length"), 0)
        body = await reader.readexactly(length)
        token = next((v.removeprefix("Bearer ") for n, v in _headers(lines) if n == "authorization"), "")
        fault = self._next(method, path, token)
        if fault is not None and fault.kind == "delay":
            await self._pause(fault.seconds)
            fault = None
        if fault is not None and fault.when == "before":
            return await self._misbehave(fault, writer, None)
        answer = await self._forward(lines, body)
        answer = self._lagging(method, path, answer)
        if fault is not None:
            return await self._misbehave(fault, writer, answer)
        writer.write(answer)
        await writer.drain()
        return True

    def _next(self, method: str, path: str, token: str) -> Fault | None:
        with self.met:
            self.seen[f"{method} {path}"] += 1
            self.came.append((time.monotonic(), method, path))
            found = next((f for f in self._faults if f.matches(method, path, token)), None)
            if found is not None:
                found.count -= 1
            elif self._chance and self._random.random() < self._chance:
                fitting = [f for f in self._kinds if f.matches(method, path, token)]
                found = self._random.choice(fitting) if fitting else None
            if found is not None:
                self.faults[found.kind] += 1
            self.met.notify_all()
            return found

    async def _forward(self, lines: list[str], body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        kept = [
            line
            for line in lines[1:]
            if line and line.partition(":")[0].lower() not in ("host", "connection", "accept-encoding")
        ]
        head = [lines[0], f"Host: {self._host}:{self._port}", "Connection: close", *kept, "", ""]
        try:
            writer.write("\r\n".join(head).encode("latin-1") + body)
            await writer.drain()
            answer = await reader.read()
        finally:  # cancelled with the proxy, too
            writer.close()
        head_, _, rest = answer.partition(b"\r\n\r\n")
        shown = [line for line in head_.split(b"\r\n") if line.partition(b":")[0].lower() != b"connection"]
        return b"\r\n".join(shown) + b"\r\n\r\n" + rest

    def _lagging(self, method: str, path: str, answer: bytes) -> bytes:
        """New jobs are missing from listings for `lag` seconds; `GET /jobs/{id}` knows them at once, as IBM's does."""
        if method == "POST" and path == "/jobs" and (made := _json(answer)) and isinstance(made.get("id"), str):
            self._born[made["id"]] = time.monotonic()
        if not self.lag or method != "GET" or path != "/jobs":
            return answer
        since = time.monotonic() - self.lag

        def hide(listed: Any) -> Any:
            shown = [j for j in listed["jobs"] if self._born.get(j["id"], 0.0) < since]
            return listed | {"jobs": shown, "count": listed["count"] - len(listed["jobs"]) + len(shown)}

        found = _json(answer)
        return answer if found is None or "jobs" not in found else _with_json(answer, hide(found))

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._cleared.wait(), seconds)

    async def _misbehave(self, fault: Fault, writer: asyncio.StreamWriter, answer: bytes | None) -> bool:
        answer = answer or b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
        if fault.kind == "drop":
            return False
        if fault.kind == "hang":
            await self._pause(fault.seconds)
            return False
        if fault.kind == "truncate":
            writer.write(answer[: -max(1, len(answer) // 3)])
            await writer.drain()
            return False
        if fault.kind == "trickle":
            for byte in answer:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(fault.seconds)
            return True
        if fault.kind == "html":
            page = b"<html><body><h1>The gateway is having a rest</h1></body></html>"
            writer.write(_answer(fault.status, page, "text/html"))
        elif fault.kind == "status":
            more = "" if fault.retry_after is None else f"Retry-After: {fault.retry_after}\r\n"
            said = json.dumps({"errors": [{"code": fault.status, "message": "a fault of the proxy"}]}).encode()
            writer.write(_answer(fault.status, said, "application/json", more))
        elif fault.kind == "edit":
            assert fault.edit is not None
            writer.write(_with_json(answer, fault.edit(_json(answer))))
        await writer.drain()
        return True


def _headers(lines: list[str]) -> list[tuple[str, str]]:
    parts = (line.partition(":") for line in lines[1:] if ":" in line)
    return [(name.lower(), value.strip()) for name, _, value in parts]


def _json(answer: bytes) -> Any:
    try:
        return json.loads(answer.partition(b"\r\n\r\n")[2])
    except ValueError:
        return None


def _with_json(answer: bytes, found: Any) -> bytes:
    """The answer with another body of JSON."""
    head = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
    kept = [line for line in head if line.partition(b":")[0].lower() not in (b"content-length", b"etag")]
    body = json.dumps(found).encode()
    return b"\r\n".join([*kept, b"Content-Length: %d" % len(body)]) + b"\r\n\r\n" + body


def _answer(status: int, body: bytes, kind: str, more: str = "") -> bytes:
    head = f"HTTP/1.1 {status} {REASONS.get(status, 'Fault')}\r\nContent-Type: {kind}\r\n{more}"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
