"""What the options of any primitive mean for the number and the length of executions.

Takes a primitive object (client-side `executor_sampler.Sampler`, `executor_estimator.Estimator`, `Executor`,
`NoiseLearnerV3`, legacy `SamplerV2`, `EstimatorV2`), an options object of any of them, or a plain nested dict. Defaults
are those of the client's own options and of its finalisation (resilience levels).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from typing import Any, Literal

from ..errors import ArgumentError

Kind = Literal["sampler", "estimator", "executor", "noise-learner"]
Auto = int | Literal["auto"]

DEFAULT_SHOTS = 4096
DEFAULT_PRECISION = 0.015625  # 1 / sqrt(4096)
NOISE_FACTORS = (1.0, 3.0, 5.0)
TREX_RANDOMIZATIONS = 32  # legacy measure_noise_learning.num_randomizations
TREX_SHOTS = 1024  # its "auto": 32,768 executions a job were billed at any shots
LEARN_LAYERS, LEARN_RANDOMIZATIONS, LEARN_SHOTS = 4, 32, 128
LEARN_DEPTHS = (0, 1, 2, 4, 16, 32)
LEARN_BASES = 9  # circuits that measure all two-qubit Paulis of a layer
PEC_OVERHEAD = 100.0

_NAMES: dict[str, tuple[Kind, bool]] = {
    "sampler": ("sampler", False),
    "estimator": ("estimator", False),
    "executor_sampler": ("sampler", True),
    "executor_estimator": ("estimator", True),
    "executor": ("executor", True),
    "noise-learner": ("noise-learner", True),
}
_KEYS = {
    "default_shots", "default_precision", "resilience_level", "resilience", "twirling", "dynamical_decoupling",
    "execution", "environment", "simulator", "experimental", "max_execution_time", "seed_estimator", "log_level",
    "job_tags", "private", "image", "calibration_id", "max_layers_to_learn", "shots_per_randomization",
    "num_randomizations", "layer_pair_depths", "twirling_strategy", "bit_flip_checks", "session_id",
}  # fmt: skip
_GROUPS = {                                        # what groups of options may hold; a misspelled option costs money
    "twirling": {"enable_gates", "enable_measure", "group", "num_randomizations", "shots_per_randomization",
                 "strategy"},
    "execution": {"init_qubits", "rep_delay", "meas_type", "scheduler_timing", "stretch_values"},
    "dynamical_decoupling": {"enable", "sequence_type", "extra_slack_distribution", "scheduling_method",
                             "skip_reset_qubits"},
    "resilience": {"measure_mitigation", "measure_noise_learning", "zne_mitigation", "zne", "pec_mitigation", "pec",
                   "layer_noise_learning", "layer_noise_model"},
    "zne": {"amplifier", "noise_factors", "extrapolator", "extrapolated_noise_factors"},
    "pec": {"max_overhead", "noise_gain"},
    "measure_noise_learning": {"num_randomizations", "shots_per_randomization"},
    "layer_noise_learning": {"max_layers_to_learn", "shots_per_randomization", "num_randomizations",
                             "layer_pair_depths"},
}  # fmt: skip
_NOT_FOR: dict[str, dict[str, str]] = {  # options that a primitive does not have, and what to do instead
    "sampler": {
        "resilience_level": "a Sampler has no resilience levels; leave it out, or plan for the Estimator",
        "resilience": "a Sampler mitigates nothing; leave it out, or plan for the Estimator",
        "default_precision": "a Sampler takes shots, not a precision: set default_shots",
    },
    "executor": {
        "resilience_level": "an Executor runs its program as it is; leave it out",
        "resilience": "an Executor runs its program as it is; leave it out",
        "default_precision": "an Executor's program names its shots; leave it out",
        "default_shots": "an Executor's program names its shots; leave it out",
    },
}
_LEVELS = {  # resilience level: gates twirled, measurements twirled, TREX, ZNE
    0: (False, False, False, False),
    1: (False, True, True, False),
    2: (True, True, True, True),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """The options that cost executions, resolved; `raw` is what was given."""

    kind: Kind
    client_side: bool  # prepared by the client, every executed circuit in the payload
    shots: int | None = None  # of a PUB that names none: options.default_shots, or what twirling puts in its place
    precision: float | None = None
    twirl_gates: bool = False
    twirl_measure: bool = False
    randomizations: Auto = "auto"
    shots_per_randomization: Auto = "auto"
    trex: bool = False
    trex_randomizations: Auto = "auto"
    trex_shots: Auto = "auto"
    noise_factors: tuple[float, ...] = ()  # empty: no ZNE
    pea: bool = False
    pec: bool = False
    pec_overhead: float | None = PEC_OVERHEAD
    layer_noise_model: Any = None
    learn_once: bool = False  # one job learns the layers for all others: a plan's assumption, no option of the client
    learn_layers: int | None = LEARN_LAYERS
    learn_randomizations: int = LEARN_RANDOMIZATIONS
    learn_shots: int = LEARN_SHOTS
    learn_depths: tuple[int, ...] = LEARN_DEPTHS
    dynamical_decoupling: bool = False
    init_qubits: bool = True
    rep_delay: float | None = None
    meas_type: str = "classified"
    max_execution_time: float | None = None
    raw: Any = None

    @property
    def twirling(self) -> bool:
        """Shots are divided over randomizations."""
        return self.twirl_gates or self.twirl_measure

    @property
    def same_shots(self) -> bool:
        """All PUBs of one job must agree on shots (sampler) or precision (estimator): the client-side primitives."""
        return self.client_side and self.kind in ("sampler", "estimator")

    @property
    def fixed_shots(self) -> bool:
        """Randomizations and the shots of each are both set, which the client puts in the place of a PUB's own shots.

        The service obeys a PUB's own shots; only `default_shots` gives way (the client's `TwirlingOptions` says so).
        """
        return self.client_side and self._product is not None

    @property
    def _product(self) -> int | None:
        if not self.twirling or self.randomizations == "auto" or self.shots_per_randomization == "auto":
            return None
        return self.randomizations * self.shots_per_randomization

    def split(self, shots: int) -> tuple[int, int]:
        """Randomizations, and shots of each, for a PUB of `shots`, by the client's own rounding."""
        if not self.twirling:
            return 1, shots
        least = 64 if self.pec else max(64, math.ceil(shots / 32))
        if self.shots_per_randomization != "auto":
            per = self.shots_per_randomization
        elif self.randomizations != "auto":
            per = math.ceil(shots / self.randomizations)
        else:
            per = least
        if self.randomizations == "auto" or (self._product is not None and not self.client_side):
            return math.ceil(shots / per), per
        return self.randomizations, per

    @property
    def plain(self) -> bool:
        """Sampler work as it is, for which IBM states its quick formula."""
        return self.kind in ("sampler", "executor")

    @property
    def learns_layers(self) -> bool:
        """The job itself learns the noise of its layers (legacy PEA and PEC without a noise model)."""
        return not self.client_side and self.needs_noise_model and not self.learn_once

    @property
    def needs_noise_model(self) -> bool:
        """PEA or PEC, and no noise model is given."""
        return (self.pea or self.pec) and self.layer_noise_model is None


