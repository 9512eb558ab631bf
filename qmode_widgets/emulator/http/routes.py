"""The REST surface: one function for each endpoint, from a request to a response."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

from ..service import rules, shapes
from ..service.account import ACCOUNT_ID, CATALOGUE, COLLEAGUE_ID, INSTANCES, USER_ID, Instance
from ..service.errors import ApiError, bad_request
from ..service.service import Submission
from ..service.store import GroupBy, JobFilter, UsageFilter, WorkloadFilter
from . import admin_routes as admin
from .app import App
from .messages import NOTHING, Request, Response, json_object

MAX_PAGE = 200
MAX_WORKLOADS = 50
PARSED_HERE = 2**20  # bytes of a submission that the server parses itself; larger ones would stop the event loop
MODES = ("job", "session", "batch")
STATUSES = ("pending", "in_progress", "completed", "canceled", "failed")

Endpoint = Callable[[App, Instance, Request, str], Response | Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint.

    Args:
        method: of the request.
        pattern: a regular expression for the path, with a group for an id.
        endpoint: carries the request out.
        needs: "instance": a token and a `Service-CRN`; "token": a token; "nothing": neither.
        api: whether it is below the API's base.
    """

    method: str
    pattern: str
    endpoint: Endpoint
    needs: Literal["instance", "token", "nothing"] = "instance"
    api: bool = True


@dataclass(frozen=True, slots=True)
class Access:
    """A request that may be carried out: where it goes, and whose it is."""

    route: Route
    name: str
    instance: Instance
    user: str
    version: str  # of the API


def authorize(
    app: App, method: str, path: str, *, api: bool, authorization: str, crn: str, version: str | None
) -> Access:
    """Find a request's endpoint and check its headers.

    Raises:
        ApiError: 401 without a valid token, 403 for an instance of another account, 404 for an unknown endpoint, 400
            for an unknown API version.
    """
    route, name = None, ""
    for candidate in ROUTES:
        found = re.fullmatch(candidate.pattern, path)
        if found and candidate.method == method and candidate.api == api:
            route, name = candidate, found[1] if found.re.groups else ""
            break
    some_instance, newest = next(iter(INSTANCES.values())), rules.api_version(None)
    if route is not None and route.needs == "nothing":
        return Access(route, name, some_instance, USER_ID, newest)
    user = app.keys.user(authorization)
    if user is None:
        raise ApiError(401, 1200, "You are not authorized.", "Use the key that this emulator printed.")
    if route is None:
        raise ApiError(404, 1200, "There is no such endpoint.", "See the table in the emulator's README.")
    if route.needs == "token":
        return Access(route, name, some_instance, user, newest)
    if crn not in INSTANCES:
        raise ApiError(403, 1201, "The instance is not one of this account.", "Use one that the search finds.")
    return Access(route, name, INSTANCES[crn], user, rules.api_version(version))


async def carry_out(app: App, access: Access, request: Request) -> Response:
    """Carry a request out."""
    response = access.route.endpoint(app, access.instance, request, access.name)
    return await response if isinstance(response, Awaitable) else response


# -- account ------------------------------------------------------------------------------------------------------


def _identity(app: App, instance: Instance, request: Request, _: str) -> Response:
    return admin.login(app, request)


def _search(app: App, instance: Instance, request: Request, _: str) -> Response:
    return Response({"items": [i.search_entry() for i in INSTANCES.values()], "limit": 100})


def _catalogue(app: App, instance: Instance, request: Request, plan: str) -> Response:
    for i in INSTANCES.values():
        if i.plan_id == plan:
            return Response(i.plan_entry())
    raise ApiError(404, 1200, "There is no such plan.")


def _versions(app: App, instance: Instance, request: Request, _: str) -> Response:
    versions = [
        {"version": version, "status": "live"}
        if sunset is None
        else {"version": version, "sunset_date": sunset, "status": "deprecated"}
        for version, sunset in rules.API_VERSIONS.items()
    ]
    return Response({"versions": versions})


# -- instances and backends ---------------------------------------------------------------------------------------


def _usage(app: App, instance: Instance, request: Request, _: str) -> Response:
    service = app.service
    service.tick()
    used = service.used(instance)
    return Response(shapes.instance_usage(instance, service.limit(instance), used, service.clock.now(), service.clock))


