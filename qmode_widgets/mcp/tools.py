"""What the tools do. Imported at the first call that needs qiskit.

A usage cap lives in this process; each job carries it to the service as its maximum execution time as well. When the
server ends, nobody adds up the usage of several jobs any more: so what has not started of its own is cancelled then.
What the server did not open it neither closes nor cancels, beyond its own runs.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import statistics
import threading
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ValidationError
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.executor_sampler import Sampler

from ..control.attach import attach
from ..control.controller import Controller
from ..control.job import JobController
from ..control.modes import BatchController, SessionController
from ..control.open_workloads import workloads
from ..errors import ArgumentError, QmodeError, ServiceError, UnreachableError
from ..ibm.account import account
from ..ibm.client import instance_of, instances_of
from ..ibm.link import Link, ask, link_of
from ..model import tags
from ..model.outcome import Outcome
from ..model.partition import Partition
from ..model.snapshot import JobSnapshot, JobState
from ..planning.allowance import cut_off
from ..planning.plan import Plan, plan
from . import answers, arguments
from .answers import Json
from .circuit_input import Primitive
from .connection import Connection
from .reading import Reading

CONTENT = "mcp:"  # begins the job tag that tells another server what a key was used for
LONG = 300.0  # seconds without a job after which a session that was kept open is closed all the same
SENDING = 40.0  # seconds that a submission may take; a key of the caller's has its first partition go alone
SERVER, USER, COLLEAGUE, UNKNOWN = "this server's", "the user's", "a colleague's", "not known"


class Tools:
    """The tools. Each may be called from several threads at once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._reading = Reading()
        self._lock = threading.Lock()  # calls run on worker threads and share what is known of submissions
        self._keys: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)  # a turn for each key
        self._opened: dict[str, Controller] = {}  # by id: the workloads that this server opened
        self._runs: dict[str, Controller] = {}  # what it submitted, and where
        self._content: dict[str, str] = {}  # of each run
        self._me: dict[str, str | None] = {}  # the user's id, by instance

    # --- before anything is spent ------------------------------------------------------------------------------

    def _plan(self, asked: arguments.Work, backend: Any, settings: Json, jobs: int | None, iterations: int) -> Plan:
        if asked.shots is not None and asked.primitive == "estimator":
            raise ArgumentError("shots are for the sampler: an estimator takes precision")
        if asked.precision is not None and asked.primitive == "sampler":
            raise ArgumentError("precision is for the estimator: a sampler takes shots")
        own = _primitive(asked.primitive, backend, settings)
        pubs = self._reading.pubs(asked.circuits, backend, asked.primitive, transpile=asked.transpile)
        cut: int | Literal["auto"] = "auto" if jobs is None else jobs
        return plan(
            pubs, backend, own, shots=asked.shots, precision=asked.precision, partitions=cut, iterative=iterations
        )

    def plan(self, asked: arguments.Plan) -> Json:
        """Advise on the mode."""
        chosen = self._connection.backend(asked.backend)
        made = self._plan(asked, chosen, _settings(asked), asked.jobs, asked.iterations)
        return answers.plan(made) | self._payer(chosen)

    def estimate(self, asked: arguments.Estimate) -> Json:
        """Estimate the usage."""
        chosen = self._connection.backend(asked.backend)
        made = self._plan(asked, chosen, _settings(asked), None, 1)
        return {"backend": str(chosen.name)} | answers.estimate(made.usage) | self._payer(chosen)

    def _payer(self, backend: Any) -> Json:
        link = link_of(self._connection.service, str(instance_of(backend)))
        return {"instance": link.instance_label, "instance_plan": link.plan}

    # --- what there is -----------------------------------------------------------------------------------------

    def list(self, _: arguments.Nothing) -> Json:
        """The open workloads."""
        found = workloads(self._connection.service)
        ours = self._ours()
        rows = [
            {
                "id": w.id,
                "mode": w.mode,
                "backend": w.backend,
                "instance": w.instance,
                "status": w.status,
                "created": answers.time(w.created),
                "usage": w.usage_seconds,
                "submitted_here": w.id in ours,
            }
            for w in found
        ]
        return {"workloads": rows, "not_seen": list(found.unseen)}

    def _ours(self) -> set[str]:
        """The ids of the workloads that this server opened, and of the workloads and jobs of its runs."""
        with self._lock:
            opened, runs = list(self._opened.values()), dict(self._runs)
        found = {id_ for c in opened for id_ in (c.id, *c.workload_ids)}
        for controller in set(runs.values()):
            mine = [j for j in controller.jobs if j.run in runs]
            found |= {j.job_id for j in mine if j.job_id is not None} | {controller.id, controller.workload_id}
        return found

    def watch(self, asked: arguments.Watch) -> Json:
        """The state of one workload."""
        return self._state(self._find(asked.id), asked.wait_seconds, asked.outcomes)

    def _find(self, id_: str) -> Controller:
        return attach(id_, self._connection.service)

    def _state(self, controller: Controller, seconds: float, outcomes: int) -> Json:
        controller.refresh()
        if seconds:
            controller.wait(seconds)
        found = answers.workload(controller) | {"whose": self._whose(controller)}
        if found["finished"]:
            try:
                found["result"] = answers.result(controller, outcomes)
            except QmodeError as error:
                found["result"] = {"note": f"the result cannot be read now: {error}"}
        return found

    def _whose(self, controller: Controller) -> str:
        """Whose a workload is, by the service's ids of users."""
        if controller.id in self._opened:
            return SERVER
        link = controller._ledger.link
        owner = self._owner(controller, link)
        if link.instance not in self._me:
            with contextlib.suppress(ServiceError, UnreachableError):
                own = ask(link.workloads, limit=1, user="me").workloads
                if own:
                    self._me[link.instance] = own[0].user
        me = self._me.get(link.instance)
        if owner is not None and me is not None:
            return USER if owner == me else COLLEAGUE
        there = {w.id for w in workloads(self._connection.service)}
        if there & {*controller.workload_ids, *(j.job_id for j in controller.jobs)}:
            return USER
        return UNKNOWN

    @staticmethod
    def _owner(controller: Controller, link: Link) -> str | None:
        with contextlib.suppress(ServiceError, UnreachableError):
            if controller.snapshot().mode != "job":
                return ask(link.session, controller.workload_id).user
            first = next((j.job_id for j in controller.jobs if j.job_id is not None), None)
            return None if first is None else ask(link.job, first).user
        return None

    # --- what costs usage --------------------------------------------------------------------------------------

    def submit(self, asked: arguments.Submit) -> Json:
        """Submit under a cap, once for each key."""
        content = _content(asked)
        key = asked.key or f"mcp {content}"
        run = tags.run_of(key)
        with self._lock:
            turn = self._keys[run]
        with turn:
            there = self._made(run)
            if there is None:
                return self._submit(asked, key, content)
        if self._content.get(run, content) != content:
            raise QmodeError(
                f"nothing was submitted: key={key!r} was used for other work, the run {run}. Use another key"
            )
        note = (
            "an earlier call with this key submitted this run, and nothing was sent now. To run the same work once "
            "more, pass another key; to run what failed again, call resubmit"
        )
        paid = {"instance_plan": there._ledger.link.plan, "planned_bill": None}
        state = self._state(there, asked.wait_seconds, asked.outcomes)
        return {"run": run, "key": key, "repeated": True, "note": note} | state | paid

    def _made(self, run: str) -> Controller | None:
        """Where an earlier call submitted the run, in this process or another one."""
        if (known := self._runs.get(run)) is not None:
            return known
        service = self._connection.service
        for instance in instances_of(service):
            if found := ask(link_of(service, instance).jobs, tags=[tags.run_tag(run)], limit=1).jobs:
                content = next((t.removeprefix(CONTENT) for t in found[0].tags if t.startswith(CONTENT)), None)
                if content is not None:
                    with self._lock:
                        self._content.setdefault(run, content)
                return attach(run, service)
        return None

    def _submit(self, asked: arguments.Submit, key: str, content: str) -> Json:
        cap = asked.usage_cap_seconds
        there = None if asked.workload is None else self._find(asked.workload)
        mode, name = (asked.mode, asked.backend) if there is None else _fitting(there, asked.mode, asked.backend)
        chosen = self._connection.backend(name)
        settings = _settings(asked)
        made = self._plan(asked, chosen, settings, asked.jobs, 1)
        taken = made.mode if mode == "auto" else mode
        if made.errors:
            raise QmodeError("nothing was submitted: " + "; ".join(f.message for f in made.errors))
        ours = there is None or there.id in self._opened
        if ours:
            used = 0.0 if there is None else there.refresh().usage.reported or 0.0
            _affordable(made.bills[taken].low, made.bills[taken].expected, cap, used, f"in {taken} mode")
        else:  # its cap would end other people's jobs: the service bounds each job that is sent
            _affordable(made.usage.low, made.usage.expected, cap, 0.0, "for these jobs")
            settings = _shared_cap(settings, cap, made.partitions)
        controller: Any = _open(taken, chosen, cap) if there is None else there
        if ours:
            controller.usage_cap = cap
            with self._lock:
                self._opened[controller.id] = controller
        try:
            own = _primitive(asked.primitive, controller.primitive_mode, settings)
            own.options.environment.job_tags = [*(own.options.environment.job_tags or ()), CONTENT + content]
            given = {k: v for k, v in (("shots", asked.shots), ("precision", asked.precision)) if v is not None}
            run = controller.submit(
                own, list(made.pubs), partitions=list(made.partitions), label=asked.label, key=key, **given
            )
        except BaseException:
            if there is None:
                with contextlib.suppress(QmodeError):
                    controller.close()  # an open session is billed
            raise
        home = run._controller
        if home is not controller and there is None:  # it is in another workload: this one stays empty
            with contextlib.suppress(QmodeError):
                controller.close()
        with self._lock:
            self._runs[run.id], self._content[run.id] = home, content
        if ours and isinstance(controller, SessionController):
            controller.close_when_idle(LONG if asked.keep_open else 0)
        run.plan = made
        sent = bool(run.sent)
        home.wait_until(
            lambda state: all(j.state is not JobState.WAITING for j in state.jobs if j.run == run.id), SENDING
        )
        answer = self._state(home, asked.wait_seconds, asked.outcomes)
        bill = answers.plan(made)["modes"][taken]["bill"]
        return {"run": run.id, "key": key, "repeated": not sent, "planned_bill": bill} | answer | self._payer(chosen)

    def cancel(self, asked: arguments.Cancel) -> Json:
        """Cancel a workload, or one job of it, or what this server submitted into it."""
        controller = self._find(asked.id)
        controller.refresh()
        row = None if asked.job is None else _row(controller, asked.job)
        whose = SERVER if row is not None and row.run in self._runs else self._whose(controller)
        own = [j for j in controller.jobs if j.run in self._runs and not j.state.final]
        outcomes: dict[str, Any]
        if whose != SERVER and asked.whose == SERVER and row is None and own:
            outcomes = {j.key: controller.cancel(j.key) for j in own}
            said = f"{asked.id} is {whose}: only what this server submitted into it was cancelled, and it stays open"
            failed = any(o.failed for o in outcomes.values())
        else:
            allowed = COLLEAGUE if whose == UNKNOWN else whose
            if SERVER not in (whose, allowed) and asked.whose != allowed:
                raise QmodeError(
                    f"nothing was cancelled: {asked.job or asked.id} was not submitted by this server; it is "
                    f"{_owner_in_words(whose)}. Ask the user first; then pass whose={allowed!r}"
                )
            if row is not None:
                outcomes = {row.job_id or row.key: controller.cancel(row.key)}
                done: Outcome = next(iter(outcomes.values()))
            else:
                # The service cancels the whole queue with the workload, jobs that this user cannot list included.
                ended = controller.end() if whose == SERVER else controller.end(running=False)
                outcomes, done = dict(ended.cancelled), ended
                if whose != SERVER:
                    outcomes |= dict(controller.cancel_all())
            said, failed = str(done), done.failed or any(o.failed for o in outcomes.values())
        controller.refresh()
        jobs = {name: answers.cancelled(outcome) for name, outcome in outcomes.items()}
        state = answers.workload(controller) | {"whose": whose}
        return {"outcome": said, "failed": failed, "jobs_asked": jobs} | state

    def resubmit(self, asked: arguments.Resubmit) -> Json:
        """Run failed jobs again under a cap."""
        controller = self._find(asked.id)
        state = controller.refresh()
        row = None if asked.job is None else _row(controller, asked.job)
        if controller.id not in self._opened:
            others = sum(not j.state.final for j in state.jobs)
            if others or (state.mode != "job" and state.accepting_jobs):
                left = f"{others} of its jobs have not ended" if others else "it is open"
                raise QmodeError(
                    f"nothing was resubmitted: this server did not open {asked.id}, and {left}: a cap of this server "
                    "would end them, too. Submit the circuits with workload=, or resubmit once it has ended"
                )
        if asked.usage_cap_seconds is not None:
            controller.usage_cap = asked.usage_cap_seconds
        elif controller.usage.cap is None:
            raise QmodeError(
                f"nothing was resubmitted: {asked.id} has no usage cap in this server. Pass usage_cap_seconds: the "
                "most QPU seconds the whole workload may use, what it has used until now included"
            )
        runs = controller.resubmit_failed() if row is None else [controller.resubmit(row.key)]
        with self._lock:
            if runs:  # what goes on is in a workload that was opened for it, or in one of this server's
                self._opened[controller.id] = controller
            self._runs.update({run.id: controller for run in runs})
        sent = [key for run in runs for key in run.sent]
        controller.wait_until(lambda state: all(j.state is not JobState.WAITING for j in state.jobs), SENDING)
        return {"resubmitted": len(sent)} | self._state(controller, asked.wait_seconds, asked.outcomes)

    # --- the account -------------------------------------------------------------------------------------------

    def backends(self, _: arguments.Nothing) -> Json:
        """The backends, those with the shortest queue first."""
        found = [_backend_row(b) for b in self._connection.service.backends()]
        return {"backends": sorted(found, key=lambda b: (b["pending_jobs"] is None, b["pending_jobs"] or 0, b["name"]))}

    def backend(self, asked: arguments.Backend) -> Json:
        """One backend: what its last calibration says."""
        chosen = self._connection.backend(asked.name)
        target, n = chosen.target, int(chosen.num_qubits)
        if asked.qubits and max(asked.qubits) >= n:
            raise ArgumentError(f"qubits: {chosen.name} has the qubits 0 to {n - 1}, not {max(asked.qubits)}")
        qubits = [_qubit(target, q) for q in range(n)]
        gate = next((g for g in ("cz", "ecr", "cx") if g in target.operation_names), None)
        link = link_of(self._connection.service, str(instance_of(chosen)))
        calibrated = None
        with contextlib.suppress(ServiceError, UnreachableError):
            calibrated = ask(link.calibrated_at, str(chosen.name))
        kind = getattr(chosen, "processor_type", None) or {}
        words = [str(kind[k]) for k in ("family", "revision") if kind.get(k)] if isinstance(kind, dict) else []
        pairs = [] if gate is None else [p.error for p in target[gate].values() if p is not None]
        return _backend_row(chosen) | {
            "processor": " r".join(words) or None,
            "basis_gates": sorted(target.operation_names),
            "calibrated": answers.time(calibrated),
            "max_shots": getattr(chosen, "max_shots", None),
            "median_t1_seconds": _median([q["t1_seconds"] for q in qubits]),
            "median_t2_seconds": _median([q["t2_seconds"] for q in qubits]),
            "median_readout_error": _median([q["readout_error"] for q in qubits]),
            "median_two_qubit_error": _median(pairs),
            "two_qubit_gate": gate,
            "qubit_properties": [qubits[q] for q in asked.qubits or ()],
        }

    def usage(self, _: arguments.Nothing) -> Json:
        """What each instance used and may use."""
        service = self._connection.service
        return {"instances": [_instance(link_of(service, i)) for i in instances_of(service)]}

    def jobs(self, asked: arguments.Jobs) -> Json:
        """Jobs of the account."""
        service = self._connection.service
        found: list[Json] = []
        unseen: list[str] = []
        for instance in instances_of(service):
            link = link_of(service, instance)
            try:
                page = ask(
                    link.jobs, pending=not asked.ended, session_id=asked.workload, limit=asked.limit, offset=asked.skip
                )
            except (ServiceError, UnreachableError) as error:
                unseen.append(f"the instance {link.instance_label}: {error}")
                continue
            found += [
                {
                    "job": j.id,
                    "status": j.status,
                    "instance": link.instance_label,
                    "backend": j.backend,
                    "program": j.program,
                    "workload": j.session_id,
                    "created": answers.time(j.created),
                    "ended": answers.time(j.ended),
                    "usage": j.usage.seconds,
                    "tags": [t for t in tags.own(j.tags) if not t.startswith(CONTENT)],
                    "reason": j.reason,
                    "reason_code": j.reason_code,
                }
                for j in page.jobs
            ]
        return {"jobs": sorted(found, key=lambda j: j["created"] or "", reverse=True), "not_seen": unseen}

    def options(self, asked: arguments.Options) -> Json:
        """The options of a primitive by name."""
        return {"primitive": asked.primitive, "options": _options(_options_of(asked.primitive), "")}

    # --- the end -----------------------------------------------------------------------------------------------

    def end(self) -> None:
        """The server ends: leave nothing behind that could use more than its cap, and touch nothing of others.

        One job is bound by its own maximum execution time, which the service keeps. Of several, what has not started is
        cancelled; a session that this server opened is closed.
        """
        self._reading.close()
        with self._lock:
            opened, runs = dict(self._opened), dict(self._runs)
        for id_, controller in {c.id: c for c in (*opened.values(), *runs.values())}.items():
            ours = id_ in opened
            left = [j for j in controller.jobs if not j.state.final and (ours or j.run in runs)]
            with contextlib.suppress(QmodeError):
                if ours and (
                    isinstance(controller, SessionController)
                    or (isinstance(controller, BatchController) and len(left) > 1)
                ):
                    controller.end(running=False)
                elif len(left) > 1:
                    for job in left:
                        if job.state is not JobState.RUNNING:
                            with contextlib.suppress(QmodeError):
                                controller.cancel(job.key)


