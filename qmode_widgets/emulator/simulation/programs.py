"""The service's programs: reading a job's params, timing it, running it. Used in workers only."""

from __future__ import annotations

import json
import logging
import warnings
from functools import cache
from typing import Any

from pydantic import ValidationError

from ..backends import Device, devices
from .errors import InvalidInputError, JobError
from .program import ASSIGN_IT, Program, check_delays
from .simulator import Simulator
from .timing import Timing

log = logging.getLogger(__name__)
_DEVICES: dict[str, Device] = {}


def warm_up(names: list[str]) -> None:
    """Import the libraries that the first job would wait for."""
    from . import calibrator, estimator, executor, noise_learner, sampler  # noqa: F401

    logging.getLogger("qiskit_aer").setLevel(logging.CRITICAL)  # a failure is reported by its job
    _DEVICES.update(devices(names))


def _program(program_id: str, params: Any, device: Device) -> Program:
    from . import calibrator, estimator, executor, noise_learner, sampler

    kinds: dict[str, Any] = {  # a program id to what reads its params
        "executor": executor.ExecutorProgram,
        "sampler": sampler.SamplerProgram,
        "estimator": estimator.EstimatorProgram,
        "calibrate": calibrator.CalibratorProgram,
        "noise-learner": noise_learner.program,
    }
    if not isinstance(params, dict):
        raise InvalidInputError("params must be an object")
    try:
        program: Program = kinds[program_id](params, device)
        for load in program.loads:
            check_delays(load.circuit)
    except (InvalidInputError, JobError):
        raise
    except RecursionError:
        raise InvalidInputError("params are nested too deeply") from None
    except MemoryError:
        raise InvalidInputError("params do not fit into memory") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"] if not str(step).startswith("function-"))
        raise InvalidInputError(f"The input {place or 'params'} is not valid: {first['msg']}.") from None
    except Exception as error:  # decoders raise many types of errors, in the words of their libraries
        if "Unknown unit expr" in str(error):  # QPY of Qiskit 2.6 cannot be read with such a delay
            raise InvalidInputError(f"a delay has a parameter {ASSIGN_IT}") from error
        log.warning("params of %s cannot be read", program_id, exc_info=True)
        raise InvalidInputError(f"The inputs of the program {program_id} are not valid.") from error
    return program


def perform(header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
    """Do one task: `split` takes a submission apart, `intake` reads and times a job, `run` simulates it."""
    if header["task"] == "split":
        return _split(body)
    device = _DEVICES[header["device"]].calibrated(header["calibration"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program = _program(header["program"], json.loads(body), device)
            if header["task"] == "intake":
                return _timing(device).of(program.loads, program.rep_delay, program.seconds), b""
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


@cache
def _timing(device: Device) -> Timing:
    return Timing(device)


def _split(body: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the fields of a submission, and its params as JSON of their own."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return {"invalid": "The body is not JSON."}, b""
    if not isinstance(fields, dict) or not isinstance(fields.get("params"), dict):
        return {"invalid": "params must be an object"}, b""
    params = json.dumps(fields.pop("params")).encode()
    return {"fields": fields}, params
