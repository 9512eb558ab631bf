"""A plan: what a workload will cost, how to cut it up, which mode to take and why, before anything is spent."""

from __future__ import annotations

import math
import time as clock
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any, Literal

from ..errors import ArgumentError, PlanError, QmodeError
from ..ibm.account import Account, account, seconds_return
from ..ibm.client import backend_of
from ..model.partition import Partition, check
from ..model.snapshot import Mode
from ..model.tags import LONGEST_LABEL
from .advice import Advice, Facts, advise, weights
from .allowance import RunsOut, failures, fits_after, fitting_pubs, runs_out
from .budget import FEW_SHOTS, Allocation, allocate
from .calibration import Calibration, calibrate, known
from .choice import Candidate, Prefer, Wish, choose
from .content import PlanContent, Submission
from .durations import DAY, billed, duration
from .figures import plan_figure
from .forecast import (
    GIVEN_SPREAD,
    OPEN_PLAN_MAX_TTL,
    STEP_SPREAD,
    Bill,
    Conditions,
    Forecast,
    Load,
    bill,
    compare_modes,
    conditions,
)
from .grouping import merge_pubs
from .limits import OPEN_PLAN_SECONDS, Finding, check_limits, is_open_plan, refusals
from .preflight import Preflight
from .preflight import dry_run as second_opinion
from .request import NoiseModel, deadline_seconds, request
from .savings import fitting_shots, savings
from .settings import Settings, differences, settings
from .splitting import Rules, candidate_cuts, cut_work
from .usage import Jobs, UsageEstimate, job_usage, learning_job, total
from .view import html, text
from .work import Work, analyse, listed

EXAMPLE_ITERATIONS = 10  # of a workload said to be iterative without saying how often
EXAMPLE_CLASSICAL = 10.0  # seconds of an optimizer's step, where not given
BUDGET_ROUNDS = 6  # of spending less on shots until the bill, with a session's idle time, fits
MOST_MERGED = 2_000  # PUBs that are looked through for observables of one circuit
ENDS: tuple[Literal["low"], Literal["high"]] = ("low", "high")


