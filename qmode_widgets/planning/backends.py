"""Which backend: the same workload planned for each, with bill, queue, error per layer and what the instance has left.

    qmode.compare_backends(pubs, [fez, marrakesh])                       # circuits that are ISA for all of them
    qmode.compare_backends(pubs, backends, pass_manager=lambda backend: generate_preset_pass_manager(3, backend))

A circuit that is not one of a backend's is transpiled only where a pass manager is given, and the row says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from ..errors import ArgumentError, PubError
from .choice import Candidate, Wish, choose
from .compare import configured
from .durations import billed, duration
from .plan import Plan, plan
from .request import deadline_seconds
from .view import STYLE
from .work import Work, is_observable, listed

PassManager = Callable[
    [Any], Any
]  # from a backend to what has `run(circuit)`, as generate_preset_pass_manager makes it


@dataclass(frozen=True, slots=True, eq=False)
class BackendPlan:
    """One backend: its plan, or why there is none."""

    name: str
    plan: Plan | None
    refused: str = ""  # why nothing can be planned
    transpiled: bool = False  # by the given pass manager
    layer_error: float | None = None  # of a layer of the circuits' two-qubit gates, by the reported gate errors

    @property
    def left_after(self) -> float | None:
        """Seconds the instance has left after this bill; None where it does not tell. Below 0: it does not last."""
        if self.plan is None or self.plan.preflight.left is None:
            return None
        return self.plan.preflight.left - self.plan.bill.expected

    def row(self) -> dict[str, str]:
        """Its cells, by heading."""
        made = self.plan
        if made is None:
            return {"backend": self.name, "bill": "–", "not planned": self.refused}
        course, card = made.forecasts[made.mode], made.preflight
        left = self.left_after
        error = "–" if self.layer_error is None else f"{self.layer_error:.2%}"
        lasts = (
            "not told" if left is None else (f"yes, {billed(left)} stay" if left >= 0 else f"no, {billed(-left)} short")
        )
        paid = {None: "plan not known", True: f"{card.plan}, paid", False: f"{card.plan}, free"}[card.paid]
        errors = (
            f"{len(made.errors)} error{'s' * (len(made.errors) != 1)}: {made.errors[0].rule}" if made.errors else ""
        )
        return {
            "backend": self.name,
            "instance": f"{card.account.instance or 'not known'} ({paid})",
            "bill": f"≈ {billed(made.bill.expected)}",
            "mode": made.mode,
            "queue": _queue(made),
            "last result": "–" if course.last_result is None else duration(course.last_result),
            "error a layer (calibration)": error,
            "allowance lasts": lasts,
            "transpiled": "by the given pass manager" if self.transpiled else "",
            "not planned": errors,
        }


def _queue(made: Plan) -> str:
    """The wait that was assumed, and where it is from."""
    given, pending = made.conditions, made.preflight.account.pending
    wait = duration(given.queue_wait)
    if given.queue_wait_high is not None:
        return f"{wait} median, {duration(given.queue_wait_high)} p95, as the service tells"
    if given.why_wait.endswith("as given"):
        return f"{wait}, as given"
    return "not told: none assumed" if pending is None else f"{wait}, assumed for {pending:,} pending jobs"


@dataclass(frozen=True, slots=True, eq=False)
class BackendComparison:
    """The same workload on several backends. Shows itself in a notebook and prints as text."""

    backends: tuple[BackendPlan, ...]
    advised: BackendPlan | None  # by the same wish as `plan` chooses by; None where none can run it

    @property
    def plan(self) -> Plan:
        """The advised backend's plan.

        Raises:
            ArgumentError: no backend can run the workload.
        """
        if self.advised is None or self.advised.plan is None:
            raise ArgumentError("no backend: " + "; ".join(f"{b.name}: {b.refused}" for b in self.backends))
        return self.advised.plan

    def __getitem__(self, name: str) -> Plan:
        """The plan for a backend, by its name.

        Raises:
            KeyError: no such backend, or nothing could be planned for it.
        """
        for one in self.backends:
            if one.name == name and one.plan is not None:
                return one.plan
        raise KeyError(name)

    def rows(self) -> list[dict[str, str]]:
        """One row a backend, the advised one marked; columns that are empty everywhere are left out."""
        found = [{"": "✓ advised" if one is self.advised else ""} | one.row() for one in self.backends]
        columns = [c for c in dict.fromkeys(c for row in found for c in row) if any(row.get(c) for row in found)]
        return [{c: row.get(c, "") for c in columns} for row in found]

    def to_dict(self) -> dict[str, Any]:
        """Plain values only, for JSON."""
        return {
            "advised": None if self.advised is None else self.advised.name,
            "backends": [
                {
                    "name": one.name,
                    "refused": one.refused,
                    "transpiled": one.transpiled,
                    "layer_error": one.layer_error,
                    "left_after": one.left_after,
                    "plan": None if one.plan is None else one.plan.to_dict(),
                }
                for one in self.backends
            ],
        }

    def __str__(self) -> str:
        lines = []
        for row in self.rows():
            mark = "* " if row.get("") else "  "
            lines.append(f"{mark}{row['backend']}")
            lines += [f"    {name}: {value}" for name, value in row.items() if value and name not in ("", "backend")]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = self.rows()
        heads = "".join(f"<th scope='col'>{escape(name)}</th>" for name in rows[0])
        body = "".join("<tr>" + "".join(_cell(*cell) for cell in row.items()) + "</tr>" for row in rows)
        caption = "<caption>The same workload on each backend</caption>"
        table = f"<table>{caption}<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
        return f"<style>{STYLE}</style><div class='qmode-plan' style='overflow-x:auto'>{table}</div>"


def _cell(name: str, value: str) -> str:
    """One cell; figures and the mark are not broken into lines."""
    style = " style='white-space:nowrap'" if name in ("", "bill", "last result") else ""
    return f"<td{style}>{escape(value)}</td>"


def compare_backends(
    pubs: Iterable[Any],
    backends: Any,
    primitive: Any = "sampler",
    options: Any = None,
    *,
    pass_manager: PassManager | None = None,
    **arguments: Any,
) -> BackendComparison:
    """Plan the same workload for several backends, of one instance or of several.

    Args:
        pubs: as the primitive takes them. Without a pass manager their circuits must be ISA circuits of each backend.
        backends: at least one; an instance's backend brings the instance.
        primitive: a name, or a primitive object or class: then each plan has one of its own for its backend.
        options: options object or dict; a primitive object's own if left out.
        pass_manager: makes the pass manager for a backend. Circuits are transpiled by it for every backend, and
            observables laid out; the row says so. Without it nothing is transpiled.
        arguments: of `plan`, the same for all: `prefer`, `budget`, `iterative`, `price_per_minute`, ….

    Raises:
        ArgumentError: no backends, or an argument that no backend takes.
    """
    if isinstance(backends, str) or not isinstance(backends, Iterable) or not (found := list(backends)):
        raise ArgumentError(f"backends={backends!r}: give a list of backends")
    given = listed(pubs)
    rows = tuple(_row(given, backend, primitive, options, pass_manager, arguments) for backend in found)
    advised = _advised(rows, arguments)
    return BackendComparison(rows, advised)


def _row(
    pubs: Sequence[Any], backend: Any, primitive: Any, options: Any, factory: PassManager | None, arguments: Any
) -> BackendPlan:
    name = str(getattr(backend, "name", backend))
    try:
        own = pubs if factory is None else transpiled(pubs, factory(backend))
        made = plan(own, backend, configured(primitive, backend, {}) or primitive, options, **arguments)
    except PubError as error:
        hint = "" if factory is not None else "; pass pass_manager= to transpile for each backend"
        return BackendPlan(name, None, f"{error}{hint}", factory is not None)
    return BackendPlan(name, made, "", factory is not None, layer_error(made.work))


def _advised(rows: Sequence[BackendPlan], arguments: Any) -> BackendPlan | None:
    """The backend that the wish chooses: those whose plan has errors only where all have."""
    found: dict[int, BackendPlan] = {}
    candidates = []
    for row in sorted(
        rows, key=lambda r: math.inf if r.layer_error is None else r.layer_error
    ):  # decides between equals
        if (made := row.plan) is None:
            continue
        candidate = Candidate.of(made.submissions[0].jobs, made.forecasts[made.mode], made.errors)
        found[id(candidate)] = row
        candidates.append(candidate)
    if not candidates:
        return None
    wish = Wish.of(
        arguments.get("prefer", "balanced"),
        arguments.get("hour_worth"),
        arguments.get("price_per_minute"),
        deadline_seconds(arguments.get("deadline")),
    )
    return found[id(choose(candidates, wish))]


def transpiled(pubs: Sequence[Any], manager: Any) -> list[Any]:
    """PUBs with their circuits transpiled and their observables laid out; each distinct circuit once.

    Raises:
        PubError: a PUB without a circuit, or whose circuit or observables do not fit the backend.
    """
    known: dict[int, Any] = {}
    out = []
    for index, pub in enumerate(pubs):
        parts = pub if isinstance(pub, tuple) else (pub,)
        if not parts or not hasattr(parts[0], "count_ops"):
            raise PubError(index, f"a {type(pub).__name__} cannot be transpiled: pass (circuit, …)")
        try:
            if id(parts[0]) not in known:
                known[id(parts[0])] = manager.run(parts[0])
            circuit = known[id(parts[0])]
            rest = parts[1:]
            if rest and (laid := _laid_out(rest[0], circuit)) is not None:
                rest = (laid, *rest[1:])
        except PubError:
            raise
        except Exception as error:  # whatever Qiskit says of this circuit
            raise PubError(index, f"cannot be transpiled: {str(error).strip(chr(34) + chr(39))}") from error
        out.append((circuit, *rest))
    return out


def _laid_out(observables: Any, circuit: Any) -> Any:
    """Observables for the circuit's layout; None for something else (parameter values)."""
    from qiskit.primitives.containers.observables_array import ObservablesArray

    if not is_observable(observables):
        return None
    array = ObservablesArray.coerce(observables)
    return array if circuit.layout is None else array.apply_layout(circuit.layout)


