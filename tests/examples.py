"""How many examples hypothesis tries: few in `make test`, many in `make soak` (HYPOTHESIS_PROFILE=nightly).

`make test` tries the same ones each time, so that a failure is the change's; `make soak` looks for others.
It never judges by the wall clock, by which a loaded machine would fail.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

TIMES = {"ci": 1, "nightly": 20}
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "ci")

# For tests whose examples share a function's fixture on purpose: the service is the same for all of them.
SHARED = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow)

for name, times in TIMES.items():
    settings.register_profile(
        name,
        max_examples=50 * times,
        deadline=None,
        derandomize=name == "ci",
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile(PROFILE)


def examples(number: int, *, shared: bool = False) -> settings:
    """So many examples, and twenty times as many in a soak."""
    return settings(
        max_examples=number * TIMES[PROFILE],
        suppress_health_check=SHARED if shared else [HealthCheck.too_slow],
    )
