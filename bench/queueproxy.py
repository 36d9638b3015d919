"""`make bench`: what the sidecar costs, beside HAProxy, nghttpx and the bare app, each row with its target.

The proxy under test has core 0 for itself; client and app share core 1. A run of all rows writes bench/RESULTS.md.
"""

import sys
from pathlib import Path

from bench import footprint, h2, http1, latency, streams, websocket
from bench.suite import Suite

SUITE = Suite(
    program="bench.queueproxy",
    about="What the sidecar costs, beside HAProxy, nghttpx and the bare app.",
    measures=[measure for module in (http1, streams, latency, h2, websocket, footprint) for measure in module.ROWS],
    results=Path(__file__).parent / "RESULTS.md",
    title="What the sidecar costs",
    command="make bench",
    setting="The proxy alone on one core, client and app together on another.",
)


if __name__ == "__main__":
    sys.exit(SUITE.main())
