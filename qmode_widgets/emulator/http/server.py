"""HTTP: who may ask, where a request goes, what comes back. Loopback only; neither headers nor bodies are logged."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from email.utils import formatdate
from typing import Any
from urllib.parse import unquote, urlsplit

import tornado.web
from tornado.httputil import HTTPHeaders, ResponseStartLine
from tornado.iostream import StreamClosedError

from ..service.errors import ServiceError, bad_request
from ..service.faults import HttpFault
from .app import App
from .messages import Answer, Request
from .routes import route

log = logging.getLogger(__name__)

BASE = "/experimental"  # the client takes an address with this word as its API base
MAX_BODY = 256 * 2**20


class Handler(tornado.web.RequestHandler):
    """Every request."""

    SUPPORTED_METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE")

    def initialize(self, app: App) -> None:
        """Tornado's constructor."""
        self.app = app

    def set_default_headers(self) -> None:
        """The date is the service's, skew included."""
        self.clear_header("Server")
        app: App | None = getattr(self, "app", None)
        if app is not None:
            clock = app.service.clock
            self.set_header("Date", formatdate(clock.now() + clock.skew, usegmt=True))

    def log_exception(self, *args: Any) -> None:
        """Tornado would log the request, its address and its body."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """What tornado itself refuses."""
        self.set_status(status_code)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(ServiceError(status_code, 1200, "The request could not be handled.").body()))

    async def _any(self, path: str) -> None:
        app, method = self.app, str(self.request.method)
        self.set_default_headers()
        app.seen = time.monotonic()
        fault: HttpFault | None = None
        answer: Answer
        api = path.startswith(BASE + "/")
        below = path.removeprefix(BASE) if api else path
        try:
            self._check_origin()
            fault = app.service.faults.next_request(method, below) if api else None
            if fault and fault.delay:
                await asyncio.sleep(fault.delay)
            if fault and fault.when == "before" and fault.action in ("status", "drop"):
                answer = Answer(None)
            else:
                answer = await route(app, self._request(method, below, api))
        except ServiceError as error:
            answer = Answer(error.body(), error.status, headers=error.headers)
        except (RecursionError, UnicodeError) as error:
            answer = Answer(bad_request(f"The request cannot be read: {type(error).__name__}.").body(), 400)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # a bug of ours must not take the server down
            log.exception("an error in the emulator itself (%s %s)", method, type(error).__name__)
            answer = Answer(ServiceError(500, 1200, "Internal error.").body(), 500)
        if api:
            app.requests.append((method, below, answer.status))
        await self._send(answer, fault)

    get = post = patch = put = delete = _any

    def _request(self, method: str, path: str, api: bool) -> Request:
        headers = self.request.headers
        arguments = self.request.query_arguments.items()
        query = {name: [v.decode("utf-8", "replace") for v in values] for name, values in arguments}
        return Request(
            method, unquote(path), query, self.request.body, headers.get("Authorization", ""),
            headers.get("Service-CRN", ""), api,
        )  # fmt: skip

    def _check_origin(self) -> None:
        headers = self.request.headers
        if headers.get("Host", "").lower() not in self.app.hosts:
            raise ServiceError(403, 1200, "This server answers on loopback only.", "Use the address that it printed.")
        origin = headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc.lower() not in self.app.hosts:
            raise ServiceError(403, 1200, "Requests from web pages are refused.")
        if headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise ServiceError(403, 1200, "Requests from web pages are refused.")

    async def _send(self, answer: Answer, fault: HttpFault | None) -> None:
        if fault and fault.action == "status":
            headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
            code = 1202 if fault.status == 429 else 9999
            message = "Too many requests." if fault.status == 429 else "A fault was asked for."
            answer = Answer(ServiceError(fault.status, code, message).body(), fault.status, headers=headers)
        body = answer.bytes()
        try:
            if fault and fault.action in ("drop", "truncate"):
                await self._break_off(answer, body, keep=len(body) // 2 if fault.action == "truncate" else None)
                return
            self.set_status(answer.status)
            for name, value in answer.headers.items():
                self.set_header(name, value)
            if answer.status == 204:
                self.clear_header("Content-Type")
                await self.finish()
            else:
                self.set_header("Content-Type", answer.type)
                await self.finish(body)
        except StreamClosedError:
            pass  # the client did not wait for its answer

    async def _break_off(self, answer: Answer, body: bytes, keep: int | None) -> None:
        stream = self.detach()
        if keep is not None:
            headers = HTTPHeaders({"Content-Type": answer.type, "Content-Length": str(max(len(body), 2))})
            start = ResponseStartLine("HTTP/1.1", answer.status, "OK")
            lines = [f"{start.version} {start.code} {start.reason}", *(f"{n}: {v}" for n, v in headers.get_all())]
            await stream.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body[:keep])
        stream.close()


def application(app: App) -> tornado.web.Application:
    """The web application."""
    return tornado.web.Application(
        [(r"(/.*)", Handler, {"app": app})], log_function=lambda handler: None, compress_response=False
    )
