"""From PUBs to attempts: check, cut, capture and tag every partition before anything is sent."""

from __future__ import annotations

import logging
from collections.abc import Container, Sequence
from typing import Any, Literal

from ..errors import SubmissionError
from ..ibm.client import backend_of, capture, instance_of, mode_of, target_of, with_own_seed
from ..model import tags
from ..model.isa import why_not_isa
from ..model.merge import cut
from ..model.partition import Partition, check, even
from ..model.snapshot import JobState
from ..planning import splitting
from .record import Record

log = logging.getLogger(__name__)

LANES = 5  # classical parts the service runs at once (guide)

Kind = Literal["sampler", "estimator", "executor", "noise-learner"]


def kind_of(primitive: Any) -> Kind:
    """What a primitive takes.

    Raises:
        SubmissionError: it is none of the client's.
    """
    from qiskit.primitives import BaseEstimatorV2, BaseSamplerV2
    from qiskit_ibm_runtime import Executor

    if isinstance(primitive, BaseSamplerV2):
        return "sampler"
    if isinstance(primitive, BaseEstimatorV2):
        return "estimator"
    if isinstance(primitive, Executor):
        return "executor"
    if "NoiseLearner" in type(primitive).__name__ and hasattr(primitive, "_backend"):
        return "noise-learner"
    raise SubmissionError(
        f"{type(primitive).__name__} is not a qiskit-ibm-runtime primitive: pass a Sampler, an Estimator, an Executor "
        "or a NoiseLearnerV3 made for this workload or its backend"
    )


def check_primitive(primitive: Any, *, id_: str, mode: str, backend: str, instance: str) -> None:
    """Refuse a primitive whose mode, backend or instance is not the workload's.

    Raises:
        SubmissionError: naming both.
    """
    own = mode_of(primitive)
    if own is not None:
        theirs = own.session_id
        if mode == "job":
            raise SubmissionError(
                f"the primitive belongs to the workload {theirs}, but this controller runs in job mode: "
                "make the primitive with mode=backend"
            )
        if theirs != id_:
            raise SubmissionError(
                f"the primitive belongs to the workload {theirs}, not to {id_}: make it with mode=controller.mode"
            )
    name = backend_of(primitive).name
    if name != backend:
        raise SubmissionError(f"the primitive runs on {name}, the workload on {backend}: make it for {backend}")
    crn = instance_of(backend_of(primitive))
    if crn != instance:
        raise SubmissionError(
            f"the primitive's backend comes from the instance {crn}, the workload belongs to {instance}: "
            "get the backend with service.backend(name, instance=…)"
        )


def listed(pubs: Any) -> list[Any]:
    """The PUBs as a list.

    Raises:
        SubmissionError: one circuit instead of a list of PUBs (a circuit iterates over its instructions), or no list.
    """
    if hasattr(pubs, "num_qubits") or isinstance(pubs, str):
        raise SubmissionError(f"pass a list of PUBs, not one {type(pubs).__name__}: submit(primitive, [circuit])")
    try:
        return list(pubs)
    except TypeError:
        raise SubmissionError(f"pass a list of PUBs, not a {type(pubs).__name__}") from None


def divide(
    kind: Kind,
    primitive: Any,
    pubs: list[Any],
    partitions: str | int | Sequence[Partition],
    run_options: dict[str, Any],
) -> list[Partition]:
    """The partitions that `submit(partitions=…)` means.

    Raises:
        SubmissionError: no PUBs, more partitions than PUBs, or partitions that lose or repeat a PUB.
    """
    if not pubs:
        raise SubmissionError("there are no PUBs to submit: pass at least one")
    try:
        if isinstance(partitions, str):
            if partitions != "auto":
                raise SubmissionError(f'partitions={partitions!r}: pass "auto", a number, or a list of Partitions')
            if kind == "executor":
                return even(len(pubs), len(pubs))
            if kind in ("sampler", "estimator"):
                return splitting.partition(pubs, backend_of(primitive), primitive=primitive, **run_options)
            return even(len(pubs), min(LANES, len(pubs)))
        if isinstance(partitions, bool) or (isinstance(partitions, int) and partitions < 1):
            raise SubmissionError(f"partitions={partitions!r}: pass a number of at least 1")
        if isinstance(partitions, int):
            return even(len(pubs), partitions)
        listed = list(partitions)
        check(listed, len(pubs))
        return listed
    except ValueError as error:
        raise SubmissionError(str(error)) from error


