"""`make bench-gateway`: every figure of the gateway beside its target.

The gateway has core 0 for itself; client, app and API server share core 1. A run of all rows writes
bench/RESULTS-gateway.md.
"""

import sys
from pathlib import Path

from bench import gateway_rollout, gateway_routes, gateway_table
from bench.suite import Suite

SUITE = Suite(
    program="bench.gateway",
    about="What the gateway costs on the way to a service, and what a change of its routes costs.",
    measures=[measure for module in (gateway_routes, gateway_table, gateway_rollout) for measure in module.ROWS],
    results=Path(__file__).parent / "RESULTS-gateway.md",
    title="What the gateway costs",
    command="make bench-gateway",
    setting="The gateway alone on one core; client, app and API server together on another.",
)


if __name__ == "__main__":
    sys.exit(SUITE.main())
