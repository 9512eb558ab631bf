"""Everything that can be set when an embedded service is started, with its limits.

The same names serve the command line (`--max-ttl`), `start(max_ttl=…)` and the runtime file.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

# Changes with the protocol between `start()` and a running service: a service of another version is replaced.
VERSION = "0.1.0+4"

SIMULATIONS = ("auto", "statevector", "stabilizer", "matrix_product_state", "nearest_clifford", "shapes")


def names_in(text: str) -> list[str]:
    """Return the names in a comma-separated list."""
    return [name.strip() for name in text.split(",") if name.strip()]


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, slots=True)
class Options:
    """How an embedded service behaves. Seconds are wall-clock seconds unless the text says QPU seconds."""

    port: int = _option(0, "TCP port on loopback; 0 takes a free one")
    speed: float = _option(1.0, "divides QPU and classical durations, not TTLs; inf: as fast as the simulation")
    max_ttl: float = _option(28800.0, "max TTL of a workload (the Open plan's batches: at most 600)")
    interactive_ttl: float = _option(60.0, "interactive TTL of a workload")
    active_ttl: float = _option(28800.0, "how long a session can stay active")
    empty_close: float = _option(1800.0, "seconds after which a workload without any job closes")
    queue_wait: float = _option(0.0, "seconds that every passage through the queue takes at least")
    lanes: int = _option(5, "execution lanes of each QPU")
    other_users: float = _option(0.0, "share of the QPU that other users' jobs keep busy, 0 to 0.9")
    calibration_every: float = _option(0.0, "seconds between calibrations of a QPU; 0: never")
    calibration_seconds: float = _option(10.0, "seconds that a calibration takes")
    noise: bool = _option(False, "simulate with the noise of the fake backend's calibration")
    jitter: float = _option(0.0, "relative spread of the durations, 0 to 1, seeded")
    seed: int = _option(0, "seed of jitter, other users and soak faults; simulations draw their own")
    rate_limit: bool = _option(True, "refuse more than 5 submissions of a user in a minute, which is 60 s / speed")
    at_usage_limit: str = _option("wait", "pending jobs of an instance at its usage limit: wait, or cancel them")
    backends: str = _option("emu_fez,emu_torino", "comma-separated; any_fez has FakeFez's calibration, and so on")
    twin: str = _option("", "file of a twin: its backends and its instance are served, too")
    workers: int = _option(0, "simulation processes; 0: one per core, at most 4")
    dask: str = _option("", "scheduler of a Dask cluster that simulates, such as tcp://scheduler:8786; needs the extra")
    simulation: str = _option(
        "auto",
        "how circuits are simulated: auto, statevector, stabilizer, matrix_product_state, nearest_clifford; shapes "
        "gives random bits at once",
    )
    max_qubits: int = _option(24, "largest circuit simulated by state vector")
    bond_dimension: int = _option(64, "largest bond dimension of a matrix product state")
    mps_seconds: float = _option(
        60.0,
        "seconds that a job's matrix product states may take with simulation auto; then the nearest Clifford circuit",
    )
    state: str = _option(
        "", "SQLite file that keeps the key, sessions, jobs and results across restarts; empty: memory"
    )
    keep: int = _option(10_000, "finished jobs kept in memory (without a state file); the oldest go first")
    upload_timeout: float = _option(60.0, "seconds in which a request's body must have arrived")
    idle_exit: float = _option(
        0.0, "seconds without a request and without open workloads after which it exits; 0: never"
    )

    def __post_init__(self) -> None:
        def check(name: str, ok: bool, rule: str) -> None:
            if not ok:
                raise ValueError(f"{name}={getattr(self, name)!r}: {rule}")

        for f in fields(self):
            value, kind = getattr(self, f.name), type(f.default)
            good = type(value) in (int, float) if kind is float else type(value) is kind
            check(f.name, good, f"must be of type {kind.__name__}")
        check("port", 0 <= self.port < 65536, "a TCP port lies between 0 and 65535")
        check("speed", self.speed > 0, "give a number above 0, or inf")
        for name in ("max_ttl", "active_ttl", "empty_close", "upload_timeout"):
            check(name, 0 < getattr(self, name) < math.inf, "give seconds above 0")
        for name in ("interactive_ttl", "queue_wait", "calibration_every", "calibration_seconds", "idle_exit"):
            check(name, 0 <= getattr(self, name) < math.inf, "give seconds, 0 or more")
        check("calibration_every", not 0 < self.calibration_every < 0.1, "0 for never, or at least 0.1 s")
        check("lanes", 1 <= self.lanes <= 100, "between 1 and 100")
        check("other_users", 0 <= self.other_users <= 0.9, "a share between 0 and 0.9")
        check("jitter", 0 <= self.jitter <= 1, "between 0 and 1")
        check("workers", 0 <= self.workers <= 64, "between 0 and 64")
        check("max_qubits", 1 <= self.max_qubits <= 30, "between 1 and 30: each further qubit doubles the memory")
        check("simulation", self.simulation in SIMULATIONS, f"use one of {', '.join(SIMULATIONS)}")
        check("bond_dimension", 1 <= self.bond_dimension <= 4096, "between 1 and 4096")
        check("mps_seconds", 0 <= self.mps_seconds < math.inf, "give seconds, 0 or more")
        check("keep", self.keep >= 100, "at least 100")
        check("at_usage_limit", self.at_usage_limit in ("wait", "cancel"), "use wait or cancel")
        check("backends", bool(self.backend_names), "name at least one")

    @property
    def backend_names(self) -> list[str]:
        """The backends' names, in the order listed."""
        return names_in(self.backends)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, which has no infinity: an endless speed is the text "inf"."""
        return asdict(self) | ({"speed": "inf"} if math.isinf(self.speed) else {})

    @classmethod
    def of(cls, given: dict[str, Any]) -> Options:
        """Return the options that keyword arguments give.

        Raises:
            TypeError: an option that does not exist, with the names that do.
        """
        known = [f.name for f in fields(cls)]
        if unknown := sorted(set(given) - set(known)):
            raise TypeError(f"the emulator has no option {unknown[0]!r}; there are: {', '.join(known)}")
        if given.get("speed") == "inf":
            given = given | {"speed": math.inf}
        return cls(**given)

    @classmethod
    def add_to(cls, parser: argparse.ArgumentParser) -> None:
        """Add one command-line option for each field."""
        for f in fields(cls):
            name = "--" + f.name.replace("_", "-")
            text = f"{f.metadata['help']} (default: {f.default!r})".replace("%", "%%")
            if isinstance(f.default, bool):
                parser.add_argument(name, action=argparse.BooleanOptionalAction, default=f.default, help=text)
            else:
                parser.add_argument(name, type=type(f.default), default=f.default, metavar=f.name.upper(), help=text)

    @classmethod
    def parsed(cls, args: argparse.Namespace) -> Options:
        """Return the options of a parsed command line."""
        return cls(**{f.name: getattr(args, f.name) for f in fields(cls)})

    def to_args(self) -> list[str]:
        """Return the command line that gives the same options."""
        args: list[str] = []
        for f in fields(self):
            value, name = getattr(self, f.name), f.name.replace("_", "-")
            if value == f.default:
                continue
            if isinstance(value, bool):
                args.append(f"--{name}" if value else f"--no-{name}")
            else:
                args.append(f"--{name}={value}")
        return args
