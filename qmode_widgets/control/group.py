"""Labels that follow the code: the iteration of a session that the caller is in, also in asyncio tasks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType

_groups: ContextVar[Mapping[str, str]] = ContextVar("qmode_groups", default=MappingProxyType({}))  # workload -> label


def group_of(workload: str) -> str | None:
    """The iteration of this workload that the caller is in."""
    return _groups.get().get(workload)


@contextlib.contextmanager
def in_group(workload: str, label: str) -> Iterator[None]:
    """What the caller submits inside belongs to this iteration."""
    token = _groups.set({**_groups.get(), workload: label})
    try:
        yield
    finally:
        _groups.reset(token)
