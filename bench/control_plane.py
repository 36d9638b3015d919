"""`make bench-control-plane`: how soon Services become ready, what they cost the API server, and what rest costs.

Everything shares both cores here, as on a laptop. A run of all rows writes bench/RESULTS-control-plane.md.
"""

import sys
from pathlib import Path

from bench import control_plane_apply, control_plane_many
from bench.suite import Suite

SUITE = Suite(
    program="bench.control_plane",
    about="What the control plane takes to make Services ready, one and a thousand, and to do nothing.",
    measures=[*control_plane_apply.ROWS, *control_plane_many.ROWS],
    results=Path(__file__).parent / "RESULTS-control-plane.md",
    title="What the control plane costs",
    command="make bench-control-plane",
    setting=(
        "Nothing takes turns on this page, though: `apply` is twelve Services one after the other, `many` and\n"
        "`steady` are one run of the same thousand. All processes, the API server and the bench itself share two cores."
    ),
)


if __name__ == "__main__":
    sys.exit(SUITE.main())
