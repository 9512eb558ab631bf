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
    from .control.account import workloads as workloads
    from .control.attach import attach as attach
    from .control.job import JobController as JobController
    from .control.modes import BatchController as BatchController
    from .control.modes import SessionController as SessionController
    from .control.run import Run as Run
    from .control.runs.archive import SavedRun as SavedRun
    from .control.runs.archive import load as load
    from .control.watch import adopt as adopt
    from .control.watch import unwatch as unwatch
    from .control.watch import watch as watch
    from .errors import ArchiveError as ArchiveError
    from .errors import IncompleteResultError as IncompleteResultError
    from .errors import PlanError as PlanError
    from .errors import PubError as PubError
    from .errors import QmodeError as QmodeError
    from .errors import ServiceError as ServiceError
    from .errors import SubmissionError as SubmissionError
    from .errors import UnreachableError as UnreachableError
    from .errors import WrongAnswerError as WrongAnswerError
    from .model.partition import Partition as Partition
    from .model.partition import Piece as Piece
    from .model.snapshot import JobSnapshot as JobSnapshot
    from .model.snapshot import JobState as JobState
    from .model.snapshot import WorkloadSnapshot as WorkloadSnapshot
    from .model.snapshot import WorkloadState as WorkloadState
    from .planning.compare import compare as compare
    from .planning.plan import Plan as Plan
    from .planning.plan import plan as plan
    from .planning.splitting import partition as partition
    from .planning.usage import UsageEstimate as UsageEstimate
    from .planning.usage import estimate_usage as estimate_usage

_PLACES = {
    "BatchController": "control.modes",
    "SessionController": "control.modes",
    "JobController": "control.job",
    "Run": "control.run",
    "attach": "control.attach",
    "adopt": "control.watch",
    "watch": "control.watch",
    "unwatch": "control.watch",
    "workloads": "control.account",
    "load": "control.runs.archive",
    "SavedRun": "control.runs.archive",
    "plan": "planning.plan",
    "Plan": "planning.plan",
    "estimate_usage": "planning.usage",
    "UsageEstimate": "planning.usage",
    "partition": "planning.splitting",
    "compare": "planning.compare",
    "Partition": "model.partition",
    "Piece": "model.partition",
    "JobSnapshot": "model.snapshot",
    "JobState": "model.snapshot",
    "WorkloadSnapshot": "model.snapshot",
    "WorkloadState": "model.snapshot",
    "QmodeError": "errors",
    "ServiceError": "errors",
    "UnreachableError": "errors",
    "WrongAnswerError": "errors",
    "SubmissionError": "errors",
    "IncompleteResultError": "errors",
    "ArchiveError": "errors",
    "PlanError": "errors",
    "PubError": "errors",
}

__all__ = [*_PLACES, "emulator"]


def __getattr__(name: str) -> Any:
    if name == "emulator":
        return importlib.import_module(".emulator", __name__)
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    importlib.import_module(".wiring", __name__).wire()
    value = getattr(importlib.import_module(f".{_PLACES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def _connect() -> None:
    """In a kernel: answer the sidebar from now on, whether or not a workload is there yet."""
    from .frontend.hub import hub

    hub.connect()


def load_ipython_extension(ipython: object) -> None:
    """`%load_ext qmode_widgets` is `qmode_widgets.watch()`."""
    __getattr__("watch")()


def unload_ipython_extension(ipython: object) -> None:
    """`%unload_ext qmode_widgets` is `qmode_widgets.unwatch()`."""
    __getattr__("unwatch")()


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "qmode-widgets"}]


if "ipykernel" in sys.modules:
    _connect()
