"""What a session object says, read with care: a field may be null, missing or of another kind."""

from __future__ import annotations

from ..ibm.wire import Json, seconds


def active_stretches(session: Json, end: float) -> list[tuple[float, float]] | None:
    """When it was active, from its list of transitions; None where they are not told and cannot be inferred."""
    out: list[tuple[float, float]] = []
    since: float | None = None
    for move in session.get("timestamps") or []:
        at = seconds(move.get("timestamp"))
        if at is None:
            continue
        if move.get("status") == "active" and since is None:
            since = at
        elif move.get("status") in ("inactive", "closed") and since is not None:
            out.append((since, at))
            since = None
    if since is not None:
        out.append((since, max(since, end)))
    started, activated = seconds(session.get("started_at")), seconds(session.get("activated_at"))
    if out or (started is None and activated is None):
        return out
    if session.get("state") == "active" and started is not None and activated in (None, started):
        return [(started, max(started, end))]  # active ever since
    return None


def covered(busy: list[tuple[float, float]], stretches: list[tuple[float, float]]) -> float:
    """How much of the stretches the union of the busy intervals covers."""
    total, reach = 0.0, float("-inf")
    for a, b in sorted(busy):
        a, reach = max(a, reach), max(b, reach)
        total += sum(max(0.0, min(b, y) - max(a, x)) for x, y in stretches)
    return total
