"""Sections that Ctrl-C must not cut in two.

An interrupt is raised between two bytecodes of the main thread, wherever it is: between "the partition is in the
ledger" and "the partition is queued" it would leave work that nobody sends. Inside such a section the interrupt waits
for its end. Sections are short and make no request.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Uninterrupted:
    """`with Uninterrupted():` delays a `KeyboardInterrupt` until the block has ended.

    Signals reach the main thread alone, so elsewhere it does nothing. A handler that is not Python's (`None`) is left
    alone too. Sections may be nested: the outermost one raises.
    """

    def __init__(self) -> None:
        self._before: Any = None
        self._came: tuple[int, FrameType | None] | None = None

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread() and callable(signal.getsignal(signal.SIGINT)):
            # From this call on nothing is raised: what comes is kept by `_keep`, even before the assignment is done.
            self._before = signal.signal(signal.SIGINT, self._keep)

    def _keep(self, number: int, frame: FrameType | None) -> None:
        self._came = (number, frame)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is None:
            return
        signal.signal(signal.SIGINT, self._before)
        if self._came is not None:
            self._before(*self._came)
