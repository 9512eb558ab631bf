"""The program `calibrate`, schema v0.1: what `Calibrator` sends."""

from __future__ import annotations

import json
from typing import Any

from ibm_quantum_schemas.calibrator.version_0_1 import ParamsModel

from ..backends import Device
from .errors import InvalidInputError
from .program import Load, at
from .simulator import Simulator

VERSION = "v0.1"
SECONDS = 30.0  # a guess: the service publishes nothing of it


class CalibratorProgram:
    """A calibrator job's params. The calibration takes its time and changes nothing."""

    rep_delay: float | None = None
    seconds = SECONDS

    def __init__(self, params: dict[str, Any], device: Device) -> None:
        if (version := params.get("schema_version")) != VERSION:
            raise InvalidInputError(f"schema_version {version!r} is not supported: this emulator supports {VERSION}")
        ParamsModel.model_validate(params)
        self.notes = ["calibrate: the backend's properties stay as they are."]

    @property
    def loads(self) -> list[Load]:
        """No circuits."""
        return []

    def run(self, simulator: Simulator) -> str:
        """Return a `CalibratorResultModel` as JSON."""
        return json.dumps({"schema_version": VERSION, "start": at(0.0), "stop": at(1.0)})
