"""The program `noise-learner`."""

from __future__ import annotations

from typing import Any

from .backends import Device
from .programs import InvalidInputError, Load
from .simulate import Simulator


class NoiseLearnerProgram:
    """Not read yet."""

    loads: list[Load]
    rep_delay: float | None = None
    notes: list[str]

    def __init__(self, params: dict[str, Any], device: Device) -> None:
        raise InvalidInputError("noise-learner is not supported")

    def run(self, simulator: Simulator) -> str:
        """Nothing."""
        raise NotImplementedError
