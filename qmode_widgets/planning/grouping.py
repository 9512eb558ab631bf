"""Observables of one circuit, given as several PUBs, as one PUB: what commutes is measured together.

    merged = merge_pubs(pubs)                           # of an Estimator
    run = controller.submit(estimator, merged.pubs)
    result = merged.results(run.result())               # one result a PUB of yours, in your order

The primitive groups qubit-wise commuting observables within a PUB, never across PUBs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ArgumentError, PubError
from .work import listed


@dataclass(frozen=True, slots=True, eq=False)
class MergedPubs:
    """PUBs to submit instead of the user's, and where each of the user's PUBs is among them."""

    pubs: tuple[Any, ...]
    places: tuple[tuple[int, int | None], ...]  # of each PUB of the user's: which merged PUB, which of its rows

    @property
    def merges(self) -> bool:
        """Whether anything was put together."""
        return len(self.pubs) < len(self.places)

    def results(self, result: Any) -> Any:
        """A `PrimitiveResult` with one result for each of the user's PUBs, in their order.

        Args:
            result: of the merged PUBs.

        Raises:
            ArgumentError: it has another number of PUBs.
        """
        from qiskit.primitives import PrimitiveResult

        if len(result) != len(self.pubs):
            raise ArgumentError(f"a result of {len(result)} PUBs; {len(self.pubs)} were merged: pass their own result")
        own = [result[at] if row is None else _row(result[at], row) for at, row in self.places]
        return PrimitiveResult(own, metadata=dict(result.metadata))


def merge_pubs(pubs: Iterable[Any]) -> MergedPubs:
    """Put Estimator PUBs together that measure one circuit at the same parameter values with the same precision.

    Args:
        pubs: as the Estimator takes them. The circuit must be the same object.

    Raises:
        PubError: a PUB that is not an Estimator's.
    """
    from qiskit.primitives.containers.estimator_pub import EstimatorPub

    given = listed(pubs)
    coerced = []
    for index, pub in enumerate(given):
        try:
            coerced.append(EstimatorPub.coerce(pub))
        except (TypeError, ValueError, IndexError) as error:
            raise PubError(index, str(error).strip("'\"")) from error
    groups: dict[Any, list[int]] = {}
    for index, pub in enumerate(coerced):
        values = pub.parameter_values.as_array(pub.circuit.parameters)
        key = (id(pub.circuit), pub.precision, values.shape, values.tobytes(), pub.observables.shape)
        groups.setdefault(key, []).append(index)
    merged: list[Any] = []
    places: list[tuple[int, int | None]] = [(0, None)] * len(given)
    for members in groups.values():
        for row, index in enumerate(members):
            places[index] = (len(merged), row if len(members) > 1 else None)
        merged.append(given[members[0]] if len(members) == 1 else _stacked([coerced[i] for i in members]))
    return MergedPubs(tuple(merged), tuple(places))


def _stacked(pubs: Sequence[Any]) -> Any:
    """One PUB whose observables have the PUBs along a new first axis."""
    from qiskit.primitives.containers.observables_array import ObservablesArray

    first = pubs[0]
    own = first.observables.shape
    room = len(first.parameter_values.shape) - len(own)
    stacked = ObservablesArray.coerce([pub.observables.tolist() for pub in pubs])
    observables = stacked.reshape(len(pubs), *(1,) * max(0, room), *own)
    return (first.circuit, observables, first.parameter_values, first.precision)


def _row(result: Any, row: int) -> Any:
    """One row of a PUB's result, as a result of its own."""
    from qiskit.primitives import DataBin, PubResult

    shape = result.data.shape[1:]
    fields = {name: np.asarray(values)[row] for name, values in result.data.items()}
    return PubResult(DataBin(**fields, shape=shape), metadata=dict(result.metadata))
