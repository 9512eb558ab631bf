"""What each tool takes: closed schemas with units, bounds, defaults and examples. Nothing here needs qiskit.

An argument that a tool does not know is refused: `shot=100` would otherwise run the default number of shots.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from mcp.server.mcpserver.utilities.func_metadata import ArgModelBase
from pydantic import BaseModel, Field, ValidationError

from .circuit_input import BELL, CLOSED, CircuitInput, Number, Primitive

Whose = Literal["this server's", "the user's", "a colleague's"]

MOST_CIRCUITS, MOST_JOBS, MOST_ITERATIONS, MOST_SHOTS = 1_000, 1_000, 10_000, 10_000_000
LARGEST_CAP = 86_400.0  # seconds: a day of QPU time
LONGEST_LABEL = 30


class Mitigation(BaseModel):
    """Error suppression and mitigation by their names; what is left out keeps the primitive's default."""

    model_config = CLOSED

    dynamical_decoupling: Annotated[
        Literal["XX", "XpXm", "XY4"] | None,
        Field(description="Decouple idle qubits with this pulse sequence. Costs no QPU time.", examples=["XY4"]),
    ] = None
    gate_twirling: Annotated[bool | None, Field(description="Pauli twirling of two-qubit gates.")] = None
    measurement_twirling: Annotated[bool | None, Field(description="Twirling of measurements.")] = None
    trex: Annotated[
        bool | None,
        Field(
            description="Twirled readout error extinction (resilience.measure_mitigation), with measurement twirling. "
            "Estimator only; on by default."
        ),
    ] = None
    zne: Annotated[
        bool | None,
        Field(
            description="Zero-noise extrapolation. Estimator only; about 3 times the QPU time, one run a noise factor."
        ),
    ] = None
    zne_noise_factors: Annotated[
        list[Annotated[Number, Field(ge=1, le=20)]] | None,
        Field(description="Noise factors of ZNE, 1 or more each.", min_length=2, max_length=10, examples=[[1, 3, 5]]),
    ] = None
    resilience_level: Annotated[
        int | None,
        Field(description="Estimator only: 0 none, 1 TREX (default), 2 TREX, ZNE and gate twirling.", ge=0, le=2),
    ] = None

    def options(self) -> dict[str, Any]:
        """The primitive's options that these names stand for."""
        found: dict[str, Any] = {}
        if self.dynamical_decoupling is not None:
            found["dynamical_decoupling"] = {"enable": True, "sequence_type": self.dynamical_decoupling}
        twirling = {
            "enable_gates": self.gate_twirling,
            "enable_measure": True if self.trex and self.measurement_twirling is None else self.measurement_twirling,
        }
        resilience = {
            "measure_mitigation": self.trex,
            "zne_mitigation": True if self.zne_noise_factors and self.zne is None else self.zne,
            "zne": None if self.zne_noise_factors is None else {"noise_factors": tuple(self.zne_noise_factors)},
        }
        for name, part in (("twirling", twirling), ("resilience", resilience)):
            if given := {k: v for k, v in part.items() if v is not None}:
                found[name] = given
        if self.resilience_level is not None:
            found["resilience_level"] = self.resilience_level
        return found

    def of_estimator(self) -> list[str]:
        """The names given that only an estimator has."""
        names = ("trex", "zne", "zne_noise_factors", "resilience_level")
        return [name for name in names if getattr(self, name) is not None]


class Arguments(ArgModelBase):
    """The base of what a tool takes."""

    model_config = CLOSED


