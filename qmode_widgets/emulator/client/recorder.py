"""Records a service as a twin: what the client can read of its backends and its instance, by GET only.

The client has no method for how long jobs waited, so that is read with the account's own key, signed in as the client
signs in.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from jupyter_core.paths import jupyter_runtime_dir

from ..options import Options, names_in
from ..twin import InstanceTerms, Recorded, Twin

if TYPE_CHECKING:
    from qiskit_ibm_runtime import QiskitRuntimeService

_PATIENCE = 20.0  # seconds for the waiting times
_RECENT = 50  # jobs that are looked through for a session and a batch
_PREFIX = "qmode-emulator-"
_TTLS = ("max_ttl", "interactive_ttl", "active_ttl")


def record(service: QiskitRuntimeService, backends: Iterable[str] | None = None) -> Twin:
    """Read backends and the active instance of a service.

    The TTLs are those that the service answered for the youngest session and batch of the instance; there is no other
    place where it tells them.

    Args:
        service: a client with one active instance.
        backends: names; None for all that the instance has.

    Raises:
        ValueError: a backend has no calibration data, or the record would hold a key or a CRN.
        QiskitBackendNotFoundError: there is no such backend.
    """
    names = [b.name for b in service.backends()] if backends is None else list(backends)
    waits, why = _waits(service)
    found = [_backend(service, name, waits.get(name)) for name in dict.fromkeys(names)]
    terms, notes = _terms(service)
    notes += why
    twin = Twin(instance=terms, backends=found, notes=notes)
    account, text = service.active_account() or {}, twin.text
    if any(secret in text for secret in ("crn:v1:", account.get("token")) if secret):
        raise ValueError("the backends' data hold a key or a CRN: no twin is made of them")
    return twin


def _backend(service: QiskitRuntimeService, name: str, waits: dict[str, float] | None) -> Recorded:
    backend = service.backend(name, use_fractional_gates=None)  # None: all gates
    backend.refresh()  # the service object may have cached a selection of the gates, and an older calibration
    properties = backend.properties()
    if properties is None:
        raise ValueError(f"backend {name!r} has no calibration data: no twin can be made of it")
    conf, props = plain(backend.configuration().to_dict()), plain(properties.to_dict())
    return Recorded(
        name=name,
        configuration=conf,
        properties=props,
        wait_time_seconds=waits,
        queue_length=backend.status().pending_jobs,
    )


def _waits(service: QiskitRuntimeService) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Return how long jobs waited, by backend, and what is to be noted where that cannot be read."""
    try:
        told = {str(device["name"]): device.get("wait_time_seconds") for device in _devices(service)}
    except Exception as error:  # noqa: BLE001 - a twin without waiting times is a twin all the same, and notes why
        return {}, [f"waiting times: not known, since they could not be read ({type(error).__name__})"]
    waits = {
        name: {kind: wait[kind] for kind in ("average", "p50", "p95") if isinstance(wait.get(kind), int | float)}
        for name, wait in told.items()
        if isinstance(wait, dict)
    }
    return {name: wait for name, wait in waits.items() if wait}, []


def _devices(service: QiskitRuntimeService) -> list[dict[str, Any]]:
    """Return the entries of all backends, with how long jobs waited for them."""
    from qiskit_ibm_runtime.api.client_parameters import ClientParameters
    from qiskit_ibm_runtime.proxies import ProxyConfiguration

    account: dict[str, Any] = dict(service.active_account() or {})
    proxies = account.get("proxies")
    parameters = ClientParameters(
        channel=account.get("channel", "ibm_quantum_platform"),
        token=account.get("token", ""),
        url=account.get("url"),
        instance=service.active_instance(),
        proxies=ProxyConfiguration(**proxies) if proxies else None,
        verify=account.get("verify", True),
        private_endpoint=account.get("private_endpoint", False),
    )
    # An embedded service signs in elsewhere than IBM's, and its variables are set only while a client is made.
    with getattr(service, "variables", contextlib.nullcontext)():
        signed_in = parameters.get_auth_handler()
    answer = requests.get(
        f"{parameters.get_runtime_api_base_url()}/backends",
        params={"fields": "wait_time_seconds"},
        timeout=_PATIENCE,
        allow_redirects=False,  # the key goes to the account's own address only
        **{**parameters.connection_parameters(), "auth": signed_in},
    )
    answer.raise_for_status()
    return list(answer.json()["devices"])


