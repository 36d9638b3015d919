"""What a running process is doing: where its CPU time goes, what it allocates, and where everything stands.

All three are for a process in service. CPU time is sampled by the kernel's profiling timer, which ticks with the CPU
time used and not at all while the process waits; a tick costs 5 µs. Allocations are traced for a while only, because
tracing slows the process down while it lasts. Nothing is loaded or running unless somebody asks.
"""

import asyncio
import signal
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Final

from upwell.telemetry.pprof import Frame, Stack

if TYPE_CHECKING:
    import tracemalloc

__all__ = ["SAMPLE_INTERVAL", "Allocations", "CpuSampler", "all_stacks"]

SAMPLE_INTERVAL: Final = 0.01
"""Seconds of CPU time, as in Go."""
FRAMES_MAX: Final = 64
ALLOCATION_FRAMES: Final = 16


class CpuSampler:
    """Counts stacks of the main thread, one for each interval of CPU time that the process uses.

    Time spent by other threads counts for what the main thread does or is waiting in.
    """

    def __init__(self) -> None:
        self.samples: Counter[Stack] = Counter()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Sample inside the block; in the main thread only, and only one at a time."""
        signal.signal(signal.SIGPROF, self._tick)
        signal.setitimer(signal.ITIMER_PROF, SAMPLE_INTERVAL, SAMPLE_INTERVAL)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            # A tick may still be on its way, and by default it would end the process.
            signal.signal(signal.SIGPROF, signal.SIG_IGN)

    def _tick(self, _: int, frame: FrameType | None) -> None:
        stack: list[Frame] = []
        while frame is not None and len(stack) < FRAMES_MAX:
            code = frame.f_code
            stack.append((code.co_qualname, code.co_filename, frame.f_lineno))
            frame = frame.f_back
        self.samples[tuple(stack)] += 1


class Allocations:
    """Counts what was allocated inside a block and is still in use at its end."""

    def __init__(self) -> None:
        self.samples: dict[Stack, tuple[int, int]] = {}
        """Objects and bytes."""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Trace inside the block; only one at a time."""
        import tracemalloc  # costs nothing before it is started, but need not be loaded either

        tracemalloc.start(ALLOCATION_FRAMES)
        try:
            yield
            statistics = tracemalloc.take_snapshot().statistics("traceback")
        finally:
            tracemalloc.stop()
        self.samples = {_stack(statistic.traceback): (statistic.count, statistic.size) for statistic in statistics}


def _stack(places: "Iterable[tracemalloc.Frame]") -> Stack:
    """tracemalloc has the innermost place last, and knows lines but no functions."""
    frames = [(f"{place.filename.rpartition('/')[2]}:{place.lineno}", place.filename, place.lineno) for place in places]
    return tuple(reversed(frames))


def all_stacks() -> bytes:
    """Where each thread and each task of the running loop stands, as text."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = [
        f"thread {names.get(ident, ident)}\n" + "".join(traceback.format_stack(frame))
        for ident, frame in sys._current_frames().items()
    ]
    for task in sorted(asyncio.all_tasks(), key=lambda task: task.get_name()):
        stack = (traceback.format_stack(frame, 1)[0] for frame in task.get_stack())
        parts.append(f"task {task.get_name()}\n" + "".join(stack))
    return "\n".join(parts).encode()
