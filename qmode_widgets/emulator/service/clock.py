"""The service's clock: it never goes back, and can be shown with a skew."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """Seconds since the epoch. `skew` moves what is shown (timestamps, `Date` headers), not what is measured."""

    def __init__(self) -> None:
        self._epoch = time.time() - time.monotonic()
        self.skew = 0.0

    def now(self) -> float:
        """Now, unskewed."""
        now = self._epoch + time.monotonic()
        if (wall := time.time()) > now + 5:  # the machine slept: so much time has passed, and timers run out
            self._epoch += wall - now
            now = wall
        return now

    def shown(self, moment: float | None) -> str | None:
        """A moment as the service writes it."""
        if moment is None:
            return None
        return datetime.fromtimestamp(moment + self.skew, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")

    def read(self, text: str) -> float:
        """A moment from a request, unskewed.

        Raises:
            ValueError: not ISO 8601.
        """
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - self.skew
