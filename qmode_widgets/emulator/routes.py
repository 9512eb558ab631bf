"""The REST surface: one function for each endpoint, from a request to an answer."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from .. import emulator as package
from . import shapes
from .account import INSTANCES, Instance
from .errors import ServiceError, bad_request
from .store import Row
from .workloads import page_of_workloads

if TYPE_CHECKING:
    from .server import App

MAX_PAGE = 200


@dataclass(frozen=True, slots=True)
class Request:
    """What an endpoint may know of a request."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: bytes
    authorization: str
    crn: str
    api: bool = True                               # the path lies below the API's base

    def one(self, name: str) -> str | None:
        """A query parameter."""
        values = self.query.get(name)
        return values[-1] if values else None

    def flag(self, name: str) -> bool | None:
        """A query parameter that is true or false."""
        value = self.one(name)
        if value is None:
            return None
        if value.lower() not in ("true", "false"):
            raise bad_request(f"{name} must be true or false, not {value[:60]!r}")
        return value.lower() == "true"

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """A query parameter that is a whole number."""
        value = self.one(name)
        try:
            number = default if value is None else int(value)
        except ValueError:
            raise bad_request(f"{name} must be a number, not {str(value)[:60]!r}") from None
        if not low <= number <= high:
            raise bad_request(f"{name} must be between {low} and {high}, not {number}")
        return number

    def json(self) -> dict[str, Any]:
        """The body, an object."""
        try:
            # A client of another language may send what Python's parser would read as a number that JSON has not.
            value = json.loads(self.body, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise bad_request(f"The body is not JSON: {str(error)[:100]}") from None
        if not isinstance(value, dict):
            raise bad_request("The body must be an object.")
        return value


def _no_constant(name: str) -> float:
    return float(name)


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: an object as JSON, or raw bytes."""

    body: Any
    status: int = 200
    raw: bytes | None = None
    type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)

    def bytes(self) -> bytes:
        """The body as it is sent."""
        if self.raw is not None:
            return self.raw
        return b"" if self.body is None else json.dumps(self.body).encode()


Endpoint = Callable[["App", Instance, Request, str], Answer | Awaitable[Answer]]
_NOTHING = Answer(None, 204)


async def route(app: App, request: Request) -> Answer:
    """Carry a request out."""
    if request.path == "/identity/token":
        return _identity(app, request)
    for method, pattern, endpoint, needs_instance in ROUTES:
        found = re.fullmatch(pattern, request.path)
        if found and method == request.method and needs_instance == request.api:
            _authorize(app, request)
            instance = _instance(request) if needs_instance else next(iter(INSTANCES.values()))
            answer = endpoint(app, instance, request, found[1] if found.re.groups else "")
            return await answer if isinstance(answer, Awaitable) else answer
    _authorize(app, request)
    raise ServiceError(404, 1200, "There is no such endpoint.", "See the table in the emulator's README.")


def _authorize(app: App, request: Request) -> None:
    if not app.keys.accepts(request.authorization):
        raise ServiceError(401, 1200, "You are not authorized.", "Use the key that this emulator printed.")


def _instance(request: Request) -> Instance:
    try:
        return INSTANCES[request.crn]
    except KeyError:
        said = "The instance is not one of this account."
        raise ServiceError(403, 1201, said, "Use one that the search finds.") from None


def _identity(app: App, request: Request) -> Answer:
    form = parse_qs(request.body.decode("utf-8", "replace"))
    if request.method != "POST" or not app.keys.is_key(form.get("apikey", [""])[0]):
        error = ServiceError(401, 1200, "You are not authorized.", "Use the key that this emulator printed.")
        iam = {"errorCode": "BXNIM0415E", "errorMessage": "Provided API key could not be found."}
        return Answer(error.body() | iam, 401)
    return Answer(app.keys.issue())


# -- instances and backends --------------------------------------------------------------------------------------


def _search(app: App, instance: Instance, request: Request, _: str) -> Answer:
    return Answer({"items": [i.found() for i in INSTANCES.values()], "limit": 100})


def _catalogue(app: App, instance: Instance, request: Request, plan: str) -> Answer:
    for i in INSTANCES.values():
        if i.plan_id == plan:
            return Answer(i.catalogued())
    raise ServiceError(404, 1200, "There is no such plan.")


def _usage(app: App, instance: Instance, request: Request, _: str) -> Answer:
    service = app.service
    return Answer(shapes.instance_usage(instance, service.used(instance), service.clock.now(), service.clock))


def _backends(app: App, instance: Instance, request: Request, _: str) -> Answer:
    mocks = request.flag("include_mocks")
    service = app.service
    shown = [d.listed(service.queue_length(d)) for d in service.devices.values() if mocks or not d.mock]
    return Answer({"devices": shown})


def _configuration(app: App, instance: Instance, request: Request, name: str) -> Answer:
    return Answer(app.service.device(name).configuration)


def _properties(app: App, instance: Instance, request: Request, name: str) -> Answer:
    return Answer(app.service.device(name).properties)


def _status(app: App, instance: Instance, request: Request, name: str) -> Answer:
    device = app.service.device(name)
    return Answer(device.status(app.service.queue_length(device)))


# -- sessions ----------------------------------------------------------------------------------------------------


def _open_session(app: App, instance: Instance, request: Request, _: str) -> Answer:
    asked = request.json()
    max_ttl = asked.get("max_ttl")
    if max_ttl is not None and (isinstance(max_ttl, bool) or not isinstance(max_ttl, (int, float))):
        raise bad_request(f"max_ttl must be a number of seconds, not {str(max_ttl)[:60]!r}")
    if asked.get("instance") not in (None, instance.crn):
        raise bad_request("instance must be the one of the Service-CRN header")
    row = app.service.open_session(instance, str(asked.get("mode", "dedicated")), str(asked.get("backend")), max_ttl)
    return Answer(shapes.session(row, app.service.clock))


def _session(app: App, instance: Instance, request: Request, id_: str) -> Answer:
    return Answer(shapes.session(app.service.session(instance, id_), app.service.clock))


def _patch_session(app: App, instance: Instance, request: Request, id_: str) -> Answer:
    asked = request.json()
    if asked.get("accepting_jobs") is not False:
        raise bad_request("accepting_jobs can only be set to false")
    app.service.close_session(instance, id_)
    return _NOTHING


def _cancel_session(app: App, instance: Instance, request: Request, id_: str) -> Answer:
    app.service.cancel_session(instance, id_)
    return _NOTHING


# -- jobs --------------------------------------------------------------------------------------------------------


async def _submit(app: App, instance: Instance, request: Request, _: str) -> Answer:
    asked = request.json()
    if not isinstance(asked.get("params"), dict):
        raise bad_request("params must be an object")
    params = json.dumps(asked["params"]).encode()
    row = await app.service.submit(instance, asked, params)
    return Answer({"id": row["id"], "backend": row["backend"]})


def _jobs(app: App, instance: Instance, request: Request, _: str) -> Answer:
    limit = min(request.number("limit", 10, 1, 10**9), MAX_PAGE)     # the client asks for the rest by itself
    offset = request.number("offset", 0, 0, 10**9)
    clock, faults = app.service.clock, app.service.faults
    app.service.tick()
    where: list[tuple[str, Any]] = [("instance = ?", instance.crn)]
    for name, condition in (("session_id", "session_id = ?"), ("backend", "backend = ?"), ("program", "program = ?")):
        if (value := request.one(name)) is not None:
            where.append((condition, value))
    if (pending := request.flag("pending")) is not None:
        where.append(("pending = ?", int(pending)))
    for name, condition in (("created_after", "created >= ?"), ("created_before", "created <= ?")):
        if (value := request.one(name)) is not None:
            try:
                where.append((condition, clock.read(value)))
            except ValueError:
                raise bad_request(f"{name} must be a date and time, not {value[:60]!r}") from None
    if not request.flag("include_mocks"):
        where.append(("mock = ?", 0))
    if faults.listing_lag:
        where.append(("created <= ?", clock.now() - faults.listing_lag))
    order = (request.one("sort") or "DESC").upper()
    if order not in ("ASC", "DESC"):
        raise bad_request(f"sort must be ASC or DESC, not {order[:60]!r}")
    tags = request.query.get("tags", ())
    rows, count = app.service.store.jobs(where, tags, limit=limit, offset=offset, newest_first=order == "DESC")
    shown = [_shown(app, row) for row in rows]
    if request.flag("exclude_params") is False:
        for entry, row in zip(shown, rows, strict=True):
            if not row["private"]:
                entry["params"] = json.loads(app.service.store.blob(row["id"], "params"))
    return Answer({"jobs": shown, "count": count, "limit": limit, "offset": offset})


def _shown(app: App, row: Row) -> dict[str, Any]:
    return shapes.job(row, app.service.clock)


def _job(app: App, instance: Instance, request: Request, id_: str) -> Answer:
    row = app.service.job(instance, id_)
    shown = json.dumps(_shown(app, row)).encode()
    if not request.flag("exclude_params") and not row["private"]:
        shown = shown[:-1] + b', "params": ' + app.service.store.blob(id_, "params") + b"}"
    return Answer(None, raw=shown)


def _delete_job(app: App, instance: Instance, request: Request, id_: str) -> Answer:
    app.service.delete_job(instance, id_)
    return _NOTHING


def _results(app: App, instance: Instance, request: Request, id_: str) -> Answer:
    result = app.service.result(instance, id_)
    return _NOTHING if result is None else Answer(None, raw=result, type="text/plain; charset=utf-8")


def _logs(app: App, instance: Instance, request: Request, id_: str) -> Answer:
    row = app.service.job(instance, id_)
    if row["pending"]:
        return _NOTHING
    return Answer(None, raw=str(app.service.store.blob(id_, "logs") or "").encode(), type="text/plain; charset=utf-8")


def _metrics(app: App, instance: Instance, request: Request, id_: str) -> Answer:
    return Answer(shapes.metrics(app.service.job(instance, id_), app.service.clock))


def _cancel(app: App, instance: Instance, request: Request, id_: str) -> Answer:
    app.service.cancel_job(instance, id_)
    return _NOTHING


def _set_tags(app: App, instance: Instance, request: Request, id_: str) -> Answer:
    app.service.set_tags(instance, id_, request.json().get("tags", []))
    return _NOTHING


def _workloads(app: App, instance: Instance, request: Request, _: str) -> Answer:
    app.service.tick()
    return Answer(page_of_workloads(app.service, instance, request))


# -- control: not IBM's ------------------------------------------------------------------------------------------


def _ping(app: App, instance: Instance, request: Request, _: str) -> Answer:
    options = app.service.options.to_dict()
    return Answer({"version": package.VERSION, "pid": os.getpid(), "busy": app.service.busy, "options": options})


def _faults(app: App, instance: Instance, request: Request, _: str) -> Answer:
    return Answer(app.service.faults.to_dict())


def _change_faults(app: App, instance: Instance, request: Request, _: str) -> Answer:
    """`{"kind": "job" or "request", …}` adds one; the rest is set or done: see `control.Faults`."""
    asked, service = request.json(), app.service
    try:
        if (kind := asked.pop("kind", None)) is not None:
            service.faults.add(str(kind), asked)
            return Answer(service.faults.to_dict())
        for name in ("listing_lag", "soak", "skew"):
            if name in asked:
                value = float(asked[name])
                high = 1.0 if name == "soak" else 1e6
                if not (-high if name == "skew" else 0) <= value <= high:
                    raise ValueError(f"{name}={value}: out of range")
                setattr(service.clock if name == "skew" else service.faults, name, value)
    except (TypeError, ValueError) as error:
        raise bad_request(str(error)) from None
    if "used" in asked:
        crn = next((crn for crn, i in INSTANCES.items() if asked.get("instance") in (crn, i.name)), None)
        if crn is None or type(asked["used"]) not in (int, float):
            raise bad_request("give the name of an instance and a number of seconds")
        service.used_elsewhere[crn] = asked["used"]
    if asked.get("clear"):
        service.used_elsewhere.clear()
        service.faults.clear()
        service.clock.skew = 0.0
        service.resume()
    if "pause" in asked:
        service.pause(queue=asked["pause"] == "queue")
    if asked.get("resume"):
        service.resume()
    if asked.get("expire"):
        app.keys.expire()
    return Answer(service.faults.to_dict())


def _requests(app: App, instance: Instance, request: Request, _: str) -> Answer:
    return Answer({"requests": list(app.requests)})


def _forget_requests(app: App, instance: Instance, request: Request, _: str) -> Answer:
    app.requests.clear()
    return _NOTHING


async def _wait(app: App, instance: Instance, request: Request, id_: str) -> Answer:
    """Answers when a job or workload is in one of the `state`s, 408 after `timeout` seconds."""
    wanted = {state.lower() for state in request.query.get("state", ())}
    loop = asyncio.get_running_loop()
    until = loop.time() + request.number("timeout", 30, 0, 600)
    service = app.service
    while True:
        service.tick()
        row = service.store.job(id_)
        state = row["status"] if row else (service.store.workload(id_) or {}).get("state")
        if state is None:
            raise ServiceError(404, 1291, f"There is no job or session {id_[:60]!r}.")
        if state.lower() in wanted:
            return Answer({"state": state})
        try:
            async with asyncio.timeout_at(until), service.changed:
                await service.changed.wait()
        except TimeoutError:
            raise ServiceError(408, 1200, f"{id_} is {state}, not {' or '.join(sorted(wanted))}.") from None


def _stop(app: App, instance: Instance, request: Request, _: str) -> Answer:
    app.stop.set()
    return _NOTHING


_ID = r"([A-Za-z0-9-]{1,64})"
_NAME = r"([A-Za-z0-9_-]{1,64})"
ROUTES: list[tuple[str, str, Endpoint, bool]] = [
    ("POST", r"/v3/resources/search", _search, False),
    ("GET", rf"/api/v1/{_ID}", _catalogue, False),
    ("GET", r"/instances/usage", _usage, True),
    ("GET", r"/backends", _backends, True),
    ("GET", rf"/backends/{_NAME}/configuration", _configuration, True),
    ("GET", rf"/backends/{_NAME}/properties", _properties, True),
    ("GET", rf"/backends/{_NAME}/status", _status, True),
    ("POST", r"/sessions", _open_session, True),
    ("GET", rf"/sessions/{_ID}", _session, True),
    ("PATCH", rf"/sessions/{_ID}", _patch_session, True),
    ("DELETE", rf"/sessions/{_ID}/close", _cancel_session, True),
    ("POST", r"/jobs", _submit, True),
    ("GET", r"/jobs", _jobs, True),
    ("GET", rf"/jobs/{_ID}", _job, True),
    ("DELETE", rf"/jobs/{_ID}", _delete_job, True),
    ("GET", rf"/jobs/{_ID}/results", _results, True),
    ("GET", rf"/jobs/{_ID}/logs", _logs, True),
    ("GET", rf"/jobs/{_ID}/metrics", _metrics, True),
    ("POST", rf"/jobs/{_ID}/cancel", _cancel, True),
    ("PUT", rf"/jobs/{_ID}/tags", _set_tags, True),
    ("GET", r"/workloads", _workloads, True),
    ("GET", r"/control/ping", _ping, False),
    ("GET", r"/control/faults", _faults, False),
    ("POST", r"/control/faults", _change_faults, False),
    ("GET", r"/control/requests", _requests, False),
    ("DELETE", r"/control/requests", _forget_requests, False),
    ("GET", rf"/control/wait/{_ID}", _wait, False),
    ("POST", r"/control/stop", _stop, False),
]
