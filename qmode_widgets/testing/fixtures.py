"""The embedded service as pytest fixtures. Any of them can be overridden by one of the same name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from .proofs import PROOFS, Proof, Work

if TYPE_CHECKING:  # pytest loads this file for each run; qiskit only where a test asks for it
    from qiskit_ibm_runtime import QiskitRuntimeService

    from ..emulator.client.launch import Emulator

PACE = 20.0  # workloads are looked at more often than a real service would like


@pytest.fixture(scope="session")
def qmode_options() -> dict[str, Any]:
    """Options of `qmode_widgets.emulator.start`: override it for a queue, noise or another speed."""
    return {"speed": float("inf")}


@pytest.fixture(scope="session")
def qmode_shared_emulator(qmode_options: dict[str, Any]) -> Iterator[Emulator]:
    """An embedded service of this run's own. Use `qmode_emulator`, which begins each test without faults."""
    from .. import emulator
    from ..portal import clock

    before = clock.speed
    clock.run(PACE)
    try:
        with emulator.start(shared=False, **qmode_options) as running:
            yield running
    finally:
        clock.run(before)


@pytest.fixture
def qmode_emulator(qmode_shared_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """The embedded service without faults; a bare `QiskitRuntimeService()` finds it, and no account of yours."""
    qmode_shared_emulator.faults.clear()
    qmode_shared_emulator.faults.forget_requests()
    for name in [name for name in os.environ if name.startswith("QISKIT_")]:
        monkeypatch.delenv(name)
    for name, value in qmode_shared_emulator.environment.items():
        monkeypatch.setenv(name, value)
    yield qmode_shared_emulator
    qmode_shared_emulator.faults.clear()


@pytest.fixture
def qmode_service(qmode_emulator: Emulator) -> QiskitRuntimeService:
    """A real client, on the pay-as-you-go instance."""
    return qmode_emulator.service


@pytest.fixture
def qmode_backend(qmode_service: QiskitRuntimeService) -> Any:
    """A backend of 156 qubits."""
    return qmode_service.backend("emu_fez")


@pytest.fixture(params=PROOFS, ids=lambda proof: proof.__name__)
def qmode_proof(request: pytest.FixtureRequest, qmode_backend: Any, qmode_emulator: Emulator) -> Callable[[Work], None]:
    """Called with what your library does on a backend. A test that asks for it runs five times, once for each proof."""
    proof: Proof = request.param
    return lambda work: proof(work, qmode_backend, qmode_emulator)
