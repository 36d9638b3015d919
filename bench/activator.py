"""`make bench-activator`: every figure of the activator beside its target.

The activator has core 0 for itself; client, app, sidecar and API server share core 1. A run of all rows writes
bench/RESULTS-activator.md.
"""

import sys
from pathlib import Path

from bench import activator_cold, activator_size, activator_warm
from bench.suite import Suite

SUITE = Suite(
    program="bench.activator",
    about="What the activator costs on the way to a busy revision, and how soon a cold one answers.",
    measures=[measure for module in (activator_warm, activator_cold, activator_size) for measure in module.ROWS],
    results=Path(__file__).parent / "RESULTS-activator.md",
    title="What the activator costs",
    command="make bench-activator",
    setting="The activator alone on one core; client, app, sidecar and API server together on another.",
)


if __name__ == "__main__":
    sys.exit(SUITE.main())
