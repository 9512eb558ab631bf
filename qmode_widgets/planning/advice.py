"""Which mode, and why: the guide's rules as one table, applied to a workload's facts and compared with the forecasts.

Sources: the guide "Choose the right execution mode" [choose], the execution modes' FAQ [faq], "Workload usage" [usage],
"Minimize job run time" [minimize] of IBM's documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..model.snapshot import Mode
from .durations import billed, duration
from .forecast import LANES_NOTE, MODES, Forecast

MINUTE = 60.0
Kind = Literal["for", "against", "refuses", "warning"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules look at. Seconds are expected QPU usage of each job."""

    jobs: Sequence[float]
    pubs: int = 1
    inputs_ready: bool = True
    iterative: bool = False
    exclusive: bool = False
    open_plan: bool = False
    comparison: bool = False  # one job per setting, to be compared
    noise_model: Literal["none", "in every job", "learned once"] = "none"  # how PEA and PEC get theirs
    iterations: int = 1
    learning: float = 0.0  # seconds of noise learning of layers, over all jobs and iterations
    combinable: int = 1  # into how few jobs they could be combined
    split_saves: float = 0.0  # seconds of a session's bill that more, smaller jobs save in the forecast

    @property
    def single(self) -> bool:
        """One primitive request, and that is all."""
        return len(self.jobs) == 1 and not self.iterative and self.inputs_ready

    @property
    def small(self) -> int:
        """Jobs under a minute of QPU time."""
        return sum(1 for s in self.jobs if s < MINUTE)

    @property
    def large(self) -> int:
        """Jobs of more than a minute."""
        return sum(1 for s in self.jobs if s > MINUTE)

    @property
    def runs(self) -> int:
        """Jobs over all iterations."""
        return len(self.jobs) * self.iterations

    @property
    def total(self) -> float:
        """Seconds of all jobs together."""
        return sum(self.jobs)


@dataclass(frozen=True, slots=True)
class Rule:
    """One recommendation: when it applies, what it says, about which mode, how much it weighs, and its source.

    The mode with the heaviest rule for it is advised; `refuses` rules a mode out.
    """

    id: str
    kind: Kind
    modes: tuple[Mode, ...]
    when: Callable[[Facts], bool]
    text: str
    source: str
    weight: int = 0
    change: str = ""  # what would make it not apply


def _several(f: Facts) -> bool:
    return not f.single