class Plan(PlanContent):
    """Everything known before submitting. Shows itself in a notebook, prints as text, and runs."""

    __slots__ = ()

    def run(
        self,
        primitive: Any = None,
        *,
        force: bool = False,
        opened: Callable[[Any], None] | None = None,
        submitted: Callable[[str, Any], None] | None = None,
        **open_options: Any,
    ) -> Any:
        """Open the advised mode, submit the partitions, return the controller.

        Args:
            primitive: made for the backend (`mode=backend`); the one the plan was made for if left out. A comparison
                brings its own, one a setting.
            force: submit although the plan found errors.
            opened: called with the controller before anything is submitted.
            submitted: called with the label and the `Run` of each submission.
            open_options: for the controller's `open`, such as `max_time` and `usage_cap`.

        Raises:
            PlanError: the service would refuse or cut off a job.
            ValueError: no primitive, or an iterative workload (its later inputs are not there yet).
            SubmissionError: a submission was refused. Nothing further is sent, and the workload is closed: jobs of it
                that were sent before still run, and the error says how to reach them.
        """
        chosen = self._primitives(primitive)
        if self.iterations > 1:
            raise ArgumentError(
                f"the inputs of later iterations are not there yet: open a {self.mode} and submit each step, as "
                "qmode.variational_loop does"
            )
        if self.learning is not None and any(settings(own).needs_noise_model for own in chosen):
            raise ArgumentError(
                "the plan learns the noise once: learn it with qmode.learn_noise, and pass a primitive "
                " with its options.resilience.layer_noise_model"
            )
        if self.errors and not force:
            raise PlanError(self.errors)
        for submission, own in zip(self.submissions, chosen, strict=True):
            if changed := differences(submission.jobs.work.settings, settings(own)):
                warnings.warn(
                    f"the plan was made for other options, so it will cost something else: {'; '.join(changed)}",
                    UserWarning,
                    stacklevel=2,
                )
        controller = _open(self.mode, self.work.backend, **open_options)
        if opened is not None:
            opened(controller)
        for submission, own in zip(self.submissions, chosen, strict=True):
            run = _submit(controller, submission, own)
            run.plan = self
            if submitted is not None:
                submitted(submission.label, run)
        return controller

    def _primitives(self, given: Any) -> list[Any]:
        """The primitive of each submission."""
        if given is not None and len(self.submissions) > 1:
            raise ArgumentError("each setting of a comparison brings its own primitive: call run() without one")
        chosen = [s.primitive if given is None else given for s in self.submissions]
        if any(p is None or isinstance(p, str) for p in chosen):
            raise ArgumentError("pass the primitive to run: plan.run(Sampler(mode=backend))")
        return chosen

    def before_sending(self, primitive: Any = None, *, dry_run: bool = False, timeout: float = 300.0) -> Preflight:
        """What to know before anything is sent; asks the service when used seconds return, and for its own estimate.

        Args:
            primitive: for the dry run, made for the backend; the one the plan was made for if left out.
            dry_run: ask the service for its own estimate of the largest job, on its mock backend. Uses no QPU time, and
                may be refused: then the card says why.
            timeout: seconds to wait for the dry run.

        Raises:
            ValueError: a dry run without a primitive.
        """
        card = self.preflight
        if is_open_plan(card.plan):
            card = replace(card, returns=tuple(seconds_return(self.work.backend)))
        if not dry_run:
            return card
        largest = max(
            zip(self.submissions, self._primitives(primitive), strict=True),
            key=lambda pair: max(u.expected for u in pair[0].jobs.usages),
        )
        submission, own = largest
        opinion = second_opinion(submission.jobs, own, run_options=submission.run_options, timeout=timeout)
        return replace(card, dry_runs=(opinion,))

    def figure(self) -> Any:
        """A plotly figure: one time line for each mode, or for those that come to the same, on a common axis."""
        return plan_figure(self)

    def __str__(self) -> str:
        return text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html(self)


def _open(mode: Mode, backend: Any, **options: Any) -> Any:
    """The controller of a newly opened mode."""
    from ..control.job import JobController
    from ..control.modes import BatchController, SessionController

    kinds: dict[Mode, Any] = {"job": JobController, "batch": BatchController, "session": SessionController}
    return kinds[mode].open(backend, **options)


def _submit(controller: Any, submission: Submission, primitive: Any) -> Any:
    """The run of a submission. Refused, the workload that was opened for it is closed: an idle session is billed."""
    try:
        return controller.submit(
            primitive,
            list(submission.pubs),
            partitions=list(submission.jobs.partitions),
            label=submission.label[:LONGEST_LABEL] or None,  # a comparison's setting: its rows show it
            **submission.run_options,
        )
    except BaseException as error:
        if sent := len(controller.jobs):
            error.add_note(
                f"{sent} jobs were submitted before and still run; qmode_widgets.attach({controller.id!r}) has them"
            )
        try:
            controller.close()
        except QmodeError as failed:
            error.add_note(f"the workload {controller.id} could not be closed: {failed}")
        raise