def _owner_in_words(whose: str) -> str:
    if whose == UNKNOWN:
        return "not known whose it is: take it for a colleague's"
    return "the user's own, opened elsewhere" if whose == USER else whose


def _row(controller: Controller, job: str) -> JobSnapshot:
    for row in controller.jobs:
        if job in (row.job_id, row.key):
            return row
    known = [j.job_id or j.key for j in controller.jobs]
    shown = f"{', '.join(known[:10])}{', …' if len(known) > 10 else ''}" or "none"
    raise ArgumentError(f"no job {job!r} in {controller.id}; it has {shown}")


def _content(asked: arguments.Submit) -> str:
    """A digest of what is to be run, whatever the call is ready to wait or to pay for it."""
    said = asked.model_dump(
        exclude={"wait_seconds", "outcomes", "label", "key", "usage_cap_seconds", "keep_open"}, exclude_defaults=True
    )
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:24]


def _affordable(low: float, expected: float, cap: float, used: float, where: str) -> None:
    if low > cap - used:
        raise QmodeError(
            f"nothing was submitted: this needs at least {low:.0f} s {where} (≈ {expected:.0f} s), more than "
            f"usage_cap_seconds={cap:g} leaves after the {used:.0f} s used until now. Raise the cap, or lower the "
            "shots or the number of circuits"
        )


