"""`make bench`: what the sidecar costs, beside HAProxy, nghttpx and the bare app, each row with its target.

The proxy under test has core 0 for itself; client and app share core 1. The contestants take turns within each round,
so that a noisy machine is noisy for all; a row shows medians and spreads over the rounds, and shares are medians of the
ratios within a round. A run of all rows writes bench/RESULTS.md; `--only` takes some of them and writes nothing.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import footprint, h2, http1, latency, streams, websocket
from bench.proxies import LOAD_CORE, install
from bench.rows import Bench, Measure, Row, UnmeasuredError, details, summary

MODULES = (http1, streams, latency, h2, websocket, footprint)
MEASURES = {measure.name: measure for module in MODULES for measure in module.ROWS}
RESULTS = Path(__file__).parent / "RESULTS.md"


def main() -> int:
    arguments = _arguments()
    if len(os.sched_getaffinity(0)) < 2:
        print("bench: skipped, for it needs two cores: one for the proxy, one for client and app")
        return 0
    chosen = [MEASURES[name] for name in arguments.only or MEASURES]
    # Ten thousand connections are ten thousand descriptors, here and in every process started from here.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.sched_setaffinity(0, {LOAD_CORE})
    began = time.monotonic()
    rows: dict[str, Row | str] = {}
    for measure in chosen:
        rows[measure.name] = _measure(measure, arguments.rounds, arguments.seconds)
    text = _page(chosen, rows, arguments, time.monotonic() - began)
    print(f"\n{text}")
    if not arguments.only:
        RESULTS.write_text(text)
    return int(any(isinstance(row, str) and row.startswith("failed") for row in rows.values()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.queueproxy", description=__doc__.partition("\n")[0])
    about = "; ".join(f"{name}: {measure.about}" for name, measure in MEASURES.items()).replace("%", "%%")
    parser.add_argument("--only", action="append", choices=list(MEASURES), help=f"may be repeated; {about}")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contestant (%(default)s)")
    parser.add_argument("--seconds", type=int, default=3, help="length of a turn (%(default)s)")
    arguments = parser.parse_args()
    if not (1 <= arguments.rounds <= 20 and 1 <= arguments.seconds <= 60):
        parser.error("--rounds 1 to 20, --seconds 1 to 60")
    return arguments


def _measure(measure: Measure, rounds: int, seconds: int) -> Row | str:
    """The row, or why there is none."""
    print(f"── {measure.name}: {measure.about}", flush=True)
    missing = install(measure.tools)
    if missing:
        print(f"  skipped, for {missing} is missing and cannot be installed here. Try: apt-get install {missing}")
        return f"skipped: needs `apt-get install {missing}`"
    with tempfile.TemporaryDirectory() as folder:
        try:
            return measure.run(Bench(Path(folder), rounds, seconds))
        except (UnmeasuredError, OSError, subprocess.SubprocessError) as error:
            print(f"  failed: {error}")
            return f"failed: {str(error).splitlines()[0]}"


def _page(
    chosen: Sequence[Measure], rows: Mapping[str, Row | str], arguments: argparse.Namespace, seconds: float
) -> str:
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    parts = [(measure, rows[measure.name]) for measure in chosen]
    measured = "\n\n".join(details(measure, row) for measure, row in parts if not isinstance(row, str))
    return f"""# What the sidecar costs

Written by `make bench`; read as ratios, machines differ.

{summary(parts)}

Keep-alive throughout; {arguments.rounds} rounds with turns of {arguments.seconds} s, contestants taking turns; shares
and differences are medians over the rounds. The proxy alone on one core, client and app together on another.
Python {platform.python_version()}, {platform.machine()}; the run took {seconds:.0f} s; load average {load}.

## What was seen of each contestant

Medians, in brackets the spread. CPU and memory are the proxy's own. "Busy" is the share of its turn that it ran: well
under 1 means that it waited for client and app, and could do more. "Kept waiting" is the share that it could have run
while somebody else was on its core: where that is above 0.1 the machine was busy, the clock decides nothing, and CPU
time is the better guide.

{measured}
"""


if __name__ == "__main__":
    sys.exit(main())
