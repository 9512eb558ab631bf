"""The service's clock. It never goes back, and the time it shows can be skewed."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """Seconds since the epoch.

    `skew` shifts the times that are shown (timestamps and `Date` headers), not the times that are measured.
    """

    def __init__(self) -> None:
        self._epoch = time.time() - time.monotonic()
        self.skew = 0.0

    def now(self) -> float:
        """Return the current time without skew."""
        now = self._epoch + time.monotonic()
        if (wall := time.time()) > now + 5:  # the machine slept: that time has passed, and timers run out
            self._epoch += wall - now
            now = wall
        return now

    def advance(self, seconds: float) -> None:
        """Let time pass at once, as it does while the machine sleeps."""
        self._epoch += seconds

    def shown(self, moment: float | None) -> str | None:
        """Return a time as the service writes it: ISO 8601 in UTC, skew included."""
        if moment is None:
            return None
        return datetime.fromtimestamp(moment + self.skew, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")

    def read(self, text: str) -> float:
        """Return the time that a request names, without skew.

        Raises:
            ValueError: the text is not ISO 8601.
        """
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - self.skew