def _shared_cap(settings: Json, cap: float, partitions: Sequence[Partition]) -> Json:
    """The options with each job's share of the cap as its maximum execution time: the service keeps it."""
    jobs = len(partitions)
    share = math.floor(cap / jobs)
    if share < 1:
        raise QmodeError(
            f"nothing was submitted: usage_cap_seconds={cap:g} is less than a second for each of {jobs} jobs. Raise "
            "the cap, or pass fewer jobs"
        )
    if lost := [c for c in cut_off(partitions, share) if c.sure]:
        raise QmodeError(
            f"nothing was submitted: usage_cap_seconds={cap:g} is {share} s for each of {jobs} jobs, and {lost[0]}"
        )
    given = settings.get("max_execution_time")
    return settings | {"max_execution_time": share if given is None else min(share, int(given))}


def _fitting(controller: Controller, mode: str, backend: str | None) -> tuple[Any, str]:
    """The mode and the backend of a workload to submit into, where those asked for are no others.

    Raises:
        ArgumentError: they are, or it is no session or batch.
    """
    state = controller.snapshot()
    if state.mode == "job":
        raise ArgumentError(f"{controller.id} is in job mode: leave workload out, each job queues by itself")
    if mode not in ("auto", state.mode) or backend not in (None, state.backend):
        raise ArgumentError(
            f"{controller.id} is a {state.mode} on {state.backend}: leave mode and backend out, or pass those"
        )
    return state.mode, state.backend


