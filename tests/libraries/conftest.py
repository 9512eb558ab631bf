"""The fixtures that library authors get, and nothing of `tests`: a library among those under test brings a package of
that name.
"""

from __future__ import annotations

import sys
from pathlib import Path

from qmode_widgets.testing import (  # noqa: F401 - `pytest_plugins` is for a conftest.py at the top
    qmode_backend,
    qmode_emulator,
    qmode_options,
    qmode_proof,
    qmode_service,
    qmode_shared_emulator,
)

sys.path.insert(0, str(Path(__file__).parent))  # works
