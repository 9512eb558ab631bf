"""Proves a library, unmodified, against the embedded service: a pytest plugin.

# conftest.py
pytest_plugins = ["qmode_widgets.testing"]

# test_with_qmode.py
def test_my_library(qmode_proof):
    qmode_proof(lambda backend: my_library.run(backend))
"""

from __future__ import annotations

try:
    import pytest  # noqa: F401 - a test runner is nothing that a user of qmode_widgets needs
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'qmode_widgets.testing needs pytest: pip install "qmode-widgets[testing]"', name="pytest"
    ) from error

from .fixtures import qmode_backend, qmode_emulator, qmode_options, qmode_proof, qmode_service, qmode_shared_emulator
from .proofs import (
    PROOFS,
    Proof,
    Work,
    cap_acts,
    makes_one_job,
    rows_at_once,
    runs_plainly,
    survives_a_failure,
    watching,
)

__all__ = [
    "PROOFS",
    "Proof",
    "Work",
    "cap_acts",
    "makes_one_job",
    "qmode_backend",
    "qmode_emulator",
    "qmode_options",
    "qmode_proof",
    "qmode_service",
    "qmode_shared_emulator",
    "rows_at_once",
    "runs_plainly",
    "survives_a_failure",
    "watching",
]
