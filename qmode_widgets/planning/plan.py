"""A plan: what a workload will cost, how to cut it up, which mode to take and why, before anything is spent."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ..errors import PlanError
from ..ibm.account import Account, account
from ..model.partition import Partition, check
from ..model.snapshot import Mode
from .advice import Advice, Facts, Reason, advise
from .forecast import OPEN_PLAN_MAX_TTL, Conditions, Forecast, compare_modes, conditions
from .limits import Finding, check_limits, is_open_plan
from .settings import differences, settings
from .splitting import Rules, cut_work, priced
from .usage import UsageEstimate, job_usage, shares, total
from .work import Work, analyse, listed

EXAMPLE_ITERATIONS = 10  # of a workload said to be iterative without saying how often
EXAMPLE_CLASSICAL = 10.0  # seconds of an optimizer's step, where not given


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Everything known before submitting. Shows itself in a notebook and prints as text.

    `usage` is the QPU time of all jobs, over all iterations; what a session is billed besides is in its forecast.
    """

    backend: str
    work: Work
    partitions: tuple[Partition, ...]
    usage: UsageEstimate
    forecasts: Mapping[Mode, Forecast]
    advice: Advice
    findings: tuple[Finding, ...]
    conditions: Conditions
    iterations: int = 1
    classical: float = 0.0
    price_per_minute: float | None = None
    primitive: Any = None  # the user's object, if one was given
    pubs: tuple[Any, ...] = ()  # as given
    run_options: Mapping[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()  # of the jobs, where they are settings to compare

    @property
    def mode(self) -> Mode:
        """The advised mode."""
        return self.advice.mode

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why."""
        return self.advice.reasons

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What the service would refuse or cut off."""
        return tuple(f for f in self.findings if f.level == "error")

    def price(self, mode: Mode | None = None) -> float | None:
        """What the expected usage costs in the currency of `price_per_minute`; None without a price."""
        if self.price_per_minute is None:
            return None
        return self.forecasts[mode or self.mode].usage / 60 * self.price_per_minute

    def run(self, primitive: Any = None, *, force: bool = False, **open_options: Any) -> Any:
        """Open the advised mode, submit the partitions, return the controller.

        Args:
            primitive: made for the backend (`mode=backend`); the one the plan was made for if left out.
            force: submit although the plan found errors.
            open_options: for the controller's `open`, such as `max_time` and `usage_cap`.

        Raises:
            PlanError: the service would refuse or cut off a job.
            ValueError: no primitive, or an iterative workload (its later inputs are not there yet).
        """
        primitive = self.primitive if primitive is None else primitive
        if primitive is None or isinstance(primitive, str):
            raise ValueError("pass the primitive to run: plan.run(Sampler(mode=backend))")
        if self.iterations > 1:
            raise ValueError(
                "the inputs of later iterations are not there yet: open a session and submit each step, as "
                "qmode_widgets.planning.compare.variational_loop does"
            )
        if self.errors and not force:
            raise PlanError(self.errors)
        if changed := differences(self.work.settings, settings(primitive)):
            warnings.warn(
                f"the plan was made for other options, so it will cost something else: {'; '.join(changed)}",
                UserWarning,
                stacklevel=2,
            )
        controller = open_mode(self.mode, self.work.backend, **open_options)
        controller.submit(primitive, list(self.pubs), partitions=list(self.partitions), **self.run_options)
        return controller

    def figure(self) -> Any:
        """A plotly figure: one time line per mode on a common axis, usage as numbers at the end."""
        from .figures import plan_figure

        return plan_figure(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain values only, for JSON."""
        return {
            "backend": self.backend,
            "primitive": self.work.settings.kind,
            "mode": self.mode,
            "reasons": [asdict(r) for r in self.reasons],
            "against": {m: [asdict(r) for r in rs] for m, rs in self.advice.against.items()},
            "changes": list(self.advice.changes),
            "warnings": [asdict(r) for r in self.advice.warnings],
            "disagreement": self.advice.disagreement,
            "usage": {k: v for k, v in asdict(self.usage).items() if k != "pubs"}
            | {"pubs": [asdict(p) for p in self.usage.pubs]},
            "partitions": [asdict(p) | {"label": p.label} for p in self.partitions],
            "forecasts": {m: asdict(f) for m, f in self.forecasts.items()},
            "findings": [asdict(f) for f in self.findings],
            "iterations": self.iterations,
            "classical": self.classical,
            "price_per_minute": self.price_per_minute,
            "price": self.price(),
        }

    def __str__(self) -> str:
        from .view import text

        return text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from .view import html

        return html(self)


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
    cuts = _partitions(work, partitions, given.get("lanes", Conditions().lanes))
    own = account(backend) if instance_plan is None or usage_left is None else Account()
    instance_plan = own.plan if instance_plan is None else instance_plan
    usage_left = own.left if usage_left is None else usage_left
    iterations = _iterations(iterative)
    between = (EXAMPLE_CLASSICAL if classical is None else classical) if iterations > 1 else 0.0
    jobs = [job_usage(work, shares(work, p)) for p in cuts]
    facts = Facts(
        tuple(u.expected for u in jobs),
        pubs=len(own_pubs),
        inputs_ready=inputs_ready,
        iterative=iterations > 1,
        exclusive=exclusive,
        open_plan=is_open_plan(instance_plan),
        noise_model=noise_model or _noise_model(work),
        divisible=sum(i.sets for i in work.items) > len(cuts),
    )
    if facts.open_plan:
        given.setdefault("max_ttl", OPEN_PLAN_MAX_TTL)
    wait = conditions(backend, queue_wait, **given)
    return assemble(
        work,
        cuts,
        jobs,
        facts,
        wait,
        instance_plan=instance_plan,
        usage_left=usage_left,
        iterations=iterations,
        classical=between,
        price_per_minute=price_per_minute,
        primitive=None if isinstance(primitive, str) else primitive,
        pubs=own_pubs,
        run_options={k: v for k, v in (("shots", shots), ("precision", precision)) if v is not None},
    )


def assemble(
    work: Work,
    cuts: Sequence[Partition],
    jobs: Sequence[UsageEstimate],
    facts: Facts,
    wait: Conditions,
    *,
    instance_plan: str | None = None,
    usage_left: float | None = None,
    iterations: int = 1,
    classical: float = 0.0,
    **rest: Any,
) -> Plan:
    """A plan of jobs that are cut already."""
    price = rest.get("price_per_minute")
    if price is not None and not 0 <= price < float("inf"):
        raise ValueError(f"price_per_minute={price!r}: give a number of at least 0")
    forecasts = compare_modes(facts.jobs, wait, iterations=iterations, classical=classical)
    advice = advise(facts, forecasts)
    findings = check_limits(
        work,
        cuts,
        jobs,
        mode=advice.mode,
        instance_plan=instance_plan,
        usage_left=usage_left,
        given=wait,
        expected=forecasts[advice.mode],
    )
    return Plan(
        work.timing.backend,
        work,
        tuple(priced(p, u) for p, u in zip(cuts, jobs, strict=True)),
        total(list(jobs) * iterations, work),
        forecasts,
        advice,
        tuple(findings),
        wait,
        iterations,
        classical,
        **rest,
    )


def open_mode(mode: Mode, backend: Any, **options: Any) -> Any:
    """The controller of a newly opened mode."""
    from ..control.job import JobController
    from ..control.modes import BatchController, SessionController

    kinds: dict[Mode, Any] = {"job": JobController, "batch": BatchController, "session": SessionController}
    return kinds[mode].open(backend, **options)


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
