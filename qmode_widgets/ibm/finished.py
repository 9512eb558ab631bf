"""Reads the user's finished jobs: circuits, options and billed seconds."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from qiskit_ibm_runtime.quantum_program.params_converters import QUANTUM_PROGRAM_PARAMS_CONVERTERS

from ..errors import QmodeError
from .client import instance_of, is_local
from .link import Link, ask, link_of
from .wire import Job, Json

log = logging.getLogger(__name__)

PROGRAM = "executor"  # what the client-side Sampler and Estimator, and the Executor, send: every circuit is in it


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """A quantum program that ran, its options, and the seconds it was billed."""

    job_id: str
    program: Any  # a `QuantumProgram`
    options: Any  # `ExecutorOptions`
    billed: float


def finished_jobs(backend: Any, most: int) -> list[FinishedJob]:
    """The newest completed executor jobs of this user on a backend, at most `most`; none for a local backend.

    One request for the list and one for the inputs of each job. Private jobs are left alone, and so is what cannot be
    read.
    """
    instance = instance_of(backend)
    if getattr(backend, "service", None) is None or is_local(backend) or instance is None:
        return []
    try:
        link = link_of(backend.service, str(instance))
        jobs = [job for job in ask(link.jobs).jobs if _counts(job, str(backend.name))]
    except QmodeError as error:
        log.info("the jobs of %s cannot be listed: %s", backend.name, error)
        return []
    return [found for job in jobs[:most] if (found := _read(link, job)) is not None]


def _counts(job: Job, backend: str) -> bool:
    return (
        job.backend == backend
        and job.program == PROGRAM
        and job.status == "Completed"
        and not job.private
        and job.usage.final
        and bool(job.usage.seconds)
    )


def decoded(params: Json) -> tuple[Any, Any]:
    """The quantum program and the options of an executor job's inputs.

    Raises:
        Exception: inputs of another version, or none.
    """
    converter = QUANTUM_PROGRAM_PARAMS_CONVERTERS[params["schema_version"]]
    program, options = converter.decoder(converter.model.model_validate(params))
    return program, options


def _read(link: Link, job: Job) -> FinishedJob | None:
    try:
        params = ask(link.stored, job.id)["params"]
        program, options = decoded(params)
    except Exception as error:  # noqa: BLE001 - another version's inputs, or none: this job teaches nothing
        log.info("the inputs of job %s cannot be read: %s", job.id, error)
        return None
    return FinishedJob(job.id, program, options, float(job.usage.seconds or 0.0))
