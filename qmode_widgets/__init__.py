"""Choose, watch and control the execution mode of IBM Quantum workloads from JupyterLab.

Importing this package imports neither qiskit nor anywidget: each public name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from . import emulator as emulator
    from .control.batch import BatchController as BatchController
    from .control.errors import QmodeError as QmodeError
    from .control.job import JobController as JobController
    from .control.recovery import attach as attach
    from .control.recovery import workloads as workloads
    from .control.session import SessionController as SessionController
    from .planning.plan import plan as plan
    from .planning.presets import compare as compare
    from .planning.splitting import partition as partition
    from .planning.usage import estimate_usage as estimate_usage

_PLACES = {
    "BatchController": "control.batch",
    "SessionController": "control.session",
    "JobController": "control.job",
    "attach": "control.recovery",
    "workloads": "control.recovery",
    "QmodeError": "control.errors",
    "plan": "planning.plan",
    "estimate_usage": "planning.usage",
    "partition": "planning.splitting",
    "compare": "planning.presets",
}

__all__ = [*_PLACES, "emulator"]


def __getattr__(name: str) -> Any:
    if name == "emulator":
        return importlib.import_module(".emulator", __name__)
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    importlib.import_module(".wiring", __name__).wire(planning=_PLACES[name].startswith("planning"))
    value = getattr(importlib.import_module(f".{_PLACES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def _connect() -> None:
    """In a kernel: answer the sidebar from now on, whether or not a workload is there yet."""
    from .frontend.hub import hub

    hub.connect()


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "qmode-widgets"}]


if "ipykernel" in sys.modules:
    _connect()
