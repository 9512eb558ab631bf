"""An embedded service and a client on it, as the contract tests have them; nothing of theirs is imported: a library
among those under test brings a package of the name `tests`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import qmode_widgets as qmode
from qmode_widgets.portal import clock

sys.path.insert(0, str(Path(__file__).parent))  # works, harness


@pytest.fixture(scope="session", autouse=True)
def quick_looks():
    """Workloads are looked at more often than a real service would like."""
    clock.run(20.0)
    yield
    clock.run(1.0)


@pytest.fixture(scope="session")
def shared_emulator(quick_looks):
    with qmode.emulator.start(shared=False, speed=float("inf")) as running:
        yield running


@pytest.fixture
def emulator(shared_emulator, monkeypatch):
    """No fault is left over, and a library that looks for its account by itself finds this one."""
    shared_emulator.faults.clear()
    shared_emulator.faults.forget_requests()
    for name in [name for name in os.environ if name.startswith("QISKIT_")]:
        monkeypatch.delenv(name)
    for name, value in shared_emulator.environment.items():
        monkeypatch.setenv(name, value)
    yield shared_emulator
    shared_emulator.faults.clear()


@pytest.fixture
def service(emulator):
    return emulator.service


@pytest.fixture
def backend(service):
    return service.backend("emu_fez")
