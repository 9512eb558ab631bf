"""The backends: configuration, properties and status from the data files of the client's fake backends.

The files are found without importing qiskit, so that the server is up at once. What the files do not hold is added:
fractional gates, the specially calibrated instructions (`measure_2`, `xslow` …) and the alternative calibrations.
"""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from statistics import median
from typing import Any

from .twin import Recorded, Twin

# Specially calibrated instructions by processor family: name -> classical bits. From the guide "Specially calibrated
# instructions"; Nighthawk r2's are left out, since no data file is of one.
SPECIAL: dict[str, dict[str, int]] = {
    "Heron": {"measure_2": 1, "reset_2": 0, "measure_reset": 1, "measure_reset_2": 1, "xslow": 0},
    "Nighthawk": {"xslow": 0},
}
# Alternative calibrations by processor family, from the same guide.
CALIBRATIONS = {"Heron": ("slow_gates_dc", "slow_gates_ac"), "Nighthawk": ("slow_gates",)}
# Guesses: the guide says which instruction is shorter or longer, not by how much.
SHORT_MEASUREMENT = 0.5  # measure_2 takes half of a measurement
SLOW_X = 10.0  # xslow takes ten times an x
SLOW_CZ = 2.0  # cz takes twice its time in a slow gate calibration


@dataclass(frozen=True, eq=False)
class Device:
    """One backend.

    Args:
        name: its name.
        recorded: its configuration and properties, as a service answers them; shared, and must not be changed.
        mock: a target of dry runs.
        calibration: the alternative calibration, or None for the default one.
    """

    name: str
    recorded: Recorded
    mock: bool = False
    calibration: str | None = None

    @property
    def family(self) -> str:
        """The processor family, such as "Heron"."""
        return _family(self.recorded.configuration)

    @property
    def calibrations(self) -> tuple[str, ...]:
        """The ids of the alternative calibrations."""
        return CALIBRATIONS.get(self.family, ())

    def calibrated(self, calibration: str | None) -> Device:
        """Return this backend with another calibration."""
        return _calibrated(self, calibration)

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """The answer to `GET /backends/{name}/configuration`."""
        return self.recorded.configuration | {"backend_name": self.name}

    @cached_property
    def properties(self) -> dict[str, Any]:
        """The answer to `GET /backends/{name}/properties`."""
        props = self.recorded.properties
        gates = props["gates"]
        if self.calibration is not None:
            gates = [_stretched(gate, SLOW_CZ) if gate["gate"] == "cz" else gate for gate in gates]
        return props | {"backend_name": self.name, "gates": gates}

    @property
    def qubits(self) -> int:
        """The number of qubits."""
        return int(self.recorded.configuration["n_qubits"])

    @property
    def version(self) -> str:
        """The backend's version."""
        return str(self.recorded.configuration.get("backend_version", "1.0.0"))

    def list_entry(self, queue_length: int) -> dict[str, Any]:
        """Return its entry in `GET /backends`."""
        conf = self.recorded.configuration
        processor = conf.get("processor_type") or {}
        clops = conf.get("clops_h")
        return {
            "name": self.name,
            "status": {"name": "online", "reason": "available"},
            "queue_length": queue_length,
            "is_simulator": False,
            "qubits": self.qubits,
            "physical_qubits": self.qubits,
            "class": "mock" if self.mock else "real",
            "clops": {"type": "hardware", "value": clops} if isinstance(clops, int) else None,
            "processor_type": {"family": processor.get("family", ""), "revision": str(processor.get("revision", ""))},
            "performance_metrics": self._performance,
        }

    @cached_property
    def _performance(self) -> dict[str, Any]:
        """Median and best errors of the calibration; the layered error is not known."""
        props = self.recorded.properties
        pairs = [
            (value, gate["gate"], gate["qubits"])
            for gate in props["gates"]
            if len(gate["qubits"]) == 2 and gate["gate"] != "rzz" and (value := _value(gate, "gate_error")) is not None
        ]
        readout = [p["value"] for qubit in props["qubits"] for p in qubit if p["name"] == "readout_error"]
        found: dict[str, Any] = {"readout_error_median": {"value": median(readout), "unit": ""}} if readout else {}
        if pairs:
            best, name, qubits = min(pairs)
            found["two_q_error_best"] = {"value": best, "gate": name, "qubits": qubits, "unit": ""}
            found["two_q_error_median"] = {"value": median(value for value, _, _ in pairs), "unit": ""}
        return found

    def status(self, queue_length: int) -> dict[str, Any]:
        """Return the answer to `GET /backends/{name}/status`."""
        return {
            "state": True,
            "status": "active",
            "message": "available",
            "length_queue": queue_length,
            "backend_version": self.version,
        }


def _family(configuration: dict[str, Any]) -> str:
    return str((configuration.get("processor_type") or {}).get("family", ""))


@cache
def _calibrated(device: Device, calibration: str | None) -> Device:
    return device if calibration == device.calibration else replace(device, calibration=calibration)


def _value(gate: dict[str, Any], name: str) -> float | None:
    return next((p["value"] for p in gate["parameters"] if p["name"] == name), None)