def _instance(app: App, instance: Instance, request: Request, _: str) -> Response:
    names = [device.name for device in app.service.devices.values() if not device.mock]
    return Response(shapes.instance_details(instance, app.service.limit(instance), names))


def _account(app: App, instance: Instance, request: Request, id_: str) -> Response:
    if id_ != ACCOUNT_ID:
        raise ApiError(404, 1200, "Account not found.", "Verify the ID is correct.")
    options, now = app.service.options, app.service.clock.now()
    names = [device.name for device in app.service.devices.values() if not device.mock]
    wanted = request.text("plan_id")
    plans = [
        shapes.plan(i, app.service.limit(i), names, options, now, app.service.clock)
        for i in INSTANCES.values()
        if wanted in (None, i.plan_id)
    ]
    return Response({"plans": plans})


def _instance_configuration(app: App, instance: Instance, request: Request, _: str) -> Response:
    limit = app.service.limit(instance)
    return Response({} if limit is None else {"instance_limit": limit})


def _set_instance_configuration(app: App, instance: Instance, request: Request, _: str) -> Response:
    asked = request.json()
    if "instance_limit" not in asked:
        raise bad_request("instance_limit is missing")
    app.service.set_limit(instance, asked["instance_limit"])
    return NOTHING


def _backends(app: App, instance: Instance, request: Request, _: str) -> Response:
    mocks = request.flag("include_mocks")
    if (fields := request.text("fields")) not in (None, "wait_time_seconds"):
        raise bad_request(f"fields can only be wait_time_seconds, not {fields[:60]!r}")
    service = app.service
    shown = [(d, d.list_entry(service.queue_length(d))) for d in service.devices.values() if mocks or not d.mock]
    if fields is not None:
        for device, entry in shown:
            entry["wait_time_seconds"] = service.waits(device)
    return Response({"devices": [entry for _, entry in shown]})


def _configuration(app: App, instance: Instance, request: Request, name: str) -> Response:
    return Response(app.service.device(name, request.text("calibration_id")).configuration)


def _properties(app: App, instance: Instance, request: Request, name: str) -> Response:
    _time(app, request, "updated_before")
    return Response(app.service.device(name, request.text("calibration_id")).properties)


def _defaults(app: App, instance: Instance, request: Request, name: str) -> Response:
    return Response(shapes.defaults(app.service.device(name).properties))


def _status(app: App, instance: Instance, request: Request, name: str) -> Response:
    device = app.service.device(name)
    return Response(device.status(app.service.queue_length(device)))


# -- sessions -----------------------------------------------------------------------------------------------------


def _open_session(app: App, instance: Instance, request: Request, _: str) -> Response:
    row = app.service.open_session(instance, request.user, request.json())
    return Response(shapes.session(row, app.service.clock))


def _session(app: App, instance: Instance, request: Request, id_: str) -> Response:
    return Response(shapes.session(app.service.session(instance, id_), app.service.clock))


def _patch_session(app: App, instance: Instance, request: Request, id_: str) -> Response:
    accepting = request.json().get("accepting_jobs")
    if not isinstance(accepting, bool):
        raise bad_request("accepting_jobs must be true or false")
    if not accepting:
        app.service.close_session(instance, id_)
    elif not app.service.session(instance, id_)["accepting"]:
        raise bad_request("A session that was closed cannot be opened again.", "Create a new session.", code=1217)
    return NOTHING


def _cancel_session(app: App, instance: Instance, request: Request, id_: str) -> Response:
    app.service.cancel_session(instance, id_)
    return NOTHING


# -- jobs ---------------------------------------------------------------------------------------------------------


async def _submit(app: App, instance: Instance, request: Request, _: str) -> Response:
    if len(request.body) > PARSED_HERE:
        try:
            fields, params = await app.service.engine.split(request.body)
        except ValueError as error:
            raise bad_request(str(error)) from None
    else:
        fields = json_object(request.body)
        if not isinstance(fields.get("params"), dict):
            raise bad_request("params must be an object")
        params = json.dumps(fields.pop("params")).encode()
    row = await app.service.submit(instance, Submission(fields, params, request.user, request.caller))
    return Response(shapes.submitted(row))


