"""A plan: what a workload will cost, how to cut it up, which mode to take and why, before anything is spent."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import PlanError, QmodeError
from ..ibm.account import Account, account
from ..model.partition import Partition, check
from ..model.snapshot import Mode
from .advice import Facts, advise
from .content import PlanContent, Submission
from .figures import plan_figure
from .forecast import OPEN_PLAN_MAX_TTL, Conditions, compare_modes, conditions
from .limits import check_limits, is_open_plan
from .settings import differences, settings
from .splitting import Rules, cut_work
from .usage import Jobs, total
from .view import html, text
from .work import Work, analyse, listed

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
            raise ValueError(
                "the inputs of later iterations are not there yet: open a session and submit each step, as "
                "qmode_widgets.planning.compare.variational_loop does"
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
            if submitted is not None:
                submitted(submission.label, run)
        return controller

    def _primitives(self, given: Any) -> list[Any]:
        """The primitive of each submission."""
        if given is not None and len(self.submissions) > 1:
            raise ValueError("each setting of a comparison brings its own primitive: call run() without one")
        chosen = [s.primitive if given is None else given for s in self.submissions]
        if any(p is None or isinstance(p, str) for p in chosen):
            raise ValueError("pass the primitive to run: plan.run(Sampler(mode=backend))")
        return chosen

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
    noise_model: Literal["none", "in every job", "learned once"] | None = None,
    queue_wait: float | None = None,
    usage_left: float | None = None,
    price_per_minute: float | None = None,
    **given: Any,
) -> Plan:
    """Plan a workload: usage, partitions, the three modes forecast, advice, limits. Submits nothing.

    Args:
        pubs: as the primitive takes them; of one iteration, if there are several.
        backend: the one the circuits were transpiled for. An `IBMBackend` is asked for its pending jobs, its instance
            for the usage it has left; nothing else is sent.
        primitive: a name or the user's primitive object.
        options: options object or dict; the primitive's own if left out.
        shots: for PUBs that name none.
        iterative: each step needs the results of the last; a number says how many steps.
        inputs_ready: all inputs are known at the outset.
        exclusive: nobody else may use the QPU in between.
        instance_plan: the plan's name, such as "open" or "pay-as-you-go", instead of the account's own.
        precision: for estimator PUBs that name none.
        partitions: "auto", a number of jobs, or partitions.
        classical: seconds of the user's own work between iterations.
        noise_model: how PEA and PEC get theirs; read from the options if left out.
        queue_wait: seconds in the queue, instead of the backend's pending jobs.
        usage_left: seconds the instance may still use, instead of what it says.
        price_per_minute: of QPU usage; without it nothing is said about money.
        given: other `Conditions`: lanes, preparation, max_ttl, interactive_ttl, per_minute, ….

    Raises:
        ValueError: what is wrong with which PUB, option or backend.
    """
    own_pubs = tuple(listed(pubs))
    work = analyse(own_pubs, backend, settings(primitive, options), shots, precision)
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
    jobs = Jobs.of(work, _partitions(work, partitions, around.conditions.lanes))
    facts = Facts(
        tuple(u.expected for u in jobs.usages),
        pubs=len(own_pubs),
        inputs_ready=inputs_ready,
        iterative=iterations > 1,
        exclusive=exclusive,
        open_plan=is_open_plan(around.instance_plan),
        noise_model=noise_model or _noise_model(work),
        divisible=sum(i.sets for i in work.items) > len(jobs.partitions),
    )
    run_options = {k: v for k, v in (("shots", shots), ("precision", precision)) if v is not None}
    submission = Submission(jobs, own_pubs, None if isinstance(primitive, str) else primitive, run_options)
    return assemble([submission], facts, around)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a plan assumes besides the jobs themselves: the account, the service, how often, at which price."""

    instance_plan: str | None
    usage_left: float | None
    conditions: Conditions
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
        """What is not given is read from the account (one request) and from the backend's queue (one request).

        Raises:
            ValueError: a price or a condition that makes no sense.
        """
        if price_per_minute is not None and not 0 <= price_per_minute < math.inf:
            raise ValueError(f"price_per_minute={price_per_minute!r}: give a number of at least 0")
        own = account(backend) if instance_plan is None or usage_left is None else Account()
        instance_plan = own.plan if instance_plan is None else instance_plan
        if is_open_plan(instance_plan):
            given.setdefault("max_ttl", OPEN_PLAN_MAX_TTL)
        return cls(
            instance_plan,
            own.left if usage_left is None else usage_left,
            conditions(backend, queue_wait, **given),
            iterations,
            classical if iterations > 1 else 0.0,
            price_per_minute,
        )


def assemble(submissions: Sequence[Submission], facts: Facts, around: Circumstances) -> Plan:
    """A plan of jobs that are cut already: forecast, advice, limits."""
    wait = around.conditions
    forecasts = compare_modes(facts.jobs, wait, iterations=around.iterations, classical=around.classical)
    advice = advise(facts, forecasts)
    findings = check_limits(
        [s.jobs for s in submissions],
        mode=advice.mode,
        instance_plan=around.instance_plan,
        usage_left=around.usage_left,
        given=wait,
        expected=forecasts[advice.mode],
    )
    return Plan(
        submissions[0].jobs.work.timing.backend,
        tuple(submissions),
        total([u for s in submissions for u in s.jobs.usages], times=around.iterations),
        forecasts,
        advice,
        tuple(findings),
        wait,
        around.iterations,
        around.classical,
        around.price_per_minute,
    )


def _partitions(work: Work, given: Sequence[Partition] | int | str, lanes: int) -> list[Partition]:
    if isinstance(given, str):
        if given != "auto":
            raise ValueError(f'partitions={given!r}: "auto", a number of jobs, or partitions')
        return cut_work(work, Rules(lanes=lanes))
    if isinstance(given, bool):
        raise ValueError(f'partitions={given!r}: "auto", a number of jobs, or partitions')
    if isinstance(given, int):
        return cut_work(work, Rules(jobs=given, lanes=lanes))
    own = list(given)
    check(own, len(work.items))
    return own


def _iterations(iterative: bool | int) -> int:
    if isinstance(iterative, bool):
        return EXAMPLE_ITERATIONS if iterative else 1
    if iterative < 1:
        raise ValueError(f"iterative={iterative}: True, or a number of steps of at least 1")
    return iterative


def _noise_model(work: Work) -> Literal["none", "in every job", "learned once"]:
    s = work.settings
    if not (s.pec or s.pea):
        return "none"
    return "in every job" if s.learns_layers else "learned once"
