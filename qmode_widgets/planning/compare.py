"""The guide's examples, ready to use: a variational loop in a session, noise that is learned once in a session, and a
comparison of settings in a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, printable
from ..ibm.client import backend_of, mode_of
from ..model.partition import Partition, Piece
from ..model.snapshot import Usage
from ..model.text import usage_text
from .advice import Facts
from .content import Submission
from .durations import duration
from .figures import comparison_figure
from .limits import is_open_plan
from .plan import Circumstances, Outlook, Plan, chosen_of
from .request import request
from .settings import settings
from .usage import Jobs
from .work import analyse, listed

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Step:
    """One evaluation of the cost: its parameters, its value, and the job's standard error."""

    parameters: Vector
    value: float
    error: float | None


@dataclass(frozen=True, slots=True)
class LearnedNoise:
    """A noise model of the layers of some PUBs, learned by one job of a session."""

    session: Any
    job_id: str
    layers: tuple[Any, ...]
    maps: tuple[Any, ...]  # a `PauliLindbladMap` for each layer

    @property
    def age(self) -> float | None:
        """Seconds since it was learned, by the service's clock; None until that is known. It ages."""
        return next((m.age for m in reversed(self.session.noise_models) if m.job_id == self.job_id), None)

    def on(self, estimator: Any) -> Any:
        """A copy of the estimator that uses this noise model; the user's own stays as it is."""
        made = type(estimator)(mode=mode_of(estimator) or backend_of(estimator), options=deepcopy(estimator.options))
        made.options.resilience.layer_noise_model = list(zip(self.layers, self.maps, strict=True))
        return made

    def __str__(self) -> str:
        age = "age not known" if self.age is None else f"{duration(self.age)} old"
        return f"noise of {len(self.layers)} layers, learned by job {self.job_id}, {age}"


def learn_noise(
    session: Any, estimator: Any, pubs: Sequence[Any], *, options: Any = None, timeout: float | None = None
) -> LearnedNoise:
    """Learn the noise of all layers in some PUBs once, by NoiseLearnerV3, for PEA or PEC jobs of the same session.

        noise = learn_noise(session, estimator, pubs)
        run = session.submit(noise.on(estimator), pubs)
        print(noise.age)

    Args:
        session: a `SessionController`.
        estimator: the client-side Estimator, with `pec_mitigation` or the PEA amplifier switched on.
        pubs: whose layers are learned; each distinct layer once.
        options: of NoiseLearnerV3 (dict or object).
        timeout: seconds to wait for the job.

    Raises:
        ValueError: the PUBs have no layer of two-qubit gates, or the estimator does not use a noise model.
        TimeoutError, IncompleteResultError: of the job.
    """
    from qiskit_ibm_runtime import NoiseLearnerV3

    chosen = settings(estimator)
    if not (chosen.client_side and (chosen.pec or chosen.pea)):
        raise ArgumentError(
            "the estimator uses no noise model: pass a client-side Estimator with PEC or PEA switched on"
        )
    layers = tuple(estimator.find_unique_layers(pubs))
    if not layers:
        raise ArgumentError("these PUBs have no layers of two-qubit gates: there is no noise to learn")
    learner = NoiseLearnerV3(mode=session.primitive_mode, options=options)
    run = session.submit(learner, layers, partitions=1)
    parts = run.result(timeout=timeout)  # one result a partition
    maps = tuple(found for part in parts for found in part.to_pauli_lindblad_maps())
    return LearnedNoise(session, str(run.jobs[0].job_id), layers, maps)


