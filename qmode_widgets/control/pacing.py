"""How fast to submit: a token bucket that learns its rate from the service's 429s.

IBM documents five submissions a minute for each user, not whether bursts are allowed. A 429 means that nothing was
created, so asking is safe: the bucket starts without a bound, takes the documented rate as its guess when the first 429
comes, obeys `Retry-After` where the service sends one, and speeds up again while submissions are accepted.
"""

from __future__ import annotations

from collections import deque

DOCUMENTED = 5 / 60  # submissions a second
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0


class Pacer:
    """Pure: every method takes the time (seconds, monotonic)."""

    def __init__(self) -> None:
        self.rate: float | None = None  # None: no 429 was seen yet
        self._not_before = 0.0
        self._pause = FIRST_PAUSE
        self._sent: deque[float] = deque(maxlen=1000)

    def due(self, now: float) -> float:
        """When the next submission may go: `now` or later."""
        return max(now, self._not_before)

    def accepted(self, now: float) -> None:
        """A submission was taken: keep the pace, a little faster than before."""
        self._sent.append(now)
        self._pause = FIRST_PAUSE
        if self.rate is not None:
            self.rate *= 1.25
            self._not_before = now + 1 / self.rate

    def refused(self, now: float, retry_after: float | None) -> float:
        """A 429: returns how long to wait, in seconds."""
        last_minute = sum(1 for t in self._sent if now - t < 60.0)
        guess = max(last_minute / 60.0, DOCUMENTED)
        self.rate = guess if self.rate is None else max(DOCUMENTED, self.rate / 2)
        wait = retry_after or self._pause  # a `Retry-After` of 0 says nothing
        if not retry_after:
            self._pause = min(LONGEST_PAUSE, self._pause * 2)
        self._not_before = now + wait
        return wait
