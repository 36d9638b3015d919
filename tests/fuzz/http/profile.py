"""How many cases: 500, always the same ones, or 20,000 new ones by night (`HYPOTHESIS_PROFILE=nightly`)."""

import os

from hypothesis import HealthCheck, settings

__all__ = ["PROFILE"]

QUIET = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("ci", max_examples=500, derandomize=True, deadline=None, suppress_health_check=QUIET)
settings.register_profile("nightly", max_examples=20_000, deadline=None, suppress_health_check=QUIET)
PROFILE = settings.get_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
