"""What the service's programs do with a job's params: read them, say how long they take, run them. In workers only."""

from __future__ import annotations

import json
import logging
import warnings
from typing import Any

from ..backends import Device, devices
from .errors import InvalidInputError, JobError
from .program import Program
from .simulator import Simulator
from .timing import Timing

_DEVICES: dict[str, Device] = {}


def warm_up(names: list[str]) -> None:
    """Import what the first job would wait for."""
    from . import estimator, executor, noise_learner, sampler  # noqa: F401

    logging.getLogger("qiskit_aer").setLevel(logging.CRITICAL)  # what fails is said by the job
    _DEVICES.update(devices(names))


def _program(program_id: str, params: Any, device: Device) -> Program:
    from . import estimator, executor, noise_learner, sampler

    kinds: dict[str, Any] = {
        "executor": executor.ExecutorProgram,
        "sampler": sampler.SamplerProgram,
        "estimator": estimator.EstimatorProgram,
        "noise-learner": noise_learner.NoiseLearnerProgram,
    }
    if not isinstance(params, dict):
        raise InvalidInputError("params must be an object")
    try:
        program: Program = kinds[program_id](params, device)
    except (InvalidInputError, JobError):
        raise
    except RecursionError:
        raise InvalidInputError("params are nested too deeply") from None
    except MemoryError:
        raise InvalidInputError("params do not fit into memory") from None
    except Exception as error:  # decoders raise whatever they meet; the sender learns what it was
        said = f"params of {program_id!r} cannot be read: {type(error).__name__}: {error}"
        raise InvalidInputError(said[:500]) from error
    return program


def perform(header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
    """One task: `intake` reads and times a job, `run` simulates it."""
    device = _DEVICES[header["device"]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program = _program(header["program"], json.loads(body), device)
            if header["task"] == "intake":
                return Timing(device).of(program.loads, program.rep_delay), b""
            simulator = Simulator(
                device, noise=header["noise"], max_qubits=header["max_qubits"], threads=header["threads"]
            )
            for load in program.loads:
                simulator.check(load.circuit)
            return {"notes": program.notes}, program.run(simulator).encode()
        except InvalidInputError as error:
            return {"invalid": str(error)}, b""
        except JobError as error:
            return {"failed": {"code": error.code, "reason": error.reason, "solution": error.solution}}, b""
