"""The control endpoint: ours, not IBM's. Faults, pauses, the record of requests, waiting for states."""

from __future__ import annotations

import asyncio
import os

from ..options import VERSION
from ..service.account import INSTANCES, Instance
from ..service.errors import ServiceError, bad_request
from .app import App
from .messages import NOTHING, Answer, Request


def ping(app: App, instance: Instance, request: Request, _: str) -> Answer:
    """Who it is, and how it runs."""
    options = app.service.options.to_dict()
    return Answer({"version": VERSION, "pid": os.getpid(), "busy": app.service.busy, "options": options})


def faults(app: App, instance: Instance, request: Request, _: str) -> Answer:
    """What is still to go wrong."""
    return Answer(app.service.faults.to_dict())


def change_faults(app: App, instance: Instance, request: Request, _: str) -> Answer:
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


def requests(app: App, instance: Instance, request: Request, _: str) -> Answer:
    """The API requests answered so far."""
    return Answer({"requests": list(app.requests)})


def forget_requests(app: App, instance: Instance, request: Request, _: str) -> Answer:
    """Begin a new record of requests."""
    app.requests.clear()
    return NOTHING


async def wait(app: App, instance: Instance, request: Request, id_: str) -> Answer:
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


def stop(app: App, instance: Instance, request: Request, _: str) -> Answer:
    """End the service."""
    app.stop.set()
    return NOTHING