def plan(
    pubs: Iterable[Any],
    backend: Any,
    primitive: Any = "sampler",
    options: Any = None,
    shots: int | None = None,
    *,
    iterative: bool | int = False,
    inputs_ready: bool = True,
    exclusive: bool = False,
    instance_plan: str | None = None,
    precision: float | None = None,
    partitions: Sequence[Partition] | int | Literal["auto"] = "auto",
    classical: float | None = None,
    noise_model: NoiseModel | None = None,
    queue_wait: float | Mapping[str, Any] | None = None,
    usage_left: float | None = None,
    price_per_minute: float | None = None,
    calibration: Calibration | bool | None = None,
    prefer: Prefer = "balanced",
    hour_worth: float | None = None,
    deadline: float | str | datetime | timedelta | time | None = None,
    budget: float | None = None,
    **given: Any,
) -> Plan:
    """Plan a workload: usage, partitions, the three modes forecast, advice, limits. Submits nothing.

    Every mode and every way to cut the work is forecast and held against limits, allowance, TTLs and the number of
    pending jobs before one is chosen: one that would be refused loses to one that would not.

    Args:
        pubs: as the primitive takes them; of one iteration, if there are several.
        backend: the one the circuits were transpiled for. An `IBMBackend` is asked for its state and pending jobs, its
            instance for the usage it has left; nothing else is sent. `compare_backends` plans for several.
        primitive: a name or the user's primitive object.
        options: options object or dict; the primitive's own if left out.
        shots: for PUBs that name none.
        iterative: each step needs the results of the last; a number says how many steps.
        inputs_ready: all inputs are known at the outset.
        exclusive: nobody else may use the QPU in between: a session, where the account has them.
        instance_plan: the plan's name, such as "open" or "pay-as-you-go", instead of the account's own.
        precision: for estimator PUBs that name none.
        partitions: a number of jobs, or partitions; "auto" takes the number with the least bill, unless more jobs bring
            the last result clearly sooner.
        classical: seconds of the user's own work between iterations.
        noise_model: how PEA and PEC get theirs; read from the options if left out. "learned once" plans one job that
            learns it for all others, as `learn_noise` runs it, in a session.
        queue_wait: seconds in the queue, or what the service tells of them (`wait_time_seconds`, with p50 and p95),
            instead of the backend's pending jobs.
        usage_left: seconds the instance may still use, instead of what it says.
        price_per_minute: of QPU usage; without it nothing is said about money.
        calibration: what one's own bills on this backend say; True learns it now (a few requests, see
            `planning.calibration`), False leaves it out; else what `calibrate(backend)` learned in this process.
        prefer: "cheapest" (the least bill), "soonest" (the soonest last result), or "balanced": the least bill, unless
            the last result comes clearly sooner and each further billed second buys at least 10 s of it.
        hour_worth: what an hour sooner is worth, in the currency of `price_per_minute`, instead of those 10 s.
        deadline: until when the last result is wanted: seconds from now, "17:00", a datetime or timedelta.
        budget: seconds of QPU usage to spend at most. Shots or precision are allocated over the PUBs to the least total
            error, and what the PUBs themselves name of them does not count (`plan.allocation`).
        given: other `Conditions`: lanes, preparation, max_ttl, interactive_ttl, per_minute, ….

    Raises:
        ArgumentError: what is wrong with which argument, PUB, option or backend (a ValueError too).
    """
    asked = request(
        iterative=iterative,
        inputs_ready=inputs_ready,
        exclusive=exclusive,
        instance_plan=instance_plan,
        shots=shots,
        precision=precision,
        partitions=partitions,
        classical=classical,
        noise_model=noise_model,
        usage_left=usage_left,
        price_per_minute=price_per_minute,
        calibration=calibration,
        prefer=prefer,
        hour_worth=hour_worth,
        budget=budget,
    )
    own_pubs = tuple(listed(pubs))
    chosen = settings(primitive, options)
    if asked.noise_model is not None:
        chosen = _with_noise_model(chosen, asked.noise_model)
    work = analyse(own_pubs, backend, chosen, asked.shots, asked.precision)
    learned = asked.calibration
    if learned is True or learned is None:
        learned = calibrate(backend) if learned else known(backend)
    if learned:
        work = learned.on(work)
    iterations = _iterations(asked.iterative)
    own = None if isinstance(primitive, str) else primitive
    wish = Wish.of(asked.prefer, asked.hour_worth, asked.price_per_minute, deadline_seconds(deadline))
    around = Circumstances.of(
        backend,
        instance_plan=asked.instance_plan,
        usage_left=asked.usage_left,
        queue_wait=queue_wait,
        iterations=iterations,
        classical=asked.classical,
        price_per_minute=asked.price_per_minute,
        budget=asked.budget,
        wish=wish,
        **given,
    )
    facts = Facts(
        (),
        pubs=len(own_pubs),
        inputs_ready=asked.inputs_ready,
        iterative=iterations > 1,
        exclusive=asked.exclusive,
        open_plan=is_open_plan(around.instance_plan),
        noise_model=_noise_model(chosen),
        iterations=iterations,
        classical=around.classical,
        interactive_ttl=around.conditions.interactive_ttl,
    )
    run_options = {k: v for k, v in (("shots", asked.shots), ("precision", asked.precision)) if v is not None}
    if asked.budget is None:
        return _planned(work, own_pubs, own, run_options, asked.partitions, facts, around)
    return _within_budget(work, own, asked.partitions, facts, around, asked.budget)


