"""How many circuits an estimator PUB becomes: parameter sets × bases of qubit-wise commuting terms.

The client-side Estimator groups, for each parameter set, the terms of all observables that meet it; terms are compared
as Paulis, projectors as the Pauli whose basis they need. PUBs that share their observables are grouped once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_TO_PAULI = str.maketrans({"0": "Z", "1": "Z", "+": "X", "-": "X", "r": "Y", "l": "Y"})


class Bases:
    """Counts measurement bases and remembers them by the terms they measure."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], int] = {}
        self._terms_of: dict[int, tuple[Any, list[tuple[str, ...]]]] = {}  # keeps the array: ids are reused

    def configurations(self, pub: Any) -> int:
        """Circuits after broadcasting of a coerced `EstimatorPub`."""
        shape = pub.shape
        params = (1,) * (len(shape) - len(pub.parameter_values.shape)) + tuple(pub.parameter_values.shape)
        terms = self._all_terms(pub.observables)
        own = pub.observables.shape
        index: np.ndarray[Any, Any] = np.arange(len(terms)).reshape((1,) * (len(shape) - len(own)) + tuple(own))
        varying = [i for i, n in enumerate(params) if n != 1]
        free = [i for i, n in enumerate(params) if n == 1]
        sets = int(np.prod(params))
        if all(index.shape[i] == 1 for i in varying):  # every parameter set meets the same observables
            return sets * self.count(terms[i] for i in index.ravel())
        index = np.broadcast_to(index, shape).transpose([*free, *varying]).reshape(-1, sets)
        met, times = np.unique(index, axis=1, return_counts=True)
        return sum(self.count(terms[i] for i in met[:, k]) * int(times[k]) for k in range(len(times)))

    def _all_terms(self, observables: Any) -> list[tuple[str, ...]]:
        if (known := self._terms_of.get(id(observables))) is None:
            flat = observables.ravel()
            known = observables, [self._terms(flat[i]) for i in range(flat.size)]
            self._terms_of[id(observables)] = known
        return known[1]

    @staticmethod
    def _terms(observable: Any) -> tuple[str, ...]:
        return tuple(dict.fromkeys(label.translate(_TO_PAULI) for label in observable))

    def count(self, terms: Any) -> int:
        """Bases that measure all these terms, by the greedy colouring the client uses."""
        labels = tuple(dict.fromkeys(label for group in terms for label in group))
        if (known := self._known.get(labels)) is None:
            if len(labels) == 1:
                known = 1
            else:
                from qiskit.quantum_info import PauliList

                known = len(PauliList(list(labels)).group_commuting(qubit_wise=True))
            self._known[labels] = known
        return known