COSTS = (
    "twirl_gates", "twirl_measure", "randomizations", "shots_per_randomization", "trex", "trex_randomizations",
    "noise_factors", "pea", "pec", "init_qubits", "rep_delay", "meas_type",
)  # fmt: skip


def differences(planned: Settings, own: Settings) -> list[str]:
    """Which options that cost executions differ, in words; an option left out counts as its default."""
    pairs: list[tuple[str, Any, Any]] = [("default_shots", planned.shots or DEFAULT_SHOTS, own.shots or DEFAULT_SHOTS)]
    if own.kind == "estimator":
        precisions = (planned.precision or DEFAULT_PRECISION, own.precision or DEFAULT_PRECISION)
        pairs = [("default_shots", planned.shots, own.shots), ("default_precision", *precisions)]
    if planned.kind != own.kind:
        pairs = [("primitive", planned.kind, own.kind)]
    else:
        pairs += [(name, getattr(planned, name), getattr(own, name)) for name in COSTS]
    return [f"{name} {a!r} in the plan, {b!r} now" for name, a, b in pairs if a != b]


def settings(primitive: Any = "sampler", options: Any = None) -> Settings:
    """Resolve a primitive and its options; `options` given beside a primitive object replace the primitive's own.

    A name means the primitive that the service knows by it: `"sampler"`, `"estimator"`, `"executor"`,
    `"noise-learner"`; `"executor_sampler"` and `"executor_estimator"` are prepared on the client, where the Estimator's
    measurement learning takes as many executions as one PUB configuration instead of 32,768.

    Raises:
        ValueError: an unknown primitive or option, or a value that no primitive takes.
    """
    kind, client_side = _identify(primitive)
    if options is None and not isinstance(primitive, str):
        options = getattr(primitive, "options", None)
    raw = options
    tree = _plain(options)
    _refuse_unknown(tree, _KEYS)
    for name, words in _NOT_FOR.get(kind, {}).items():
        if name in tree:
            raise ArgumentError(f"options.{name}={tree[name]!r}: {words}")
    return _resolve(kind, client_side, tree, raw)


