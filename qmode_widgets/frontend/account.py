"""The account, for the panel: what is open and what the instances may still use, read in a kernel that has a service.

`js/lab/kernels/account.ts` is the mirror. Requests come on the control channel as `qmode_account` and are only handed
over there; what came of them is broadcast on the beacon:

    about  id                    account-about   id, instances                       fingerprints of the instances
    look   id                    account         id, instances, workloads, unseen    or account-answer with `failed`
    strays id                    account-strays  id, workloads                       opened since this kernel began
    act    id, act, workload     account-answer  id, status, message                 act: watch, end, cancel
    check  id                    account-check   id, ok, rows, text                  qmode.check(), here

Only workloads of the account's own user are listed, and only what was listed is ended or cancelled. The token stays
here: no message carries it, nor an instance's CRN.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import psutil

from ..model.command import Controllable
from ..model.outcome import Done, Outcome
from ..portal import aside, portal
from .protocol import Message

if TYPE_CHECKING:
    from qiskit_ibm_runtime import QiskitRuntimeService

    from ..control.open_workloads import OpenWorkload
    from ..ibm.check import Report
    from ..ibm.link import Link

log = logging.getLogger(__name__)

ACTS = ("watch", "end", "cancel")
KERNEL_BEGAN = psutil.Process().create_time()  # seconds since the epoch, on this machine's clock
_MAX_ID = 200

_connected: list[QiskitRuntimeService] = []


def connect(service: QiskitRuntimeService | None = None) -> None:
    """Let the panel look at an account through this kernel. The panel's own kernel runs it.

    Args:
        service: the account's service; the saved account's if not given.

    Raises:
        QmodeError: there is no saved account.
    """
    from ..control.attach import find_service
    from ..errors import QmodeError

    try:
        found = find_service(service)
    except QmodeError as error:
        if service is None and type(error.__cause__).__name__ == "AccountNotFoundError":
            raise QmodeError(
                "There is no saved IBM Quantum account where this kernel runs. Save one once, in a notebook, with "
                "QiskitRuntimeService.save_account(token=…, instance=…)."
            ) from error
        raise
    if not any(found is known for known in _connected):
        _connected.append(found)


class AccountDesk:
    """Answers the panel's requests about the account, one after another, aside from the loop."""

    def __init__(
        self,
        send: Callable[[Message], None],
        register: Callable[[Controllable], None],
        check: Callable[[QiskitRuntimeService | None], Report],
    ) -> None:
        """`send` broadcasts a message to every page; `register` shows a controller on every screen; `check` looks at
        this installation, the screens among it, so it is above us.
        """
        self._send = send
        self._register = register
        self._check = check
        self._turn: asyncio.Lock | None = None
        self._listed: dict[str, OpenWorkload] = {}

    def receive(self, request: object) -> None:
        """Take a request; returns at once."""
        if isinstance(request, Mapping) and _is_id(request.get("id")):  # else nobody could be answered
            portal().send(self._take, request)

    async def _take(self, request: Mapping[str, Any]) -> None:
        if self._turn is None:
            self._turn = asyncio.Lock()
        if request.get("kind") == "check":  # some seconds, or a minute: nothing waits for it
            await aside(self._answer, request)
            return
        async with self._turn:
            await aside(self._answer, request)  # the client's own objects may ask the service on the way

    def _answer(self, request: Mapping[str, Any]) -> None:
        from ..errors import QmodeError

        id_ = str(request["id"])
        try:
            match request.get("kind"):
                case "about":
                    found = [fingerprint(link.instance) for link in self._links()]
                    self._send({"kind": "account-about", "id": id_, "instances": found})
                case "look":
                    self._send({"kind": "account", "id": id_} | self.look())
                case "strays":
                    rows = [_row(w) for w in self.strays()]
                    self._send({"kind": "account-strays", "id": id_, "workloads": rows})
                case "act":
                    done = self.act(str(request.get("act")), str(request.get("workload")))
                    self._tell(id_, "failed" if done.failed else "done", str(done))
                case "check":
                    self._send({"kind": "account-check", "id": id_} | self.checked())
                case other:
                    raise ValueError(f"unknown request {other!r}: this kernel knows about, look, strays, act and check")
        except (QmodeError, ValueError) as error:
            self._tell(id_, "failed", str(error))
        except Exception as error:
            log.exception("a request of the panel failed inside")
            self._tell(id_, "failed", f"an error inside qmode_widgets: {error}")

    def _tell(self, id_: str, status: str, message: str) -> None:
        self._send({"kind": "account-answer", "id": id_, "status": status, "message": message})

    # -- what is asked

    def look(self) -> Message:
        """Instances, open workloads of the account's user, and what could not be seen.

        Raises:
            QmodeError: this kernel has no service.
        """
        from ..control.open_workloads import workloads
        from ..errors import QmodeError

        links = self._links()
        if not links:
            raise QmodeError("this kernel has no service any more: look at the account again")
        instances, unseen = [], []
        for link in links:
            try:
                instances.append(allowance(link))
            except QmodeError as error:
                instances.append(_unknown(link))
                unseen.append(f"the usage of {link.instance_label}: {error}")
        listed: dict[str, OpenWorkload] = {}
        for service in services():
            found = workloads(service)
            unseen += [text for text in found.unseen if text.startswith("the instance ")]
            listed |= {w.id: w for w in found}
        self._listed = listed
        return {
            "instances": instances,
            "workloads": [_row(w) for w in listed.values()],
            "unseen": list(dict.fromkeys(unseen)),
        }

    def strays(self) -> list[OpenWorkload]:
        """Workloads of the account's user that were opened while this kernel ran, and that no controller of it has.

        A library with its own HTTP client opened them, another program or another kernel: `watch` does not see those.
        What cannot be asked now is asked again a minute later.
        """
        from ..control.open_workloads import workloads

        found: dict[str, OpenWorkload] = {}
        for service in services():
            for one in workloads(service):
                began = KERNEL_BEGAN + one.link.now() - time.time()  # on the service's clock
                if not one.watched and one.created is not None and one.created >= began:
                    found[one.id] = one
        self._listed |= found
        return list(found.values())

    def checked(self) -> Message:
        """What `qmode.check` finds in this kernel, with the first of its services. Reads only."""
        report = self._check(next(iter(services()), None))
        rows = [{key: value for key, value in asdict(row).items() if value is not None} for row in report.rows]
        return {"ok": report.ok, "rows": rows, "text": report.text}

    def act(self, act: str, workload: str) -> Outcome:
        """Watch, end or cancel a listed workload.

        Raises:
            QmodeError: the service refuses, does not answer, or the workload is not an open one of this user.
            ValueError: another act.
        """
        from ..errors import QmodeError

        if act not in ACTS:
            raise ValueError(f"unknown act {act!r}: this kernel knows {', '.join(ACTS)}")
        if workload not in self._listed:
            self.look()
        found = self._listed.get(workload)
        if found is None:
            raise QmodeError(f"{workload} is not an open workload of this account's user: it may have ended")
        if act == "watch":
            self._register(found.attach())
            return Done("watched by this kernel")
        done: Outcome = found.close() if act == "end" else found.cancel()
        with contextlib.suppress(QmodeError):  # it is done; only the new list is missing
            self._send({"kind": "account", "id": ""} | self.look())
        return done

    def _links(self) -> list[Link]:
        """One link an instance, whatever number of service objects know it."""
        from ..ibm.client import instances_of
        from ..ibm.link import link_of

        found: dict[str, Link] = {}
        for service in services():
            for instance in instances_of(service):
                if instance not in found:
                    found[instance] = link_of(service, instance)
        return list(found.values())