def _planned(
    work: Work,
    pubs: tuple[Any, ...],
    primitive: Any,
    run_options: Mapping[str, Any],
    partitions: Sequence[Partition] | int | Literal["auto"],
    facts: Facts,
    around: Circumstances,
    allocation: tuple[Allocation, ...] = (),
) -> Plan:
    """The plan of analysed PUBs: all candidates judged, one chosen."""
    learning = learning_job(work)

    def outlook(cuts: Sequence[Partition]) -> Outlook:
        submission = Submission(Jobs.of(work, cuts), pubs, primitive, run_options)
        return Outlook.of([submission], facts, around, learning)

    given_cuts = _given(work, partitions, around.conditions.lanes)
    ways = [outlook(cuts) for cuts in candidate_cuts(work, around.conditions.lanes)]
    taken = chosen_of(ways if given_cuts is None else [outlook(given_cuts)], around)
    check(taken.submissions[0].jobs.partitions, len(work.items))
    return taken.compared_with(ways, around).plan(around, allocation)


def _within_budget(
    work: Work,
    primitive: Any,
    partitions: Sequence[Partition] | int | Literal["auto"],
    facts: Facts,
    around: Circumstances,
    budget: float,
) -> Plan:
    """The plan of the PUBs with the shots or precision that a budget buys.

    Raises:
        ArgumentError: nothing fits; or partitions by the shots, which are not fixed yet.
    """
    if not isinstance(partitions, str | int) and any(p.shots is not None for part in partitions for p in part.pieces):
        raise ArgumentError("partitions= cut a PUB by its shots, which budget= allocates: pass a number of jobs")
    spend = budget
    for _ in range(BUDGET_ROUNDS):
        share = spend / around.iterations - _shared_learning(work, around.iterations)
        pubs, allocation = allocate(work, share)
        again = analyse(pubs, work.backend, work.settings, timing=work.timing)
        again.factor, again.assumed = work.factor, work.assumed
        made = _planned(again, tuple(pubs), primitive, {}, partitions, facts, around, allocation)
        if made.bill.expected <= budget + 1e-9:
            return made
        spend -= made.bill.expected - budget  # a session's clock, or several jobs' overhead
    return made


def _shared_learning(work: Work, iterations: int) -> float:
    """Seconds of the job that learns the noise once, as a share of each iteration."""
    learning = learning_job(work)
    return 0.0 if learning is None else learning.expected / iterations