def plain(value: Any) -> Any:
    """Return a value of the client's `to_dict` as the service's JSON has it."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, complex):
        return [value.real, value.imag]
    return value


def _terms(service: QiskitRuntimeService) -> tuple[InstanceTerms, list[str]]:
    crn = service.active_instance()
    told = next((dict(i) for i in service.instances() if i["crn"] == crn), {})
    usage, ttls = service.usage(), _ttls(service)
    terms = InstanceTerms(
        plan=str(told.get("plan") or "pay-as-you-go"),
        pricing=str(told.get("pricing_type") or "paygo"),
        limit_seconds=usage.get("usage_limit_seconds"),
        allocation_seconds=usage.get("usage_allocation_seconds"),
        consumed_seconds=usage.get("usage_consumed_seconds") or 0.0,
        **ttls,
    )
    notes = [f"{name}: not known, since no recent job ran in a session or batch" for name in _TTLS if name not in ttls]
    return terms, notes


def _ttls(service: QiskitRuntimeService) -> dict[str, float]:
    """Return the TTLs of the youngest session or, without one, of the youngest batch."""
    from qiskit_ibm_runtime import Batch, Session
    from qiskit_ibm_runtime.exceptions import IBMRuntimeError

    found: dict[str, float] = {}
    jobs = service.jobs(limit=_RECENT)
    for id_ in dict.fromkeys(job.session_id for job in jobs if job.session_id):
        for kind in (Session, Batch):
            # Each refuses the other's ids.
            with contextlib.suppress(IBMRuntimeError, ValueError):
                details = kind.from_id(id_, service).details() or {}
                told = {
                    "max_ttl": details.get("max_time"),
                    "interactive_ttl": details.get("interactive_timeout"),
                    "active_ttl": details.get("active_timeout"),
                }
                ttls = {name: float(seconds) for name, seconds in told.items() if seconds is not None}
                if kind is Session:
                    return ttls
                found = found or ttls
    return found


def is_ours(path: str) -> bool:
    """Return whether a twin's file is one that we wrote for a service that runs, not one that a user saved."""
    file = Path(path)
    return file.parent == Path(jupyter_runtime_dir()) and file.match(f"{_PREFIX}*.twin")


def twin_options(
    like: QiskitRuntimeService | str | Path, given: dict[str, Any], *, shared: bool = True
) -> dict[str, Any]:
    """Return the options of a twin: those given, and from the twin its backends and TTLs where they are not given.

    Args:
        like: a service, which is read, or the file of a twin.
        given: keyword arguments of `start`; `backends` may be a list or a comma-separated text.
        shared: whether the service is for all kernels of this user.
    """
    wanted = given.get("backends")
    names = names_in(wanted) if isinstance(wanted, str) else wanted
    if isinstance(like, str | Path):
        path = Path(like).absolute()
        twin = Twin.load(path)
    else:
        twin = record(like, names)
        # Named by its content: the same calibration and usage give the same shared service again.
        name = hashlib.sha256(twin.text.encode()).hexdigest()[:12] if shared else secrets.token_hex(6)
        folder = Path(jupyter_runtime_dir())
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = twin.save(folder / f"{_PREFIX}{name}.twin")
    served = [backend.name for backend in twin.backends] if names is None else names
    told = {name: seconds for name in _TTLS if (seconds := getattr(twin.instance, name)) is not None}
    return told | given | {"twin": str(path), "backends": ",".join(served)}


def like_account(like: str, options: Options) -> Options:
    """Return options for the twin of a saved account's service, or of a twin's file.

    Args:
        like: the name of a saved account, or a file.
        options: of the command line; what differs from the defaults is kept.

    Raises:
        ValueError: there is neither such a file nor such an account.
    """
    given = {name: value for name, value in asdict(options).items() if value != getattr(Options(), name)}
    if Path(like).exists():
        return Options.of(twin_options(like, given))
    from qiskit_ibm_runtime import QiskitRuntimeService

    if like not in QiskitRuntimeService.saved_accounts():
        known = ", ".join(QiskitRuntimeService.saved_accounts()) or "none"
        raise ValueError(f"--like {like!r}: there is no such file, and no such saved account; saved are: {known}")
    return Options.of(twin_options(QiskitRuntimeService(name=like), given))
