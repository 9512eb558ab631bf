"""Why a mode: the guide's rules as one table, applied to a workload's facts, beside what the forecasts say.

Which mode is taken is decided by the forecasts, the limits and the allowance (`choice`); the rules are the reasons.
Where they favour another mode, the first reason says so. Without forecasts the heaviest rule decides.

Sources: the guide "Choose the right execution mode" [choose], the execution modes' FAQ [faq], "Workload usage" [usage],
"Minimize job run time" [minimize] of IBM's documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..model.snapshot import Mode
from .choice import Candidate, Wish, choose
from .durations import billed, duration
from .forecast import MODES, Forecast
from .limits import Finding
from .usage import Jobs

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
    classical: float = 0.0  # seconds of the user's own work between steps
    interactive_ttl: float = 60.0  # of a session

    @property
    def single(self) -> bool:
        """One primitive request, and that is all."""
        return len(self.jobs) == 1 and not self.iterative and self.inputs_ready

    @property
    def needs_session(self) -> bool:
        """The user asks for what only a session gives."""
        return self.exclusive or self.noise_model == "learned once"

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
    Rule("long steps", "against", ("session",), lambda f: f.iterative and f.classical > f.interactive_ttl,
         "A step of your own work ({classical}) is longer than the interactive TTL ({interactive_ttl}): the session "
         "goes inactive after it, and queues again.", "choose"),
    Rule("idle is billed", "against", ("session",), lambda f: True,
         "A session is billed for all the time it is active, idle included; generally more than a batch.", "usage"),
    Rule("session goes inactive", "warning", ("session",), lambda f: f.iterative and f.classical > f.interactive_ttl,
         "A step of your own work ({classical}) is longer than the interactive TTL ({interactive_ttl}): the session "
         "goes inactive after it, is billed for the TTL, and queues again.", "choose"),
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
         "qmode.learn_noise and pass it on; noise_model=\"learned once\" plans that.", "choose"),
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
    disagreement: str | None = None  # the first reason, where the forecast decides against the guide's rules
    trade: str | None = None  # what the advised mode costs more than the cheapest one, and what that buys
    applied: frozenset[str] = field(default_factory=frozenset)  # ids of all rules that applied


def advise(
    facts: Facts,
    forecasts: Mapping[Mode, Forecast] | None = None,
    mode: Mode | None = None,
    refused: Mapping[Mode, Sequence[Finding]] | None = None,
) -> Advice:
    """The reasons for a mode, and against the others.

    Args:
        facts: of the workload.
        forecasts: of each mode.
        mode: that was chosen; without it the forecasts choose, or without these the rules.
        refused: why the service would not take the work in a mode, by mode.
    """
    forecasts, refused = forecasts or {}, refused or {}
    applied = [rule for rule in RULES if rule.when(facts)]
    not_there = {m for rule in applied if rule.kind == "refuses" for m in rule.modes}
    weight = weights(facts)
    wanted = max(weight, key=lambda m: (weight[m], -MODES.index(m)))
    if mode is None and forecasts:
        none = Jobs(None, (), ())  # type: ignore[arg-type]  # the same jobs in every mode
        found = [Candidate.of(none, forecasts[m], refused.get(m, ())) for m in weight if m in forecasts]
        mode = choose(found, Wish(session=facts.needs_session), lambda c: weight[c.mode]).mode
    mode = mode or wanted
    of = {m: tuple(_reason(r, facts) for r in applied if m in r.modes and r.kind == "for") for m in MODES}
    against = {
        m: tuple(_reason(r, facts) for r in applied if m in r.modes and r.kind in ("against", "refuses"))
        for m in MODES
        if m != mode
    }
    reasons = of[mode]
    instead = None
    if mode != wanted:
        rule, instead = _instead(mode, wanted, forecasts, refused.get(wanted, ()))
        said = Reason(rule, instead, "forecast")
        against[wanted] = (said, *against[wanted])
        reasons = (said, *reasons)
    for m in not_there:  # the rules wanted a mode that is not there: say what is lost
        reasons += tuple(Reason(r.rule, f"Instead of a {m}: {r.text}", r.source) for r in against[m][:1] if of[m])
    warnings = tuple(_reason(r, facts) for r in applied if r.kind == "warning" and mode in r.modes)
    changes = tuple(
        dict.fromkeys(
            r.change for r in applied if r.change and (r.kind == "refuses" or (r.kind == "for" and mode in r.modes))
        )
    )
    if mode != "session" and facts.iterative:
        changes = ("Several parameter sets in each step need fewer steps, and so fewer waits.", *changes)
    return Advice(
        mode, reasons, against, changes, warnings, instead,
        _trade(mode, not_there, forecasts, refused), frozenset(r.id for r in applied),
    )  # fmt: skip


def weights(facts: Facts) -> dict[Mode, int]:
    """How heavily the guide's rules speak for each mode that the account has."""
    applied = [rule for rule in RULES if rule.when(facts)]
    not_there = {m for rule in applied if rule.kind == "refuses" for m in rule.modes}
    weight: dict[Mode, int] = dict.fromkeys((m for m in MODES if m not in not_there), 0)
    for rule in applied:
        for mode in rule.modes:
            if rule.kind == "for" and mode in weight:
                weight[mode] = max(weight[mode], rule.weight)
    return weight