def variational_loop(
    session: Any,
    estimator: Any,
    ansatz: Any,
    observable: Any,
    optimizer: Callable[[Callable[[Vector], float], Vector], Any],
    start: Sequence[float] | Vector,
    *,
    noise: LearnedNoise | None = None,
    timeout: float | None = None,
) -> tuple[Any, list[Step]]:
    """Minimise an expectation value step by step, in one session or in the mode that a plan advises.

    Args:
        session: a `SessionController`, or another controller, in which each step queues again. It stays open: close it
            when nothing more is to come.
        estimator: made for the session or its backend.
        ansatz: an ISA circuit with the parameters to optimise.
        observable: laid out for the ansatz.
        optimizer: takes the cost function and the start values, returns anything; for example
            `lambda cost, x0: scipy.optimize.minimize(cost, x0, method="COBYLA")`.
        start: values of `ansatz.parameters`, in that order.
        noise: a noise model from `learn_noise`, used by every step instead of learning it again in each.
        timeout: seconds to wait for one evaluation.

    Returns:
        What the optimizer returned, and every evaluation in order.

    Raises:
        ValueError: the number of start values is not that of the parameters.
    """
    values = np.asarray(start, dtype=float)
    if values.shape != (ansatz.num_parameters,):
        raise ArgumentError(f"{values.size} start values for {ansatz.num_parameters} parameters of the ansatz")
    steps: list[Step] = []
    primitive = estimator if noise is None else noise.on(estimator)

    def cost(parameters: Vector) -> float:
        label = f"step {len(steps)}"
        with session.iteration(label) if hasattr(session, "iteration") else nullcontext():
            run = session.submit(primitive, [(ansatz, observable, parameters)], partitions=1)
            data = run.result(timeout=timeout)[0].data
        error = float(np.squeeze(data.stds)) if "stds" in data else None
        steps.append(Step(np.array(parameters, dtype=float), float(np.squeeze(data.evs)), error))
        return steps[-1].value

    return optimizer(cost, values), steps


@dataclass(slots=True)
class Comparison:
    """One job per setting, all with the same PUBs. `plan` says what it will cost; `run` submits it as a batch.

    `controller` and `runs`, by label, are there as soon as something was sent, also where a later setting was refused.
    """

    plan: Plan
    settings: dict[str, Mapping[str, Any]]
    primitives: dict[str, Any]
    pubs: tuple[Any, ...]
    controller: Any = None
    runs: dict[str, Any] | None = None

    def run(self, *, force: bool = False, **open_options: Any) -> Any:
        """Open the advised mode and submit one job per setting; returns the controller.

        Args:
            force: submit although the plan found errors.
            open_options: for the controller's `open`, such as `max_time` and `usage_cap`.

        Raises:
            PlanError, SubmissionError: as `Plan.run`. Where settings were sent before one was refused, `controller` and
                `runs` have them.
        """

        def opened(controller: Any) -> None:
            self.controller, self.runs = controller, {}

        def submitted(label: str, run: Any) -> None:
            assert self.runs is not None
            self.runs[label] = run

        return self.plan.run(force=force, opened=opened, submitted=submitted, **open_options)

    def results(self, timeout: float | None = None) -> dict[str, Any]:
        """Each setting's result, in the order of the grid; waits for them.

        Raises:
            RuntimeError: nothing was submitted yet.
        """
        if self.runs is None:
            raise RuntimeError("nothing is submitted yet: call run() first")
        return {label: run.result(timeout=timeout) for label, run in self.runs.items()}

    @property
    def costs(self) -> dict[str, Usage]:
        """Each setting's QPU usage in seconds: what was billed, and what is expected where nothing was billed yet."""
        expected = {s.label: sum(u.expected for u in s.jobs.usages) for s in self.plan.submissions}
        found = {}
        for label, seconds in expected.items():
            jobs = self.runs[label].jobs if self.runs is not None and label in self.runs else ()
            told = [job.usage.reported for job in jobs if job.usage.reported is not None]
            if jobs and all(job.usage.status == "final" for job in jobs):
                found[label] = Usage(sum(told), "final")
            else:
                found[label] = Usage(sum(told) if told else None, "running" if told else "none", seconds)
        return found

    def figure(
        self, results: Mapping[str, Any] | None = None, *, reference: float | Sequence[float] | None = None
    ) -> Any:
        """A plotly figure of the results per setting, expectation values with errors or counts, beside what each cost.

        Args:
            results: of `results()`; waits for them if not given.
            reference: the value without noise, drawn as a line; one for each value where there are several.
        """
        costs = {label: usage.reported for label, usage in self.costs.items()}
        return comparison_figure(self.results() if results is None else results, costs, reference)

    def __repr__(self) -> str:
        width = max(map(len, self.settings))
        costs = [f"  {printable(label).ljust(width)}  {usage_text(usage)}" for label, usage in self.costs.items()]
        return "\n".join([f"Comparison of {len(self.settings)} settings", *costs, str(self.plan)])

    def _repr_html_(self) -> str:
        return self.plan._repr_html_()


