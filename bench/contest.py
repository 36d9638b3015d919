"""Contestants taking turns, each watched from outside while it has its turn.

A shared machine is never quiet, so nothing is measured once: the contestants take turns within each round, in the
opposite order in every other round, and what is compared is always of one round. CPU time and memory are those of the
proxy's process, from /proc.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.proxies import LOAD_CORE, Target
from bench.rows import KEPT_WAITING, Series, UnmeasuredError

__all__ = ["Turn", "ask_peer", "contest", "cpu_seconds", "on_core", "peak_rss", "rss_mib"]

SAMPLE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Turn:
    """What one contestant did in one turn."""

    units: float
    """Requests, messages, MiB: what CPU time is divided by."""
    figures: Mapping[str, float]


def contest(
    targets: Sequence[Target], turn: Callable[[Target], Turn], rounds: int, unit: str = "request"
) -> dict[str, Series]:
    """Let each target have a turn per round; {name of the target: its series}."""
    results = {target.name: Series(target.name) for target in targets}
    for number in range(rounds):
        for target in targets if number % 2 == 0 else reversed(targets):
            before, began = on_core(target.pid), time.perf_counter()
            with peak_rss(target.pid) as peak:
                outcome = turn(target)
            after, passed = on_core(target.pid), time.perf_counter() - began
            used, kept_waiting = after[0] - before[0], after[1] - before[1]
            watched = {
                f"CPU µs/{unit}": used / max(outcome.units, 1) * 1e6,
                "busy": used / passed,
                "RSS MiB": max(peak),
            }
            if target.has_core:
                watched[KEPT_WAITING] = kept_waiting / passed
            results[target.name].add({**outcome.figures, **watched})
            told = ", ".join(f"{value:,.2f} {name}" for name, value in outcome.figures.items())
            print(f"  round {number + 1}: {target.name}: {told}", flush=True)
    return results


def rss_mib(pid: int) -> float:
    """Resident memory of a process and its children now."""
    kib = 0
    for member in _family(pid):
        found = re.search(r"VmRSS:\s+(\d+) kB", _read(Path(f"/proc/{member}/status")))
        kib += int(found[1]) if found else 0
    return kib / 1024


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and its children so far."""
    return on_core(pid)[0]


def on_core(pid: int) -> tuple[float, float]:
    """Seconds so far that all threads have run, and that they waited for somebody else to leave their core."""
    ran = waited = 0
    for member in _family(pid):
        for task in Path(f"/proc/{member}/task").glob("*/schedstat"):
            values = _read(task).split() or ["0", "0"]
            ran, waited = ran + int(values[0]), waited + int(values[1])
    return ran / 1e9, waited / 1e9


def _family(pid: int) -> list[int]:
    """The process, its children (nghttpx works in one), and theirs."""
    family = [pid]
    for member in family:
        for children in Path(f"/proc/{member}/task").glob("*/children"):
            family += map(int, _read(children).split())
    return family


def _read(path: Path) -> str:
    """What /proc says; nothing if the thread or process has just ended."""
    try:
        return path.read_text()
    except OSError:
        return ""


@contextmanager
def peak_rss(pid: int) -> Iterator[list[float]]:
    """Look at resident memory, in MiB, every 50 ms during the block; the list fills as it goes."""
    seen = [rss_mib(pid)]
    over = threading.Event()

    def look() -> None:
        while not over.wait(SAMPLE_SECONDS):
            seen.append(rss_mib(pid))

    watcher = threading.Thread(target=look, name="memory of the contestant")
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()
        seen.append(rss_mib(pid))


def ask_peer(peer: str, *words: object, seconds: float) -> dict[str, Any]:
    """Run `python -m bench.peers.<peer>` on the core of client and app; the JSON that it printed."""
    command = ["taskset", "-c", str(LOAD_CORE), sys.executable, "-m", f"bench.peers.{peer}", *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + 60, env=dict(os.environ), check=False
    )
    if done.returncode:
        raise UnmeasuredError(f"{' '.join(command)} failed:\n{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
