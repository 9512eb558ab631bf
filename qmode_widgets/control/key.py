"""A caller's own key of a submission: the same call, in whichever kernel it is made, is the same submission.

The service is asked first which partitions it knows. Two kernels that ask at the same moment both hear of none, and a
listing may lag, so:

- Kernels of one machine and user take turns by a lock file a key, and its time tells that the key was used a short
  while ago: then every partition is looked up, as one whose answer was lost, before it is sent.
- Between machines the first partition goes alone, and the run is looked for 2, 5 and 10 seconds after it was posted,
  before the others follow. Of two first jobs the older one stays, and its kernel sends the others.

What remains possible; the second jobs are cancelled and reported as soon as they are listed:

- Two machines that submit the same key within a few seconds while the service's listings lag by more than 10 seconds
  may both pay.
- So may two kernels of one machine where the first is still sending, held back or slowly, when the second has looked
  for what it did not find for 90 seconds: a turn ends when the work is queued in the kernel, not when it is sent.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from jupyter_core.paths import jupyter_runtime_dir

from ..errors import SubmissionError
from ..model import tags
from ..model.partition import Partition
from ..model.snapshot import JobState
from ..portal import clock, portal
from .registry import registry
from .run import Owner, Run
from .state.record import Record

RECENT = 900.0  # seconds for which a submission may be missing from listings
TURN = 60.0  # seconds to wait for another kernel that submits the same key now


class Key:
    """One key of one account's instance.

    Args:
        key: the caller's name for the work.
        controller: into which the work goes.
    """

    def __init__(self, key: str, controller: Owner) -> None:
        self._key, self._controller = key, controller
        self._run = tags.run_of(key)
        named = f"{controller._workload.ledger.link.instance} {self._run}"
        folder = Path(jupyter_runtime_dir()) / "qmode_widgets_keys"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._mark = folder / hashlib.sha256(named.encode()).hexdigest()[:32]
        self._lock = FileLock(f"{self._mark}.lock")

    def submit(
        self,
        parts: Sequence[Partition],
        prepared: Callable[[str, frozenset[int]], list[Record]],
        label: str | None,
        options: dict[str, Any],
    ) -> Run:
        """The run of this key: the one that is there, or a new one.

        Args:
            parts: the partitions of the work.
            prepared: makes the records of those that are not there.
            label: a name for the run.
            options: of the primitive.

        Raises:
            SubmissionError: the key was used for other work, or another kernel does not finish submitting it.
        """
        controller, run = self._controller, self._run
        workload, ledger = controller._workload, controller._workload.ledger
        if (other := self._elsewhere()) is not None:

            def say() -> None:
                ledger.event("info", f"{self._key!r} is the run {run} of {other.id}: nothing is sent here")
                ledger.changed()

            portal().call(say)
            return Run(other, run)
        try:
            with self._lock.acquire(timeout=TURN):
                there = portal().call(workload.there, self._key, run, parts, waits=True)
                if len(there) == len(parts):
                    return Run(controller, run)
                portal().call(workload.check_open)
                records = prepared(run, there)
                doubtful = bool(there) or self._used_lately()
                if doubtful:
                    for r in records:
                        r.settle(
                            JobState.UNKNOWN, "an earlier call with its key may have sent it: looking whether it did"
                        )
                controller._run_options[run] = options
                self._mark.touch()
                portal().call(lambda: workload.submit_keyed(records, run, label, alone=not doubtful))
        except Timeout:
            raise SubmissionError(
                f"key={self._key!r}: another kernel of this machine has been submitting it for {TURN:.0f} s: "
                f"attach({run!r}) shows what it sent"
            ) from None
        return Run(controller, run, tuple(r.row for r in records))

    def _elsewhere(self) -> Owner | None:
        """Another controller of this kernel that has the run."""

        def look() -> Owner | None:
            others = (c for c in registry.all() if c is not self._controller and self._run in c._ledger.runs)
            return next(others, None)

        return portal().call(look)

    def _used_lately(self) -> bool:
        try:
            return clock.of(time.time() - os.stat(self._mark).st_mtime) < RECENT
        except OSError:
            return False
