"""The guide's two examples, ready to use: a variational loop in a session, and a comparison of settings in a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..ibm.account import Account, account
from ..model.partition import Partition, Piece
from .advice import Facts
from .forecast import conditions
from .limits import is_open_plan
from .plan import Plan, assemble, open_mode
from .settings import settings
from .usage import job_usage
from .work import PubWork, Work, analyse, listed

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Step:
    """One evaluation of the cost: its parameters, its value, and the job's standard error."""

    parameters: Vector
    value: float
    error: float | None


def variational_loop(
    session: Any,
    estimator: Any,
    ansatz: Any,
    observable: Any,
    optimizer: Callable[[Callable[[Vector], float], Vector], Any],
    start: Sequence[float] | Vector,
    *,
    timeout: float | None = None,
) -> tuple[Any, list[Step]]:
    """Minimise an expectation value step by step in one session.

    Args:
        session: a `SessionController`; it stays open, close it when nothing more is to come.
        estimator: made for the session or its backend.
        ansatz: an ISA circuit with the parameters to optimise.
        observable: laid out for the ansatz.
        optimizer: takes the cost function and the start values, returns what it likes; for example
            `lambda cost, x0: scipy.optimize.minimize(cost, x0, method="COBYLA")`.
        start: values of `ansatz.parameters`, in that order.
        timeout: seconds to wait for one evaluation.

    Returns:
        What the optimizer returned, and every evaluation in order.

    Raises:
        ValueError: the number of start values is not that of the parameters.
    """
    values = np.asarray(start, dtype=float)
    if values.shape != (ansatz.num_parameters,):
        raise ValueError(f"{values.size} start values for {ansatz.num_parameters} parameters of the ansatz")
    steps: list[Step] = []

    def cost(parameters: Vector) -> float:
        with session.iteration(f"step {len(steps)}"):
            run = session.submit(estimator, [(ansatz, observable, parameters)], partitions=1)
            data = run.result(timeout=timeout)[0].data
        error = float(np.squeeze(data.stds)) if "stds" in data else None
        steps.append(Step(np.array(parameters, dtype=float), float(np.squeeze(data.evs)), error))
        return steps[-1].value

    return optimizer(cost, values), steps


@dataclass(slots=True)
class Comparison:
    """One job per setting, all with the same PUBs. `plan` says what it will cost; `run` submits it as a batch."""

    plan: Plan
    settings: dict[str, Mapping[str, Any]]
    primitives: dict[str, Any]
    pubs: tuple[Any, ...]
    controller: Any = None
    runs: dict[str, Any] | None = None

    def run(self, **open_options: Any) -> Any:
        """Open the advised mode and submit one job per setting; returns the controller."""
        self.controller = open_mode(self.plan.mode, self.plan.work.backend, **open_options)
        self.runs = {
            label: self.controller.submit(primitive, list(self.pubs), partitions=1)
            for label, primitive in self.primitives.items()
        }
        return self.controller

    def results(self, timeout: float | None = None) -> dict[str, Any]:
        """Each setting's result, in the order of the grid; waits for them.

        Raises:
            RuntimeError: nothing was submitted yet.
        """
        if self.runs is None:
            raise RuntimeError("nothing is submitted yet: call run() first")
        return {label: run.result(timeout=timeout) for label, run in self.runs.items()}

    def figure(self, results: Mapping[str, Any] | None = None) -> Any:
        """A plotly figure of the results per setting: expectation values with errors, or counts."""
        from .figures import comparison_figure

        return comparison_figure(self.results() if results is None else results)

    def __repr__(self) -> str:
        return f"Comparison of {', '.join(self.settings)}\n{self.plan}"

    def _repr_html_(self) -> str:
        return self.plan._repr_html_()