def services() -> list[QiskitRuntimeService]:
    """The service objects of this kernel: connected for the panel, used by a controller, or under a user's name."""
    if "qiskit_ibm_runtime" not in sys.modules:
        return []
    from qiskit_ibm_runtime import QiskitRuntimeService

    from ..control.registry import registry

    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    named = [] if shell is None else list(shell.user_ns.values())
    found = [
        *_connected,
        *(c.service for c in registry.all()),
        *(v for v in named if isinstance(v, QiskitRuntimeService)),
    ]
    return list({id(service): service for service in found}.values())


def fingerprint(instance: str) -> str:
    """By which a page knows that two kernels speak of one instance, without learning its CRN."""
    return hashlib.sha256(instance.encode()).hexdigest()[:16]


def allowance(link: Link) -> Message:
    """What an instance used and may use, in seconds. An allocation is a share and stops nothing: only a limit does.

    Raises:
        ServiceError, UnreachableError: the service did not answer.
    """
    from ..ibm.link import patiently

    usage = patiently(link.instance_usage)
    start, end = usage.period_start, usage.period_end
    rolling = str(link.plan or "").lower() == "open" and bool(usage.consumed)
    return _unknown(link) | {
        "used": usage.consumed,
        "limit": usage.limit,
        "allocation": usage.allocation,
        "left": usage.left,
        "reached": usage.limit_reached,
        "returns": _returns(link, start, end - start) if rolling and start is not None and end is not None else None,
    }


def _unknown(link: Link) -> Message:
    names = ("used", "limit", "allocation", "left", "returns")
    return {"name": link.instance_label, "plan": link.plan, "reached": False} | dict.fromkeys(names)


def _returns(link: Link, start: float, length: float) -> Message | None:
    """When seconds come back next on a plan whose period rolls, and how many: the oldest usage in the period leaves it.

    The service tells the sum only; which day used what is read from the workloads of the account's user, the oldest of
    the period first. None where one page of them shows no usage.
    """
    from datetime import UTC, datetime

    from ..ibm.link import patiently

    since = datetime.fromtimestamp(start, UTC).isoformat().replace("+00:00", "Z")
    page = patiently(link.workloads, limit=50, sort="createdAt", user="me", created_after=since)
    found = [
        (at + length, workload.usage)
        for workload in page.workloads
        if workload.usage and (at := workload.ended or workload.created) is not None
    ]
    if not found:
        return None
    first = min(at for at, _ in found)
    return {"at": first, "seconds": sum(used for at, used in found if at - first < 86_400)}


def _row(workload: OpenWorkload) -> Message:
    return {
        "id": workload.id,
        "mode": workload.mode,
        "backend": workload.backend,
        "instance": workload.instance,
        "status": workload.status,
        "created": workload.created,
        "usage": workload.usage_seconds,
        "label": None,
    }


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_ID
