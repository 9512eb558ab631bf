"""The client's own primitives, made for a controller: what they submit is taken over by it.

No façade: a library checks for the client's classes, and reads its job objects in ways of its own.
"""

from __future__ import annotations

from typing import Any

from qiskit_ibm_runtime import EstimatorV2, Executor, SamplerV2
from qiskit_ibm_runtime import options as service_side
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.executor_sampler import Sampler


def sampler(mode: Any, options: Any = None) -> Any:
    """The client-side `Sampler`, or with `qiskit_ibm_runtime.options.SamplerOptions` the service-side `SamplerV2`."""
    kind = SamplerV2 if isinstance(options, service_side.SamplerOptions) else Sampler
    return kind(mode=mode, options=options)


def estimator(mode: Any, options: Any = None) -> Any:
    """The client-side `Estimator`, or with `qiskit_ibm_runtime.options.EstimatorOptions` the service-side one."""
    kind = EstimatorV2 if isinstance(options, service_side.EstimatorOptions) else Estimator
    return kind(mode=mode, options=options)


def executor(mode: Any, options: Any = None) -> Any:
    """The client's `Executor`."""
    return Executor(mode=mode, options=options)
