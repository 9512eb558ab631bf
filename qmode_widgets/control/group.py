"""Labels that follow the code: the iteration or group that the caller is in, also in asyncio tasks and pools."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from types import MappingProxyType

from ..errors import ArgumentError
from ..model.tags import LONGEST_LABEL

_EVERY = ""  # stands for every workload: a group that belongs to none
_groups: ContextVar[Mapping[str, str]] = ContextVar("qmode_groups", default=MappingProxyType({}))  # workload -> label


class _Thread(threading.local):
    """What a thread has done: the workloads in which it opened an iteration."""

    def __init__(self) -> None:
        self.opened: set[str] = set()


_here = _Thread()


def check_label(label: object) -> None:
    """Raises ArgumentError for a label that is no text of 1 to 30 characters (it becomes a job tag); None is none."""
    if label is not None and not (isinstance(label, str) and 0 < len(label) <= LONGEST_LABEL):
        length = f" has {len(label)} characters" if isinstance(label, str) else ""
        raise ArgumentError(f"label={label!r}{length}: pass a text of 1 to {LONGEST_LABEL} characters")


def own_group(workload: str) -> str | None:
    """The iteration of this workload whose block the caller is in."""
    return _groups.get().get(workload)


def group_of(workload: str, opened: Callable[[], Sequence[str]]) -> str | None:
    """The iteration or group that a submission of the caller's belongs to; the iteration where it is in both.

    A pool's thread knows nothing of the block that hands it work. Where it is in no iteration, has never opened one of
    this workload, and `opened()` says that exactly one is open, it works for that one.
    """
    own = own_group(workload)
    if own is None:
        own = own_group(_EVERY)
    if own is not None or workload in _here.opened:
        return own
    labels = opened()
    return labels[0] if len(labels) == 1 else None


@contextlib.contextmanager
def in_group(workload: str, label: str) -> Iterator[None]:
    """What the caller submits inside belongs to this iteration."""
    _here.opened.add(workload)
    token = _groups.set({**_groups.get(), workload: label})
    try:
        yield
    finally:
        _groups.reset(token)


@contextlib.contextmanager
def group(label: str) -> Iterator[None]:
    """Name the jobs that anything inside submits, in whatever workload and mode: `with group("bond 0.74"): …`.

    For libraries and code that calls them. The label follows the code into asyncio tasks and, with
    `contextvars.copy_context().run`, into threads; a group inside another takes its place. It is written into the
    jobs' tags, so it is there again after `attach()`.

    Args:
        label: a text of 1 to 30 characters.

    Raises:
        ArgumentError: another label: it becomes a job tag.
    """
    check_label(label or "")  # None is no label
    token = _groups.set({**_groups.get(), _EVERY: label})
    try:
        yield
    finally:
        _groups.reset(token)
