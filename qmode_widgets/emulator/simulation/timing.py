"""How long a job takes on the emulated QPU, in seconds.

    QPU time    = model.timing.qpu_seconds, billed in whole seconds: the functions that the planner estimates by
    preparation = 1 + 0.01 × circuits + 2e-6 × executions

The circuit length is its critical path with the gate lengths of the backend's calibration, measurement included, blocks
of control flow at their longest branch; the initialisation of the qubits before each shot is three resets, as the
planner counts it. Preparation is shorter than on a real service (1.3 s to 22 s and more are measured), so that a
session is learned in seconds. The service's own estimate before a run has a median of 1.00 times the bill, and so has
the one here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import ForLoopOp

from ...model.timing import INIT_RESETS, qpu_seconds, randomized_seconds, sub_jobs
from ..backends import Device
from .program import Load

_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9, "ps": 1e-12}


class Timing:
    """Durations on one backend."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._dt = float(device.configuration.get("dt", 1.0)) * 1e-9

    @cached_property
    def _gates(self) -> dict[tuple[str, tuple[int, ...]], float]:
        gates: dict[tuple[str, tuple[int, ...]], float] = {}
        for gate in self._device.properties["gates"]:
            for p in gate["parameters"]:
                if p["name"] == "gate_length":
                    gates[gate["gate"], tuple(gate["qubits"])] = p["value"] * _UNITS[p["unit"]]
        for i, qubit in enumerate(self._device.properties["qubits"]):
            for p in qubit:
                if p["name"] == "readout_length":
                    gates["measure", (i,)] = p["value"] * _UNITS[p["unit"]]
        return gates

    @cached_property
    def _typical(self) -> dict[str, float]:
        typical: dict[str, list[float]] = {}
        for (name, _), seconds in self._gates.items():
            typical.setdefault(name, []).append(seconds)
        return {name: sorted(values)[len(values) // 2] for name, values in typical.items()}

    def length(self, circuit: QuantumCircuit, qubits: Sequence[int] | None = None) -> float:
        """Return the critical path in seconds; `qubits` are the physical ones if the circuit is a block of another."""
        index = dict(zip(circuit.qubits, range(circuit.num_qubits) if qubits is None else qubits, strict=True))
        free: dict[Any, float] = {}
        for inst in circuit.data:
            op, name = inst.operation, inst.operation.name
            physical = tuple(index[q] for q in inst.qubits)
            wires = (*inst.qubits, *inst.clbits)
            if name == "delay":
                seconds = self._delay(op)
            elif blocks := getattr(op, "blocks", None):
                seconds = max(self.length(block, physical) for block in blocks)
                if isinstance(op, ForLoopOp):
                    seconds *= len(op.params[0])
            elif name in ("barrier", "rz", "store"):
                seconds = 0.0
            else:
                seconds = self._gates.get((name, physical), self._typical.get(name, 0.0))
            end = max((free.get(w, 0.0) for w in wires), default=0.0) + seconds
            for w in wires:
                free[w] = end
        return max(free.values(), default=0.0)

    @cached_property
    def initialisation(self) -> float:
        """Seconds to set all qubits to the ground state before a shot."""
        return INIT_RESETS * self._typical.get("reset", self._typical.get("measure", 0.0))

    def _delay(self, op: Any) -> float:
        try:
            duration = float(op.duration)
        except (TypeError, ValueError):
            return 0.0  # a stretch: its length is not known here
        return max(0.0, duration * (self._dt if op.unit == "dt" else _UNITS.get(op.unit, 0.0)))

    def of(self, loads: Sequence[Load], rep_delay: float | None, seconds: float = 0.0) -> dict[str, float]:
        """Return a job's seconds on the QPU, of preparation and of the estimate, and its executions without learning.

        Args:
            loads: what is executed.
            rep_delay: seconds between executions; None for the backend's default.
            seconds: on the QPU, beside the executions.
        """
        config = self._device.configuration
        delay = float(config.get("default_rep_delay", 250.0)) * 1e-6 if rep_delay is None else rep_delay
        work, circuits, executions, payload = seconds, 0, 0, 0
        for load in loads:
            work += (delay + self.initialisation + self.length(load.circuit)) * load.executions
            circuits += load.sets
            executions += load.executions
            payload += load.sets * load.shots
            work += randomized_seconds(self._device.family) * load.randomized
        qpu = qpu_seconds(work, sub_jobs(payload))
        assert math.isfinite(qpu)
        prep = 1.0 + 0.01 * circuits + 2e-6 * executions
        return {"qpu": qpu, "prep": prep, "estimate": qpu, "payload": payload}