def compare(
    options_grid: Mapping[str, Mapping[str, Any]] | Sequence[Mapping[str, Any]],
    pubs: Sequence[Any],
    backend: Any,
    primitive: Any,
    *,
    instance_plan: str | None = None,
    queue_wait: float | Mapping[str, Any] | None = None,
    usage_left: float | None = None,
    price_per_minute: float | None = None,
    **given: Any,
) -> Comparison:
    """Plan one job per setting of options: related, independent jobs that should run close together, in a batch.

    Args:
        options_grid: nested options by label, or a list of them (labelled by what they set).
        pubs: the same for every setting.
        backend: the one the circuits were transpiled for.
        primitive: a primitive class (`executor_estimator.Estimator`), an object whose class and options are the base of
            every setting, or a name as `plan` takes it (then there is nothing to run, only the plan).
        instance_plan: the plan's name.
        queue_wait: seconds in the queue, instead of the backend's pending jobs.
        usage_left: seconds the instance may still use.
        price_per_minute: of QPU usage.
        given: other `Conditions`, as for `plan`.

    Raises:
        ValueError: no settings, two of the same label, or what is wrong with which PUB or option.
    """
    grid = _labelled(options_grid)
    own_pubs = tuple(listed(pubs))
    asked = request(instance_plan=instance_plan, usage_left=usage_left, price_per_minute=price_per_minute)
    around = Circumstances.of(
        backend,
        instance_plan=asked.instance_plan,
        usage_left=asked.usage_left,
        queue_wait=queue_wait,
        price_per_minute=asked.price_per_minute,
        **given,
    )
    primitives = {label: configured(primitive, backend, options) for label, options in grid.items()}
    submissions = []
    for label, own in primitives.items():
        chosen = settings(primitive, grid[label]) if own is None else settings(own)
        work = analyse(own_pubs, backend, chosen)
        whole = Partition(tuple(Piece(i) for i in range(len(own_pubs))))
        submissions.append(Submission(Jobs.of(work, [whole]), own_pubs, own, label=label))
    facts = Facts((), pubs=len(own_pubs), comparison=True, combinable=len(submissions),
                  open_plan=is_open_plan(around.instance_plan))  # fmt: skip
    outlook = chosen_of([Outlook.of(submissions, facts, around)], around)
    return Comparison(outlook.plan(around), grid, primitives, own_pubs)


def _labelled(grid: Mapping[str, Mapping[str, Any]] | Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    if not grid:
        raise ArgumentError("no settings to compare: pass at least one")
    if isinstance(grid, Mapping):
        return {str(k): v for k, v in grid.items()}
    labelled = {_label(options): options for options in grid}
    if len(labelled) != len(grid):
        raise ArgumentError("two settings are the same: pass a dict of labels to options to tell them apart")
    return labelled


def _label(options: Mapping[str, Any], within: str = "") -> str:
    parts = [_label(v, f"{within}{k}.") if isinstance(v, Mapping) else f"{within}{k}={v}" for k, v in options.items()]
    return ", ".join(parts) or "defaults"


def configured(primitive: Any, backend: Any, options: Mapping[str, Any]) -> Any:
    """A primitive of its own for one backend and one setting; the user's object is read, never written.

    None for a primitive's name.
    """
    if isinstance(primitive, str):
        return None
    if isinstance(primitive, type):
        return primitive(mode=backend, options=_nested_dict(options))
    made = type(primitive)(mode=backend, options=deepcopy(primitive.options))
    _apply(made.options, options)
    return made


def _nested_dict(options: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _nested_dict(v) if isinstance(v, Mapping) else v for k, v in options.items()}


def _apply(target: Any, options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        if not hasattr(target, name):
            raise ArgumentError(f"unknown option {name!r} of {type(target).__name__}")
        if isinstance(value, Mapping):
            _apply(getattr(target, name), value)
        else:
            setattr(target, name, value)
