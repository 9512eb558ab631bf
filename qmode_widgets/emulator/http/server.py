"""HTTP: who may ask, where a request goes, and what comes back. Neither headers nor bodies are logged."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from dataclasses import replace
from email.utils import formatdate
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, urlsplit

import tornado.web
from tornado.http1connection import HTTP1Connection
from tornado.iostream import IOStream, StreamClosedError

from ..service.account import BASES
from ..service.errors import ApiError, bad_request
from ..service.faults import RequestFault
from .app import App
from .messages import Request, Response
from .routes import Access, authorize, carry_out

log = logging.getLogger(__name__)

MAX_BODY = 256 * 2**20
MAX_LOGIN = 8192  # bytes of a body that is read before the key is known
IAM = "/identity/token"
_HTML = (
    "<!DOCTYPE html>\n<html><head><title>{status} {reason}</title></head>\n"
    "<body><center><h1>{status} {reason}</h1></center><hr><center>gateway</center></body></html>\n"
)


@tornado.web.stream_request_body
class Handler(tornado.web.RequestHandler):
    """Every request. `prepare` runs before the body is read: only those who may ask get their body read."""

    SUPPORTED_METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE")

    def initialize(self, app: App) -> None:
        """Take over the arguments that tornado passes on."""
        self.app = app
        self._chunks: list[bytes] = []
        self._access: Access | None = None

    def set_default_headers(self) -> None:
        """Set the date, which is the service's, skew included."""
        self.clear_header("Server")
        app: App | None = getattr(self, "app", None)
        if app is not None:
            clock = app.service.clock
            self.set_header("Date", formatdate(clock.now() + clock.skew, usegmt=True))

    def log_exception(self, *args: Any) -> None:
        """Log nothing: tornado would log the request, its address and its body."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer a request that tornado itself refuses."""
        self.set_status(status_code)
        self._finish_unread(ApiError(status_code, 1200, "The request could not be handled."))

    def _finish_unread(self, refused: ApiError) -> None:
        # tornado closes a connection whose body it did not read; a client that is not told would use it again.
        self.set_header("Connection", "close")
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(refused.body()))

    def _below(self) -> tuple[bool, str]:
        """Return whether the path is below one of the API's bases, and the path there."""
        path = self.request.path
        for base in BASES:
            if path.startswith(base + "/"):
                return True, path.removeprefix(base)
        return False, path

    def prepare(self) -> None:
        """Refuse a request by its headers."""
        app, headers = self.app, self.request.headers
        app.seen = app.service.clock.now()
        self.set_default_headers()
        api, path = self._below()
        try:
            self._check_origin()
            if not api and path in (IAM, "/admin/token"):
                assert isinstance(self.request.connection, HTTP1Connection)
                self.request.connection.set_max_body_size(MAX_LOGIN)
            self._access = authorize(
                app,
                str(self.request.method),
                unquote(path),
                api=api,
                authorization=headers.get("Authorization", ""),
                crn=headers.get("Service-CRN", ""),
                version=headers.get("IBM-API-Version"),
            )
        except (ApiError, UnicodeError) as error:
            refused = error if isinstance(error, ApiError) else bad_request("The path cannot be read.")
            if api:
                app.requests.append((str(self.request.method), path, refused.status))
            self.set_status(refused.status)
            self._finish_unread(refused)

    def data_received(self, chunk: bytes) -> None:
        """Take in a part of the body."""
        self._chunks.append(chunk)

    async def _any(self, _: str) -> None:
        app, method = self.app, str(self.request.method)
        api, path = self._below()
        access = self._access
        assert access is not None
        fault: RequestFault | None = None
        response: Response
        try:
            fault = app.service.faults.next_request(method, path) if api or path == IAM else None
            if fault and fault.delay:
                await asyncio.sleep(fault.delay)
            if fault and fault.when == "before" and fault.action in ("status", "drop", "hang", "html"):
                response = Response(None)
            else:
                response = await carry_out(app, access, self._request(access))
        except ApiError as error:
            response = Response(error.body(), error.status, headers=error.headers)
        except (RecursionError, UnicodeError) as error:
            said = "is nested too deeply" if isinstance(error, RecursionError) else "is not text in UTF-8"
            response = Response(bad_request(f"The body of the request {said}.").body(), 400)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # an error of ours must not take the server down
            log.exception("an error in the emulator itself (%s %s)", method, type(error).__name__)
            response = Response(ApiError(500, 1200, "Internal error.").body(), 500)
        if api:
            app.requests.append((method, path, response.status))
        if api and response.status == 200 and response.type == "application/json":
            response = replace(response, raw=app.service.faults.altered(path, response.bytes()))
        if fault is not None:
            response = _changed(response, fault)
        await self._send(response, fault)

    get = post = patch = put = delete = _any

    def _request(self, access: Access) -> Request:
        arguments = self.request.query_arguments.items()
        query = {name: [v.decode("utf-8", "replace") for v in values] for name, values in arguments}
        body = b"".join(self._chunks)
        self._chunks.clear()
        caller = self.request.headers.get("X-Qx-Client-Application")
        return Request(query, body, access.user, access.version, None if caller is None else caller[:500])

    def _check_origin(self) -> None:
        headers = self.request.headers
        if headers.get("Host", "").lower() not in self.app.hosts:
            raise ApiError(403, 1200, "This server answers on loopback only.", "Use the address that it printed.")
        origin = headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc.lower() not in self.app.hosts:
            raise ApiError(403, 1200, "Requests from web pages are refused.")
        if headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise ApiError(403, 1200, "Requests from web pages are refused.")

    async def _send(self, response: Response, fault: RequestFault | None) -> None:
        body = response.bytes()
        with contextlib.suppress(StreamClosedError):  # the client did not wait for its response
            if fault and fault.action in ("drop", "truncate", "hang", "trickle"):
                await _misbehave(self.detach(), response, body, fault)
                return
            self.set_status(response.status)
            for name, value in response.headers.items():
                self.set_header(name, value)
            if response.status == 204:
                self.clear_header("Content-Type")
                await self.finish()
            else:
                self.set_header("Content-Type", response.type)
                await self.finish(body)