def _settings(asked: arguments.Work) -> Json:
    if asked.mitigation is not None and asked.primitive == "sampler" and (names := asked.mitigation.of_estimator()):
        raise ArgumentError(f"mitigation: {', '.join(names)} is for primitive='estimator'; a sampler returns counts")
    return asked.settings


def _primitive(kind: Primitive, mode: Any, options: Json) -> Any:
    made: Any = Sampler if kind == "sampler" else Estimator
    try:
        return made(mode=mode, options=options or None)
    except ValidationError as error:
        raise ArgumentError(f"options of the {kind}: {arguments.complaint(_options_of(kind), error)}") from error


def _options_of(kind: Primitive) -> type[BaseModel]:
    from qiskit_ibm_runtime.options_models.estimator import EstimatorOptions
    from qiskit_ibm_runtime.options_models.sampler import SamplerOptions

    found: type[BaseModel] = SamplerOptions if kind == "sampler" else EstimatorOptions
    return found


def _options(model: type[BaseModel], prefix: str) -> list[Json]:
    """Each option with its type and default, those of nested ones with a dot."""
    found: list[Json] = []
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            found += _options(type(default), f"{prefix}{name}.")
            continue
        kind = field.annotation.__name__ if isinstance(field.annotation, type) else str(field.annotation)
        shown = default if isinstance(default, str | int | float | bool | list | tuple | dict | None) else str(default)
        found.append({"name": f"{prefix}{name}", "type": kind.replace("typing.", ""), "default": shown})
    return found


