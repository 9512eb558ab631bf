"""How long one execution of a circuit takes, and what a job is billed for its executions. Seconds throughout.

    usage = whole seconds above: overhead × sub-jobs + Σ (rep_delay + initialisation + circuit length) × executions
                                 + 2.5 ms × randomised circuits

The planner's estimates and the embedded service's bills are both made by `bill`.

- overhead: IBM's guide on estimating a job's run time says about 2 s a sub-job. Bills are whole seconds, and what was
  billed fits less: from 1.60 to 1.72 s a sub-job, with the sum rounded up, the published rows are met equally well
  (`tests/benchmarks/usage_fit.py`). 1.6 is the end at which jobs of up to 1,500 executions are billed 2 s, as 26 of 29
  were (tests/data/README.md).
- randomised circuits: twirling, measurement mitigation and noise learning replace a circuit by many randomisations of
  it, and each costs time of its own. IBM publishes nothing of it; the same fit.
- `rep_delay` from the backend (250 µs on Heron, 4 ms on Nighthawk) or the options: the same guide.
- circuit length: the longest path through the ISA circuit with the target's durations.
- initialisation: the validation service counts `init` as 50 control instructions and `reset` as 17 (job limits), that
  is three resets; so three times the target's `reset`.

Qiskit times a static circuit itself (`estimate_duration`). What it refuses (control flow, boxes, other units, delays
whose length is a parameter) is walked here, block by block, on the longest branch; what had to be assumed is said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from ..errors import ArgumentError

OVERHEAD = 1.6  # seconds a sub-job, before the bill is rounded up to whole seconds [tests/benchmarks/usage_fit.py]
OVERHEAD_LOW = 1.4  # below any job of the published rows
OVERHEAD_HIGH = 2.0  # the guide's figure [guide: estimate job run time]
RANDOMIZED = 2.5e-3  # seconds a randomised circuit [tests/benchmarks/usage_fit.py]
RANDOMIZED_HIGH = 4e-3
FREE_RANDOMIZATIONS = ("Nighthawk",)  # families that bill the same with and without mitigation [tests/data]
SUB_JOB_EXECUTIONS = 10_000_000  # a job beyond this is split into sub-jobs [guide: job limits; documentation#4938]
REP_DELAY = 250e-6  # seconds; default of most backends [same guide]
INIT_RESETS = 3  # init counts 50, reset 17 control instructions [guide: job limits]
TYPICAL_LENGTH = 100e-6  # upper end of IBM's "typically 50–100 µs" circuit length [same guide]
WHILE_ROUNDS = 10  # of a while loop, at the high end; one is expected: the number is not known
FEED_FORWARD = 5e-6  # seconds from a result to the gate that depends on it, at the high end; 0 are expected
UNBOUND_DELAY = "a delay of unbound or classical length: counted as 0"
QUICK_OVERHEAD, QUICK_EXECUTION = 2.0, 350e-6  # IBM's quick formula: 2 + 0.00035 × executions


class NotIsaError(ArgumentError):
    """A circuit uses an instruction or a pair of qubits that the backend does not have."""


@dataclass(frozen=True, slots=True)
class Length:
    """One shot of a circuit in seconds, without initialisation and repetition delay; `assumed` says what was not told.

    `measure` is the part that gate folding does not stretch: a final measurement. `high` is the upper end where the
    length depends on results (loops, branches), else the same as `seconds`.
    """

    seconds: float
    measure: float = 0.0
    assumed: tuple[str, ...] = ()
    high: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "high", max(self.high, self.seconds))

    def stretched(self, factor: float) -> float:
        """Seconds with all gates repeated `factor` times (gate folding), the measurement once."""
        gates = max(0.0, self.seconds - self.measure)
        return gates * factor + (self.seconds - gates)


@dataclass(slots=True)
class Timing:
    """The durations of one backend; circuits are timed once each."""

    backend: str
    target: Any
    rep_delay: float
    rep_delay_range: tuple[float, float] | None
    reset: float
    measure: float
    pulse: float  # the shortest instruction that takes time
    randomized: float = RANDOMIZED  # seconds a randomised circuit
    assumed: tuple[str, ...] = ()
    _lengths: dict[int, tuple[Any, Length]] = field(default_factory=dict)  # keeps the circuit: ids are reused

    @classmethod
    def of(cls, backend: Any) -> Timing:
        """Read a backend.

        Raises:
            ValueError: it has no target, or its target has no durations at all.
        """
        name = str(getattr(backend, "name", backend))
        target = getattr(backend, "target", None)
        if target is None:
            raise ArgumentError(f"{name} has no target: pass the backend that the circuits were transpiled for")
        known = {op: _median(target, op) for op in target.operation_names}
        if not any(known.values()):
            raise ArgumentError(
                f"{name} has no instruction durations, so nothing can be estimated for it: pass a QPU's backend or one "
                "of qiskit_ibm_runtime.fake_provider"
            )
        assumed = []
        rep_delay = getattr(backend, "default_rep_delay", None)
        if rep_delay is None:
            rep_delay = REP_DELAY
            assumed.append(f"{name} names no default rep_delay: 250 µs, as on most QPUs")
        measure = known.get("measure") or 0.0
        reset = known.get("reset") or measure
        if "reset" not in known and measure:
            assumed.append(f"{name} names no reset: taken as long as a measurement")
        allowed = getattr(backend, "rep_delay_range", None)
        bounds = (float(allowed[0]), float(allowed[1])) if allowed else None
        pulse = min(d for d in known.values() if d)
        randomized = randomized_seconds((getattr(backend, "processor_type", None) or {}).get("family"))
        return cls(
            name,
            target,
            float(rep_delay),
            bounds,
            float(reset),
            float(measure),
            float(pulse),
            randomized,
            tuple(assumed),
        )

    @property
    def initialisation(self) -> float:
        """Seconds to set all qubits to the ground state before a shot."""
        return INIT_RESETS * self.reset

    def length(self, circuit: Any, ops: Mapping[str, int] | None = None) -> Length:
        """The length of one shot of an ISA circuit; the same circuit object is timed once.

        Args:
            circuit: transpiled for this backend.
            ops: its `count_ops()`, where the caller has them already.

        Raises:
            NotIsaError: an instruction that the backend does not have.
        """
        if (known := self._lengths.get(id(circuit))) is not None:
            return known[1]
        if circuit.num_qubits > self.target.num_qubits:
            raise NotIsaError(f"{circuit.num_qubits} qubits; {self.backend} has {self.target.num_qubits}")
        from qiskit.exceptions import QiskitError

        measure = self.measure if "measure" in (circuit.count_ops() if ops is None else ops) else 0.0
        try:
            length = Length(float(circuit.estimate_duration(self.target)), measure)
        except QiskitError:  # control flow, boxes, delays in other units or of unbound length; or not ISA at all
            length = self._walked(circuit, measure, {})
        self._lengths[id(circuit)] = (circuit, length)
        return length

    def bound_length(self, circuit: Any, values: Mapping[Any, float]) -> Length:
        """The length of a circuit whose delays have parameters, at these values of them; not remembered."""
        return self._walked(circuit, self.length(circuit).measure, values)

    def _walked(self, circuit: Any, measure: float, values: Mapping[Any, float]) -> Length:
        walk = _Walk(self.target, self.backend, values)
        qubits = range(circuit.num_qubits)
        seconds = high = walk.block(circuit, qubits)
        if walk.depends:
            high = _Walk(self.target, self.backend, values, WHILE_ROUNDS, FEED_FORWARD).block(circuit, qubits)
        return Length(seconds, measure, tuple(dict.fromkeys(walk.assumed)), high)

    def typical_layer(self) -> float:
        """Seconds of one layer of ISA depth: the mean over rz·sx·rz·sx and a two-qubit gate, rz taking no time.

        For circuits of which only the depth is known. Any single-qubit gate is rz·sx·rz·sx·rz; the last rz commutes
        with a controlled gate and merges with the first of the next.
        """
        return self.dressed_layer() / 5

    def dressed_layer(self) -> float:
        """Seconds of a layer of two-qubit gates with any single-qubit gate before each."""
        one = _median(self.target, "sx") or 0.0
        two = next((d for op in ("cz", "ecr", "cx") if (d := _median(self.target, op))), 0.0)
        return 2 * one + two


def sub_jobs(executions: float) -> int:
    """Into how many sub-jobs the service splits a job; an infinite number of executions (a high end) is not split."""
    return max(1, math.ceil(executions / SUB_JOB_EXECUTIONS)) if math.isfinite(executions) else 1


def randomized_seconds(family: str | None) -> float:
    """Seconds of a randomised circuit (randomisations × circuits, those of learning included) on a QPU of a family."""
    return 0.0 if family in FREE_RANDOMIZATIONS else RANDOMIZED


def bill(work: float, parts: int = 1) -> float:
    """What one job is billed: whole seconds.

    Args:
        work: seconds of all executions, Σ (rep_delay + initialisation + circuit length) × executions, and of all
            randomised circuits, `randomized_seconds` each.
        parts: sub-jobs (`sub_jobs`).
    """
    return whole_seconds(qpu_seconds(work, parts))


def qpu_seconds(work: float, parts: int = 1) -> float:
    """Seconds of a job on the QPU, before they are rounded up for the bill; arguments as for `bill`."""
    return OVERHEAD * parts + work


def whole_seconds(seconds: float) -> float:
    """Seconds as the service bills them: rounded up, at least 1."""
    return float(max(1, math.ceil(seconds - 1e-9)))


def quick(executions: float, jobs: int = 1) -> float:
    """IBM's quick form, an upper end: 2 + 0.00035 × executions, seconds."""
    return QUICK_OVERHEAD * jobs + QUICK_EXECUTION * executions