def compare(
    options_grid: Mapping[str, Mapping[str, Any]] | Sequence[Mapping[str, Any]],
    pubs: Sequence[Any],
    backend: Any,
    primitive: Any,
    *,
    instance_plan: str | None = None,
    queue_wait: float | None = None,
    usage_left: float | None = None,
    price_per_minute: float | None = None,
) -> Comparison:
    """Plan one job per setting of options: related, independent jobs that should run close together, in a batch.

    Args:
        options_grid: nested options by label, or a list of them (labelled by what they set).
        pubs: the same for every setting.
        backend: the one the circuits were transpiled for.
        primitive: a primitive class (`executor_estimator.Estimator`), or an object whose class and options are taken
            as the base of every setting.
        instance_plan: the plan's name.
        queue_wait: seconds in the queue, instead of the backend's pending jobs.
        usage_left: seconds the instance may still use.
        price_per_minute: of QPU usage.

    Raises:
        ValueError: no settings, two of the same label, or what is wrong with which PUB or option.
    """
    grid = _labelled(options_grid)
    pubs = listed(pubs)
    primitives = {label: _configured(primitive, backend, options) for label, options in grid.items()}
    works = [analyse(pubs, backend, settings(p)) for p in primitives.values()]
    merged = _merged(works)
    own = account(backend) if instance_plan is None or usage_left is None else Account()
    instance_plan = own.plan if instance_plan is None else instance_plan
    usage_left = own.left if usage_left is None else usage_left
    size = len(works[0].items)
    cuts = [Partition(tuple(Piece(n * size + i) for i in range(size))) for n in range(len(works))]
    jobs = [job_usage(w, [(item, 1.0) for item in w.items]) for w in works]
    facts = Facts(tuple(u.expected for u in jobs), pubs=size, comparison=True, divisible=False,
                  open_plan=is_open_plan(instance_plan))  # fmt: skip
    plan = assemble(
        merged, cuts, jobs, facts, conditions(backend, queue_wait), instance_plan=instance_plan,
        usage_left=usage_left, price_per_minute=price_per_minute, labels=tuple(grid), pubs=tuple(pubs),
    )  # fmt: skip
    return Comparison(plan, grid, primitives, tuple(pubs))


def _labelled(grid: Mapping[str, Mapping[str, Any]] | Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    if not grid:
        raise ValueError("no settings to compare: pass at least one")
    if isinstance(grid, Mapping):
        return {str(k): v for k, v in grid.items()}
    labelled = {_label(options): options for options in grid}
    if len(labelled) != len(grid):
        raise ValueError("two settings are the same: pass a dict of labels to options to tell them apart")
    return labelled


def _label(options: Mapping[str, Any], within: str = "") -> str:
    parts = [_label(v, f"{within}{k}.") if isinstance(v, Mapping) else f"{within}{k}={v}" for k, v in options.items()]
    return ", ".join(parts) or "defaults"


def _configured(primitive: Any, backend: Any, options: Mapping[str, Any]) -> Any:
    """A primitive of its own for one setting; the user's object is read, never written."""
    if isinstance(primitive, type):
        return primitive(mode=backend, options=_nested_dict(options))
    made = type(primitive)(mode=backend)
    made.options = deepcopy(primitive.options)
    _apply(made.options, options)
    return made


def _nested_dict(options: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _nested_dict(v) if isinstance(v, Mapping) else v for k, v in options.items()}


def _apply(target: Any, options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        if not hasattr(target, name):
            raise ValueError(f"unknown option {name!r} of {type(target).__name__}")
        if isinstance(value, Mapping):
            _apply(getattr(target, name), value)
        else:
            setattr(target, name, value)


def _merged(works: Sequence[Work]) -> Work:
    """The works of all settings side by side, for the limits and the plan's view."""
    items = [
        PubWork(n, i.facts, i.configurations, i.shots, i.executions, i.length, i.shape, i.sets, i.payload, i.overhead)
        for n, i in enumerate(item for w in works for item in w.items)
    ]
    base = works[0]
    assumed = tuple(dict.fromkeys(note for w in works for note in w.assumed))
    return Work(
        base.settings, base.timing, base.backend, [p for w in works for p in w.pubs], items, base.rep_delay, assumed
    )