def _jobs(app: App, instance: Instance, request: Request, _: str) -> Response:
    limit = request.number_or_default("limit", MAX_PAGE, 1, MAX_PAGE)
    offset = request.number_or_default("offset", 0, 0, 2**31 - 1)
    order = (request.text("sort") or "DESC").upper()
    if order not in ("ASC", "DESC"):
        raise bad_request(f"sort must be ASC or DESC, not {order[:60]!r}")
    service = app.service
    asked = JobFilter(
        instance.crn,
        user=request.user,
        session_id=request.text("session_id"),
        backend=request.text("backend"),
        program=request.text("program"),
        pending=request.flag("pending"),
        created_after=_time(app, request, "created_after"),
        created_before=_lagging(app, _time(app, request, "created_before")),
        tags=tuple(request.query.get("tags", ())),
        mocks=bool(request.flag("include_mocks")),
    )
    rows, count = service.jobs(asked, limit=limit, offset=offset, newest_first=order == "DESC")
    shown = [shapes.job(row, service.clock, request.version) for row in rows]
    if request.flag("exclude_params") is False:
        for entry, row in zip(shown, rows, strict=True):
            if not row["private"]:
                entry["params"] = json.loads(service.store.blob(row["id"], "params"))
    return Response({"jobs": shown, "count": count, "limit": limit, "offset": offset})


def _time(app: App, request: Request, name: str) -> float | None:
    """Return a query parameter that is a date and time, in seconds since the epoch."""
    if (value := request.text(name)) is None:
        return None
    try:
        return app.service.clock.read(value)
    except (ValueError, OverflowError):
        raise bad_request(f"{name} must be a date and time, not {value[:60]!r}") from None


def _lagging(app: App, before: float | None) -> float | None:
    """Return the latest creation time that a listing shows."""
    lag = app.service.faults.listing_lag
    if not lag:
        return before
    latest = app.service.clock.now() - lag
    return latest if before is None else min(before, latest)


def _job(app: App, instance: Instance, request: Request, id_: str) -> Response:
    row = app.service.job(instance, id_)
    shown = json.dumps(shapes.job(row, app.service.clock, request.version)).encode()
    if not request.flag("exclude_params") and not row["private"]:
        shown = shown[:-1] + b', "params": ' + app.service.store.blob(id_, "params") + b"}"
    return Response(None, raw=shown)


def _delete_job(app: App, instance: Instance, request: Request, id_: str) -> Response:
    app.service.delete_job(instance, id_)
    return NOTHING


def _results(app: App, instance: Instance, request: Request, id_: str) -> Response:
    result = app.service.result(instance, id_)
    return NOTHING if result is None else Response(None, raw=result, type="text/plain; charset=utf-8")


def _logs(app: App, instance: Instance, request: Request, id_: str) -> Response:
    app.service.job(instance, id_)
    return Response(None, raw=str(app.service.store.blob(id_, "logs") or "").encode(), type="text/plain; charset=utf-8")


def _metrics(app: App, instance: Instance, request: Request, id_: str) -> Response:
    return Response(shapes.metrics(app.service.job(instance, id_), app.service.clock, request.version))


def _cancel(app: App, instance: Instance, request: Request, id_: str) -> Response:
    app.service.cancel_job(instance, id_)
    return NOTHING


def _set_tags(app: App, instance: Instance, request: Request, id_: str) -> Response:
    app.service.set_tags(instance, id_, request.json().get("tags"))
    return NOTHING


def _tags(app: App, instance: Instance, request: Request, _: str) -> Response:
    if request.text("type") != "job":
        raise bad_request("type must be job")
    search = request.text("search") or ""
    if not 3 <= len(search) <= 100:
        raise bad_request("search must have 3 to 100 characters")
    return Response({"tags": app.service.store.tags(instance.crn, search)})


# -- workloads ----------------------------------------------------------------------------------------------------