def _median(target: Any, op: str) -> float | None:
    try:
        properties = (target[op] or {}).values()
    except (KeyError, AttributeError):
        return None
    durations = [p.duration for p in properties if p is not None and p.duration is not None]
    return median(durations) if durations else None


_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9, "ps": 1e-12}


class _Walk:
    """Times a circuit instruction by instruction: as soon as its qubits and bits are free.

    `values` are those of the parameters of delays. `depends` says whether the length depends on results.
    """

    def __init__(
        self,
        target: Any,
        backend: str,
        values: Mapping[Any, float] | None = None,
        rounds: int = 1,
        feed_forward: float = 0.0,
    ) -> None:
        self.target = target
        self.backend = backend
        self.values = values or {}
        self.rounds = rounds
        self.feed_forward = feed_forward
        self.depends = False
        self.assumed: list[str] = []

    def block(self, circuit: Any, qubits: Sequence[int]) -> float:
        """Seconds of a circuit or block whose qubits are the physical `qubits`."""
        physical = dict(zip(circuit.qubits, qubits, strict=True))
        free: dict[Any, float] = {}
        for instruction in circuit.data:
            op = instruction.operation
            bits = (*instruction.qubits, *instruction.clbits)  # a condition's bits are among them
            at = max((free.get(b, 0.0) for b in bits), default=0.0)
            at += self.operation(op, tuple(physical[q] for q in instruction.qubits))
            for bit in bits:
                free[bit] = at
        return max(free.values(), default=0.0)

    def operation(self, op: Any, qubits: tuple[int, ...]) -> float:
        if op.name == "delay":
            return self._delay(op)
        if getattr(op, "blocks", None):
            return self._control_flow(op, qubits)
        if getattr(op, "_directive", False) or op.name in ("break_loop", "continue_loop", "store"):
            return 0.0
        if op.name not in self.target.operation_names:
            if op.name.startswith("measure"):
                return self._guess(op.name, "measure")
            raise NotIsaError(f"instruction {op.name!r} is not one of {self.backend}'s: transpile it for the backend")
        properties = self.target[op.name]
        if properties is None or None in properties:  # an ideal or global instruction
            return 0.0
        if qubits not in properties:
            raise NotIsaError(f"{op.name!r} on qubits {qubits}: {self.backend} has no such pair; transpile it")
        if (known := properties[qubits]) is not None and known.duration is not None:
            return float(known.duration)
        return self._guess(op.name, op.name)

    def _guess(self, name: str, like: str) -> float:
        if (usual := _median(self.target, like)) is None:
            self.assumed.append(f"{name} has no duration on {self.backend}: counted as 0")
            return 0.0
        self.assumed.append(f"{name} without a duration: taken as {usual * 1e6:.3g} µs, the median of {like}")
        return usual

    def _delay(self, op: Any) -> float:
        duration = op.duration
        if (names := getattr(duration, "parameters", None)) and all(p in self.values for p in names):
            duration = duration.bind({p: self.values[p] for p in names})
        try:
            value = float(duration)
        except TypeError:
            self.assumed.append(UNBOUND_DELAY)
            return 0.0
        if op.unit == "dt":
            return value * (self.target.dt or 0.0)
        return value * _UNITS.get(op.unit, 1.0)

    def _control_flow(self, op: Any, qubits: tuple[int, ...]) -> float:
        longest: float = max(self.block(b, qubits) for b in op.blocks if b is not None)
        if op.name == "for_loop":
            return longest * len(op.params[0])
        if op.name == "box":
            return longest
        self.depends = True
        if op.name == "while_loop":
            self.assumed.append(f"a while loop: counted as one round, at the high end as {WHILE_ROUNDS}")
            longest *= self.rounds
        else:
            self.assumed.append(f"{op.name}: its longest branch; the time to feed a result forward is not told")
        return longest + self.feed_forward