def before_sending(
    primitive: Any,
    pubs: Iterable[Any],
    partitions: Sequence[Partition] | int | Literal["auto"] = "auto",
    *,
    mode: Mode | None = None,
    dry_run: bool = False,
    timeout: float = 300.0,
    **run_options: Any,
) -> Preflight:
    """The card to read before `submit(primitive, pubs, partitions)`: instance, paid or free, backend, bill, dry run.

    Args:
        primitive: made for the workload or for its backend.
        pubs: as `submit` takes them.
        partitions: as `submit` takes them.
        mode: of the workload they go to; the advised one if left out.
        dry_run: ask the service for its own estimate of the largest job; a refusal is shown on the card.
        timeout: seconds to wait for the dry run.
        run_options: `shots` or `precision`.

    Raises:
        ValueError: what is wrong with which PUB, option or backend.
    """
    made = plan(pubs, backend_of(primitive), primitive, partitions=partitions, **run_options)
    card = made.before_sending(dry_run=dry_run, timeout=timeout)
    if mode is None or mode == card.mode:
        return card
    return replace(card, mode=mode, bill=made.bills[mode], price=made.price(mode))


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a plan assumes besides the jobs themselves: the account, the service, how often, at which price."""

    instance_plan: str | None
    usage_left: float | None
    conditions: Conditions
    account: Account
    iterations: int = 1
    classical: float = 0.0
    price_per_minute: float | None = None
    step_spread: tuple[float, float] = GIVEN_SPREAD  # low and high end of `classical`, as factors
    budget: float | None = None
    wish: Wish = field(default_factory=Wish)
    backend: Any = None

    @classmethod
    def of(
        cls,
        backend: Any,
        *,
        instance_plan: str | None,
        usage_left: float | None,
        queue_wait: float | Mapping[str, Any] | None,
        iterations: int = 1,
        classical: float | None = None,
        price_per_minute: float | None = None,
        budget: float | None = None,
        wish: Wish | None = None,
        **given: Any,
    ) -> Circumstances:
        """What is not given is read from the account and from the backend's queue (one request each).

        Raises:
            ArgumentError: a condition that makes no sense.
        """
        own = account(backend, usage=instance_plan is None or usage_left is None)
        instance_plan = own.plan if instance_plan is None else instance_plan
        if is_open_plan(instance_plan):
            given.setdefault("max_ttl", OPEN_PLAN_MAX_TTL)
        step = EXAMPLE_CLASSICAL if classical is None else classical
        return cls(
            instance_plan,
            own.left if usage_left is None else usage_left,
            conditions(own.pending, queue_wait, own.wait, **given),
            own,
            iterations,
            step if iterations > 1 else 0.0,
            price_per_minute,
            STEP_SPREAD if classical is None else GIVEN_SPREAD,
            budget,
            wish or Wish(),
            backend,
        )

    @property
    def left(self) -> float | None:
        """Seconds the instance may still use; the Open Plan's 600 where it does not tell."""
        if self.usage_left is None and is_open_plan(self.instance_plan):
            return OPEN_PLAN_SECONDS
        return self.usage_left


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """Jobs that are cut already, forecast and judged in the three modes; `advice` once one is chosen."""

    submissions: tuple[Submission, ...]
    facts: Facts
    learning: UsageEstimate | None
    forecasts: Mapping[Mode, Forecast]
    candidates: Mapping[Mode, Candidate]
    advice: Advice | None = None
    ways: tuple[Candidate, ...] = ()  # the best candidate of every way to cut the same PUBs
    judged: tuple[Candidate, ...] = ()  # all candidates
    division: str = ""

    @classmethod
    def of(
        cls,
        submissions: Sequence[Submission],
        facts: Facts,
        around: Circumstances,
        learning: UsageEstimate | None = None,
    ) -> Outlook:
        """Forecasts and refusals; `learning` is the job that learns the noise for all others."""
        jobs = [s.jobs for s in submissions]
        layers = sum(u.breakdown.layers for j in jobs for u in j.usages) * around.iterations
        facts = replace(facts, jobs=tuple(u.expected for j in jobs for u in j.usages), learning=layers)
        forecasts = compare_modes(
            [load for j in jobs for load in j.loads],
            around.conditions,
            iterations=around.iterations,
            classical=around.classical,
            before=() if learning is None else [Load(learning.expected)],
        )
        candidates = {
            mode: Candidate.of(
                jobs[0],
                course,
                refusals(
                    jobs,
                    course,
                    instance_plan=around.instance_plan,
                    usage_left=around.usage_left,
                    given=around.conditions,
                    budget=around.budget,
                ),
            )
            for mode, course in forecasts.items()
        }
        return cls(tuple(submissions), facts, learning, forecasts, candidates)

    def best(self, around: Circumstances) -> Candidate:
        """The mode to take for these jobs."""
        return _choice([self], around)

    def advised(self, mode: Mode, **changed: Any) -> Outlook:
        """The same in this mode, with its reasons; `changed` are facts."""
        facts = replace(self.facts, **changed)
        refused = {m: c.refused for m, c in self.candidates.items() if c.refused}
        return replace(self, facts=facts, advice=advise(facts, self.forecasts, mode, refused))

    @property
    def mode(self) -> Mode:
        """The mode that was chosen."""
        assert self.advice is not None
        return self.advice.mode

    @property
    def candidate(self) -> Candidate:
        """What was chosen."""
        return self.candidates[self.mode]

    def compared_with(self, ways: Sequence[Outlook], around: Circumstances) -> Outlook:
        """With what other ways to cut the same PUBs say: whether fewer or more jobs would be better, and why."""
        count = self.candidate.count
        sessions = [way.forecasts["session"].usage for way in ways if way.candidates["session"].count > count]
        saves = self.forecasts["session"].usage - min(sessions, default=math.inf)
        told = self.advised(
            self.mode,
            combinable=min(way.candidates["job"].count for way in ways),
            split_saves=saves if saves > 1 else 0.0,
        )
        others = tuple(way.best(around) for way in ways)
        judged = tuple(c for way in ways for c in way.candidates.values())
        if all(way.submissions[0].jobs is not self.submissions[0].jobs for way in ways):
            judged = (*self.candidates.values(), *judged)
        said = _division(self.candidate, others, self.facts.iterations)
        return replace(told, ways=others, judged=judged, division=said)

    def plan(self, around: Circumstances, allocation: tuple[Allocation, ...] = ()) -> Plan:
        """The plan of these jobs: bills with their intervals, and the findings about submitting them."""
        assert self.advice is not None
        jobs = [s.jobs for s in self.submissions]
        usages = [u for j in jobs for u in j.usages]
        bills = self._bills(around)
        bill_ = bills[self.mode]
        usage = total(usages, times=around.iterations)
        usage = usage if self.learning is None else total([usage, self.learning])
        findings = check_limits(
            jobs,
            mode=self.mode,
            instance_plan=around.instance_plan,
            usage_left=around.usage_left,
            given=around.conditions,
            expected=self.forecasts[self.mode],
            bills=bills,
            budget=around.budget,
        )
        out = self._runs_out(around, bill_)
        findings += [Finding("warning", "runs out", f"{said}") for said in out]
        findings += self._would_fit(around, usage, bill_)
        findings += self._deadline(around)
        findings += [
            Finding("warning", "few shots", f"{a}: hardly worth sending; give more, or plan fewer PUBs", pub=a.pub)
            for a in allocation
            if a.shots < FEW_SHOTS
        ]
        saved = savings(
            jobs,
            usage,
            self.mode,
            bills,
            forecasts=self.forecasts,
            steps=around.iterations,
            refused=frozenset(m for m, c in self.candidates.items() if c.refused),
            taken=self.candidate,
            ways=[way for way in self.ways if (way.mode == "session") is (self.mode == "session")],
            once=self._once(),
            merged=self._merged(),
            left=around.left,
        )
        first_work = jobs[0].work
        card = Preflight(
            first_work.timing.backend,
            self.mode,
            len(usages) * around.iterations,
            bill_,
            first_work.rep_delay,
            around.account,
            around.usage_left,
            around.instance_plan,
            None if around.price_per_minute is None else bill_.expected / 60 * around.price_per_minute,
        )
        return Plan(
            first_work.timing.backend,
            self.submissions,
            usage,
            self.forecasts,
            bills,
            self.advice,
            tuple(sorted(findings, key=lambda f: f.level != "error")),
            around.conditions,
            around.iterations,
            around.classical,
            around.price_per_minute,
            self.learning,
            self.division,
            saved,
            self.judged,
            allocation,
            around.budget,
            tuple(out),
            failures(jobs, around.iterations),
            str(around.wish),
            preflight=card,
        )

    def _bills(self, around: Circumstances) -> dict[Mode, Bill]:
        """What each mode is billed, with its interval."""
        jobs = [s.jobs for s in self.submissions]
        low, high = ([load for j in jobs for load in j.loads_at(end)] for end in ENDS)
        first = [[] if self.learning is None else [Load(getattr(self.learning, end))] for end in ENDS]
        return {
            mode: bill(
                course,
                low,
                high,
                around.conditions,
                iterations=around.iterations,
                classical=around.classical,
                step_spread=around.step_spread,
                before=(first[0], first[1]),
            )
            for mode, course in self.forecasts.items()
        }

    def _runs_out(self, around: Circumstances, bill_: Bill) -> list[RunsOut]:
        """Where the expected bill passes what is left, or the budget."""
        limits = (("what is left", around.left), ("the budget", around.budget))
        found = [
            runs_out(
                [s.jobs for s in self.submissions],
                limit,
                what=what,
                steps=around.iterations,
                learning=0.0 if self.learning is None else self.learning.expected,
                bill=bill_.expected,
            )
            for what, limit in limits
            if limit is not None
        ]
        return [one for one in found if one is not None]

    def _would_fit(self, around: Circumstances, usage: UsageEstimate, bill_: Bill) -> list[Finding]:
        """What would fit, where the bill is more than what is left: fewer shots, fewer PUBs, or later."""
        left = around.left
        if left is None or bill_.expected <= left:
            return []
        jobs = [s.jobs for s in self.submissions]
        ways = []
        if (share := fitting_shots(usage, bill_.expected, left)) is not None:
            ways.append(f"{math.floor(100 * share)} % of the shots (budget={left:g} allocates them)")
        if self.facts.pubs > 1 and (count := fitting_pubs(jobs, left, around.iterations)):
            ways.append(f"the first {count} of {self.facts.pubs} PUBs" if count > 1 else "the first PUB")
        if around.iterations > 1 and (steps := math.floor(left / bill_.expected * around.iterations)):
            ways.append(f"{steps} of {around.iterations} steps")
        if is_open_plan(around.instance_plan):
            if (back := fits_after(bill_.expected, left, seconds_return(around.backend))) is not None:
                day, seconds = back
                ways.append(f"all of it from {day:%Y-%m-%d} on, when {billed(seconds)} have come back")
        elif (end := around.account.period_end) is not None and end > clock.time() + DAY:
            ways.append(f"all of it in the next period, from {datetime.fromtimestamp(end, UTC):%Y-%m-%d} on")
        if not ways:
            return [Finding("warning", "would fit", f"nothing of it fits the {billed(left)} that are left")]
        return [Finding("warning", "would fit", f"the {billed(left)} that are left would do for {'; or '.join(ways)}")]

    def _deadline(self, around: Circumstances) -> list[Finding]:
        wanted = around.wish.deadline
        last = self.forecasts[self.mode].last_result
        if wanted is None or (last is not None and last <= wanted):
            return []
        late = (
            "no result is expected" if last is None else f"the last result is expected {duration(last - wanted)} later"
        )
        others = [
            c for c in self.candidates.values() if not c.refused and c.mode != self.mode and c.end < self.candidate.end
        ]
        hint = (
            f"; {min(others, key=lambda c: c.end).mode} mode ends sooner" if others else "; no way to send it is sooner"
        )
        return [Finding("warning", "deadline", f"{late} than the deadline in {duration(wanted)}{hint}")]

    def _merged(self) -> tuple[int, float] | None:
        """Into how many PUBs the observables of one circuit could be put, and the seconds that saves a step."""
        work = self.submissions[0].jobs.work
        if work.settings.kind != "estimator" or not 1 < len(work.pubs) <= MOST_MERGED or self.facts.comparison:
            return None
        merged = merge_pubs(self.submissions[0].pubs if work.factor == 1.0 else work.pubs)
        if not merged.merges:
            return None
        options = self.submissions[0].run_options
        again = analyse(merged.pubs, work.backend, work.settings, None, options.get("precision"), work.timing)
        again.factor = work.factor
        one = job_usage(again, [(item, 1.0) for item in again.items]).expected
        return len(merged.pubs), sum(u.expected for u in self.submissions[0].jobs.usages) - one

    def _once(self) -> UsageEstimate | None:
        """The job that would learn the noise for all others, where each of several learns it now."""
        work = self.submissions[0].jobs.work
        if self.facts.comparison or self.facts.noise_model != "in every job" or self.facts.runs < 2:
            return None
        return learning_job(work, replace(work.settings, learn_once=True))