def layer_error(work: Work) -> float | None:
    """The error of a layer of two-qubit gates, by the gate errors that the backend reports; None without any.

    1 - Π (1 - ε) over a circuit's two-qubit gates is the error of all its layers; a layer's is that to the power of one
    over the two-qubit depth. The mean over the circuits, weighted by their executions.
    """
    target = work.timing.target
    known: dict[int, float | None] = {}
    total = weight = 0.0
    for item in work.items:
        for facts in item.facts:
            key = id(facts.circuit)
            if key not in known:
                known[key] = _circuit_error(facts.circuit, target)
            if (error := known[key]) is not None:
                total += error * item.executions.expected
                weight += item.executions.expected
    return total / weight if weight else None


def _circuit_error(circuit: Any, target: Any) -> float | None:
    exponent, told = 0.0, False
    for instruction in circuit.data:
        name = instruction.operation.name
        if len(instruction.qubits) != 2 or name not in target.operation_names:
            continue
        qubits = tuple(circuit.find_bit(q).index for q in instruction.qubits)
        known = (target[name] or {}).get(qubits)
        error = getattr(known, "error", None)
        if error is not None:
            told = True
            exponent += math.log1p(-min(error, 0.999))
    depth = circuit.depth(lambda i: len(i.qubits) == 2 and i.operation.name != "barrier")
    return -math.expm1(exponent / depth) if told and depth else None
