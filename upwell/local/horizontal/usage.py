"""How much CPU and memory processes use, with all the processes that they have started.

A sample looks at every process of the machine once (some 0.1 ms each, so it is taken beside the event loop); the CPU
used is the difference to the sample before. What a process used after its last sample and before its end is not seen.
Measured by psutil, so that it works the same on Linux and macOS.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import psutil

__all__ = ["Meter", "Usage"]


class Usage(NamedTuple):
    """What a process and its descendants use."""

    cpu: float
    """Cores."""
    memory: float
    """Bytes that are in RAM."""


@dataclass(frozen=True, slots=True)
class _Seen:
    parent: int
    cpu: float
    """Seconds of CPU since the start."""
    memory: int


class Meter:
    """Remembers the last sample; `measure` blocks for some milliseconds."""

    def __init__(self) -> None:
        self._last: dict[tuple[int, float], _Seen] = {}
        self._at = 0.0

    def measure(self, leaders: Iterable[int]) -> dict[int, Usage]:
        """By process id, what each of `leaders` used since the last call; those not seen then are left out."""
        now = time.monotonic()
        seen = {(process.pid, process.info["create_time"]): _view(process.info) for process in _processes()}
        elapsed, last = now - self._at, self._last
        self._last, self._at = seen, now
        children: dict[int, list[tuple[int, float]]] = {}
        starts = {pid: (pid, start) for pid, start in seen}
        for identity, process in seen.items():
            children.setdefault(process.parent, []).append(identity)
        found = {}
        for leader in leaders:
            known = starts.get(leader)
            if known is not None and known in last and elapsed > 0:
                found[leader] = _sum(known, children, seen, last, elapsed)
        return found


def _sum(
    leader: tuple[int, float],
    children: Mapping[int, list[tuple[int, float]]],
    seen: Mapping[tuple[int, float], _Seen],
    last: Mapping[tuple[int, float], _Seen],
    elapsed: float,
) -> Usage:
    cpu, memory, waiting, known = 0.0, 0, [leader], {leader}
    while waiting:
        identity = waiting.pop()
        process, before = seen[identity], last.get(identity)
        cpu += max(0.0, process.cpu - (before.cpu if before else 0.0))
        memory += process.memory
        for child in children.get(identity[0], ()):
            if child not in known:
                known.add(child)
                waiting.append(child)
    return Usage(cpu / elapsed, float(memory))


def _processes() -> Iterable[psutil.Process]:
    return psutil.process_iter(["ppid", "create_time", "cpu_times", "memory_info"])


def _view(info: Mapping[str, object]) -> _Seen:
    times, memory, parent = info["cpu_times"], info["memory_info"], info["ppid"]
    # None where we may not look, as at another user's process.
    cpu = times.user + times.system if times is not None else 0.0  # type: ignore[attr-defined]
    return _Seen(int(str(parent or 0)), cpu, memory.rss if memory is not None else 0)  # type: ignore[attr-defined]
