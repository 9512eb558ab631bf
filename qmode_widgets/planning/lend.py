"""What planning lends to the controllers below it: partitions for `submit(partitions="auto")`, and expected usage."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .splitting import partition
from .usage import estimate_usage


def lend() -> None:
    """Give the control floor its partitioner and its estimates. Runs when the package is wired."""
    from ..control.sending import hooks

    hooks.partition = partition
    hooks.estimate = expected_usage


def expected_usage(
    primitive: Any, pubs: Iterable[Any], backend: Any, **run_options: Any
) -> tuple[float, str] | None:
    """QPU seconds of one job and the formula; None where nothing can be estimated (a backend without durations).

    An estimate must not stop a submission: what is wrong with a PUB, the primitive itself says.
    """
    try:
        usage = estimate_usage(pubs, backend, primitive, **run_options)
    except ValueError:
        return None
    return usage.expected, usage.formula
