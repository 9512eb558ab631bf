"""The admin endpoint, which IBM's service does not have: faults, pauses, the record of requests, waiting for states."""

from __future__ import annotations

import asyncio
import math
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from ..options import VERSION
from ..service import account
from ..service.account import INSTANCES, Instance
from ..service.errors import ApiError, bad_request
from .app import App
from .messages import NOTHING, Request, Response

_SETTINGS = {"listing_lag": (0.0, 1e6), "soak": (0.0, 1.0), "skew": (-1e6, 1e6), "advance": (0.0, 1e6)}


def proof(app: App, instance: Instance, request: Request, _: str) -> Response:
    """Prove that this server knows the key, before anybody sends the key to it."""
    nonce = request.text("nonce") or ""
    if not 16 <= len(nonce) <= 128:
        raise bad_request("nonce must have 16 to 128 characters")
    # A service outlives an environment or a checkout that is removed, and none of its jobs could run any more.
    whole = all(Path(each).exists() for each in (sys.executable, __file__))
    said = {"pid": os.getpid(), "version": VERSION, "ready": app.service.engine.ready, "whole": whole}
    return Response({"proof": account.proof(app.keys.key, app.address, nonce)} | said)


def token(app: App, instance: Instance, request: Request, _: str) -> Response:
    """Issue a token as IAM does, whatever faults IAM has."""
    return login(app, request)


def login(app: App, request: Request) -> Response:
    """Exchange an API key for an access token."""
    form = parse_qs(request.body.decode("utf-8", "replace"))
    issued = app.keys.issue(form.get("apikey", [""])[0])
    if issued is None:
        error = ApiError(401, 1200, "You are not authorized.", "Use the key that this emulator printed.")
        iam = {"errorCode": "BXNIM0415E", "errorMessage": "Provided API key could not be found."}
        return Response(error.body() | iam, 401)
    return Response(issued)


def ping(app: App, instance: Instance, request: Request, _: str) -> Response:
    """Return the version, process and options."""
    options = app.service.options.to_dict()
    return Response({"version": VERSION, "pid": os.getpid(), "busy": app.service.busy, "options": options})


def faults(app: App, instance: Instance, request: Request, _: str) -> Response:
    """Return the faults that are still to come."""
    return Response(app.service.faults.to_dict())


async def change_faults(app: App, instance: Instance, request: Request, _: str) -> Response:
    """Add a fault (`{"kind": "job" or "request", …}`), or change settings; see `client.faults.Faults`.

    Everything is checked before anything is changed.
    """
    asked, service = request.json(), app.service
    try:
        if (kind := asked.pop("kind", None)) is not None:
            service.faults.add(str(kind), asked)
        else:
            _check(asked)
            if "advance" in asked:
                await service.simulated()
            _change(app, asked)
    except (TypeError, ValueError) as error:
        raise bad_request(str(error)) from None
    return Response(service.faults.to_dict())


def _check(asked: dict[str, Any]) -> None:
    """Raise ValueError if any part of a change is wrong."""
    known = [*_SETTINGS, "instance", "used", "clear", "pause", "resume", "expire"]
    if unknown := sorted(set(asked) - set(known)):
        raise ValueError(f"there is no setting {unknown[0]!r}; there are {', '.join(known)}")
    for name, (low, high) in _SETTINGS.items():
        if name in asked and not (type(asked[name]) in (int, float) and low <= asked[name] <= high):
            raise ValueError(f"{name}={asked[name]!r}: use a number between {low:g} and {high:g}")
    if ("used" in asked) != ("instance" in asked):
        raise ValueError("give an instance and the seconds that it used, or neither")
    if "used" in asked:
        _crn(asked["instance"])
        if type(asked["used"]) not in (int, float) or not 0 <= asked["used"] < math.inf:
            raise ValueError(f"used={asked['used']!r}: use seconds, 0 or more")
    if asked.get("pause") not in (None, "qpu", "queue"):
        raise ValueError(f"pause={asked['pause']!r}: use qpu or queue")
    for name in ("clear", "resume", "expire"):
        if not isinstance(asked.get(name, False), bool):
            raise ValueError(f"{name}={asked[name]!r}: must be true or false")


def _crn(name: Any) -> str:
    for crn, instance in INSTANCES.items():
        if name in (crn, instance.name):
            return crn
    raise ValueError(f"instance={name!r}: use one of {', '.join(i.name for i in INSTANCES.values())}")


def _change(app: App, asked: dict[str, Any]) -> None:
    service = app.service
    if asked.get("clear"):
        service.used_elsewhere.clear()
        service.faults.clear()
        service.clock.skew = 0.0
        service.resume()
    service.faults.listing_lag = asked.get("listing_lag", service.faults.listing_lag)
    service.faults.soak = asked.get("soak", service.faults.soak)
    service.clock.skew = asked.get("skew", service.clock.skew)
    service.clock.advance(asked.get("advance", 0.0))
    if "used" in asked:
        service.used_elsewhere[_crn(asked["instance"])] = asked["used"]
    if asked.get("pause"):
        service.pause(queue=asked["pause"] == "queue")
    if asked.get("resume"):
        service.resume()
    if asked.get("expire"):
        app.keys.expire()
        service.store.set_meta("secret", app.keys.secret.hex())
    service.tick()


def requests(app: App, instance: Instance, request: Request, _: str) -> Response:
    """Return the API requests answered so far."""
    return Response({"requests": list(app.requests)})


def forget_requests(app: App, instance: Instance, request: Request, _: str) -> Response:
    """Begin a new record of requests."""
    app.requests.clear()
    return NOTHING


async def wait(app: App, instance: Instance, request: Request, id_: str) -> Response:
    """Answer when a job or workload is in one of the `state`s, or with 408 after `timeout` seconds."""
    wanted = {state.lower() for state in request.query.get("state", ())}
    loop = asyncio.get_running_loop()
    until = loop.time() + request.number("timeout", 30, 0, 600)
    service = app.service
    while True:
        service.tick()
        row = service.store.job(id_)
        state = row["status"] if row else (service.store.workload(id_) or {}).get("state")
        if state is None:
            raise ApiError(404, 1291, f"There is no job or session {id_[:60]!r}.")
        if state.lower() in wanted:
            return Response({"state": state})
        try:
            async with asyncio.timeout_at(until), service.changed:
                await service.changed.wait()
        except TimeoutError:
            raise ApiError(408, 1200, f"{id_} is {state}, not {' or '.join(sorted(wanted))}.") from None


def stop(app: App, instance: Instance, request: Request, _: str) -> Response:
    """End the service."""
    app.stop.set()
    return NOTHING