def _refuse_unknown(tree: Mapping[str, Any], known: set[str], within: str = "") -> None:
    for name, value in tree.items():
        if name not in known:
            near = get_close_matches(name, sorted(known), 1)
            hint = f"did you mean {within + near[0]!r}?" if near else f"one of {', '.join(sorted(known))}"
            raise ArgumentError(f"unknown option {within + name!r}: {hint}")
        if name in _GROUPS and isinstance(value, Mapping):
            _refuse_unknown(value, _GROUPS[name], f"{within}{name}.")


def _identify(primitive: Any) -> tuple[Kind, bool]:
    if isinstance(primitive, str):
        if primitive not in _NAMES:
            near = get_close_matches(primitive, _NAMES, 1)
            raise ArgumentError(
                f"unknown primitive {primitive!r}: one of {', '.join(_NAMES)}"
                + (f"; did you mean {near[0]!r}?" if near else "")
            )
        return _NAMES[primitive]
    for cls in type(primitive).__mro__:
        name, module = cls.__name__, cls.__module__
        client_side = ".executor" in module or "V3" in name
        for word, kind in (
            ("NoiseLearner", "noise-learner"),
            ("Sampler", "sampler"),
            ("Estimator", "estimator"),
            ("Executor", "executor"),
        ):
            if name.removeprefix("Base").startswith(word):
                return kind, client_side  # type: ignore[return-value]
    raise ArgumentError(
        f"{type(primitive).__name__} is not a primitive: pass a Sampler, an Estimator, an Executor or a name"
    )


def options_set(primitive: Any) -> dict[str, Any]:
    """The options of a primitive that are set, as a nested dict; empty for one whose options nobody can list."""
    try:
        return _plain(getattr(primitive, "options", None))
    except ValueError:
        return {}


def _plain(options: Any) -> dict[str, Any]:
    """Any options object as a nested dict of what is set."""
    if options is None:
        return {}
    if isinstance(options, Mapping):
        return {str(k): _plain(v) if _nested(v) else v for k, v in options.items() if not _unset(v)}
    if hasattr(type(options), "model_fields"):  # asked first: the client's models warn when taken for dataclasses
        pairs = ((name, getattr(options, name, None)) for name in type(options).model_fields)
    elif is_dataclass(options) and not isinstance(options, type):
        pairs = ((f.name, getattr(options, f.name, None)) for f in fields(options))
    else:
        raise ArgumentError(f"options of type {type(options).__name__}: pass a dict or the primitive's options")
    return {k: _plain(v) if _nested(v) else v for k, v in pairs if not _unset(v) and not k.startswith("_")}


def _nested(value: Any) -> bool:
    if isinstance(value, Mapping):
        return True
    return "Options" in type(value).__name__ and (hasattr(type(value), "model_fields") or is_dataclass(value))


def _unset(value: Any) -> bool:
    return value is None or type(value).__name__ == "UnsetType"


