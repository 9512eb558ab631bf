"""Ask again when the service stumbles: for requests that change nothing, or the same thing twice (cancel, close).

Never for a submission: see `submission.py`. Not for the watcher either, which has a pace of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from .errors import ServiceError, UnreachableError

P = ParamSpec("P")
T = TypeVar("T")

PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0)
LONGEST = 30.0  # seconds; a longer `Retry-After` is the caller's to see


def patiently(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`call(...)`, again after a pause while the service answers 429 or 5xx or not at all.

    Raises:
        ServiceError, UnreachableError: the last one, when it still does.
    """
    for pause in PAUSES:
        try:
            return call(*args, **kwargs)
        except UnreachableError:
            wait = pause
        except ServiceError as error:
            if not error.passing:
                raise
            wait = max(pause, error.retry_after or 0.0)
            if wait > LONGEST:
                raise
        time.sleep(wait)
    return call(*args, **kwargs)