class Work(Arguments):
    """Circuits, and how they are to be run."""

    circuits: Annotated[
        list[CircuitInput],
        Field(
            description="The PUBs: circuits as OpenQASM text or QPY.",
            min_length=1,
            max_length=MOST_CIRCUITS,
            examples=[[{"qasm": BELL}]],
        ),
    ]
    backend: Annotated[
        str | None,
        Field(description="The backend's name; the least busy one if left out.", max_length=100, examples=["ibm_fez"]),
    ] = None
    primitive: Annotated[Primitive, Field(description="The primitive that runs them.")] = "sampler"
    shots: Annotated[
        int | None,
        Field(
            description="Shots of each circuit and parameter set, for the sampler; 4096 if left out.",
            ge=1,
            le=MOST_SHOTS,
            examples=[1000],
        ),
    ] = None
    precision: Annotated[
        float | None,
        Field(
            description="Target precision (standard error) of each expectation value, for the estimator; 0.015625, "
            "which is 4096 shots, if left out.",
            ge=1e-4,
            le=1,
            examples=[0.02],
        ),
    ] = None
    mitigation: Annotated[
        Mitigation | None,
        Field(description="Error suppression and mitigation by name.", examples=[{"dynamical_decoupling": "XY4"}]),
    ] = None
    options: Annotated[
        dict[str, Any] | None,
        Field(
            description="Further options of the primitive, as qiskit-ibm-runtime names them, nested; the tool "
            "`options` lists them.",
            max_length=50,
            examples=[{"twirling": {"num_randomizations": 32}}],
        ),
    ] = None
    transpile: Annotated[
        bool, Field(description="Transpile for the backend. Without it the circuits must be ISA circuits already.")
    ] = False

    @property
    def settings(self) -> dict[str, Any]:
        """The options, with those that `mitigation` stands for.

        Raises:
            ValueError: an option is given twice.
        """
        named = {} if self.mitigation is None else self.mitigation.options()
        return _joined(self.options or {}, named, ())


def _joined(given: dict[str, Any], named: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    found = dict(given)
    for name, value in named.items():
        if name not in given:
            found[name] = value
        elif isinstance(value, dict) and isinstance(given[name], dict):
            found[name] = _joined(given[name], value, (*path, name))
        else:
            raise ValueError(f"options has {'.'.join((*path, name))}, and mitigation sets it too: give one of them")
    return found


JobCount = Annotated[
    int | None,
    Field(description="Into how many jobs to cut the work; as planned if left out.", ge=1, le=MOST_JOBS),
]
Id = Annotated[
    str,
    Field(description="The id of a session, batch, job or run.", min_length=1, max_length=100, examples=["d2p1k0"]),
]
OneJob = Annotated[
    str | None, Field(description="Only this job: its id, as `watch` tells it.", min_length=1, max_length=100)
]
Wait = Annotated[
    float,
    Field(description="Wait up to this many seconds until all jobs have ended; 0 returns at once.", ge=0, le=300),
]
CAP = "At the cap nothing more is sent and its queue is cancelled."
Outcomes = Annotated[int, Field(description="Outcomes shown of each count, most frequent first.", ge=1, le=1_000)]


class Plan(Work):
    """Arguments of `plan`."""

    jobs: JobCount = None
    iterations: Annotated[
        int,
        Field(
            description="How often the circuits run one after the other, each time with the last result.",
            ge=1,
            le=MOST_ITERATIONS,
        ),
    ] = 1


class Estimate(Work):
    """Arguments of `estimate`."""


class Submit(Work):
    """Arguments of `submit`."""

    usage_cap_seconds: Annotated[
        float,
        Field(
            description=f"The most QPU seconds the workload may use, failed attempts included. {CAP} Into a workload "
            "that this server did not open: the most that these jobs may use.",
            gt=0,
            le=LARGEST_CAP,
            examples=[30],
        ),
    ]
    key: Annotated[
        str | None,
        Field(
            description="Your own name for this work: the same key never runs twice, so it is safe to ask again after "
            "a time-out. Made from the call's content if left out; `key` in the answer tells it.",
            min_length=1,
            max_length=150,
            examples=["figure 3, sweep of theta"],
        ),
    ] = None
    mode: Annotated[
        Literal["auto", "job", "batch", "session"], Field(description="The execution mode; auto: as `plan` advises.")
    ] = "auto"
    jobs: JobCount = None
    workload: Annotated[
        str | None,
        Field(
            description="Submit into this open session or batch instead of opening one.", min_length=1, max_length=100
        ),
    ] = None
    keep_open: Annotated[
        bool,
        Field(
            description="Leave a session that this call opens open for further submissions; its idle time is billed. "
            "It is closed after 300 seconds without a job."
        ),
    ] = False
    label: Annotated[
        str | None,
        Field(description="A name for the run, shown beside its jobs.", min_length=1, max_length=LONGEST_LABEL),
    ] = None
    wait_seconds: Wait = 0.0
    outcomes: Outcomes = 16


class Nothing(Arguments):
    """Arguments of a tool that takes none."""


class Watch(Arguments):
    """Arguments of `watch`."""

    id: Id
    wait_seconds: Wait = 0.0
    outcomes: Outcomes = 16


class Cancel(Arguments):
    """Arguments of `cancel`."""

    id: Id
    job: OneJob = None
    whose: Annotated[
        Whose,
        Field(
            description='Whose work this may end. What this server did not open needs "the user\'s" (same account, '
            'opened in a notebook or script) or "a colleague\'s": ask the user first.'
        ),
    ] = "this server's"


class Resubmit(Arguments):
    """Arguments of `resubmit`."""

    id: Id
    job: OneJob = None
    usage_cap_seconds: Annotated[
        float | None,
        Field(
            description=f"The most QPU seconds the whole workload may use, what it has used until now included. {CAP} "
            "Needed where this server gave it none.",
            gt=0,
            le=LARGEST_CAP,
            examples=[30],
        ),
    ] = None
    wait_seconds: Wait = 0.0
    outcomes: Outcomes = 16


class Jobs(Arguments):
    """Arguments of `jobs`."""

    ended: Annotated[bool, Field(description="Ended jobs, newest first; false: those that are queued or run.")] = True
    workload: Annotated[
        str | None, Field(description="Only those of this session or batch.", min_length=1, max_length=100)
    ] = None
    limit: Annotated[int, Field(description="At most this many of each instance.", ge=1, le=100)] = 20
    skip: Annotated[int, Field(description="Leave out the newest ones, this many.", ge=0, le=100_000)] = 0


class Backend(Arguments):
    """Arguments of `backend`."""

    name: Annotated[str, Field(description="The backend's name.", min_length=1, max_length=100, examples=["ibm_fez"])]
    qubits: Annotated[
        list[Annotated[int, Field(ge=0, le=100_000)]] | None,
        Field(
            description="Tell the properties of these qubits, too (from 0).",
            min_length=1,
            max_length=200,
            examples=[[0, 1, 2]],
        ),
    ] = None


class Options(Arguments):
    """Arguments of `options`."""

    primitive: Annotated[Primitive, Field(description="Whose options.")] = "sampler"


# --- what is wrong, in the field's words ---------------------------------------------------------------------------

_KINDS = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a text",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "tuple_type": "a list",
}
_BOUNDS = {
    "greater_than": ("gt", "more than {}"),
    "greater_than_equal": ("ge", "at least {}"),
    "less_than": ("lt", "less than {}"),
    "less_than_equal": ("le", "at most {}"),
    "too_short": ("min_length", "at least {} of them"),
    "too_long": ("max_length", "at most {} of them"),
    "string_too_short": ("min_length", "a text of at least {} characters"),
    "string_too_long": ("max_length", "a text of at most {} characters"),
    "literal_error": ("expected", "one of {}"),
    "enum": ("expected", "one of {}"),
}
_SHOWN = 60