def _resolve(kind: Kind, client_side: bool, tree: dict[str, Any], raw: Any) -> Settings:
    res, twirl, run = (_group(tree, name) for name in ("resilience", "twirling", "execution"))
    zne, pec = _group(res, "zne", "resilience."), _group(res, "pec", "resilience.")
    trex = _group(res, "measure_noise_learning", "resilience.")
    learn = _group(res, "layer_noise_learning", "resilience.")
    layers: tuple[str, ...] = ("resilience", "layer_noise_learning")
    if kind == "noise-learner":
        learn, layers = tree, ()
    level = tree.get("resilience_level", 1)
    if kind == "estimator" and (isinstance(level, bool) or not isinstance(level, int) or level not in _LEVELS):
        raise ArgumentError(f"resilience_level={level!r}: 0, 1 or 2")
    gates, measure, mitigated, extrapolated = _LEVELS[level] if kind == "estimator" else (False,) * 4
    gates, measure = _switch(twirl, "enable_gates", gates), _switch(twirl, "enable_measure", measure)
    mitigated = _switch(res, "measure_mitigation", mitigated)
    extrapolated = _switch(res, "zne_mitigation", extrapolated)
    cancelled = _switch(res, "pec_mitigation", False)
    if cancelled and extrapolated:
        if "zne_mitigation" in res:
            raise ArgumentError("pec_mitigation and zne_mitigation are both on: a job can do one of them")
        extrapolated = False  # PEC asked for at resilience level 2 replaces its ZNE
    pea = extrapolated and zne.get("amplifier") == "pea"
    factors = _noise_factors(zne.get("noise_factors", "auto"))
    told = Settings(
        kind,
        client_side,
        shots=_count(tree, "default_shots"),
        precision=_positive(tree, "default_precision"),
        twirl_gates=gates or pea or cancelled,
        twirl_measure=measure or mitigated or pea or cancelled,
        randomizations=_auto(twirl, "num_randomizations"),
        shots_per_randomization=_auto(twirl, "shots_per_randomization"),
        trex=mitigated,
        trex_randomizations=_auto(trex, "num_randomizations"),
        trex_shots=_auto(trex, "shots_per_randomization"),
        noise_factors=factors if extrapolated else (),
        pea=pea,
        pec=cancelled,
        pec_overhead=_positive(pec, "max_overhead")
        if "max_overhead" in pec
        else (None if _explicitly_none(raw, "resilience", "pec", "max_overhead") else PEC_OVERHEAD),
        layer_noise_model=res.get("layer_noise_model"),
        learn_layers=_count(learn, "max_layers_to_learn", least=0)
        if "max_layers_to_learn" in learn
        else (None if _explicitly_none(raw, *layers, "max_layers_to_learn") else LEARN_LAYERS),
        learn_randomizations=_count(learn, "num_randomizations") or LEARN_RANDOMIZATIONS,
        learn_shots=_count(learn, "shots_per_randomization") or LEARN_SHOTS,
        learn_depths=_depths(learn.get("layer_pair_depths")),
        dynamical_decoupling=_switch(_group(tree, "dynamical_decoupling"), "enable", False),
        init_qubits=_switch(run, "init_qubits", True),
        rep_delay=_positive(run, "rep_delay", zero=True),
        meas_type=_meas_type(run),
        max_execution_time=_positive(tree, "max_execution_time")
        or _positive(_group(tree, "environment"), "max_execution_time"),
        raw=raw,
    )
    if told.client_side or told._product is None:
        return told
    return replace(told, shots=told._product)


def _explicitly_none(options: Any, *path: str) -> bool:
    for name in path:
        given = options.get(name, ...) if isinstance(options, Mapping) else getattr(options, name, ...)
        if given is ... or given is None:
            return given is None and name == path[-1]
        options = given
    return False


def _group(tree: Mapping[str, Any], name: str, within: str = "") -> Mapping[str, Any]:
    given = tree.get(name)
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ArgumentError(f"options.{within}{name}={given!r}: give a dict of its options")
    return given


def _switch(tree: Mapping[str, Any], name: str, default: bool) -> bool:
    value = tree.get(name, default)
    if type(value).__name__ not in ("bool", "bool_"):
        raise ArgumentError(f"{name}={value!r}: give True or False")
    return bool(value)


def _noise_factors(given: Any) -> tuple[float, ...]:
    if isinstance(given, str) and given == "auto":
        return NOISE_FACTORS
    try:
        factors = tuple(float(x) for x in given) if not isinstance(given, str) else ()
    except (TypeError, ValueError):
        factors = ()
    if not factors or not all(1 <= x < math.inf for x in factors):
        raise ArgumentError(f"resilience.zne.noise_factors={given!r}: give one or more numbers, each at least 1")
    return factors


def _depths(given: Any) -> tuple[int, ...]:
    if given is None:
        return LEARN_DEPTHS
    try:
        depths = tuple(int(d) for d in given) if not isinstance(given, str) else ()
    except (TypeError, ValueError):
        depths = ()
    if not depths or min(depths) < 0:
        raise ArgumentError(f"layer_pair_depths={given!r}: give one or more whole numbers, 0 or more each")
    return depths


def _meas_type(run: Mapping[str, Any]) -> str:
    given = run.get("meas_type", "classified")
    if given not in ("classified", "kerneled", "avg_kerneled"):
        raise ArgumentError(f'execution.meas_type={given!r}: "classified", "kerneled" or "avg_kerneled"')
    return str(given)


def _auto(tree: Mapping[str, Any], name: str) -> Auto:
    if tree.get(name, "auto") == "auto":
        return "auto"
    return _count(tree, name) or "auto"


def _count(tree: Mapping[str, Any], name: str, least: int = 1) -> int | None:
    value = tree.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < least:
        raise ArgumentError(f"{name}={value!r}: give a whole number of at least {least}")
    return int(value)


def _positive(tree: Mapping[str, Any], name: str, *, zero: bool = False) -> float | None:
    value = tree.get(name)
    if value is None:
        return None
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or (value < 0 or (value == 0 and not zero))
    ):
        raise ArgumentError(f"{name}={value!r}: give a {'non-negative' if zero else 'positive'} number")
    return float(value)
