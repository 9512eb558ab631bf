"""The REST surface: one function for each endpoint, from a request to an answer."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from ..service import shapes
from ..service.account import INSTANCES, Instance
from ..service.errors import ServiceError, bad_request
from ..service.service import Service
from . import admin_routes as admin
from .app import App
from .messages import NOTHING, Answer, Request

MAX_PAGE = 200
MAX_WORKLOADS = 50
Endpoint = Callable[["App", Instance, Request, str], Answer | Awaitable[Answer]]


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
    return NOTHING


def _cancel_session(app: App, instance: Instance, request: Request, id_: str) -> Answer:
    app.service.cancel_session(instance, id_)
    return NOTHING


# -- jobs --------------------------------------------------------------------------------------------------------


async def _submit(app: App, instance: Instance, request: Request, _: str) -> Answer:
    asked = request.json()
    if not isinstance(asked.get("params"), dict):
        raise bad_request("params must be an object")
    params = json.dumps(asked["params"]).encode()
    row = await app.service.submit(instance, asked, params)
    return Answer({"id": row["id"], "backend": row["backend"]})


def _jobs(app: App, instance: Instance, request: Request, _: str) -> Answer:
    limit = min(request.number("limit", 10, 1, 10**9), MAX_PAGE)  # the client asks for the rest by itself
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
    shown = [shapes.job(app.service.with_usage(row), clock) for row in rows]
    if request.flag("exclude_params") is False:
        for entry, row in zip(shown, rows, strict=True):
            if not row["private"]:
                entry["params"] = json.loads(app.service.store.blob(row["id"], "params"))
    return Answer({"jobs": shown, "count": count, "limit": limit, "offset": offset})


def _job(app: App, instance: Instance, request: Request, id_: str) -> Answer:
    row = app.service.job(instance, id_)
    shown = json.dumps(shapes.job(row, app.service.clock)).encode()
    if not request.flag("exclude_params") and not row["private"]:
        shown = shown[:-1] + b', "params": ' + app.service.store.blob(id_, "params") + b"}"
    return Answer(None, raw=shown)


def _delete_job(app: App, instance: Instance, request: Request, id_: str) -> Answer:
    app.service.delete_job(instance, id_)
    return NOTHING


def _results(app: App, instance: Instance, request: Request, id_: str) -> Answer:
    result = app.service.result(instance, id_)
    return NOTHING if result is None else Answer(None, raw=result, type="text/plain; charset=utf-8")


def _logs(app: App, instance: Instance, request: Request, id_: str) -> Answer:
    row = app.service.job(instance, id_)
    if row["pending"]:
        return NOTHING
    return Answer(None, raw=str(app.service.store.blob(id_, "logs") or "").encode(), type="text/plain; charset=utf-8")


def _metrics(app: App, instance: Instance, request: Request, id_: str) -> Answer:
    return Answer(shapes.metrics(app.service.job(instance, id_), app.service.clock))


def _cancel(app: App, instance: Instance, request: Request, id_: str) -> Answer:
    app.service.cancel_job(instance, id_)
    return NOTHING


def _set_tags(app: App, instance: Instance, request: Request, id_: str) -> Answer:
    app.service.set_tags(instance, id_, request.json().get("tags", []))
    return NOTHING


def _workloads(app: App, instance: Instance, request: Request, _: str) -> Answer:
    app.service.tick()
    return Answer(page_of_workloads(app.service, instance, request))


# -- workloads -----------------------------------------------------------------------------------------------------


MODES = ("job", "session", "batch")
STATUSES = ("pending", "in_progress", "completed", "canceled", "failed")


def page_of_workloads(service: Service, instance: Instance, request: Request) -> dict[str, Any]:
    """One page."""
    limit = request.number("limit", 10, 1, MAX_WORKLOADS)
    newest_first = {"createdAt": False, "-createdAt": True}.get(request.one("sort") or "-createdAt")
    if newest_first is None:
        raise bad_request("sort must be createdAt or -createdAt")
    where, values = _filters(service, instance, request)
    total = service.store.count_workloads(where, values)
    offset = _offset(request.one("next") or request.one("previous"))
    rows = service.store.page_of_workloads(where, values, limit=limit, offset=offset, newest_first=newest_first)
    page: dict[str, Any] = {
        "workloads": [shapes.workload(row, service.clock, instance) for row in rows],
        "total_count": total,
        "limit": limit,
    }
    if offset + limit < total:
        page["next"] = _cursor(offset + limit)
    if offset > 0:
        page["previous"] = _cursor(max(0, offset - limit))
    return page


def _filters(service: Service, instance: Instance, request: Request) -> tuple[list[str], list[Any]]:
    where: list[str] = ["instance = ?"]
    values: list[Any] = [instance.crn]
    if (backend := request.one("backend")) is not None:
        where.append("backend = ?")
        values.append(backend)
    if (mode := request.one("mode")) is not None:
        if mode not in MODES:
            raise bad_request(f"mode must be one of {', '.join(MODES)}, not {mode[:60]!r}")
        where.append("mode = ?")
        values.append(mode)
    if statuses := request.query.get("status"):
        for status in statuses:
            if status not in STATUSES:
                raise bad_request(f"status must be one of {', '.join(STATUSES)}, not {status[:60]!r}")
        where.append(f"status IN ({', '.join('?' * len(statuses))})")
        values.extend(statuses)
    for name, sign in (("created_after", ">="), ("created_before", "<=")):
        if (moment := request.one(name)) is not None:
            try:
                values.append(service.clock.read(moment))
            except ValueError:
                raise bad_request(f"{name} must be a date and time, not {moment[:60]!r}") from None
            where.append(f"created {sign} ?")
    for tag in request.query.get("tags", ()):
        where.append("EXISTS (SELECT 1 FROM json_each(tags) WHERE json_each.value = ?)")
        values.append(tag)
    if (search := request.one("search")) is not None:
        where.append("(instr(id, ?) OR instr(tags, ?))")
        values.extend((search, search))
    if not request.flag("include_mocks"):
        where.append("mock = 0")
    if lag := service.faults.listing_lag:
        where.append("created <= ?")
        values.append(service.clock.now() - lag)
    return where, values


def _cursor(offset: int) -> str:
    return urlsafe_b64encode(f"offset:{offset}".encode()).decode()


def _offset(cursor: str | None) -> int:
    if cursor is None:
        return 0
    try:
        kind, _, number = urlsafe_b64decode(cursor).decode().partition(":")
        offset = int(number)
    except ValueError:
        kind, offset = "", -1
    if kind != "offset" or offset < 0:
        raise bad_request("next and previous must be cursors that an earlier page gave")
    return offset


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
    ("GET", r"/control/ping", admin.ping, False),
    ("GET", r"/control/faults", admin.faults, False),
    ("POST", r"/control/faults", admin.change_faults, False),
    ("GET", r"/control/requests", admin.requests, False),
    ("DELETE", r"/control/requests", admin.forget_requests, False),
    ("GET", rf"/control/wait/{_ID}", admin.wait, False),
    ("POST", r"/control/stop", admin.stop, False),
]
