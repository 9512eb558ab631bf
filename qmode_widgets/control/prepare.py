"""From PUBs to attempts: check, cut, capture and tag every partition before anything is sent."""

from __future__ import annotations

import logging
from collections.abc import Container, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import SubmissionError
from ..ibm.client import (
    Kind,
    backend_of,
    capture,
    instance_of,
    mode_of,
    primitive_kind,
    target_of,
    with_own_seed,
)
from ..model import tags
from ..model.isa import why_not_isa
from ..model.merge import cut
from ..model.partition import Partition, Piece, check, even
from ..model.snapshot import JobState
from ..planning import splitting
from ..planning.settings import Settings, settings
from .state.record import Record

log = logging.getLogger(__name__)

LANES = 5  # classical parts the service runs at once (guide)


def kind_of(primitive: Any) -> Kind:
    """What a primitive takes.

    Raises:
        SubmissionError: it is none of the client's.
    """
    kind = primitive_kind(primitive)
    if kind is None:
        raise SubmissionError(
            f"{type(primitive).__module__}.{type(primitive).__name__} is not a qiskit-ibm-runtime primitive: pass a "
            "Sampler, an Estimator, an Executor or a NoiseLearnerV3 made for this workload or its backend"
        )
    return kind


def check_primitive(primitive: Any, *, id_: str, mode: str, backend: str, instance: str) -> None:
    """Refuse a primitive whose mode, backend or instance is not the workload's.

    Raises:
        SubmissionError: naming both.
    """
    theirs = getattr(mode_of(primitive), "session_id", None)  # in job mode there is none
    if theirs is not None:
        if mode == "job":
            raise SubmissionError(
                f"the primitive belongs to the workload {theirs}, but this controller runs in job mode: "
                "make the primitive with mode=backend"
            )
        if theirs != id_:
            raise SubmissionError(
                f"the primitive belongs to the workload {theirs}, not to {id_}: make it with "
                "mode=controller.primitive_mode"
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
        coerced = coerce(kind, pubs, run_options)
        check_pubs(kind, coerced)
    split = any(not p.whole for part in partitions for p in part.pieces)
    if not split:
        coerced = pubs
    elif kind not in ("sampler", "estimator"):
        raise SubmissionError(f"PUBs of a {kind} cannot be split: pass them whole")
    if kind in ("sampler", "estimator") and any(p.expected is None for p in partitions):
        try:
            partitions = splitting.price(pubs, backend_of(primitive), primitive, partitions, **run_options)
        except ValueError as error:  # the service will tell; an estimate is no reason to refuse
            log.info("the usage of this submission cannot be estimated: %s", error)
    records = []
    partitions, twirling = by_randomizations(kind, primitive, partitions)
    for pub in {partitions[i].pieces[0].pub for i in twirling}:
        whole = coerced[pub]
        shots = sum(p.shots or 0 for part in partitions for p in part.pieces if p.pub == pub)
        coerced[pub] = type(whole)(whole.circuit, whole.parameter_values, shots, validate=False)
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
            captured = capture(
                primitive, items, run_options, max_execution_time=max_execution_time, twirling=twirling.get(i)
            )
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


def by_randomizations(
    kind: Kind, primitive: Any, partitions: Sequence[Partition]
) -> tuple[list[Partition], dict[int, tuple[int, int]]]:
    """Shots that are twirled are split between randomizations: the parts run those of the whole, neither more nor less.

    Twirling options of client-side primitives override a PUB's shots (`num_randomizations` × `shots_per_randomization`
    where both are given, and shots are rounded up to whole randomizations otherwise), so each part gets its own.

    Returns:
        The partitions with the shots that they run, and by partition its randomizations and the shots of each.

    Raises:
        SubmissionError: more parts than randomizations, or a part of a PUB's shots that shares its job.
    """
    parts = list(partitions)
    where: dict[int, list[int]] = {}
    for i, partition in enumerate(parts):
        for piece in partition.pieces:
            if piece.shots is not None:
                where.setdefault(piece.pub, []).append(i)
    if not where or kind != "sampler":
        return parts, {}
    try:
        told: Settings = settings(primitive, None)
    except ValueError:  # the service will tell what is wrong with an option
        return parts, {}
    if not (told.twirling and told.client_side):  # service-side primitives obey a PUB's own shots
        return parts, {}
    twirling: dict[int, tuple[int, int]] = {}
    for pub, jobs in where.items():
        if any(len(parts[i].pieces) > 1 for i in jobs):
            raise SubmissionError(f"PUB {pub}: its shots are twirled and split, so each part needs a job of its own")
        pieces = [parts[i].pieces[0] for i in jobs]
        randomizations, each = told.split(sum(p.shots or 0 for p in pieces))
        if len(jobs) > randomizations:
            raise SubmissionError(
                f"PUB {pub}: its {randomizations} twirling randomizations cannot be split into {len(jobs)} jobs: "
                f"ask for at most {randomizations}"
            )
        for i, piece, n in zip(jobs, pieces, _shared(randomizations, pieces), strict=True):
            twirling[i] = (n, each)
            parts[i] = replace(parts[i], pieces=(replace(piece, shots=n * each),))
    return parts, twirling


def _shared(randomizations: int, pieces: Sequence[Piece]) -> list[int]:
    """Randomizations for parts of a PUB by their shots, at least one each, all together exactly so many."""
    total, left, shots = randomizations, randomizations, sum(p.shots or 0 for p in pieces)
    out: list[int] = []
    for k, piece in enumerate(pieces):
        behind = len(pieces) - k - 1
        n = left if behind == 0 else min(left - behind, max(1, round(total * (piece.shots or 0) / shots)))
        out.append(n)
        left -= n
    return out


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
    """PUBs as Qiskit's own containers, which can be cut; shots and precision of the call are written into them.

    Raises:
        SubmissionError: naming the PUB that is none.
    """
    from qiskit.primitives.containers.estimator_pub import EstimatorPub
    from qiskit.primitives.containers.sampler_pub import SamplerPub

    made: list[Any] = []
    for i, pub in enumerate(pubs):
        if pub is None:
            raise SubmissionError(f"PUB {i} is None: pass a circuit, or a tuple that begins with one")
        try:
            made.append(
                SamplerPub.coerce(pub, run_options.get("shots"))
                if kind == "sampler"
                else EstimatorPub.coerce(pub, run_options.get("precision"))
            )
        except Exception as error:
            raise SubmissionError(f"PUB {i} is not a PUB for a {kind}: {error}") from error
    return made


def check_pubs(kind: Kind, pubs: list[Any]) -> None:
    """What the service would take, run and bill, and nobody could use.

    Raises:
        SubmissionError: a parameter value that is not finite, or a sampler's circuit that measures nothing; it names
            the PUB.
    """
    measuring: dict[int, bool] = {}
    for i, pub in enumerate(pubs):
        for names, values in pub.parameter_values.data.items():
            wrong = ~np.isfinite(values)
            if wrong.any():
                where = tuple(int(n) for n in np.argwhere(wrong)[0])
                name = names[where[-1]] if len(names) > 1 else names[0]
                raise SubmissionError(f"PUB {i}: the parameter {name} has the value {values[where]}")
        if kind != "sampler":
            continue
        circuit = pub.circuit
        if id(circuit) not in measuring:
            measuring[id(circuit)] = bool(circuit.cregs) and _measures(circuit)
        if not measuring[id(circuit)]:
            raise SubmissionError(
                f"PUB {i}: its circuit measures nothing, so its job would have no result and be billed all the same: "
                "add measurements, for example circuit.measure_all()"
            )


def _measures(circuit: Any) -> bool:
    """There is a measurement in it, or in a block of its control flow or boxes."""
    for instruction in circuit.data:
        if instruction.operation.name.startswith("measure"):
            return True
        if any(_measures(block) for block in getattr(instruction.operation, "blocks", ())):
            return True
    return False
