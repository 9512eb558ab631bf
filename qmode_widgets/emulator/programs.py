"""What the service's programs do with a job's params: read them, say how long they take, run them. In workers only."""

from __future__ import annotations

import json
import logging
import warnings
from dataclasses import dataclass
from typing import Any, Protocol

from qiskit import QuantumCircuit

from .backends import Device, devices
from .simulate import Simulator
from .timing import Timing


class InvalidInputError(Exception):
    """The params cannot be understood: 400."""


class JobError(Exception):
    """The job fails, as on the service: with a code, a reason and a solution. `system` means nothing is billed."""

    def __init__(self, code: int, reason: str, solution: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.solution = solution


@dataclass(frozen=True, slots=True)
class Load:
    """A circuit that is executed `sets × shots` times; `learning` executions come on top."""

    circuit: QuantumCircuit
    sets: int
    shots: int
    learning: int = 0

    @property
    def executions(self) -> int:
        """Of the payload and of what it learns."""
        return self.sets * self.shots + self.learning


class Program(Protocol):
    """A job's params, read."""

    @property
    def loads(self) -> list[Load]:
        """What is executed, in order."""
        ...

    @property
    def rep_delay(self) -> float | None:
        """Seconds between executions, where the job sets it."""
        ...

    @property
    def notes(self) -> list[str]:
        """What was accepted but is not simulated: goes into the job's log."""
        ...

    def run(self, simulator: Simulator) -> str:
        """The result's JSON. Moments on the QPU are written as `at(fraction)` of the job's QPU time."""
        ...


def at(fraction: float) -> str:
    """A moment on the QPU, as a fraction of the job's time there; the server puts the time in when it is known."""
    return f"%%QPU+{min(max(fraction, 0.0), 1.0):.9f}%%"


_DEVICES: dict[str, Device] = {}


def warm_up(names: list[str]) -> None:
    """Import what the first job would wait for."""
    from . import estimator, executor, learner, legacy  # noqa: F401

    logging.getLogger("qiskit_aer").setLevel(logging.CRITICAL)   # what fails is said by the job
    _DEVICES.update(devices(names))


def _program(program_id: str, params: Any, device: Device) -> Program:
    from . import estimator, executor, learner, legacy

    kinds: dict[str, Any] = {
        "executor": executor.ExecutorProgram,
        "sampler": legacy.SamplerProgram,
        "estimator": estimator.EstimatorProgram,
        "noise-learner": learner.NoiseLearnerProgram,
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
