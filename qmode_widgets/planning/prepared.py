"""Executions counted on what the client itself prepares, where no formula tells them: PEC with a noise model.

The client scales a PUB's randomisations by the γ² of the noise model on its boxed circuit. Boxing takes a while, so
everything else is counted by formula; tests hold the formulas against this preparation.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any


def pec_executions(pubs: Sequence[Any], options: Any, backend: Any, precision: float | None) -> list[int]:
    """Executions of each coerced estimator PUB, without measurement learning.

    Raises:
        Exception: whatever the client says of PUBs or options it refuses.
    """
    from qiskit_ibm_runtime.executor_estimator.prepare import prepare
    from qiskit_ibm_runtime.options_models.estimator import EstimatorOptions

    own = EstimatorOptions(**options) if isinstance(options, Mapping) else options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # options it overrides: the primitive itself says so when it is run
        program, _ = prepare(pubs, own, precision, backend=backend)
    return [math.prod(item.shape) * program.shots for item in program.items[: len(pubs)]]
