"""How hypothesis tries examples: it never judges by the wall clock, by which a loaded machine would fail."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# For tests whose examples share a function's fixture on purpose: the service is the same for all of them.
SHARED = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow)

settings.register_profile("ci", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci")