def _stretched(gate: dict[str, Any], factor: float) -> dict[str, Any]:
    """Return a gate that takes `factor` times as long."""
    parameters = [p | {"value": p["value"] * factor} if p["name"] == "gate_length" else p for p in gate["parameters"]]
    return gate | {"parameters": parameters}


def _special_gates(props: dict[str, Any], special: dict[str, int]) -> list[dict[str, Any]]:
    """Return the properties of the specially calibrated instructions on every qubit; lengths in ns."""
    gates: list[dict[str, Any]] = []
    if not special:
        return gates
    x = {gate["qubits"][0]: gate for gate in props["gates"] if gate["gate"] == "x"}
    for q, qubit in enumerate(props["qubits"]):
        readout = {p["name"]: p for p in qubit}
        measure, error = readout["readout_length"], readout["readout_error"]["value"]
        flip = _value(x[q], "gate_length") or 0.0
        short = measure["value"] * SHORT_MEASUREMENT
        lengths = {
            "measure_2": (short, error),
            "reset_2": (short + flip, error),
            "measure_reset": (measure["value"] + flip, error),
            "measure_reset_2": (short + flip, error),
            "xslow": (flip * SLOW_X, _value(x[q], "gate_error") or 0.0),
        }
        for name in special:
            length, mistake = lengths[name]
            shared = {"date": measure["date"]}
            gates.append(
                {
                    "qubits": [q],
                    "gate": name,
                    "name": f"{name}{q}",
                    "parameters": [
                        shared | {"name": "gate_error", "unit": "", "value": mistake},
                        shared | {"name": "gate_length", "unit": measure["unit"], "value": length},
                    ],
                }
            )
    return gates


def _with_fractional_gates(conf: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
    """The data files calibrate `rx` and `rzz` without listing them; the client leaves them out unless it is asked."""
    places: dict[str, list[list[int]]] = {}
    for gate in properties["gates"]:
        if gate["gate"] in ("rx", "rzz") and gate["gate"] not in conf["basis_gates"]:
            places.setdefault(gate["gate"], []).append(gate["qubits"])
    gates = [
        {"name": name, "parameters": ["theta"], "qasm_def": f"gate {name}(theta) {{}}", "coupling_map": where}
        for name, where in places.items()
    ]
    listed = {name: [*conf[name], *places] for name in ("basis_gates", "supported_instructions") if name in conf}
    return conf | listed | {"gates": [*conf["gates"], *gates]}


def _folder() -> Path:
    spec = importlib.util.find_spec("qiskit_ibm_runtime")
    if spec is None or spec.origin is None:
        raise RuntimeError("qiskit-ibm-runtime is not installed: the emulator takes its backends' data from it")
    return Path(spec.origin).parent / "fake_provider" / "backends"


def available() -> list[str]:
    """Return the names of the fake backends whose data can be served."""
    return sorted(
        path.name
        for path in _folder().iterdir()
        if all((path / f"{kind}_{path.name}.json").exists() for kind in ("conf", "props"))
    )


@cache
def fake(source: str) -> Recorded:
    """Return what a fake backend would answer, with what its data files leave out."""

    def data(kind: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((_folder() / source / f"{kind}_{source}.json").read_text())
        return found

    conf, props = data("conf"), data("props")
    special = SPECIAL.get(_family(conf), {})
    signatures = [
        {"name": name, "num_qubits": 1, "num_clbits": clbits, "parameters": []} for name, clbits in special.items()
    ]
    props = props | {"gates": [*props["gates"], *_special_gates(props, special)]}
    conf = _with_fractional_gates(conf, props)
    conf = conf | {
        "simulator": False,
        "local": False,
        "n_registers": 1,
        "instruction_signatures": signatures,
        "supported_instructions": [*conf.get("supported_instructions", ()), *special],
    }
    return Recorded(name=source, configuration=conf, properties=props)


def devices(names: list[str], twin: Twin | None = None) -> dict[str, Device]:
    """Return the backends of these names, and a mock of each for dry runs.

    A name is one of the twin's, or a prefix, an underscore and the name of a fake backend; the prefix may hold
    underscores itself.

    Raises:
        ValueError: the twin has no such backend, and the part after the last underscore is not the name of a fake one.
    """
    known = available()
    recorded = {} if twin is None else {backend.name: backend for backend in twin.backends}
    found: dict[str, Device] = {}
    mocks: dict[str, Recorded] = {}
    for name in names:
        prefix, _, source = name.rpartition("_")
        if name in recorded:
            found[name] = Device(name, recorded[name])
            source = name.removeprefix("ibm_")
        elif source in known and re.fullmatch(r"[a-z][a-z0-9_]{0,30}[a-z0-9]", prefix) and prefix != "mock":
            found[name] = Device(name, fake(source))
        else:
            of_twin = f"{', '.join(recorded)}, or " if recorded else ""
            raise ValueError(f"no backend {name!r}: use {of_twin}<prefix>_<name> with a name among {', '.join(known)}")
        mocks.setdefault(f"mock_{source}", found[name].recorded)
    return found | {name: Device(name, backend, mock=True) for name, backend in mocks.items()}