def _reason(status: int) -> str:
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else ""


def _changed(response: Response, fault: RequestFault) -> Response:
    """Return the response that a fault puts in the place of another."""
    if fault.action == "status":
        headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
        code = 1202 if fault.status == 429 else 9999
        message = "Too many requests." if fault.status == 429 else "A fault was asked for."
        return Response(ApiError(fault.status, code, message).body(), fault.status, headers=headers)
    if fault.action == "html":
        page = _HTML.format(status=fault.status, reason=_reason(fault.status))
        return Response(None, fault.status, raw=page.encode(), type="text/html; charset=utf-8")
    if fault.action == "rewrite" and response.type == "application/json" and response.status == 200:
        return Response(None, response.status, raw=fault.rewritten(response.bytes()), headers=response.headers)
    return response


async def _misbehave(stream: IOStream, response: Response, body: bytes, fault: RequestFault) -> None:
    """Answer on a bare connection as no server should, then close it."""
    head = (
        f"HTTP/1.1 {response.status} {_reason(response.status)}\r\n"
        f"Content-Type: {response.type}\r\nContent-Length: {max(len(body), 2)}\r\n\r\n"
    ).encode()
    try:
        if fault.action == "truncate":
            await stream.write(head + body[: len(body) // 2])
        elif fault.action == "trickle":
            await stream.write(head)
            for byte in body or b"  ":
                await asyncio.sleep(fault.seconds)
                await stream.write(bytes([byte]))
        elif fault.action == "hang":
            closed = asyncio.Event()
            stream.set_close_callback(closed.set)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(closed.wait(), fault.seconds)
    finally:
        stream.close()


def application(app: App) -> tornado.web.Application:
    """Return the web application."""
    return tornado.web.Application(
        [(r"(/.*)", Handler, {"app": app})], log_function=lambda handler: None, compress_response=False
    )
