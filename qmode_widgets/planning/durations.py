"""Durations in words, from a second to weeks."""

from __future__ import annotations

MINUTE, HOUR, DAY = 60, 3600, 86400


def duration(seconds: float) -> str:
    """2.4 s, 48 s, 5 min 44 s, 3 h 20 min, 12.5 days."""
    if seconds < 10:
        return f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s".replace(".0 s", " s")
    whole = round(seconds)
    if whole < 2 * MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return _two(whole, MINUTE, "min", 1, "s")
    if whole < 2 * DAY:
        return _two(whole, HOUR, "h", MINUTE, "min")
    return f"{seconds / DAY:,.1f} days"


def in_seconds(seconds: float) -> str:
    """2.4 s, 1,234 s: as the service bills."""
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:,.0f} s"


def billed(seconds: float) -> str:
    """Seconds as they are billed, with minutes, hours or days beside them: 344 s (5 min 44 s)."""
    plain = in_seconds(seconds)
    return plain if seconds < 2 * MINUTE else f"{plain} ({duration(seconds)})"


def _two(whole: int, large: int, name: str, small: int, smaller: str) -> str:
    head, rest = divmod(whole, large)
    left = round(rest / small)
    if left * small >= large:  # 59.6 minutes round up
        head, left = head + 1, 0
    return f"{head} {name}" + (f" {left} {smaller}" if left else "")