def _workloads(app: App, instance: Instance, request: Request, _: str) -> Response:
    limit = request.number("limit", 10, 1, MAX_WORKLOADS)
    newest_first = {"createdAt": False, "-createdAt": True}.get(request.text("sort") or "createdAt")
    if newest_first is None:
        raise bad_request("sort must be createdAt or -createdAt")
    if (user := request.text("user")) not in (None, "me"):
        raise bad_request(f"user can only be me, not {user[:60]!r}")
    if (mode := request.text("mode")) not in (None, *MODES):
        raise bad_request(f"mode must be one of {', '.join(MODES)}, not {mode[:60]!r}")
    for status in (statuses := request.query.get("status", ())):
        if status not in STATUSES:
            raise bad_request(f"status must be one of {', '.join(STATUSES)}, not {status[:60]!r}")
    asked = WorkloadFilter(
        instance.crn,
        user=None if user is None else request.user,
        backend=request.text("backend"),
        mode=mode,
        statuses=tuple(statuses),
        search=request.text("search"),
        created_after=_time(app, request, "created_after"),
        created_before=_lagging(app, _time(app, request, "created_before")),
        tags=tuple(request.query.get("tags", ())),
        mocks=bool(request.flag("include_mocks")),
    )
    offset = _offset(request.text("next") or request.text("previous"))
    rows, total = app.service.workloads(asked, limit=limit, offset=offset, newest_first=newest_first)
    page: dict[str, Any] = {
        "workloads": [shapes.workload(row, app.service.clock, instance) for row in rows],
        "total_count": total,
        "limit": limit,
    }
    if offset + limit < total:
        page["next"] = _link(app, "next", offset + limit)
    if offset > 0:
        page["previous"] = _link(app, "previous", max(0, offset - limit))
    return Response(page)


def _link(app: App, name: str, offset: int) -> dict[str, str]:
    cursor = urlsafe_b64encode(f"offset:{offset}".encode()).decode()
    return {"href": f"{app.api_base}/workloads?{urlencode({name: cursor})}"}


def _offset(cursor: str | None) -> int:
    if cursor is None:
        return 0
    try:
        kind, _, number = urlsafe_b64decode(cursor).decode().partition(":")
        offset = int(number)
    except ValueError:
        kind, offset = "", -1
    if kind != "offset" or not 0 <= offset < 2**63:
        raise bad_request("next and previous must be cursors that an earlier page gave")
    return offset


# -- analytics ----------------------------------------------------------------------------------------------------


def _usage_filter(app: App, request: Request) -> UsageFilter:
    instances = tuple(request.query.get("instance", ()))
    if plans := request.query.get("plan"):
        of_plans = tuple(crn for crn, i in INSTANCES.items() if _plan(i) in plans)
        instances = tuple(crn for crn in of_plans if not instances or crn in instances) or ("",)
    return UsageFilter(
        instances,
        tuple(request.query.get("backend", ())),
        tuple(request.query.get("user_id", ())),
        _time(app, request, "interval_start"),
        _time(app, request, "interval_end"),
    )


def _plan(instance: Instance) -> str:
    return instance.plan.lower()


def _analytics(app: App, instance: Instance, request: Request, _: str) -> Response:
    rows = app.service.analytics(_usage_filter(app, request))
    return Response(shapes.analytics(rows[0] if rows else {}))


def _analytics_grouped(app: App, instance: Instance, request: Request, _: str) -> Response:
    given = request.text("group_by")
    keys: dict[str | None, GroupBy] = {
        "instance": "instance",
        "backend": "backend",
        "user_id": "user",
        "plan": "instance",  # there is one instance on each plan
        "subscription_id": "instance",
    }
    if given not in keys:
        raise bad_request("group_by must be instance, backend, user_id, plan or subscription_id")
    data = []
    for row in app.service.analytics(_usage_filter(app, request), keys[given]):
        key = row["key"]
        if given == "plan":
            key = _plan(INSTANCES[key])
        elif given == "subscription_id":
            key = None  # no instance here belongs to a subscription
        data.append({"key": key} | shapes.analytics(row))
    return Response({"data": data})


