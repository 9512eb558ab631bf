"""What a primitive will execute for a list of PUBs: configurations, shots, executions, lengths. The input of all else.

A configuration is one circuit after broadcasting: a parameter set, and for the estimator a measurement basis of
qubit-wise commuting terms. An execution is one shot of one configuration.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import ArgumentError, PubError
from ..model.merge import parameter_shape
from ..model.timing import UNBOUND_DELAY, Length, NotIsaError, Timing
from .settings import DEFAULT_PRECISION, DEFAULT_SHOTS, LEARN_BASES, TREX_RANDOMIZATIONS, TREX_SHOTS, Settings

CONTROL_INSTRUCTIONS = {                           # weights of the validation service [guide: job limits]
    "rz": 1, "delay": 1, "sx": 2, "x": 2, "cx": 5, "cz": 5, "ecr": 5, "measure": 10, "reset": 17,
}  # fmt: skip
INIT_INSTRUCTIONS = 50
OTHER_INSTRUCTION = 5  # one the table does not name, as the dearest gate
UNBOUNDED = 10**9
TYPICAL_LAYERS = 2  # the even and the odd bonds of a brickwork circuit
MANY_BASES = 20  # worth saying
TIMED_INSTRUCTIONS, LEAST_TIMED = 200_000, 8  # walked to time a PUB's delays; parameter sets timed at least
UNLIMITED_LAYERS = 8  # high end where max_layers_to_learn is None


@dataclass(frozen=True, slots=True)
class CircuitFacts:
    """What is known of one circuit object. `weight` bounds its control instructions on any one qubit from above."""

    circuit: Any
    length: Length
    two_qubit: int
    rz: int
    sx: int
    weight: int
    size: int


@dataclass(frozen=True, slots=True)
class Executions:
    """How many, where it is not known exactly: sampling overheads and layers are learned by the job itself."""

    low: float
    expected: float
    high: float

    @classmethod
    def exactly(cls, count: float) -> Executions:
        """Known."""
        return cls(count, count, count)

    def __mul__(self, factor: float) -> Executions:
        return Executions(self.low * factor, self.expected * factor, self.high * factor)


@dataclass(frozen=True, slots=True)
class PubWork:
    """One PUB's work. `length` is the mean of its executions in seconds; `shots` what is asked for a configuration."""

    index: int
    facts: tuple[CircuitFacts, ...]
    configurations: int
    shots: float
    executions: Executions
    length: float
    shape: tuple[int, ...] = ()  # of its parameter sets, padded (Piece.shape)
    sets: int = 1
    payload: float = 0.0  # bytes of parameter values
    overhead: float = 1.0  # sampling overhead (PEC) that `executions` holds
    varies: float = 0.0  # seconds that an execution may be longer: loops and branches
    shorter: float = 0.0  # seconds that it may be shorter, where only its depth is known
    randomized: float = 0.0  # randomised circuits: configurations × noise factors × randomisations
    unfolded: float = 0.0  # `length` without the gate folding of ZNE

    def at(self, index: int) -> PubWork:
        """The same work as another PUB of the list."""
        return replace(self, index=index)


