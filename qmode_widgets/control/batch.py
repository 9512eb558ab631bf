"""Batch mode: independent jobs that queue once and are scheduled together."""

from __future__ import annotations

from qiskit_ibm_runtime import Batch

from .modes import ModeController


class BatchController(ModeController):
    """Wraps a `Batch`: `BatchController(Batch(backend))`, or `BatchController.open(backend)`.

    Args:
        mode: the batch.
        usage_cap: QPU seconds after which nothing more is sent and the queue is cancelled.
        retries: how often a partition that failed for a transient or system reason is run again by itself.
        on_exit: `"leave"` (default: its jobs go on, an idle batch costs nothing) or `"close"` when the kernel exits.

    Raises:
        QmodeError: not a batch, local mode, or an id the service does not know.
    """

    _mode = "batch"
    _kind = Batch
