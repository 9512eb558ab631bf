"""What can go wrong: one tree. Those about a value inherit `ValueError` too."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Protocol

_JOINERS = "\u200c\u200d"  # of scripts and emoji: they move nothing but their neighbours


def printable(text: str) -> str:
    """Text of the service, of a tag or of a circuit's name as a terminal may print it: in one line, nothing acts.

    Control characters (ESC begins a command to the terminal, OSC 8 a link), what reverses the reading direction, and
    line breaks are shown as their escapes: `\\x1b`, `\\u202e`.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if _shown(c) else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def _shown(c: str) -> bool:
    return c in _JOINERS or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


class Finding(Protocol):
    """What a plan found against running it."""

    @property
    def message(self) -> str:
        """In a sentence."""
        ...


class QmodeError(Exception):
    """The base of this package's errors. Its text can be printed: what came from the service in it is escaped."""

    def __init__(self, message: str = "", *args: object) -> None:
        super().__init__(printable(message), *args)


class ServiceError(QmodeError):
    """The service answered with an error. `status` is HTTP's, `code` the service's own (1217: session closed, …)."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: int | str | None = None,
        solution: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.status, self.code, self.retry_after = status, code, retry_after
        self.solution = None if solution is None else printable(solution)
        self.plain = printable(message)
        prefix = f"{printable(str(code))} " if code is not None else f"HTTP {status}: " if status else ""
        text = prefix + self.plain
        super().__init__(f"{text} {self.solution}" if self.solution else text)

    @property
    def outcome_unknown(self) -> bool:
        """A 5xx (or 408) to a POST does not say whether the job was created."""
        return self.status >= 500 or self.status == 408

    @property
    def passing(self) -> bool:
        """Asking again later may help: too many requests, or the service stumbled."""
        return self.outcome_unknown or self.status == 429


class UnreachableError(QmodeError):
    """No answer that can be used.

    `sent` is False when the request certainly did not reach the service, `timed_out` is True when its time was over.
    """

    def __init__(self, message: str, *, sent: bool, timed_out: bool = False) -> None:
        self.sent, self.timed_out = sent, timed_out
        super().__init__(message)


class WrongAnswerError(UnreachableError):
    """The service's answer is not what its API promises: a field is missing or of another kind. It names which.

    Such an answer is not taken over: what is shown stays what was known before, and says since when it is old.
    """

    def __init__(self, message: str) -> None:
        super().__init__(f"the service's answer is wrong: {message}", sent=True)


class ArgumentError(QmodeError, ValueError):
    """A wrong argument. The message has the value, and what to pass instead."""


class RefusedError(QmodeError):
    """What was asked for was refused, so nothing has changed. `code` is the service's own, `status` HTTP's."""

    def __init__(self, message: str, *, reason: str, code: int | str | None, status: int | None) -> None:
        self.reason, self.code, self.status = reason, code, status
        super().__init__(message)


class SubmissionError(QmodeError, ValueError):
    """A `submit` call that was refused before anything was sent: for what was passed, or because it is too late."""


class IncompleteResultError(QmodeError):
    """Not all has a result. `missing` says why: of a run by partition (from 0), of `results()` by its own keys."""

    def __init__(self, message: str, missing: Mapping[int, str] | Mapping[str, str]) -> None:
        self.missing = missing
        super().__init__(message)


class PlanError(QmodeError, ValueError):
    """A plan cannot be run as it is. `findings` say why, each with a `message`."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("; ".join(f.message for f in findings) + ". Pass force=True to submit all the same")


class PubError(ArgumentError):
    """Something is wrong with one PUB; `pub` is its index."""

    def __init__(self, pub: int, message: str) -> None:
        self.pub = pub
        super().__init__(f"PUB {pub}: {message}")


class ArchiveError(QmodeError, ValueError):
    """A file of a saved run cannot be read: it is damaged, of another kind, or of a newer version."""
