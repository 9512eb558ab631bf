"""How many requests an instance gets from us, whoever makes them: workloads share one budget."""

from __future__ import annotations

import threading

RATE, BURST = 10.0, 30.0  # requests a second over time, and at once


class Budget:
    """Pure but for a lock: every method takes the time (seconds, monotonic).

    What a user waits for (submissions, commands, results) is taken at once, and may overdraw it: looks at workloads,
    which can be later, then wait until it is balanced again.
    """

    def __init__(self, rate: float | None = None, burst: float | None = None) -> None:
        self.rate, self.burst = rate or RATE, burst or BURST
        self._left, self._at = self.burst, float("-inf")
        self._lock = threading.Lock()

    def take(self, now: float, requests: int = 1) -> None:
        """These requests are being made."""
        with self._lock:
            self._fill(now)
            self._left = max(self._left - requests, -self.burst)  # a flood of commands does not blind a minute

    def wait(self, now: float, requests: int = 1) -> float:
        """Seconds until a look of so many requests is within the budget."""
        with self._lock:
            self._fill(now)
            return max(0.0, (min(requests, self.burst) - self._left) / self.rate)

    def _fill(self, now: float) -> None:
        if now > self._at:
            self._left = min(self.burst, self._left + (now - self._at) * self.rate)
            self._at = now