def prepare(
    kind: Kind,
    primitive: Any,
    pubs: list[Any],
    partitions: Sequence[Partition],
    run: str,
    run_options: dict[str, Any],
    *,
    max_execution_time: int | None,
    group: str | None,
    label: str | None = None,
    skip: Container[int] = (),
) -> list[Record]:
    """One record a partition, its payload captured. Nothing is sent; an error of the primitive names the partition.

    Partitions in `skip` are there already.

    Raises:
        SubmissionError: the primitive refuses a partition (ISA, shapes, mixed shots), or the tags are too many.
    """
    if kind in ("sampler", "estimator"):
        check_isa(pubs, target_of(backend_of(primitive)))
    split = any(not p.whole for part in partitions for p in part.pieces)
    coerced = coerce(kind, pubs, run_options) if split else pubs
    if kind in ("sampler", "estimator") and any(p.expected is None for p in partitions):
        try:
            partitions = splitting.price(pubs, backend_of(primitive), primitive, partitions, **run_options)
        except ValueError as error:  # the service will tell; an estimate is no reason to refuse
            log.info("the usage of this submission cannot be estimated: %s", error)
    records = []
    for i, partition in enumerate(partitions):
        if i in skip:
            continue
        where = f"partition {i + 1} (PUBs {partition.label})"
        try:
            items: Any = cut(coerced, partition)
            if kind == "executor":
                if len(items) != 1:
                    raise SubmissionError(f"{where}: an Executor job carries one QuantumProgram, not {len(items)}")
                items = items[0]
            captured = capture(primitive, items, run_options, max_execution_time=max_execution_time)
            if any(p.shots is not None for p in partition.pieces):
                captured = with_own_seed(captured, i)
            key = tags.AttemptKey(run, i, len(partitions))
            record = Record(JobState.WAITING, key=key, partition=partition, captured=captured, group=group)
            record.own_tags = captured.tags
            record.tags(label)  # too many? now, not after the first job
        except SubmissionError:
            raise
        except Exception as error:
            raise SubmissionError(f"{where} was refused before anything was sent: {error}") from error
        records.append(record)
    return records


def check_isa(pubs: list[Any], target: Any) -> None:
    """Every PUB's circuit must be in the backend's instruction set; a circuit that many PUBs share is read once.

    Raises:
        SubmissionError: naming the PUB and the instruction.
    """
    seen: set[int] = set()
    for i, pub in enumerate(pubs):
        circuit = getattr(pub, "circuit", None) or (pub[0] if isinstance(pub, tuple | list) else pub)
        if id(circuit) in seen or not hasattr(circuit, "data"):
            continue
        seen.add(id(circuit))
        if (why := why_not_isa(circuit, target)) is not None:
            raise SubmissionError(
                f"PUB {i}: its circuit is not an ISA circuit: {why}. Transpile it for the backend first, for example "
                "generate_preset_pass_manager(backend=backend, optimization_level=1).run(circuit)"
            )


def coerce(kind: Kind, pubs: list[Any], run_options: dict[str, Any]) -> list[Any]:
    """PUBs as Qiskit's own containers, which can be cut; shots and precision of the call are written into them."""
    from qiskit.primitives.containers.estimator_pub import EstimatorPub
    from qiskit.primitives.containers.sampler_pub import SamplerPub

    if kind == "sampler":
        return [SamplerPub.coerce(p, run_options.get("shots")) for p in pubs]
    if kind == "estimator":
        return [EstimatorPub.coerce(p, run_options.get("precision")) for p in pubs]
    raise SubmissionError(f"PUBs of a {kind} cannot be split: pass them whole")