def chosen_of(ways: Sequence[Outlook], around: Circumstances) -> Outlook:
    """The way to take, in the mode to take."""
    best = _choice(ways, around)
    taken = next(way for way in ways if best in way.candidates.values())
    return taken.advised(best.mode)


def _choice(ways: Sequence[Outlook], around: Circumstances) -> Candidate:
    """The best candidate of all: every mode of every way."""
    weight = {id(way.candidates["job"].jobs): weights(way.facts) for way in ways}
    wish = replace(around.wish, session=around.wish.session or ways[0].facts.needs_session)
    found = [c for way in ways for c in way.candidates.values()]
    return choose(found, wish, lambda c: weight[id(c.jobs)].get(c.mode, -1))


def _division(taken: Candidate, ways: Sequence[Candidate], iterations: int) -> str:
    """Why this number of jobs: its bill and its end beside those of other numbers."""
    others = [way for way in ways if way.count != taken.count]
    if not others:
        return ""
    step = " an iteration" if iterations > 1 else ""
    said = f"{taken.count} job{'s' * (taken.count != 1)}{step}: {_outcome(taken)}"
    fewest, most = min(others, key=lambda w: w.count), max(others, key=lambda w: w.count)
    for other in dict.fromkeys((fewest, most)):
        said += f"; in {other.count}: {_outcome(other)}"
        if other.count > taken.count and (earlier := _earlier(taken, other)) > 1:
            more = other.bill - taken.bill
            price = f"≈ {billed(more)} more" if more >= 1 else "nothing"
            said += f" (a first result {duration(earlier)} sooner costs {price})"
    return said + "."