def _analytics_by_date(app: App, instance: Instance, request: Request, _: str) -> Response:
    if request.text("group_by") != "instance":
        raise bad_request("group_by must be instance")
    service, asked = app.service, _usage_filter(app, request)
    data = []
    for crn in asked.instances or tuple(INSTANCES):
        one = UsageFilter((crn,), asked.backends, asked.users, asked.start, asked.end)
        for row in service.analytics(one, "day"):
            day = service.clock.read(row["key"])
            times = {"interval_start": service.clock.shown(day), "interval_end": service.clock.shown(day + 24 * 3600)}
            data.append({"key": crn} | times | shapes.analytics(row))
    now = service.clock.now()
    return Response(
        {
            "interval_start": service.clock.shown(now - 28 * 24 * 3600 if asked.start is None else asked.start),
            "interval_end": service.clock.shown(now if asked.end is None else asked.end),
            "data": sorted(data, key=lambda entry: (str(entry["interval_start"]), str(entry["key"]))),
        }
    )


def _analytics_filters(app: App, instance: Instance, request: Request, _: str) -> Response:
    return Response(
        {
            "backends": [{"name": d.name} for d in app.service.devices.values() if not d.mock],
            "instances": [{"id": crn, "deleted": False} for crn in INSTANCES],
            "users": [{"id": USER_ID}, {"id": COLLEAGUE_ID}],
            "plans": [{"name": _plan(i)} for i in INSTANCES.values()],
            "subscriptions": [],
        }
    )


_ID = r"([A-Za-z0-9-]{1,64})"
_NAME = r"([A-Za-z0-9_-]{1,64})"
ROUTES: list[Route] = [
    Route("POST", r"/identity/token", _identity, "nothing", api=False),
    Route("POST", r"/v3/resources/search", _search, "token", api=False),
    Route("GET", rf"{CATALOGUE}/{_ID}", _catalogue, "token", api=False),
    Route("GET", r"/versions", _versions, "nothing"),
    Route("GET", r"/instance", _instance),
    Route("GET", rf"/accounts/{_ID}", _account),
    Route("GET", r"/instances/usage", _usage),
    Route("GET", r"/instances/configuration", _instance_configuration),
    Route("PUT", r"/instances/configuration", _set_instance_configuration),
    Route("GET", r"/backends", _backends),
    Route("GET", rf"/backends/{_NAME}/configuration", _configuration),
    Route("GET", rf"/backends/{_NAME}/properties", _properties),
    Route("GET", rf"/backends/{_NAME}/status", _status),
    Route("GET", rf"/backends/{_NAME}/defaults", _defaults),
    Route("POST", r"/sessions", _open_session),
    Route("GET", rf"/sessions/{_ID}", _session),
    Route("PATCH", rf"/sessions/{_ID}", _patch_session),
    Route("DELETE", rf"/sessions/{_ID}/close", _cancel_session),
    Route("POST", r"/jobs", _submit),
    Route("GET", r"/jobs", _jobs),
    Route("GET", rf"/jobs/{_ID}", _job),
    Route("DELETE", rf"/jobs/{_ID}", _delete_job),
    Route("GET", rf"/jobs/{_ID}/results", _results),
    Route("GET", rf"/jobs/{_ID}/logs", _logs),
    Route("GET", rf"/jobs/{_ID}/metrics", _metrics),
    Route("POST", rf"/jobs/{_ID}/cancel", _cancel),
    Route("PUT", rf"/jobs/{_ID}/tags", _set_tags),
    Route("GET", r"/tags", _tags),
    Route("GET", r"/workloads", _workloads),
    Route("GET", r"/analytics/usage", _analytics),
    Route("GET", r"/analytics/usage_grouped", _analytics_grouped),
    Route("GET", r"/analytics/usage_grouped_by_date", _analytics_by_date),
    Route("GET", r"/analytics/filters", _analytics_filters),
    Route("GET", r"/admin/proof", admin.proof, "nothing", api=False),
    Route("POST", r"/admin/token", admin.token, "nothing", api=False),
    Route("GET", r"/admin/ping", admin.ping, "token", api=False),
    Route("GET", r"/admin/faults", admin.faults, "token", api=False),
    Route("POST", r"/admin/faults", admin.change_faults, "token", api=False),
    Route("GET", r"/admin/requests", admin.requests, "token", api=False),
    Route("DELETE", r"/admin/requests", admin.forget_requests, "token", api=False),
    Route("GET", rf"/admin/wait/{_ID}", admin.wait, "token", api=False),
    Route("POST", r"/admin/stop", admin.stop, "token", api=False),
]
