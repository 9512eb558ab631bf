"""One request that can be cancelled: cancelling `send` closes its connection.

It has no time-outs or redirects of its own, and sends a POST once. aiohttp sends a GET, PUT or DELETE, which do no more
when they are carried out twice, once more where a kept connection was closed under it. Proxies and certificates are
those that the client would use.
"""

from __future__ import annotations

import json
import os
import ssl
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
import certifi
from yarl import URL

from ..errors import UnreachableError
from ..portal import clock

KEEP_ALIVE = 15.0  # seconds


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    status_code: int
    reason: str
    headers: Mapping[str, str]  # names in any case
    content: bytes

    @property
    def text(self) -> str:
        """The body; what is not UTF-8 in it is replaced."""
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body's JSON.

        Raises:
            ValueError: it is none, or nested too deep to be read.
        """
        try:
            return json.loads(self.content)
        except RecursionError as error:
            raise ValueError("its JSON is nested too deep") from error


class Progress:
    """How far a request came: what was not sent cannot have been carried out."""

    sent = False


class Transport(Protocol):
    """How requests are made."""

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, progress: Progress) -> Reply:
        """One request.

        Raises:
            UnreachableError: no whole answer.
        """
        ...


class AiohttpTransport:
    """Of all connections of one service object. aiohttp: cancelling it takes below 50 ms even beside a busy thread."""

    def __init__(self, proxies: dict[str, str], verify: bool | str) -> None:
        self.proxies, self.verify = proxies, verify
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        """Made on the loop, when the first request is."""
        if self._session is None:
            tracing = aiohttp.TraceConfig()
            tracing.on_request_headers_sent.append(_headers_sent)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0,  # a request that hangs takes no place
                    ssl=certificates(self.verify),
                    use_dns_cache=False,  # the loop remembers
                    resolver=aiohttp.ThreadedResolver(),  # the loop's own; aiodns would be taken where it is installed
                    keepalive_timeout=clock.of(KEEP_ALIVE),
                ),
                timeout=aiohttp.ClientTimeout(),
                trust_env=False,  # it would read ~/.netrc in the default executor, which is gone at exit
                trace_configs=[tracing],
            )
        return self._session

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, progress: Progress) -> Reply:
        """One request."""
        proxy = self.proxies.get(urllib.parse.urlsplit(url).scheme) or environment_proxy(url)
        if proxy is not None and proxy.startswith("socks"):
            raise UnreachableError(
                f"a SOCKS proxy ({urllib.parse.urlsplit(proxy).hostname}) is not supported: use an HTTP proxy",
                sent=False,
            )
        try:
            async with self._open().request(
                method,
                URL(url, encoded=True),
                headers=headers,
                data=body or None,
                allow_redirects=False,  # a submission goes where it was sent, and so does the token
                proxy=proxy,
                trace_request_ctx=progress,
            ) as answer:
                return Reply(answer.status, str(answer.reason or ""), answer.headers, await answer.read())
        except aiohttp.ClientConnectorError as error:  # the proxy's refusal and a wrong certificate are of this kind
            raise UnreachableError(why(error), sent=False) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UnreachableError(why(error), sent=progress.sent) from error

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


async def _headers_sent(_: object, context: Any, __: object) -> None:
    context.trace_request_ctx.sent = True


def certificates(verify: bool | str) -> ssl.SSLContext:
    """The certificates that requests, and so the client, would trust: its two variables', else certifi's."""
    if verify is False:
        loose = ssl.create_default_context()
        loose.check_hostname, loose.verify_mode = False, ssl.CERT_NONE
        return loose
    told = verify if isinstance(verify, str) else None
    where = told or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or certifi.where()
    if os.path.isdir(where):
        return ssl.create_default_context(capath=where)
    return ssl.create_default_context(cafile=where)


def environment_proxy(url: str) -> str | None:
    """The proxy that the environment's variables name, as requests reads them."""
    parts = urllib.parse.urlsplit(url)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    told = urllib.request.getproxies()
    return told.get(parts.scheme) or told.get("all")


def why(error: BaseException) -> str:
    """The kind of a network failure in a few words."""
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return "the proxy cannot be reached"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return "the service's certificate is not trusted"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the service cannot be reached: its name is not resolved"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "the service cannot be reached"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy refused the request (HTTP {error.status})"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the answer was cut short"
    return "the connection to the service was lost"