def _open(mode: str, backend: Any, cap: float) -> Any:
    if mode == "job":
        return JobController.open(backend, usage_cap=cap)
    if mode == "batch":
        return BatchController.open(backend, usage_cap=cap)
    # A session is billed by its clock: its max TTL bounds that on the service, too.
    return SessionController.open(backend, usage_cap=cap, max_time=math.ceil(cap), on_exit="close")


def _backend_row(backend: Any) -> Json:
    told = account(backend, usage=False)
    return {
        "name": str(backend.name),
        "qubits": int(backend.num_qubits),
        "operational": told.operational,
        "status": told.status,
        "pending_jobs": told.pending,
    }


def _qubit(target: Any, qubit: int) -> Json:
    known = target.qubit_properties[qubit] if target.qubit_properties else None
    measured = target["measure"].get((qubit,)) if "measure" in target.operation_names else None
    return {
        "qubit": qubit,
        "t1_seconds": getattr(known, "t1", None),
        "t2_seconds": getattr(known, "t2", None),
        "readout_error": getattr(measured, "error", None),
    }


def _median(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None and math.isfinite(v)]
    return statistics.median(known) if known else None


def _instance(link: Link) -> Json:
    row: Json = {"instance": link.instance_label, "plan": link.plan, "problem": None}
    names = ("used", "allocation", "limit", "left", "limit_reached", "period_start", "period_end")
    try:
        told = ask(link.instance_usage)
    except (ServiceError, UnreachableError) as error:
        return row | dict.fromkeys(names) | {"problem": str(error)}
    return row | {
        "used": told.consumed,
        "allocation": told.allocation,
        "limit": told.limit,
        "left": told.left,
        "limit_reached": told.limit_reached,
        "period_start": answers.time(told.period_start),
        "period_end": answers.time(told.period_end),
    }
