"""The backends: configuration, properties and status from the data files of the client's fake backends.

The files are found without importing qiskit, so that the server is up at once.
"""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Device:
    """One backend; `source` is the fake backend whose calibration it carries, `mock` marks a target of dry runs."""

    name: str
    source: str
    mock: bool = False

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """As `GET /backends/{name}/configuration` sends it."""
        conf = _with_fractional_gates(_read(self.source, "conf"), self.properties)
        return conf | {"backend_name": self.name, "simulator": False, "local": False, "n_registers": 1}

    @cached_property
    def properties(self) -> dict[str, Any]:
        """As `GET /backends/{name}/properties` sends it."""
        return _read(self.source, "props") | {"backend_name": self.name}

    @property
    def qubits(self) -> int:
        """Their number."""
        return int(self.configuration["n_qubits"])

    @property
    def version(self) -> str:
        """The backend's version."""
        return str(self.configuration.get("backend_version", "1.0.0"))

    def listed(self, queue_length: int) -> dict[str, Any]:
        """Its entry in `GET /backends`."""
        processor = self.configuration.get("processor_type", {})
        return {
            "name": self.name,
            "status": {"name": "online", "reason": "available"},
            "queue_length": queue_length,
            "qubits": self.qubits,
            "class": "mock" if self.mock else "real",
            "processor_type": {"family": processor.get("family", ""), "revision": str(processor.get("revision", ""))},
        }

    def status(self, queue_length: int) -> dict[str, Any]:
        """As `GET /backends/{name}/status` sends it."""
        return {
            "state": True,
            "status": "active",
            "message": "available",
            "length_queue": queue_length,
            "backend_version": self.version,
        }


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
    """Names of fake backends whose data can be served."""
    return sorted(p.name for p in _folder().iterdir() if list(p.glob("conf_*.json")) and list(p.glob("props_*.json")))


def _read(source: str, kind: str) -> dict[str, Any]:
    (path,) = _folder().joinpath(source).glob(f"{kind}_*.json")
    data: dict[str, Any] = json.loads(path.read_text())
    return data


def devices(names: list[str]) -> dict[str, Device]:
    """The backends of these names, and a mock of each for dry runs.

    Raises:
        ValueError: a name whose part after the first underscore is no fake backend's.
    """
    known = available()
    found: dict[str, Device] = {}
    for name in names:
        prefix, _, source = name.partition("_")
        if source not in known or not re.fullmatch(r"[a-z]{2,12}", prefix) or prefix == "mock":
            raise ValueError(f"no backend {name!r}: use <prefix>_<name> with a name among {', '.join(known)}")
        found[name] = Device(name, source)
    for source in dict.fromkeys(device.source for device in found.values()):
        found[f"mock_{source}"] = Device(f"mock_{source}", source, mock=True)
    return found
