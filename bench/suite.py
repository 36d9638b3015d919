"""Running rows: choose them on the command line, measure one after the other, write the page of results.

The contestants of a row take turns within each round, so that a noisy machine is noisy for all; a row shows medians
and spreads over the rounds, and shares are medians of the ratios within a round. A run of all rows writes the page;
`--only` takes some of them and writes nothing.
"""

import argparse
import os
import platform
import resource
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.proxies import LOAD_CORE, install
from bench.rows import Bench, Measure, Row, UnmeasuredError, details, summary

__all__ = ["Suite"]


@dataclass(frozen=True, slots=True)
class Suite:
    """What belongs on one page."""

    program: str
    about: str
    measures: Sequence[Measure]
    results: Path
    title: str
    command: str
    """With which the page is written."""
    setting: str
    """How the contestants are placed: the last part of a sentence."""

    def main(self) -> int:
        """Measure what the command line asks for; the exit code."""
        arguments = self._arguments()
        if len(os.sched_getaffinity(0)) < 2:
            print("bench: skipped, for it needs two cores: one for the proxy, one for client and app")
            return 0
        chosen = [one for one in self.measures if not arguments.only or one.name in arguments.only]
        # Ten thousand connections are ten thousand descriptors, here and in every process started from here.
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        os.sched_setaffinity(0, {LOAD_CORE})
        began = time.monotonic()
        rows = {measure.name: _measure(measure, arguments.rounds, arguments.seconds) for measure in chosen}
        text = self._page(chosen, rows, arguments, time.monotonic() - began)
        print(f"\n{text}")
        if not arguments.only:
            self.results.write_text(text)
        return int(any(isinstance(row, str) and row.startswith("failed") for row in rows.values()))

    def _arguments(self) -> argparse.Namespace:
        parser = argparse.ArgumentParser(prog=self.program, description=self.about)
        about = "; ".join(f"{measure.name}: {measure.about}" for measure in self.measures).replace("%", "%%")
        names = [measure.name for measure in self.measures]
        parser.add_argument("--only", action="append", choices=names, help=f"may be repeated; {about}")
        parser.add_argument("--rounds", type=int, default=3, help="turns of each contestant (%(default)s)")
        parser.add_argument("--seconds", type=int, default=3, help="length of a turn (%(default)s)")
        arguments = parser.parse_args()
        if not (1 <= arguments.rounds <= 20 and 1 <= arguments.seconds <= 60):
            parser.error("--rounds 1 to 20, --seconds 1 to 60")
        return arguments

    def _page(
        self, chosen: Sequence[Measure], rows: Mapping[str, Row | str], arguments: argparse.Namespace, seconds: float
    ) -> str:
        load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
        parts = [(measure, rows[measure.name]) for measure in chosen]
        measured = "\n\n".join(details(measure, row) for measure, row in parts if not isinstance(row, str))
        return f"""# {self.title}

Written by `{self.command}`; read as ratios, machines differ.

{summary(parts)}

Keep-alive throughout; {arguments.rounds} rounds with turns of {arguments.seconds} s, contestants taking turns; shares
and differences are medians over the rounds. {self.setting}
Python {platform.python_version()}, {platform.machine()}; the run took {seconds:.0f} s; load average {load}.

## What was seen of each contestant

Medians, in brackets the spread. CPU and memory are the proxy's own. "Busy" is the share of its turn that it ran: well
under 1 means that it waited for client and app, and could do more. "Kept waiting" is the share that it could have run
while somebody else was on its core: where that is above 0.1 the machine was busy, the clock decides nothing, and CPU
time is the better guide.

{measured}
"""


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
