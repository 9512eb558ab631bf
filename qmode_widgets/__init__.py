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
    from .check import check as check
    from .control.attach import attach as attach
    from .control.controller import Controller as Controller
    from .control.group import group as group
    from .control.job import JobController as JobController
    from .control.modes import BatchController as BatchController
    from .control.modes import Iteration as Iteration
    from .control.modes import NoiseModel as NoiseModel
    from .control.modes import SessionController as SessionController
    from .control.open_workloads import OpenWorkload as OpenWorkload
    from .control.open_workloads import OpenWorkloads as OpenWorkloads
    from .control.open_workloads import workloads as workloads
    from .control.run import Run as Run
    from .control.runs.archive import SavedRun as SavedRun
    from .control.runs.archive import load as load
    from .control.runs.provenance import Provenance as Provenance
    from .control.watch import Watch as Watch
    from .control.watch import adopt as adopt
    from .control.watch import unwatch as unwatch
    from .control.watch import watch as watch
    from .errors import ArchiveError as ArchiveError
    from .errors import ArgumentError as ArgumentError
    from .errors import IncompleteResultError as IncompleteResultError
    from .errors import PlanError as PlanError
    from .errors import PubError as PubError
    from .errors import QmodeError as QmodeError
    from .errors import RefusedError as RefusedError
    from .errors import ServiceError as ServiceError
    from .errors import SubmissionError as SubmissionError
    from .errors import UnreachableError as UnreachableError
    from .errors import WrongAnswerError as WrongAnswerError
    from .ibm.check import Report as Report
    from .ibm.check import Row as Row
    from .ibm.client import UsageCapReached as UsageCapReached
    from .model.merge import Partial as Partial
    from .model.outcome import Cancelled as Cancelled
    from .model.outcome import CancelOutcome as CancelOutcome
    from .model.outcome import CancelOutcomes as CancelOutcomes
    from .model.outcome import Closed as Closed
    from .model.outcome import CloseOutcome as CloseOutcome
    from .model.outcome import EndOutcome as EndOutcome
    from .model.outcome import Outcome as Outcome
    from .model.outcome import Refusal as Refusal
    from .model.partition import Partition as Partition
    from .model.partition import Piece as Piece
    from .model.snapshot import Event as Event
    from .model.snapshot import JobSnapshot as JobSnapshot
    from .model.snapshot import JobState as JobState
    from .model.snapshot import Limit as Limit
    from .model.snapshot import Ttl as Ttl
    from .model.snapshot import Usage as Usage
    from .model.snapshot import WorkloadSnapshot as WorkloadSnapshot
    from .model.snapshot import WorkloadState as WorkloadState
    from .planning.advice import Advice as Advice
    from .planning.advice import Reason as Reason
    from .planning.backends import BackendComparison as BackendComparison
    from .planning.backends import compare_backends as compare_backends
    from .planning.calibration import Calibration as Calibration
    from .planning.calibration import calibrate as calibrate
    from .planning.compare import Comparison as Comparison
    from .planning.compare import LearnedNoise as LearnedNoise
    from .planning.compare import Step as Step
    from .planning.compare import compare as compare
    from .planning.compare import learn_noise as learn_noise
    from .planning.compare import variational_loop as variational_loop
    from .planning.content import PlanContent as PlanContent
    from .planning.forecast import Bill as Bill
    from .planning.forecast import Conditions as Conditions
    from .planning.forecast import Forecast as Forecast
    from .planning.grouping import MergedPubs as MergedPubs
    from .planning.grouping import merge_pubs as merge_pubs
    from .planning.limits import Finding as Finding
    from .planning.plan import Plan as Plan
    from .planning.plan import before_sending as before_sending
    from .planning.plan import plan as plan
    from .planning.preflight import DryRun as DryRun
    from .planning.preflight import Preflight as Preflight
    from .planning.savings import Saving as Saving
    from .planning.splitting import partition as partition
    from .planning.usage import Breakdown as Breakdown
    from .planning.usage import UsageEstimate as UsageEstimate
    from .planning.usage import estimate_usage as estimate_usage

_PLACES = {
    "Controller": "control.controller",
    "BatchController": "control.modes",
    "SessionController": "control.modes",
    "Iteration": "control.modes",
    "NoiseModel": "control.modes",
    "group": "control.group",
    "JobController": "control.job",
    "Run": "control.run",
    "attach": "control.attach",
    "adopt": "control.watch",
    "watch": "control.watch",
    "unwatch": "control.watch",
    "Watch": "control.watch",
    "workloads": "control.open_workloads",
    "OpenWorkload": "control.open_workloads",
    "OpenWorkloads": "control.open_workloads",
    "load": "control.runs.archive",
    "SavedRun": "control.runs.archive",
    "check": "check",
    "compare_backends": "planning.backends",
    "BackendComparison": "planning.backends",
    "merge_pubs": "planning.grouping",
    "MergedPubs": "planning.grouping",
    "Report": "ibm.check",
    "Row": "ibm.check",
    "Provenance": "control.runs.provenance",
    "Outcome": "model.outcome",
    "CancelOutcome": "model.outcome",
    "CancelOutcomes": "model.outcome",
    "Cancelled": "model.outcome",
    "CloseOutcome": "model.outcome",
    "Closed": "model.outcome",
    "EndOutcome": "model.outcome",
    "Refusal": "model.outcome",
    "WorkloadSnapshot": "model.snapshot",
    "WorkloadState": "model.snapshot",
    "JobSnapshot": "model.snapshot",
    "JobState": "model.snapshot",
    "Usage": "model.snapshot",
    "Ttl": "model.snapshot",
    "Event": "model.snapshot",
    "Limit": "model.snapshot",
    "Partial": "model.merge",
    "plan": "planning.plan",
    "Plan": "planning.plan",
    "before_sending": "planning.plan",
    "estimate_usage": "planning.usage",
    "UsageEstimate": "planning.usage",
    "Breakdown": "planning.usage",
    "partition": "planning.splitting",
    "Partition": "model.partition",
    "Piece": "model.partition",
    "compare": "planning.compare",
    "Comparison": "planning.compare",
    "variational_loop": "planning.compare",
    "Step": "planning.compare",
    "learn_noise": "planning.compare",
    "LearnedNoise": "planning.compare",
    "calibrate": "planning.calibration",
    "Calibration": "planning.calibration",
    "Preflight": "planning.preflight",
    "DryRun": "planning.preflight",
    "PlanContent": "planning.content",
    "Advice": "planning.advice",
    "Reason": "planning.advice",
    "Bill": "planning.forecast",
    "Forecast": "planning.forecast",
    "Conditions": "planning.forecast",
    "Finding": "planning.limits",
    "Saving": "planning.savings",
    "QmodeError": "errors",
    "ArgumentError": "errors",
    "PubError": "errors",
    "PlanError": "errors",
    "SubmissionError": "errors",
    "RefusedError": "errors",
    "ServiceError": "errors",
    "UnreachableError": "errors",
    "UsageCapReached": "ibm.client",
    "WrongAnswerError": "errors",
    "IncompleteResultError": "errors",
    "ArchiveError": "errors",
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

    hub.connect(lambda service: __getattr__("check")(service))  # imported when it is asked for


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
