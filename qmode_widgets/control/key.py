"""A caller's own key of a submission: the same call, in whichever kernel it is made, is the same submission.

The service is asked first which partitions it knows. Two kernels that ask at the same moment both hear of none, and a
listing may lag, so:

- Kernels of one machine and user take turns by a lock file a key. A turn lasts until every partition was sent, refused
  or taken back, however long a cap or the service's pace holds it back; the system ends it when the kernel dies. The
  time of a file beside it tells that the key was used a short while ago: then every partition is looked up, as one
  whose answer was lost, before it is sent.
- Between machines, and where no lock file can be kept, the first partition goes alone, and the run is looked for 2, 5
  and 10 seconds after it was posted, before the others follow. Of two first jobs the older one stays, and its kernel
  sends the others.

- What had to wait 20 seconds or longer (for a cap, the service's pace, a network that was away) is looked for just
  before it is posted: the other machine may have sent it meanwhile.

What remains possible: two machines both pay where the service's listings lag by more than 10 seconds, or where both
post one partition within the second between a look and its post. The second jobs are cancelled and reported as soon as
they are listed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

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
TURN = 60.0  # seconds to wait for another kernel that sends the same key now
LOOK_AGAIN = 1.0  # seconds after which a thread that waits looks whether another one of its kernel has the run


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
        with contextlib.suppress(OSError):  # said when the lock is asked for
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._mark = folder / hashlib.sha256(named.encode()).hexdigest()[:32]
        # Taken on the caller's thread, left on the loop.
        self._lock = FileLock(f"{self._mark}.lock", thread_local=False)
        self._sending = False

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
            SubmissionError: the key was used for other work, or another kernel is still sending it.
        """
        controller, run, workload = self._controller, self._run, self._controller._workload
        try:
            if (found := self._take_turn(parts)) is not None:
                return found
            there = portal().call(workload.there, self._key, run, parts, waits=True)
            if len(there) == len(parts):
                return Run(controller, run)
            portal().call(workload.check_open)
            records = prepared(run, there)
            doubtful = bool(there) or self._used_lately()
            if doubtful:
                for r in records:
                    r.settle(JobState.UNKNOWN, "an earlier call with its key may have sent it: looking whether it did")
            controller._run_options[run] = options
            self._touch()

            def send() -> None:
                workload.submit_keyed(records, run, label, alone=not doubtful)
                self._sending = True
                portal().spawn(self._until_sent(records), name=f"turn of {run}")

            portal().call(send)
            return Run(controller, run, tuple(r.row for r in records))
        finally:
            portal().send(self._leave_unless_sending)  # behind `send`, which an interrupt of this thread does not end

    def _take_turn(self, parts: Sequence[Partition]) -> Run | None:
        """Wait for this kernel's turn; the run where this kernel has it already, as its own turn may last long."""
        end = time.monotonic() + TURN
        while True:
            if (found := self._here(parts)) is not None:
                return found
            try:
                self._lock.acquire(timeout=LOOK_AGAIN)
                return None
            except Timeout:
                if time.monotonic() < end:
                    continue
            except (OSError, NotImplementedError) as error:  # a read-only folder, a file system without locks
                self._say("warning", f"kernels of this machine cannot take turns for {self._key!r} ({error})")
                return None
            raise SubmissionError(
                f"key={self._key!r}: another kernel of this machine is still sending it after {TURN:.0f} s: "
                f"attach({self._run!r}) shows what it has sent"
            )

    async def _until_sent(self, records: Sequence[Record]) -> None:
        """This kernel's turn: nobody else looks for what it has yet to send."""
        try:
            await self._controller._workload.sent(records)
        finally:
            self._touch()  # listings may lag from here on
            self._sending = False
            self._lock.release()

    def _leave_unless_sending(self) -> None:
        if not self._sending:
            self._lock.release()  # nothing where it was not taken

    def _here(self, parts: Sequence[Partition]) -> Run | None:
        """The run where a controller of this kernel has all of it; one that is attached may have what was sent only."""
        for controller in portal().call(self._holders):
            there = portal().call(controller._workload.there, self._key, self._run, parts, waits=True)
            if len(there) < len(parts):
                continue
            if controller is not self._controller:
                self._say("info", f"{self._key!r} is the run {self._run} of {controller.id}: nothing is sent here")
            return Run(controller, self._run)
        return None

    def _holders(self) -> list[Owner]:
        """Controllers of this kernel that know the run, this one first."""
        others = [c for c in registry.all() if c is not self._controller]
        return [c for c in (self._controller, *others) if self._run in c._workload.ledger.runs]

    def _say(self, level: Literal["info", "warning"], text: str) -> None:
        ledger = self._controller._workload.ledger

        def say() -> None:
            ledger.event(level, text)
            ledger.changed()

        portal().call(say)

    def _touch(self) -> None:
        """The key is used now."""
        with contextlib.suppress(OSError):
            self._mark.touch()

    def _used_lately(self) -> bool:
        try:
            return clock.of(time.time() - os.stat(self._mark).st_mtime) < RECENT
        except OSError:
            return False