def _earlier(taken: Candidate, other: Candidate) -> float:
    """Seconds that the first result of another way comes sooner."""
    if taken.first_result is None or other.first_result is None:
        return 0.0
    return taken.first_result - other.first_result


def _outcome(way: Candidate) -> str:
    if way.last_result is None or way.first_result is None:
        return f"{billed(way.bill)} billed, no result"
    first = f", the first after {duration(way.first_result)}" if way.count > 1 else ""
    refused = f", refused ({way.refused[0].rule})" if way.refused else ""
    return f"≈ {billed(way.bill)} billed, last result after {duration(way.last_result)}{first}{refused}"


def _given(work: Work, given: Sequence[Partition] | int | Literal["auto"], lanes: int) -> Sequence[Partition] | None:
    """The user's own partitions; None for "auto"."""
    if isinstance(given, str):
        return None
    if isinstance(given, int):
        return cut_work(work, Rules(jobs=given, lanes=lanes))
    try:
        check(given, len(work.items))
    except QmodeError:
        raise
    except ValueError as error:
        raise ArgumentError(f"partitions: {error}") from error
    return given


def _iterations(iterative: bool | int) -> int:
    if isinstance(iterative, bool):
        return EXAMPLE_ITERATIONS if iterative else 1
    return iterative


def _noise_model(chosen: Settings) -> NoiseModel:
    if not (chosen.pec or chosen.pea):
        return "none"
    return "in every job" if chosen.learns_layers else "learned once"


def _with_noise_model(chosen: Settings, wanted: NoiseModel) -> Settings:
    """The options, with what the user says of the noise model.

    Raises:
        ValueError: the options do not allow it.
    """
    if wanted == "learned once" and chosen.needs_noise_model:
        return replace(chosen, learn_once=True)
    if wanted != (own := _noise_model(chosen)):
        raise ArgumentError(f"noise_model={wanted!r}, but by the options it is {own!r}: leave it out, or change them")
    return chosen