def complaint(model: type[BaseModel], error: ValidationError) -> str:
    """What is wrong with the arguments of a tool: each one's name, its value, and what is right."""
    found: dict[str, dict[str, None]] = {}  # by argument, in order: of a union each branch complains
    for one in error.errors(include_url=False):
        path = [part for part in one["loc"] if isinstance(part, int) or part.isidentifier()]
        while path and isinstance(path[-1], str) and path[-1] in ("float", "int", "str", "list", "dict"):
            path.pop()  # the branch of a union
        found.setdefault(_place(path), {})[_complaint(model, dict(one), path)] = None
    return "; ".join(f"{place}: {' or '.join(said)}" if place else " or ".join(said) for place, said in found.items())


def _complaint(model: type[BaseModel], one: dict[str, Any], path: list[str | int]) -> str:
    kind, given = str(one["type"]), repr(one.get("input"))
    shown = given if len(given) <= _SHOWN else f"{given[:_SHOWN]}…"
    if kind == "extra_forbidden":
        return f"no such argument (its value was {shown}). The valid names are {', '.join(_names(model, path[:-1]))}"
    if kind == "missing":
        return "missing"
    if kind in _KINDS:
        return f"must be {_KINDS[kind]}, not {shown}"
    if kind in _BOUNDS:
        key, text = _BOUNDS[kind]
        bound = one.get("ctx", {}).get(key)
        told = f"{bound:,g}" if isinstance(bound, int | float) else str(bound)
        return f"must be {text.format(told)}, not {shown}"
    return f"cannot be {shown}"


def _place(path: list[str | int]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _names(model: type[BaseModel], path: list[str | int]) -> list[str]:
    """The arguments that the object at `path` has."""
    for part in path:
        if isinstance(part, str) and part in model.model_fields:
            model = _inner(model.model_fields[part].annotation) or model
    return list(model.model_fields)


def _inner(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        if (found := _inner(part)) is not None:
            return found
    return None
