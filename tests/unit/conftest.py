"""What all unit tests share: hypothesis as `tests/examples.py` sets it."""

import tests.examples  # noqa: F401