RULES: tuple[Rule, ...] = (
    Rule("single request", "for", ("job",), lambda f: f.single,
         "A single primitive request always runs in job mode.", "choose", 40,
         "If it is split into several jobs, a batch keeps them together."),
    Rule("small experiment", "for", ("job",), lambda f: f.single and f.total < MINUTE,
         "A small experiment is easiest as one job.", "choose", 5),
    Rule("job starts sooner", "for", ("job",), lambda f: f.single,
         "One job might start sooner than a batch.", "choose", 1),
    Rule("inputs ready", "for", ("batch",), lambda f: _several(f) and f.inputs_ready and not f.iterative,
         "Independent jobs whose inputs are all ready: a batch queues once and schedules them together.", "choose", 30,
         "If later inputs depend on earlier results, a session is worth its price."),
    Rule("batch unless more is needed", "for", ("batch",), lambda f: _several(f) and not f.exclusive,
         "A batch, whenever a session's extras are not needed.", "choose", 10,
         "Exclusive access or inputs that are not ready ask for a session."),
    Rule("inputs not ready", "for", ("session",), lambda f: not f.inputs_ready,
         "Inputs are not ready at the outset: a session keeps the QPU between jobs.", "choose", 60,
         "Once all inputs are known up front, a batch costs less."),
    Rule("iterative", "for", ("session",), lambda f: f.iterative,
         "Each step of a variational algorithm waits for the last: a session queues once, for the first job.",
         "choose", 70, "A single evaluation of all parameter sets fits a batch."),
    Rule("exclusive", "for", ("session",), lambda f: f.exclusive,
         "Exclusive access to the QPU, jobs as tight together as possible: only a session gives that.", "choose", 80,
         "Without the need for exclusive access a batch does."),
    Rule("learned noise model", "for", ("session",), lambda f: f.noise_model == "learned once",
         "With PEA or PEC a session learns the noise model once and reuses it while it is fresh.", "choose", 50,
         "If every job learns its own noise model, a batch does."),
    Rule("compare settings", "for", ("batch",), lambda f: f.comparison,
         "Related, independent jobs that compare error-mitigation settings should run close together, in a batch.",
         "choose", 55),
    Rule("cancel or resubmit", "for", ("batch",), lambda f: _several(f) and len(f.jobs) > 1,
         "Parts come back by themselves: cancel the rest when a result disappoints, resubmit one that failed.",
         "choose", 5),
    Rule("no sessions on the Open Plan", "refuses", ("session",), lambda f: f.open_plan,
         "The Open Plan has no sessions.", "faq", change="An instance of another plan allows sessions."),
    Rule("queues again", "against", ("job", "batch"), lambda f: f.iterative,
         "Each iteration goes through the queue again.", "choose"),
    Rule("drift", "against", ("job", "batch"), lambda f: f.iterative,
         "Between iterations the device drifts, which hurts convergence.", "choose"),
    Rule("queues alone", "against", ("job",), lambda f: len(f.jobs) > 1,
         "In job mode every job queues alone, and other users' jobs come in between.", "choose"),
    Rule("interrupted", "against", ("batch",), lambda f: len(f.jobs) > 1,
         "Other jobs and calibrations may run between a batch's jobs, and their order is not guaranteed.", "choose"),
    Rule("idle is billed", "against", ("session",), lambda f: True,
         "A session is billed for all the time it is active, idle included; generally more than a batch.", "usage"),
    Rule("combine", "warning", MODES, lambda f: len(f.jobs) > f.combinable and f.small > 1,
         "{small} of {jobs} jobs use under a minute of QPU time: combine them, every job has a fixed overhead.",
         "choose", change="Larger jobs share the overhead."),
    Rule("run in parallel", "for", ("batch",), lambda f: len(f.jobs) > 1 and f.small == 0,
         "Jobs of more than a minute each run in parallel: up to five prepare at once, one at a time on the QPU.",
         "choose", 5),
    Rule("split in a session", "warning", ("session",), lambda f: f.split_saves > 0,
         "Smaller jobs, prepared in parallel, would save {split_saves:,.0f} s of the session's bill: pass partitions=.",
         "choose"),
    Rule("stale noise model", "warning", ("job", "batch"), lambda f: f.noise_model == "learned once",
         "A noise model learned by one job may be stale when the next leaves the queue: PEA and PEC ask for a session.",
         "choose"),
    Rule("learned again", "warning", MODES, lambda f: f.noise_model == "in every job" and f.runs > 1,
         "Each of {runs} jobs learns the noise of its layers again, ≈ {learning:,.0f} s in all: learn it once with "
         "planning.compare.learn_noise and pass it on; noise_model=\"learned once\" plans that.", "choose"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reason:
    """A rule that applied, in words."""

    rule: str
    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Advice:
    """The mode to take, why, why not the others, what would change that, and what to mind."""

    mode: Mode
    reasons: tuple[Reason, ...]
    against: Mapping[Mode, tuple[Reason, ...]]  # the other modes'
    changes: tuple[str, ...] = ()
    warnings: tuple[Reason, ...] = ()
    disagreement: str | None = None  # rules and forecast see it differently
    trade: str | None = None  # what the advised mode costs more than the cheapest one, and what that buys
    applied: frozenset[str] = field(default_factory=frozenset)  # ids of all rules that applied


def advise(facts: Facts, forecasts: Mapping[Mode, Forecast] | None = None) -> Advice:
    """Apply the table. A mode whose forecast fails is not advised while there is one whose forecast does not."""
    forecasts = forecasts or {}
    applied = [rule for rule in RULES if rule.when(facts)]
    refused = {mode for rule in applied if rule.kind == "refuses" for mode in rule.modes}
    weight = dict.fromkeys((m for m in MODES if m not in refused), 0)
    for rule in applied:
        for mode in rule.modes:
            if rule.kind == "for" and mode in weight:
                weight[mode] = max(weight[mode], rule.weight)
    wanted = max(weight, key=lambda m: (weight[m], -MODES.index(m)))
    fewest = min((forecasts[m].failed for m in weight if m in forecasts), default=0)
    works = [m for m in weight if m not in forecasts or forecasts[m].failed == fewest]
    mode = max(works, key=lambda m: (weight[m], -MODES.index(m)))
    of = {m: tuple(_reason(r, facts) for r in applied if m in r.modes and r.kind == "for") for m in MODES}
    against = {
        m: tuple(_reason(r, facts) for r in applied if m in r.modes and r.kind in ("against", "refuses"))
        for m in MODES
        if m != mode
    }
    reasons = of[mode]
    if mode != wanted:
        failing = Reason("fails in the forecast", _fails(forecasts[wanted]), "forecast")
        against[wanted] = (failing, *against[wanted])
        reasons = (failing, *reasons)
    for m in refused:  # the rules wanted a mode that is not there: say what is lost
        reasons += tuple(Reason(r.rule, f"Instead of a {m}: {r.text}", r.source) for r in against[m][:1] if of[m])
    warnings = tuple(_reason(r, facts) for r in applied if r.kind == "warning" and mode in r.modes)
    changes = tuple(
        dict.fromkeys(
            r.change for r in applied if r.change and (r.kind == "refuses" or (r.kind == "for" and mode in r.modes))
        )
    )
    if mode != wanted and facts.iterative:
        changes = ("Several parameter sets in each step need fewer steps, and so fewer waits.", *changes)
    return Advice(
        mode, reasons, against, changes, warnings, _disagreement(mode, refused, forecasts),
        _trade(mode, refused, forecasts), frozenset(r.id for r in applied),
    )  # fmt: skip


def _reason(rule: Rule, facts: Facts) -> Reason:
    text = rule.text.format(
        small=facts.small,
        jobs=len(facts.jobs),
        runs=facts.runs,
        learning=facts.learning,
        split_saves=facts.split_saves,
    )
    return Reason(rule.id, text, rule.source)


def _fails(course: Forecast) -> str:
    of = course.failed + course.completed
    why = " and ".join(course.hits) or "no result"
    return f"In a {course.mode}, {course.failed} of {of} jobs would fail in the forecast ({why})."


def _trade(mode: Mode, refused: set[Mode], forecasts: Mapping[Mode, Forecast]) -> str | None:
    """What the mode is billed more than the cheapest one that works, and how much sooner it ends for that."""
    if mode not in forecasts:
        return None
    own = forecasts[mode]
    others = [
        c
        for m, c in forecasts.items()
        if m != mode and m not in refused and c.failed <= own.failed and c.last_result is not None
    ]
    cheapest = min(others, key=lambda c: c.usage, default=None)
    if cheapest is None or own.last_result is None or cheapest.last_result is None or not cheapest.usage:
        return None
    sooner = cheapest.last_result - own.last_result
    if own.usage < 1.1 * cheapest.usage or sooner <= 0:
        return None
    return (
        f"The price of the {mode}: ≈ {duration(own.usage)} billed instead of {duration(cheapest.usage)} in "
        f"{cheapest.mode} mode ({own.usage / cheapest.usage:.1f} times); in return it ends {duration(sooner)} sooner."
    )


def _disagreement(mode: Mode, refused: set[Mode], forecasts: Mapping[Mode, Forecast]) -> str | None:
    """Where another mode is forecast to be clearly faster without costing more, or cheaper without taking longer."""
    if mode not in forecasts:
        return None
    own = forecasts[mode]
    for other, course in forecasts.items():
        if other == mode or other in refused or course.last_result is None or course.failed > own.failed:
            continue
        if own.last_result is None or own.failed > course.failed:
            return (
                f"The rules say {mode}, but in the forecast {own.failed} of its jobs fail "
                f"({', '.join(own.hits) or 'no result'}); in {other} mode {course.failed} do."
            )
        faster, cheaper = own.last_result - course.last_result, own.usage - course.usage
        if faster > 0.1 * own.last_result and cheaper >= -0.01 * own.usage:
            return (
                f"The rules say {mode}; the forecast sees the last result {duration(faster)} sooner in {other} mode, "
                f"at {billed(course.usage)} of usage instead of {billed(own.usage)}. {LANES_NOTE}"
            )
        if cheaper > 0.1 * own.usage and faster >= -0.01 * own.last_result:
            return (
                f"The rules say {mode}; the forecast bills {duration(cheaper)} less in {other} mode and ends no later. "
                f"{LANES_NOTE}"
            )
    return None
