"""The service's programs: reading a job's params, timing it, running it. Used in workers only.

The answer to a task is a header and a body. `again` in the header names the next method that "auto" should allow,
`failed` and `invalid` say why there is no result.
"""

from __future__ import annotations

import json
import logging
import warnings
from functools import cache
from typing import Any

from pydantic import ValidationError

from ..backends import Device
from .errors import InvalidInputError, JobError
from .methods import CLIFFORD, MPS, Inexact, Settings
from .program import ASSIGN_IT, Program, check_delays, simulation
from .simulator import Simulator
from .timing import Timing

log = logging.getLogger(__name__)


def warm_up() -> None:
    """Import the libraries that the first job would wait for."""
    from . import calibrator, estimator, executor, noise_learner, sampler  # noqa: F401

    logging.getLogger("qiskit_aer").setLevel(logging.CRITICAL)  # a failure is reported by its job


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


def perform(header: dict[str, Any], body: bytes, known: dict[str, Device]) -> tuple[dict[str, Any], bytes]:
    """Do one task: `split` takes a submission apart, `intake` reads and times a job, `run` simulates it."""
    if header["task"] == "split":
        return _split(body)
    warm_up()
    device = known[header["device"]].calibrated(header["calibration"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program = _program(header["program"], json.loads(body), device)
            if header["task"] == "intake":
                return _timing(device).of(program.loads, program.rep_delay, program.seconds), b""
            return _run(program, Simulator(device, Settings(**header["settings"])))
        except Inexact as asked:
            return {"again": CLIFFORD if asked.slow else MPS}, b""
        except InvalidInputError as error:
            return {"invalid": str(error)}, b""
        except JobError as error:
            return {"failed": {"code": error.code, "reason": error.reason, "solution": error.solution}}, b""


def _run(program: Program, simulator: Simulator) -> tuple[dict[str, Any], bytes]:
    for load in program.loads:
        simulator.check(load.circuit)
    simulator.hold([load.sets * load.shots * load.circuit.num_clbits for load in program.loads])
    result = program.run(simulator).encode()
    said = simulation(simulator.used_by_job())
    notes = [f"simulation: {said['simulation']['description']}."] if said else []
    return said | {"notes": [*program.notes, *notes]}, result


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
