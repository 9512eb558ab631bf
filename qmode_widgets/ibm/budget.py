"""How many requests an instance gets from looks at its workloads, whoever makes them: they share one budget."""

from __future__ import annotations

RATE, BURST = 10.0, 30.0  # requests a second over time, and at once
LEAST = 2  # requests that a look may add where none are left, so that bills become final while others are busy


class Budget:
    """Pure: every method takes the time (seconds, monotonic).

    Only looks draw on it, which can be later. What a user waits for (submissions, commands, results) is never held up,
    and does not hold up the looks either: caps depend on them.
    """

    def __init__(self, rate: float = RATE, burst: float = BURST) -> None:
        self.rate, self.burst = rate, burst
        self._turn = float("-inf")

    def turn(self, now: float, requests: int = 1) -> float:
        """Take the next turn for a look of this many requests; returns the seconds to wait for it."""
        self._turn = max(self._turn, now - self.burst / self.rate) + requests / self.rate
        return max(0.0, self._turn - now)

    def spend(self, now: float, wanted: int) -> int:
        """Take what can be had of so many requests without a wait, `LEAST` in any case; later turns wait for them.

        Returns:
            How many of them may be made now.
        """
        left = int((now - max(self._turn, now - self.burst / self.rate)) * self.rate)
        taken = min(wanted, max(LEAST, left))
        self.turn(now, taken)
        return taken