@dataclass(frozen=True, slots=True)
class Learning:
    """Executions that a job adds for itself, independent of its PUBs."""

    what: str
    executions: Executions
    length: float
    layers: bool = False  # of layers, else of the readout
    randomized: Executions = Executions(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class PubUsage:
    """One PUB's share in seconds of QPU usage, without its job's overhead and learning."""

    pub: int
    low: float
    expected: float
    high: float
    configurations: int  # circuits after broadcasting
    executions: float
    length: float  # mean seconds of one execution's circuit
    part: float = 1.0  # of the PUB's executions


@dataclass(slots=True)
class Work:
    """PUBs, analysed for one backend and one set of options. `pubs` are coerced; an Executor's are as given."""

    settings: Settings
    timing: Timing
    backend: Any
    pubs: list[Any]
    items: list[PubWork]
    rep_delay: float
    assumed: tuple[str, ...]
    circuits: dict[int, CircuitFacts] = field(default_factory=dict)
    per_qubit: dict[int, dict[int, int]] = field(default_factory=dict)  # control instructions, where counted
    usage: dict[int, PubUsage] = field(default_factory=dict)  # of whole PUBs, worked out once
    factor: float = 1.0  # of all executions' seconds, learned from one's own bills

    @property
    def per_execution(self) -> float:
        """Seconds of one execution besides the circuit: repetition delay and initialisation."""
        return self.rep_delay + self.initialisation

    @property
    def initialisation(self) -> float:
        """Seconds of qubit initialisation per execution; 0 when the options switch it off."""
        return self.timing.initialisation if self.settings.init_qubits else 0.0

    def learning(self, items: Sequence[PubWork]) -> list[Learning]:
        """What a job of these PUBs learns: readout (TREX) for every job, layers where no noise model is given."""
        s, out = self.settings, []
        if s.kind == "estimator" and s.trex:
            randomizations, per = self._trex(items)
            out.append(
                Learning(
                    "measurement learning (TREX)",
                    Executions.exactly(randomizations * per),
                    self.timing.measure,
                    randomized=Executions.exactly(randomizations),
                )
            )
        if s.kind == "estimator" and s.learns_layers:
            out.append(self._layers())
        return out

    def learning_once(self) -> Learning | None:
        """What one job learns for all others, where the options say `learn_once`."""
        return self._layers() if self.settings.kind == "estimator" and self.settings.learn_once else None

    def _layers(self) -> Learning:
        s = self.settings
        layers = UNLIMITED_LAYERS if s.learn_layers is None else s.learn_layers
        each = LEARN_BASES * len(s.learn_depths) * s.learn_randomizations
        circuits = Executions(min(1, layers), min(layers, TYPICAL_LAYERS), layers) * each
        return Learning("layer noise learning", circuits * s.learn_shots, self.layer_length(), True, circuits)

    def _trex(self, items: Sequence[PubWork]) -> tuple[int, int]:
        """Randomisations of the readout's circuit, and the shots of each."""
        s = self.settings
        if s.client_side:  # executor_estimator/trex.py: one item, of the program's shots
            randomizations, per = s.split(math.ceil(max(i.shots for i in items)))
            return (randomizations if s.trex_randomizations == "auto" else s.trex_randomizations), per
        randomizations = TREX_RANDOMIZATIONS if s.trex_randomizations == "auto" else s.trex_randomizations
        return randomizations, (TREX_SHOTS if s.trex_shots == "auto" else s.trex_shots)

    def layer_length(self) -> float:
        """Mean length of a layer-learning circuit: pairs of the layer, dressed with single-qubit gates."""
        depths = self.settings.learn_depths
        return 2 * sum(depths) / len(depths) * self.timing.dressed_layer() + self.timing.measure


def analyse(
    pubs: Iterable[Any],
    backend: Any,
    settings: Settings,
    shots: int | None = None,
    precision: float | None = None,
    timing: Timing | None = None,
) -> Work:
    """Coerce and measure PUBs.

    Raises:
        PubError: naming the PUB that is not ISA, not bound, mismatched, or has no shots.
        ValueError: no PUBs, a backend without durations, or options that it refuses.
    """
    _check_backend(backend)
    timing = Timing.of(backend) if timing is None else timing
    if shots is not None and (type(shots) is bool or not hasattr(shots, "__index__") or shots < 1):
        raise ArgumentError(f"shots={shots!r}: give a whole number of at least 1")
    if shots is not None and settings.kind == "estimator":
        raise ArgumentError(
            f"shots={shots!r}: an Estimator takes a precision; precision={1 / math.sqrt(shots):.4g} is {shots} shots"
        )
    if shots is not None and settings.kind not in ("sampler", "estimator"):
        raise ArgumentError(f"shots={shots!r}: quantum programs name their own shots; leave it out")
    if precision is not None and settings.kind != "estimator":
        raise ArgumentError(f"precision={precision!r}: only an Estimator takes a precision; a Sampler takes shots=")
    rep_delay = timing.rep_delay if settings.rep_delay is None else settings.rep_delay
    if (bounds := timing.rep_delay_range) and not bounds[0] <= rep_delay <= bounds[1]:
        raise ArgumentError(
            f"rep_delay={rep_delay:g} s: {timing.backend} takes {bounds[0]:g} to {bounds[1]:g} s (it is in seconds)"
        )
    given = listed(pubs)
    work = Work(settings, timing, backend, [], [], rep_delay, ())
    if precision is not None and not (_real(precision) and 0 < precision < math.inf):
        raise ArgumentError(f"precision={precision!r}: give a number above 0")
    reader = _Reader(work, shots, precision)
    for index, pub in enumerate(given):
        try:
            reader.read(index, pub)
        except PubError:
            raise
        except NotIsaError as e:
            raise PubError(index, f"not an ISA circuit of {timing.backend}: {e}") from None
        except Exception as e:  # whatever Qiskit says of this PUB, with its index
            raise PubError(index, str(e).strip("'\"")) from e
    lengths = (
        note
        for f in work.circuits.values()
        for note in f.length.assumed
        if note != UNBOUND_DELAY or id(f.circuit) not in reader.bound
    )
    work.assumed = tuple(dict.fromkeys((*timing.assumed, *reader.assumed, *lengths)))
    return work


def _check_backend(backend: Any) -> None:
    if isinstance(backend, list | tuple):
        raise ArgumentError(
            f"backend is a {type(backend).__name__} of {len(backend)}: a plan is for one backend; "
            "qmode.compare_backends(pubs, backends) plans for several"
        )
    if backend is None or isinstance(backend, str):
        name = "" if backend is None else repr(backend)
        raise ArgumentError(f"backend={backend!r}: pass the backend object, such as service.backend({name})")


def listed(pubs: Any) -> list[Any]:
    """PUBs as a list; a single quantum program is a list of one.

    Raises:
        ValueError: no list, or an empty one.
    """
    if hasattr(pubs, "items") and hasattr(pubs, "shots"):
        return [pubs]
    if isinstance(pubs, str | Mapping) or hasattr(pubs, "count_ops") or not isinstance(pubs, Iterable):
        raise ArgumentError(f"a {type(pubs).__name__} is not a list of PUBs: pass [(circuit, …), …]")
    if isinstance(pubs, tuple) and pubs and hasattr(pubs[0], "count_ops") and len(pubs) > 1 and not _pub(pubs[1]):
        raise ArgumentError("this is one PUB, not a list of PUBs: pass [(circuit, …)]")
    found = list(pubs)
    if not found:
        raise ArgumentError("there are no PUBs: pass at least one")
    return found


def _real(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _pub(value: Any) -> bool:
    """Whether this may be a PUB: a circuit, or a tuple that begins with one."""
    return hasattr(value, "count_ops") or (isinstance(value, tuple) and bool(value) and hasattr(value[0], "count_ops"))


class _Reader:
    """Turns PUBs into `PubWork`, one after the other; what they share is worked out once."""

    def __init__(self, work: Work, shots: int | None, precision: float | None) -> None:
        self.work = work
        self.shots = shots
        self.precision = precision
        self.bases = Bases()
        self.assumed: list[str] = []
        self.observables: dict[tuple[int, int], Any] = {}  # coerced, by their circuit and themselves
        self.bound: set[int] = set()  # circuits whose delays have parameters, timed with the PUBs' values
        self.bare: dict[tuple[int, Any], tuple[Any, PubWork]] = {}  # circuits without parameters, by their shots
        kind = work.settings.kind
        self._read = {"sampler": self._sampler, "estimator": self._estimator, "executor": self._program,
                      "noise-learner": self._layer}[kind]  # fmt: skip

    def read(self, index: int, pub: Any) -> None:
        coerced, item = self._read(index, pub)
        self.work.pubs.append(coerced)
        self.work.items.append(item)

    def facts(self, circuit: Any) -> CircuitFacts:
        known = self.work.circuits.get(id(circuit))
        if known is None:
            ops = circuit.count_ops()
            length = self.work.timing.length(circuit, ops)
            weight = self._weight(circuit, ops, length)
            known = CircuitFacts(
                circuit,
                length,
                circuit.num_nonlocal_gates(),
                ops.get("rz", 0),
                ops.get("sx", 0),
                weight,
                sum(ops.values()),
            )
            self.work.circuits[id(circuit)] = known
        return known

    def _weight(self, circuit: Any, ops: dict[str, int], length: Length) -> int:
        """All its control instructions, or what fits on one qubit in its length: a pulse of 2 and an rz at a time."""
        if circuit.has_control_flow_op():
            return UNBOUNDED  # blocks that are not run are loaded too: count them when it matters
        all_of_them = sum(
            CONTROL_INSTRUCTIONS.get(name, OTHER_INSTRUCTION) * n for name, n in ops.items() if name != "barrier"
        )
        pulses = length.seconds / self.work.timing.pulse if self.work.timing.pulse else math.inf
        return min(all_of_them, math.ceil(3 * pulses)) if pulses < math.inf else all_of_them

    def length(self, facts: CircuitFacts, values: np.ndarray[Any, Any]) -> Length:
        """The mean length over the parameter sets of a PUB, which matter where delays have parameters.

        Args:
            facts: of the circuit.
            values: of its parameters in their order, along the last axis.
        """
        if UNBOUND_DELAY not in facts.length.assumed or not facts.circuit.num_parameters:
            return facts.length
        sets = values.reshape(-1, values.shape[-1])
        most = min(len(sets), max(LEAST_TIMED, TIMED_INSTRUCTIONS // max(1, facts.size)))
        rows = sets[np.unique(np.linspace(0, len(sets) - 1, most).astype(int))]
        parameters = list(facts.circuit.parameters)
        timed = [
            self.work.timing.bound_length(facts.circuit, dict(zip(parameters, row.tolist(), strict=True)))
            for row in rows
        ]
        if not any(UNBOUND_DELAY in one.assumed for one in timed):
            self.bound.add(id(facts.circuit))
        mean = sum(one.seconds for one in timed) / len(timed)
        spare = 0.0 if len(rows) == len(sets) else max(one.seconds for one in timed) - mean
        high = sum(one.high for one in timed) / len(timed) + spare
        return Length(mean, facts.length.measure, (), high)

    def _sampler(self, index: int, pub: Any) -> tuple[Any, PubWork]:
        from qiskit.primitives.containers.sampler_pub import SamplerPub

        key = _bare(pub)
        if key is not None and (known := self.bare.get(key)) is not None:
            return known[0], known[1].at(index)
        if isinstance(pub, tuple) and len(pub) > 1 and is_observable(pub[1]):
            raise PubError(
                index,
                f"a {type(pub[1]).__name__} stands where a Sampler takes parameter values: this looks like an "
                'Estimator\'s PUB; pass primitive="estimator", or (circuit, values, shots)',
            )
        coerced = SamplerPub.coerce(pub, self.shots)
        settings = self.work.settings
        shots = coerced.shots or settings.shots or DEFAULT_SHOTS
        randomizations, per = settings.split(shots)
        facts = self.facts(coerced.circuit)
        if not coerced.circuit.num_clbits:
            raise PubError(index, "the circuit measures nothing: add measurements, a sampler returns only those")
        size = coerced.size
        if not size:
            raise PubError(index, f"no parameter sets (shape {coerced.shape}): give at least one")
        values = coerced.parameter_values
        array = _finite(index, coerced.circuit, values.as_array(coerced.circuit.parameters))
        length = self.length(facts, array)
        item = PubWork(
            index,
            (facts,),
            size,
            shots,
            Executions.exactly(size * randomizations * per),
            length.seconds,
            coerced.shape,
            size,
            8.0 * size * values.num_parameters,
            varies=length.high - length.seconds,
            randomized=size * randomizations if settings.twirling else 0,
            unfolded=length.seconds,
        )
        if key is not None:
            self.bare[key] = coerced, item
        return coerced, item

    def _estimator(self, index: int, pub: Any) -> tuple[Any, PubWork]:
        coerced = self._coerce_estimator(index, pub)
        settings = self.work.settings
        precision, shots = coerced.precision, self.shots
        if precision is None and shots is None:
            precision = None if settings.shots else settings.precision or DEFAULT_PRECISION
            shots = settings.shots
        if precision is not None:
            if not 0 < precision < math.inf:
                raise PubError(index, f"precision={precision!r}: give a finite number above 0")
            shots = math.ceil(1 / precision**2)
        if not shots:
            raise PubError(index, "no shots and no precision: set one of them")
        facts = self.facts(coerced.circuit)
        configurations = self.bases.configurations(coerced)
        randomizations, per = settings.split(shots)
        factors = settings.noise_factors or (1.0,)
        values = coerced.parameter_values.as_array(coerced.circuit.parameters)
        own = self.length(facts, _finite(index, coerced.circuit, values))
        added = 0.0 if own.measure else self.work.timing.measure
        length, varies = own.seconds + added, own.high - own.seconds
        unfolded = length
        if settings.noise_factors and not settings.pea:
            length = sum(own.stretched(f) for f in factors) / len(factors) + added
            varies *= sum(factors) / len(factors)
        executions = configurations * (randomizations * per * len(factors))
        randomized = configurations.expected * randomizations * len(factors) if settings.twirling else 0.0
        base = configurations.expected * randomizations * per
        overhead = 1.0
        if settings.pec and settings.client_side and settings.layer_noise_model is not None:
            prepared = pec_executions([coerced], settings.raw, self.work.backend, self.precision)[0]
            executions, overhead = Executions.exactly(prepared), prepared / base
            randomized *= overhead
        elif settings.pec:
            executions, overhead = self._pec(executions, coerced.circuit)
            randomized *= overhead
        shape = parameter_shape(coerced)
        sets = math.prod(shape)
        if not sets:
            raise PubError(index, f"no parameter sets (shape {shape}): give at least one")
        payload = 8.0 * sets * coerced.parameter_values.num_parameters
        count = round(configurations.expected)
        if (bases := round(count / sets)) >= MANY_BASES:
            terms = len({label for i in np.ndindex(coerced.observables.shape) for label in coerced.observables[i]})
            about = "" if configurations.low == configurations.high else "about "
            self.assumed.append(f"PUB {index}: its {terms:,} terms are measured in {about}{bases:,} bases")
        return coerced, PubWork(
            index,
            (facts,),
            count,
            shots,
            executions,
            length,
            shape,
            sets,
            payload,
            overhead,
            varies,
            randomized=randomized,
            unfolded=unfolded,
        )

    def _coerce_estimator(self, index: int, pub: Any) -> Any:
        """As Qiskit coerces it; observables that earlier PUBs brought for the same circuit are validated once."""
        from qiskit.primitives.containers.bindings_array import BindingsArray
        from qiskit.primitives.containers.estimator_pub import EstimatorPub

        if hasattr(pub, "count_ops") or (isinstance(pub, tuple) and (len(pub) < 2 or pub[1] is None)):
            raise PubError(index, "no observables: an Estimator's PUB is (circuit, observables, values)")
        if isinstance(pub, tuple) and isinstance(pub[1], int | float | np.ndarray) and not is_observable(pub[1]):
            raise PubError(
                index,
                f"{_short(pub[1])} stands where an Estimator takes observables: this looks like a Sampler's PUB; pass "
                'primitive="sampler", or (circuit, observables, values)',
            )
        key = (id(pub[0]), id(pub[1])) if isinstance(pub, tuple) and 2 <= len(pub) <= 4 else None
        if key is None or (observables := self.observables.get(key)) is None:
            coerced = EstimatorPub.coerce(pub, self.precision)
            if not coerced.observables.size:
                raise PubError(index, "no observables: give at least one")
            if key is not None:
                self.observables[key] = coerced.observables
            return coerced
        values = pub[2] if len(pub) > 2 else None
        if values is not None and not isinstance(values, BindingsArray | Mapping):
            values = {tuple(pub[0].parameters): values}
        bindings = BindingsArray.coerce(values)
        if bindings.num_parameters != pub[0].num_parameters:
            raise PubError(
                index, f"{bindings.num_parameters} parameter values for the {pub[0].num_parameters} parameters"
            )
        precision = pub[3] if len(pub) > 3 and pub[3] is not None else self.precision
        return EstimatorPub(pub[0], observables, bindings, precision, validate=False)

    def _pec(self, base: Executions, circuit: Any) -> tuple[Executions, float]:
        """The sampling overhead γ² = Π exp(4 × 1.25 ε) over two-qubit gates of error ε, at most `max_overhead`.

        γ = exp(2 Σ λ) of a sparse Pauli-Lindblad layer, whose rates add up to its process infidelity, 5/4 of the
        reported average gate error on two qubits (van den Berg et al., Nat. Phys. 19, 1116).
        """
        target = self.work.timing.target
        exponent = 0.0
        for instruction in circuit.data:
            if len(instruction.qubits) == 2 and instruction.operation.name in target.operation_names:
                qubits = tuple(circuit.find_bit(q).index for q in instruction.qubits)
                known = (target[instruction.operation.name] or {}).get(qubits)
                exponent += 5 * (getattr(known, "error", None) or 0.0)
        cap = math.inf if self.work.settings.pec_overhead is None else self.work.settings.pec_overhead
        overhead = min(math.exp(min(exponent, 700.0)), cap)
        high = cap if cap < math.inf else math.exp(min(2 * exponent, 700.0))  # errors twice those reported
        self.assumed.append(
            "PEC: the sampling overhead γ² from the backend's reported gate errors; the job learns its own, "
            f"at most {cap:g}"
        )
        return Executions(base.low, base.expected * overhead, base.high * high), overhead

    def _program(self, index: int, program: Any) -> tuple[Any, PubWork]:
        items = list(getattr(program, "items", ()))
        if not items or not hasattr(program, "shots"):
            raise PubError(index, f"{type(program).__name__}: an Executor takes quantum programs with items")
        facts = tuple(self.facts(item.circuit) for item in items)
        sizes = [math.prod(item.shape) for item in items]
        total = sum(sizes)
        lengths = [self.length(f, _arguments(item)) for f, item in zip(facts, items, strict=True)]
        length = sum(own.seconds * n for own, n in zip(lengths, sizes, strict=True)) / max(total, 1)
        high = sum(own.high * n for own, n in zip(lengths, sizes, strict=True)) / max(total, 1)
        return program, PubWork(
            index,
            facts,
            total,
            float(program.shots),
            Executions.exactly(total * program.shots),
            length,
            varies=high - length,
            randomized=sum(n for item, n in zip(items, sizes, strict=True) if hasattr(item, "samplex")),
            unfolded=length,
        )

    def _layer(self, index: int, layer: Any) -> tuple[Any, PubWork]:
        s = self.work.settings
        each = LEARN_BASES * len(s.learn_depths) * s.learn_randomizations
        if hasattr(layer, "operation"):  # NoiseLearnerV3: one instruction is one layer
            counts = Executions.exactly(each * s.learn_shots)
        else:  # the legacy learner finds the layers of a circuit itself
            most = UNLIMITED_LAYERS if s.learn_layers is None else s.learn_layers
            one = each * s.learn_shots
            counts = Executions(min(1, most) * one, min(TYPICAL_LAYERS, most) * one, most * one)
        circuits = counts.expected / s.learn_shots
        length = self.work.layer_length()
        return layer, PubWork(
            index, (), each, float(s.learn_shots), counts, length, randomized=circuits, unfolded=length
        )


def _finite(index: int, circuit: Any, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Parameter values, all of which must be finite: the service refuses others after the job has queued."""
    if values.size and not np.isfinite(values).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        name = circuit.parameters[at[-1]].name
        where = f" in parameter set {list(at[:-1])}" if len(at) > 1 else ""
        raise PubError(index, f"the parameter {name} has the value {values[at]}{where}: give finite numbers")
    return values


def is_observable(value: Any) -> bool:
    """Whether this is an observable, or an array or list of them."""
    if isinstance(value, str):
        return True
    if type(value).__name__ in ("SparsePauliOp", "Pauli", "PauliList", "SparseObservable", "ObservablesArray"):
        return True
    if isinstance(value, Mapping):  # {"ZZ": 1.0} is an observable, {parameter: values} is not
        return all(isinstance(key, str) and set(key) <= set("IXYZ01+-rl") for key in value) and bool(value)
    if isinstance(value, np.ndarray):
        return value.dtype == object and value.size > 0 and is_observable(value.flat[0])
    return isinstance(value, list | tuple) and bool(value) and is_observable(value[0])


def _short(value: Any) -> str:
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 40 else text[:39] + "…"


def _arguments(item: Any) -> np.ndarray[Any, Any]:
    """The parameter values of a quantum program's item, along the last axis."""
    values = getattr(item, "circuit_arguments", None)
    return np.zeros((1, 0)) if values is None else np.asarray(values, dtype=float)


def _bare(pub: Any) -> tuple[int, Any] | None:
    """The key of a sampler PUB without parameter values: its circuit, by identity, and its shots."""
    if not isinstance(pub, tuple):
        return (id(pub), None) if hasattr(pub, "count_ops") else None
    if len(pub) == 1 or (1 < len(pub) < 4 and pub[1] is None):
        shots = pub[2] if len(pub) == 3 else None
        return (id(pub[0]), shots) if shots is None or type(shots) is int else None
    return None


_TO_PAULI = str.maketrans({"0": "Z", "1": "Z", "+": "X", "-": "X", "r": "Y", "l": "Y"})


class Bases:
    """Counts measurement bases and remembers them by the terms they measure."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], Executions] = {}
        self._terms_of: dict[int, tuple[Any, list[tuple[str, ...]]]] = {}  # keeps the array: ids are reused

    def configurations(self, pub: Any) -> Executions:
        """Circuits after broadcasting of a coerced `EstimatorPub`; an interval where there are too many terms."""
        shape = pub.shape
        params = (1,) * (len(shape) - len(pub.parameter_values.shape)) + tuple(pub.parameter_values.shape)
        terms = self._all_terms(pub.observables)
        own = pub.observables.shape
        index: np.ndarray[Any, Any] = np.arange(len(terms)).reshape((1,) * (len(shape) - len(own)) + tuple(own))
        varying = [i for i, n in enumerate(params) if n != 1]
        free = [i for i, n in enumerate(params) if n == 1]
        sets = int(np.prod(params))
        if all(index.shape[i] == 1 for i in varying):  # every parameter set meets the same observables
            return self.count(terms[i] for i in index.ravel()) * sets
        index = np.broadcast_to(index, shape).transpose([*free, *varying]).reshape(-1, sets)
        met, times = np.unique(index, axis=1, return_counts=True)
        counts = [self.count(terms[i] for i in met[:, k]) * int(times[k]) for k in range(len(times))]
        return Executions(sum(c.low for c in counts), sum(c.expected for c in counts), sum(c.high for c in counts))

    def _all_terms(self, observables: Any) -> list[tuple[str, ...]]:
        if (known := self._terms_of.get(id(observables))) is None:
            flat = observables.ravel()
            known = observables, [self._terms(flat[i]) for i in range(flat.size)]
            self._terms_of[id(observables)] = known
        return known[1]

    @staticmethod
    def _terms(observable: Any) -> tuple[str, ...]:
        return tuple(dict.fromkeys(label.translate(_TO_PAULI) for label in observable))

    def count(self, terms: Any) -> Executions:
        """Bases that measure all these terms, by the greedy colouring the client uses."""
        labels = tuple(dict.fromkeys(label for group in terms for label in group))
        if (known := self._known.get(labels)) is None:
            if len(labels) == 1:
                known = Executions.exactly(1)
            elif len(labels) <= GROUPED_BY_QISKIT:
                from qiskit.quantum_info import PauliList

                known = Executions.exactly(len(PauliList(list(labels)).group_commuting(qubit_wise=True)))
            else:
                known = many_bases(labels)
            self._known[labels] = known
        return known


GROUPED_BY_QISKIT = 300  # terms; its graph in Python takes a tenth of a second for these, and grows with the square
PAIRS = 64_000_000  # of terms that are compared, at most: about two seconds
PAIRS_AT_ONCE = 4_000_000


def many_bases(labels: Sequence[str]) -> Executions:
    """Bases of qubit-wise commuting terms, as Qiskit's `group_commuting` finds them, for thousands of terms.

    Greedy colouring in the order of conflicts, most first, as rustworkx does it: the same count, without a graph in
    Python. Where comparing all pairs would take too long, a sample of the terms is grouped; the expected count follows
    the growth from half of the sample to all of it, the low end is the sample's own, the high end grows with the terms.
    """
    terms = np.frombuffer("".join(labels).encode(), dtype=np.uint8).reshape(len(labels), -1)
    terms = terms[:, (terms != ord("I")).any(axis=0)]
    words = max(1, -(-terms.shape[1] // 64))
    most = math.isqrt(PAIRS // words)
    if len(terms) <= most:
        return Executions.exactly(_first_fit(terms))
    sample = np.random.default_rng(0).permutation(len(terms))[: most // 2]
    half, whole = _first_fit(terms[sample[: len(sample) // 2]]), _first_fit(terms[sample])
    times = len(terms) / len(sample)
    growth = math.log2(whole / half)
    return Executions(whole, min(len(terms), whole * times**growth), min(len(terms), whole * times))


def _first_fit(terms: np.ndarray[Any, Any]) -> int:
    """How many colours: each term joins the first group that it commutes with qubit by qubit."""
    x, z = _packed((terms == ord("X")) | (terms == ord("Y"))), _packed((terms == ord("Z")) | (terms == ord("Y")))
    support = x | z

    def conflicts(a: Any, b: Any) -> Any:
        return (support[a] & support[b] & ((x[a] ^ x[b]) | (z[a] ^ z[b]))).any(axis=-1)

    degree = np.zeros(len(terms), dtype=np.int64)
    step = max(1, PAIRS_AT_ONCE // (len(terms) * x.shape[1]))
    every = np.arange(len(terms))
    for start in range(0, len(terms), step):
        some = every[start : start + step]
        degree[some] = conflicts(some[:, None], every[None]).sum(axis=1)
    of_x, of_z, of_both = np.zeros_like(x), np.zeros_like(z), np.zeros_like(x)  # what a group measures
    groups = 0
    for i in np.argsort(-degree, kind="stable"):
        clash = of_both[:groups] & support[i] & ((of_x[:groups] ^ x[i]) | (of_z[:groups] ^ z[i]))
        free = np.flatnonzero(~clash.any(axis=1))
        group = int(free[0]) if len(free) else groups
        groups = max(groups, group + 1)
        of_x[group] |= x[i]
        of_z[group] |= z[i]
        of_both[group] |= support[i]
    return groups


def _packed(bits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Rows of bits as 64-bit words."""
    padded = np.pad(bits, ((0, 0), (0, -bits.shape[1] % 64 or (64 if not bits.shape[1] else 0))))
    return np.ascontiguousarray(np.packbits(padded, axis=1)).view(np.uint64)


def pec_executions(pubs: Sequence[Any], options: Any, backend: Any, precision: float | None) -> list[int]:
    """Executions of each coerced estimator PUB, without measurement learning.

    Raises:
        Exception: whatever the client says of PUBs or options it refuses.
    """
    from qiskit_ibm_runtime.executor_estimator.prepare import prepare
    from qiskit_ibm_runtime.options_models.estimator import EstimatorOptions

    own = EstimatorOptions(**options) if isinstance(options, Mapping) else options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # options it overrides: the primitive itself says so when it is run
        program, _ = prepare(pubs, own, precision, backend=backend)
    return [math.prod(item.shape) * program.shots for item in program.items[: len(pubs)]]
