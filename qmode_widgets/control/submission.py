"""Post each partition's attempt exactly once, in order, paced, from one thread a link.

Every attempt ends as posted, refused, or **unknown**: a 5xx, a time-out or a lost connection does not tell whether the
service created a paid job. An unknown attempt is looked up by its key (a tag only it carries); the listing may lag, so it
is looked up until `LAG` seconds have passed without finding it, and only then posted again, under the same key. Should
the first one turn up all the same, the watcher cancels it and says so.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from .errors import ServiceError, UnreachableError
from .pacing import Pacer
from .service import Link

log = logging.getLogger(__name__)

LAG = 20.0                          # seconds a new job may be missing from the listing
LOOK_UP = (0.5, 1.0, 2.0, 4.0)      # pauses between look-ups; the last one repeats
RETRY = (1.0, 2.0, 5.0, 10.0, 30.0)         # pauses while the service cannot be reached at all


@dataclass
class Attempt:
    """What the submitter needs of one attempt; the four callbacks run on its thread."""

    tag: str                                            # finds this attempt, and only it
    body: Callable[[], str]
    wanted: Callable[[], bool]                          # False: dropped meanwhile
    posted: Callable[[str], None]                       # (job id)
    refused: Callable[[ServiceError], None]
    unknown: Callable[[str], None]                      # (why): its answer was lost, it is being looked up
    waiting: Callable[[str], None]                      # (why)
    tries: int = 0
    doubt_since: float | None = None
    looks: int = 0


class Submitter:
    """A daemon thread that runs while there is something to send."""

    def __init__(self, link: Link, *, lag: float = LAG) -> None:
        self._link, self.lag = link, lag
        self.pacer = Pacer()
        self._due: list[tuple[float, int, Attempt]] = []
        self._order = itertools.count()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, attempts: list[Attempt]) -> None:
        """Queue attempts; returns at once."""
        with self._wake:
            for a in attempts:
                heapq.heappush(self._due, (0.0, next(self._order), a))
            self._ensure()

    def nudge(self) -> None:
        """Look at the queue again now: something was dropped."""
        with self._wake:
            self._wake.notify_all()

    def _ensure(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="qmode-submit", daemon=True)
            self._thread.start()
        self._wake.notify_all()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._due = [entry for entry in self._due if entry[2].doubt_since is not None or entry[2].wanted()]
                heapq.heapify(self._due)
                if not self._due:
                    self._thread = None
                    return
                at, order, attempt = self._due[0]
                now = time.monotonic()
                if attempt.doubt_since is None:
                    at = max(at, self.pacer.due(now))
                if at > now:
                    self._wake.wait(min(at - now, 1.0))
                    continue
                heapq.heappop(self._due)
            try:
                again = self._look_up(attempt) if attempt.doubt_since is not None else self._post(attempt)
            except Exception:
                log.exception("submitting %s failed inside", attempt.tag)
                attempt.refused(ServiceError("an error of qmode_widgets itself, see the log", status=0))
                continue
            if again is not None:
                with self._wake:                    # keeps its place: PUB order is the order of submission
                    heapq.heappush(self._due, (again, order, attempt))

    def _post(self, attempt: Attempt) -> float | None:
        """One POST. Returns when to come back, or None when the attempt is settled."""
        try:
            job_id = self._link.post_job(attempt.body())
        except ServiceError as error:
            now = time.monotonic()
            if error.status == 429:
                wait = self.pacer.refused(now, error.retry_after)
                attempt.waiting(f"the service asked to wait {wait:.0f} s: too many submissions")
                return now + wait
            if error.outcome_unknown:
                return self._doubt(attempt, str(error))
            attempt.refused(error)
            return None
        except UnreachableError as error:
            if error.sent:
                return self._doubt(attempt, str(error))
            wait = RETRY[min(attempt.tries, len(RETRY) - 1)]
            attempt.tries += 1
            attempt.waiting(f"{error}: trying again in {wait:.0f} s")
            return time.monotonic() + wait
        self.pacer.accepted(time.monotonic())
        attempt.posted(job_id)
        return None

    def _doubt(self, attempt: Attempt, why: str) -> float:
        attempt.doubt_since, attempt.looks = time.monotonic(), 0
        attempt.unknown(why)
        return attempt.doubt_since + LOOK_UP[0]

    def _look_up(self, attempt: Attempt) -> float | None:
        """Is there a job with this attempt's key? Only a listing that answered, after the lag, counts as a no."""
        asked = time.monotonic()
        try:
            found = self._link.jobs(tags=[attempt.tag], limit=10, oldest_first=True)["jobs"]
        except (ServiceError, UnreachableError, KeyError) as error:
            wait = getattr(error, "retry_after", None) or LOOK_UP[-1]
            attempt.unknown(f"its answer was lost and the service cannot be asked now: {error}")
            return time.monotonic() + float(wait)
        if found:
            attempt.doubt_since = None
            self.pacer.accepted(time.monotonic())
            attempt.posted(str(found[0]["id"]))
            return None
        if attempt.doubt_since is not None and asked - attempt.doubt_since >= self.lag:
            attempt.doubt_since = None
            if not attempt.wanted():                 # cancelled while in doubt, and it does not exist
                return None
            attempt.waiting("not on the service: sending it again")
            return asked
        attempt.looks += 1
        wait = LOOK_UP[min(attempt.looks, len(LOOK_UP) - 1)]
        end = (attempt.doubt_since or asked) + self.lag
        return min(asked + wait, max(end, asked + 0.05))
