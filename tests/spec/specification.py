"""Whether an answer is what IBM's specification says, in `openapi.json` beside this file.

It holds the specification as facts; `x-sources` says where each comes from.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from jsonschema import Draft202012Validator, FormatChecker

DOCUMENT = json.loads((Path(__file__).parent / "openapi.json").read_text())
NEWEST = "2026-04-15"
FORMATS = FormatChecker()
TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
FORMATS.checks("date-time")(lambda value: not isinstance(value, str) or TIME.fullmatch(value) is not None)
FORMATS.checks("uuid")(lambda value: not isinstance(value, str) or UUID.fullmatch(value) is not None)


def schemas(version: str) -> dict[str, Any]:
    """The components as a version of the API has them; `x-older-shapes` says what differs."""
    found: dict[str, Any] = copy.deepcopy(DOCUMENT["components"]["schemas"])
    number = {"type": "number", "minimum": 0}
    if version < "2026-04-15":
        execution = found["JobMetrics"]["properties"].pop("circuits_execution_time_ns")
        charged = copy.deepcopy(found["JobUsage"])
        charged["properties"]["circuits_execution_time_ns"] = execution
        found["JobMetrics"]["properties"]["usage"] = charged
    if version < "2026-03-15":
        seconds = {"type": "object", "required": ["seconds"], "properties": {"seconds": number}}
        found["JobUsage"] = seconds
        found["JobMetrics"]["properties"]["bss"] = seconds
        used = found["JobMetrics"]["properties"]["usage"]
        used["properties"] = dict.fromkeys(("quantum_seconds", "seconds", "circuits_execution_time_ns"), number)
    return found


@dataclass(frozen=True)
class Answer:
    """What was asked, in which state, and the answer."""

    operation: str  # method and path as the specification writes it
    state: str
    version: str
    response: requests.Response

    @property
    def said(self) -> dict[str, Any] | None:
        """What the specification says of the operation, None where it does not know it."""
        method, path = self.operation.split(" ")
        found: dict[str, Any] | None = DOCUMENT["paths"].get("/v1" + path, {}).get(method.lower())
        return found

    def deviations(self) -> Iterator[str]:
        """What differs from the specification."""
        if self.said is None:
            yield "the specification has no such operation"
            return
        status = self.response.status_code
        responses = self.said["responses"]
        if str(status) not in responses:
            yield f"status {status} is not one of {', '.join(responses)}"
        told = responses.get(str(status)) or responses.get("400") or responses.get("404") or {}
        if "content" not in told:
            if self.response.content and str(status) in responses:
                yield f"{status} with a body"
            return
        media, content = next(iter(told["content"].items()))
        kind = self.response.headers.get("Content-Type", "").split(";")[0]
        if kind != media:
            yield f"content type {kind or 'none'} instead of {media} ({status})"
        if media == "application/json" and content["schema"]:
            yield from self._of_body(content["schema"])

    def _of_body(self, schema: dict[str, Any]) -> Iterator[str]:
        try:
            body = self.response.json()
        except ValueError:
            yield "not JSON"
            return
        components = schemas(self.version)
        whole = {**schema, "components": {"schemas": components}}
        for error in Draft202012Validator(whole, format_checker=FORMATS).iter_errors(body):
            where = ".".join("*" if isinstance(p, int) else str(p) for p in error.path)
            yield f"{self.response.status_code} {where or 'body'}: {_without_values(error.message)}"
        yield from _unknown(schema, body, components, "")


def _without_values(message: str) -> str:
    return re.sub(r"\d[\d.:TZ+-]{6,}|[0-9a-f]{32}|[0-9a-f-]{36}|d[0-9a-v]{19}", "…", message)[:150]


def _unknown(schema: dict[str, Any], body: Any, components: dict[str, Any], where: str) -> Iterator[str]:
    """Fields that the specification does not have: something of ours could come to lean on them."""
    while "$ref" in schema:
        schema = components[schema["$ref"].rsplit("/", 1)[1]]
    if isinstance(body, dict) and schema.get("properties") and not schema.get("x-partial"):
        for name, value in body.items():
            if name not in schema["properties"]:
                yield f"field {where}{name} is not in the specification"
            else:
                yield from _unknown(schema["properties"][name], value, components, f"{where}{name}.")
    elif isinstance(body, list) and "items" in schema:
        for item in body:
            yield from _unknown(schema["items"], item, components, where)


@dataclass
class Client:
    """Asks a service, and keeps every answer with its deviations."""

    url: str
    key: str
    base: str = "/api/v1"
    answers: list[Answer] = field(default_factory=list)
    found: dict[str, str] = field(default_factory=dict)  # "operation: deviation" -> the state it was first seen in

    def __post_init__(self) -> None:
        self._http = requests.Session()
        self._http.trust_env = False
        form = {"grant_type": "urn:ibm:params:oauth:grant-type:apikey", "apikey": self.key}
        told = self._http.post(self.url + "/identity/token", data=form, timeout=30).json()
        Draft202012Validator(DOCUMENT["components"]["schemas"]["Token"]).validate(told)
        self._bearer = f"Bearer {told['access_token']}"

    def __call__(
        self,
        operation: str,
        state: str,
        *,
        path: str = "",
        query: str = "",
        crn: str | None,
        version: str | None = NEWEST,
        expect: int = 0,
        **more: Any,
    ) -> requests.Response:
        """Ask.

        Args:
            operation: method and path as the specification writes it.
            state: what is asked for, in words.
            path: the path with its ids, where it has some.
            query: the query string.
            crn: the instance; None: without a token.
            version: the `IBM-API-Version` header.
            expect: the status that must come.
            more: arguments of `requests`.
        """
        method, template = operation.split(" ")
        headers = {} if crn is None else {"Authorization": self._bearer, "Service-CRN": crn}
        if version is not None:
            headers["IBM-API-Version"] = version
        address = self.url + self.base + (path or template) + (f"?{query}" if query else "")
        response = self._http.request(
            method, address, headers={**headers, **more.pop("headers", {})}, timeout=60, **more
        )
        if expect:
            assert response.status_code == expect, (
                f"{operation} ({state}): {response.status_code} {response.text[:300]}"
            )
        answer = Answer(operation, state, version or NEWEST, response)
        self.answers.append(answer)
        for deviation in answer.deviations():
            self.found.setdefault(f"{operation}: {deviation}", state)
        return response
