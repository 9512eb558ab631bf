"""`GET /workloads`: jobs in job mode, batches and sessions in one list, paged by cursors."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any

from . import shapes
from .account import Instance
from .errors import bad_request

if TYPE_CHECKING:
    from .messages import Request
    from .state import Service

MAX_PAGE = 50
MODES = ("job", "session", "batch")
STATUSES = ("pending", "in_progress", "completed", "canceled", "failed")


def page_of_workloads(service: Service, instance: Instance, request: Request) -> dict[str, Any]:
    """One page."""
    limit = request.number("limit", 10, 1, MAX_PAGE)
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
