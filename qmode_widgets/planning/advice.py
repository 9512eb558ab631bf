"""Which mode, and why: the guide's rules as one table, applied to a workload's facts; the forecasts have their say.

Sources: the guide "Choose the right execution mode" [choose], the execution modes' FAQ [faq], "Workload usage" [usage],
"Minimize job run time" [minimize] of IBM's documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..model.snapshot import Mode
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
    divisible: bool = True  # further cuts are possible (PUBs or parameter sets)

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
    def total(self) -> float:
        """Seconds of all jobs together."""
        return sum(self.jobs)


@dataclass(frozen=True, slots=True)
class Rule:
    """One recommendation: when it applies, what it says, about which mode, how much it weighs, and where it stands.

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
    Rule("combine", "warning", MODES, lambda f: len(f.jobs) > 1 and f.small > 1,
         "{small} of {jobs} jobs use under a minute of QPU time: combine them, every job has a fixed overhead.",
         "choose", change="Larger jobs share the overhead."),
    Rule("run in parallel", "for", ("batch",), lambda f: len(f.jobs) > 1 and f.small == 0,
         "Jobs of more than a minute each run in parallel: up to five prepare at once, one at a time on the QPU.",
         "choose", 5),
    Rule("large single job", "warning", MODES, lambda f: f.single and f.large == 1 and f.divisible,
         "The one job uses more than a minute of QPU time: parts of it could prepare in parallel, in a batch.",
         "choose"),
    Rule("split in a session", "warning", ("session",), lambda f: f.divisible and 0 < len(f.jobs) < 5 and f.large > 0,
         "Large jobs in a session: smaller ones, prepared in parallel, cut the wall-clock time that is billed.",
         "choose"),
    Rule("stale noise model", "warning", ("job", "batch"), lambda f: f.noise_model == "learned once",
         "A noise model learned by one job may be stale when the next leaves the queue: PEA and PEC ask for a session.",
         "choose"),
    Rule("learned again", "warning", MODES, lambda f: f.noise_model == "in every job" and len(f.jobs) > 1,
         "Every job learns the noise of its layers again: learn it once and pass it as layer_noise_model.", "choose"),
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
    applied: frozenset[str] = field(default_factory=frozenset)  # ids of all rules that applied


def advise(facts: Facts, forecasts: Mapping[Mode, Forecast] | None = None) -> Advice:
    """Apply the table. Forecasts, where given, are held against what it says."""
    applied = [rule for rule in RULES if rule.when(facts)]
    refused = {mode for rule in applied if rule.kind == "refuses" for mode in rule.modes}
    weight = dict.fromkeys((m for m in MODES if m not in refused), 0)
    for rule in applied:
        for mode in rule.modes:
            if rule.kind == "for" and mode in weight:
                weight[mode] = max(weight[mode], rule.weight)
    mode = max(weight, key=lambda m: (weight[m], -MODES.index(m)))
    of = {m: tuple(_reason(r, facts) for r in applied if m in r.modes and r.kind == "for") for m in MODES}
    against = {
        m: tuple(_reason(r, facts) for r in applied if m in r.modes and r.kind in ("against", "refuses"))
        for m in MODES
        if m != mode
    }
    reasons = of[mode]
    for m in refused:  # the rules wanted a mode that is not there: say what is lost
        reasons += tuple(Reason(r.rule, f"Instead of a {m}: {r.text}", r.source) for r in against[m][:1] if of[m])
    warnings = tuple(_reason(r, facts) for r in applied if r.kind == "warning" and mode in r.modes)
    changes = tuple(
        dict.fromkeys(
            r.change for r in applied if r.change and (r.kind == "refuses" or (r.kind == "for" and mode in r.modes))
        )
    )
    return Advice(
        mode, reasons, against, changes, warnings, _disagreement(mode, refused, forecasts or {}),
        frozenset(r.id for r in applied),
    )  # fmt: skip


def _reason(rule: Rule, facts: Facts) -> Reason:
    return Reason(rule.id, rule.text.format(small=facts.small, jobs=len(facts.jobs)), rule.source)


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
                f"The rules say {mode}; the forecast sees the last result {faster:,.0f} s sooner in {other} mode, "
                f"at {course.usage:,.0f} s of usage instead of {own.usage:,.0f} s. {LANES_NOTE}"
            )
        if cheaper > 0.1 * own.usage and faster >= -0.01 * own.last_result:
            return (
                f"The rules say {mode}; the forecast bills {cheaper:,.0f} s less in {other} mode and ends no later. "
                f"{LANES_NOTE}"
            )
    return None