def _reason(rule: Rule, facts: Facts) -> Reason:
    text = rule.text.format(
        small=facts.small,
        jobs=len(facts.jobs),
        runs=facts.runs,
        learning=facts.learning,
        split_saves=facts.split_saves,
        classical=duration(facts.classical),
        interactive_ttl=duration(facts.interactive_ttl),
    )
    return Reason(rule.id, text, rule.source)


def _instead(
    mode: Mode, wanted: Mode, forecasts: Mapping[Mode, Forecast], refused: Sequence[Finding]
) -> tuple[str, str]:
    """Why not the mode that the guide's rules favour: the id of the reason, and a sentence."""
    other = forecasts.get(wanted)
    if other is not None and other.failed:
        return "fails in the forecast", _fails(other)
    if refused:
        return "refused", f"The guide says {wanted}, but that would be refused: {refused[0].message}."
    own = forecasts[mode]
    if other is None or own.last_result is None or other.last_result is None:
        return "forecast", f"The forecast speaks for {mode} mode."
    return (
        "forecast",
        f"The guide says {wanted} for this kind of work; the forecast says {mode} mode: ≈ {billed(own.usage)} billed "
        f"instead of {billed(other.usage)}, last result {_when(own.last_result - other.last_result)}.",
    )


def _when(later: float) -> str:
    if abs(later) < 1:
        return "no later"
    return f"{duration(abs(later))} {'later' if later > 0 else 'sooner'}"


def _fails(course: Forecast) -> str:
    of = course.failed + course.completed
    why = " and ".join(course.hits) or "no result"
    return f"In a {course.mode}, {course.failed} of {of} jobs would fail in the forecast ({why})."


def _trade(
    mode: Mode,
    not_there: set[Mode],
    forecasts: Mapping[Mode, Forecast],
    refused: Mapping[Mode, Sequence[Finding]],
) -> str | None:
    """What the mode is billed more than the cheapest one that works, and how much sooner it ends for that."""
    if mode not in forecasts:
        return None
    own = forecasts[mode]
    others = [
        c
        for m, c in forecasts.items()
        if m != mode and m not in not_there and not refused.get(m) and c.failed <= own.failed
    ]
    cheapest = min((c for c in others if c.last_result is not None), key=lambda c: c.usage, default=None)
    if cheapest is None or own.last_result is None or cheapest.last_result is None or not cheapest.usage:
        return None
    if own.usage < 1.1 * cheapest.usage:
        return None
    return (
        f"The price of the {mode}: ≈ {duration(own.usage)} billed instead of {duration(cheapest.usage)} in "
        f"{cheapest.mode} mode ({own.usage / cheapest.usage:.1f} times); in return it ends "
        f"{_when(own.last_result - cheapest.last_result)}."
    )
