"""A plan: what a workload will cost, how to cut it up, which mode to take and why, before anything is spent."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from ..errors import ArgumentError, PlanError, QmodeError
from ..ibm.account import Account, account, seconds_return
from ..ibm.client import backend_of
from ..model.partition import Partition, check
from ..model.snapshot import Mode
from .advice import Advice, Facts, advise
from .calibration import Calibration, calibrate, known
from .content import PlanContent, Submission
from .durations import billed, duration
from .figures import plan_figure
from .forecast import OPEN_PLAN_MAX_TTL, Conditions, Forecast, Load, bill, compare_modes, conditions
from .limits import check_limits, is_open_plan
from .preflight import Preflight
from .preflight import dry_run as second_opinion
from .savings import savings
from .settings import Settings, differences, settings
from .splitting import Candidate, Rules, candidate_cuts, choose, cut_work
from .usage import Jobs, UsageEstimate, learning_job, total
from .view import html, text
from .work import Work, analyse, listed

NoiseModel = Literal["none", "in every job", "learned once"]
EXAMPLE_ITERATIONS = 10  # of a workload said to be iterative without saying how often
EXAMPLE_CLASSICAL = 10.0  # seconds of an optimizer's step, where not given


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
                "the inputs of later iterations are not there yet: open a session and submit each step, as "
                "qmode_widgets.planning.compare.variational_loop does"
            )
        if self.learning is not None and any(settings(own).needs_noise_model for own in chosen):
            raise ArgumentError(
                "the plan learns the noise once: learn it with qmode_widgets.planning.compare.learn_noise, and pass a "
                "primitive with its options.resilience.layer_noise_model"
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
        """A plotly figure: one time line per mode on a common axis, usage as numbers at the end."""
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
            primitive, list(submission.pubs), partitions=list(submission.jobs.partitions), **submission.run_options
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
    queue_wait: float | None = None,
    usage_left: float | None = None,
    price_per_minute: float | None = None,
    calibration: Calibration | bool | None = None,
    **given: Any,
) -> Plan:
    """Plan a workload: usage, partitions, the three modes forecast, advice, limits. Submits nothing.

    Args:
        pubs: as the primitive takes them; of one iteration, if there are several.
        backend: the one the circuits were transpiled for. An `IBMBackend` is asked for its state and pending jobs, its
            instance for the usage it has left; nothing else is sent.
        primitive: a name or the user's primitive object.
        options: options object or dict; the primitive's own if left out.
        shots: for PUBs that name none.
        iterative: each step needs the results of the last; a number says how many steps.
        inputs_ready: all inputs are known at the outset.
        exclusive: nobody else may use the QPU in between.
        instance_plan: the plan's name, such as "open" or "pay-as-you-go", instead of the account's own.
        precision: for estimator PUBs that name none.
        partitions: a number of jobs, or partitions; "auto" takes the number with the least bill, then the least time,
            in the forecast.
        classical: seconds of the user's own work between iterations.
        noise_model: how PEA and PEC get theirs; read from the options if left out. "learned once" plans one job that
            learns it for all others, as `planning.compare.learn_noise` runs it.
        queue_wait: seconds in the queue, instead of the backend's pending jobs.
        usage_left: seconds the instance may still use, instead of what it says.
        price_per_minute: of QPU usage; without it nothing is said about money.
        calibration: what one's own bills on this backend say; True learns it now (a few requests, see
            `planning.calibration`), False leaves it out; else what `calibrate(backend)` learned in this process.
        given: other `Conditions`: lanes, preparation, max_ttl, interactive_ttl, per_minute, ….

    Raises:
        ValueError: what is wrong with which PUB, option or backend.
    """
    own_pubs = tuple(listed(pubs))
    chosen = settings(primitive, options)
    if noise_model is not None:
        chosen = _with_noise_model(chosen, noise_model)
    work = analyse(own_pubs, backend, chosen, shots, precision)
    if calibration is True:
        calibration = calibrate(backend)
    elif calibration is None:
        calibration = known(backend)
    if calibration:
        work = calibration.on(work)
    iterations = _iterations(iterative)
    around = Circumstances.of(
        backend,
        instance_plan=instance_plan,
        usage_left=usage_left,
        queue_wait=queue_wait,
        iterations=iterations,
        classical=EXAMPLE_CLASSICAL if classical is None else classical,
        price_per_minute=price_per_minute,
        **given,
    )
    facts = Facts(
        (),
        pubs=len(own_pubs),
        inputs_ready=inputs_ready,
        iterative=iterations > 1,
        exclusive=exclusive,
        open_plan=is_open_plan(around.instance_plan),
        noise_model=_noise_model(chosen),
        iterations=iterations,
    )
    run_options = {k: v for k, v in (("shots", shots), ("precision", precision)) if v is not None}
    own = None if isinstance(primitive, str) else primitive

    def outlook(jobs: Jobs) -> Outlook:
        return Outlook.of([Submission(jobs, own_pubs, own, run_options)], facts, around, learning_job(work))

    given_cuts = _given(work, partitions, around.conditions.lanes)
    ways = [outlook(Jobs.of(work, cuts)) for cuts in candidate_cuts(work, around.conditions.lanes)]
    if given_cuts is None:
        best = choose([way.candidate for way in ways])
        taken = next(way for way in ways if way.candidate is best)
    else:
        taken = outlook(Jobs.of(work, given_cuts))
    return taken.compared_with(ways).plan(around)


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

    @classmethod
    def of(
        cls,
        backend: Any,
        *,
        instance_plan: str | None,
        usage_left: float | None,
        queue_wait: float | None,
        iterations: int = 1,
        classical: float = 0.0,
        price_per_minute: float | None = None,
        **given: Any,
    ) -> Circumstances:
        """What is not given is read from the account and from the backend's queue (one request each).

        Raises:
            ValueError: a price or a condition that makes no sense.
        """
        if price_per_minute is not None and not 0 <= price_per_minute < math.inf:
            raise ArgumentError(f"price_per_minute={price_per_minute!r}: give a number of at least 0")
        own = account(backend, usage=instance_plan is None or usage_left is None)
        instance_plan = own.plan if instance_plan is None else instance_plan
        if is_open_plan(instance_plan):
            given.setdefault("max_ttl", OPEN_PLAN_MAX_TTL)
        return cls(
            instance_plan,
            own.left if usage_left is None else usage_left,
            conditions(own.pending, queue_wait, **given),
            own,
            iterations,
            classical if iterations > 1 else 0.0,
            price_per_minute,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """Jobs that are cut already, forecast in the three modes, and what is advised for them."""

    submissions: tuple[Submission, ...]
    facts: Facts
    learning: UsageEstimate | None
    forecasts: Mapping[Mode, Forecast]
    advice: Advice
    candidate: Candidate
    ways: tuple[Candidate, ...] = ()  # other cuts of the same PUBs
    division: str = ""

    @classmethod
    def of(
        cls,
        submissions: Sequence[Submission],
        facts: Facts,
        around: Circumstances,
        learning: UsageEstimate | None = None,
    ) -> Outlook:
        """Forecast and advice; `learning` is the job that learns the noise for all others."""
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
        advice = advise(facts, forecasts)
        candidate = Candidate.of(jobs[0], forecasts[advice.mode])
        return cls(tuple(submissions), facts, learning, forecasts, advice, candidate)

    def compared_with(self, ways: Sequence[Outlook]) -> Outlook:
        """With what other ways to cut the same PUBs say: whether fewer or more jobs would be better, and why."""
        sessions = [way.forecasts["session"].usage for way in ways if way.candidate.count > self.candidate.count]
        saves = self.forecasts["session"].usage - min(sessions, default=math.inf)
        facts = replace(
            self.facts,
            combinable=min(way.candidate.count for way in ways),
            split_saves=saves if saves > 1 else 0.0,
        )
        others = tuple(way.candidate for way in ways)
        said = _division(self.candidate, others, self.facts.iterations)
        return replace(self, facts=facts, advice=advise(facts, self.forecasts), ways=others, division=said)

    def plan(self, around: Circumstances) -> Plan:
        """The plan of these jobs: bills with their intervals, and the findings about submitting them."""
        wait = around.conditions
        usages = [u for s in self.submissions for u in s.jobs.usages]
        ends = [[Load(getattr(u, end), u.configurations) for u in usages] for end in ("low", "high")]
        first = [[] if self.learning is None else [Load(getattr(self.learning, e))] for e in ("low", "high")]
        bills = {
            mode: bill(
                course,
                ends[0],
                ends[1],
                wait,
                iterations=around.iterations,
                classical=around.classical,
                before=(first[0], first[1]),
            )
            for mode, course in self.forecasts.items()
        }
        findings = check_limits(
            [s.jobs for s in self.submissions],
            mode=self.advice.mode,
            instance_plan=around.instance_plan,
            usage_left=around.usage_left,
            given=wait,
            expected=self.forecasts[self.advice.mode],
            bills=bills,
        )
        usage = total(usages, times=around.iterations)
        usage = usage if self.learning is None else total([usage, self.learning])
        saved = savings(
            [s.jobs for s in self.submissions],
            usage,
            self.advice.mode,
            bills,
            forecasts=self.forecasts,
            refused=frozenset({"session"} if self.facts.open_plan else ()),
            taken=self.candidate,
            ways=self.ways,
            once=self._once(),
            left=around.usage_left,
        )
        first_work = self.submissions[0].jobs.work
        card = Preflight(
            first_work.timing.backend,
            self.advice.mode,
            len(usages) * around.iterations,
            bills[self.advice.mode],
            first_work.rep_delay,
            around.account,
            around.usage_left,
            around.instance_plan,
            None
            if around.price_per_minute is None
            else bills[self.advice.mode].expected / 60 * around.price_per_minute,
        )
        return Plan(
            self.submissions[0].jobs.work.timing.backend,
            self.submissions,
            usage,
            self.forecasts,
            bills,
            self.advice,
            tuple(findings),
            wait,
            around.iterations,
            around.classical,
            around.price_per_minute,
            self.learning,
            self.division,
            saved,
            preflight=card,
        )

    def _once(self) -> UsageEstimate | None:
        """The job that would learn the noise for all others, where each of several learns it now."""
        work = self.submissions[0].jobs.work
        if self.facts.comparison or self.facts.noise_model != "in every job" or self.facts.runs < 2:
            return None
        return learning_job(work, replace(work.settings, learn_once=True))


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
    return said + "."


def _outcome(way: Candidate) -> str:
    if way.last_result is None or way.first_result is None:
        return f"{billed(way.bill)} billed, no result"
    first = f", the first after {duration(way.first_result)}" if way.count > 1 else ""
    return f"≈ {billed(way.bill)} billed, last result after {duration(way.last_result)}{first}"


def _given(work: Work, given: Sequence[Partition] | int | str, lanes: int) -> list[Partition] | None:
    """The user's own partitions; None for "auto"."""
    if isinstance(given, str) and given == "auto":
        return None
    if isinstance(given, str | bool):
        raise ArgumentError(f'partitions={given!r}: "auto", a number of jobs, or partitions')
    if isinstance(given, int):
        return cut_work(work, Rules(jobs=given, lanes=lanes))
    own = list(given)
    check(own, len(work.items))
    return own


def _iterations(iterative: bool | int) -> int:
    if isinstance(iterative, bool):
        return EXAMPLE_ITERATIONS if iterative else 1
    if iterative < 1:
        raise ArgumentError(f"iterative={iterative}: True, or a number of steps of at least 1")
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
    if wanted not in get_args(NoiseModel):
        raise ArgumentError(f"noise_model={wanted!r}: one of {', '.join(map(repr, get_args(NoiseModel)))}")
    if wanted == "learned once" and chosen.needs_noise_model:
        return replace(chosen, learn_once=True)
    if wanted != (own := _noise_model(chosen)):
        raise ArgumentError(f"noise_model={wanted!r}, but by the options it is {own!r}: leave it out, or change them")
    return chosen
