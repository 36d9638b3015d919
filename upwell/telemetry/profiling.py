"""The profiling port: what the process is doing, at the paths of Go's pprof (contract: queue-proxy.md 2).

    go tool pprof http://POD:8008/debug/pprof/profile?seconds=10      CPU time, 100 samples for each second used
    go tool pprof http://POD:8008/debug/pprof/heap?seconds=10         what was allocated meanwhile and is still in use
    curl http://POD:8008/debug/pprof/goroutine                        where each thread and task stands

With `debug=1` the first two come as folded text (samples, objects). One profile is taken at a time, and none takes
longer than a minute.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from upwell.http import Exchange
from upwell.telemetry import log
from upwell.telemetry.answers import answer_error
from upwell.telemetry.endpoints import Endpoints
from upwell.telemetry.pprof import Stack, encode_profile, folded
from upwell.telemetry.profiler import SAMPLE_INTERVAL, Allocations, CpuSampler, all_stacks

__all__ = ["Profiling"]

SECONDS_MAX: Final = 60.0
CPU_SECONDS: Final = 30.0
"""As in Go."""
HEAP_SECONDS: Final = 10.0
NANOSECONDS: Final = 1_000_000_000
SAMPLE_NANOSECONDS: Final = int(SAMPLE_INTERVAL * NANOSECONDS)
TEXT: Final = ((b"Content-Type", b"text/plain; charset=utf-8"),)
BINARY: Final = ((b"Content-Type", b"application/octet-stream"),)
INDEX: Final = b"""/debug/pprof/profile?seconds=30    CPU time
/debug/pprof/heap?seconds=10       what is allocated meanwhile and still in use; slows the process down
/debug/pprof/goroutine             where each thread and task stands
"""

Samples = Mapping[Stack, Sequence[int]]
Take = Callable[[float], Awaitable["Taken"]]

_log = log.get("profiling")


@dataclass(frozen=True, slots=True)
class Taken:
    """A profile."""

    samples: Samples
    kinds: Sequence[tuple[str, str]]
    period: tuple[str, str, int]


class Profiling:
    """Takes profiles and answers with them."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        """`tasks` owns a profile that is being taken."""
        self._tasks = tasks
        self._running = False

    @property
    def endpoints(self) -> Endpoints:
        """The application behind the port."""
        base = b"/debug/pprof/"
        return Endpoints(
            {
                base: lambda exchange: exchange.respond(200, TEXT, INDEX),
                base + b"profile": lambda exchange: self._begin(exchange, CPU_SECONDS, take_cpu),
                base + b"heap": lambda exchange: self._begin(exchange, HEAP_SECONDS, take_heap),
                base + b"goroutine": lambda exchange: exchange.respond(200, TEXT, all_stacks()),
            },
            read_only=True,
        )

    def _begin(self, exchange: Exchange, default: float, take: Take) -> None:
        query = dict(parse_qsl(exchange.request.target.partition(b"?")[2].decode("latin-1")))
        seconds = _seconds(query.get("seconds"), default)
        if seconds is None:
            text = f"seconds: give a number above 0 and up to {SECONDS_MAX:g}"
            answer_error(exchange, 400, "profile-seconds", text.encode())
        elif self._running:
            answer_error(exchange, 409, "profile-running", b"another profile is being taken")
        else:
            self._running = True
            taking = self._take(exchange, take, seconds, as_text=query.get("debug", "0") not in ("", "0"))
            exchange.context = self._tasks.create_task(taking, name="profile")
            exchange.context.add_done_callback(self._ended)

    def _ended(self, _: "asyncio.Task[None]") -> None:
        self._running = False

    async def _take(self, exchange: Exchange, take: Take, seconds: float, *, as_text: bool) -> None:
        started = time.time_ns()
        try:
            taken = await take(seconds)
            body = await asyncio.to_thread(_encode, taken, started, time.time_ns() - started, as_text)
        except Exception:
            # A defect here must not take down a process that serves requests.
            _log.exception("profile failed")
            if not exchange.ended:
                answer_error(exchange, 500, "internal", b"the profile failed; the log says why")
            return
        if not exchange.ended:
            exchange.respond(200, TEXT if as_text else BINARY, body)


async def take_cpu(seconds: float) -> Taken:
    """Samples and CPU time by stack."""
    sampler = CpuSampler()
    with sampler.running():
        await asyncio.sleep(seconds)
    samples = {stack: (count, count * SAMPLE_NANOSECONDS) for stack, count in sampler.samples.items()}
    return Taken(samples, (("samples", "count"), ("cpu", "nanoseconds")), ("cpu", "nanoseconds", SAMPLE_NANOSECONDS))


async def take_heap(seconds: float) -> Taken:
    """Bytes and objects by stack."""
    allocations = Allocations()
    with allocations.running():
        await asyncio.sleep(seconds)
    return Taken(allocations.samples, (("inuse_objects", "count"), ("inuse_space", "bytes")), ("space", "bytes", 1))


def _seconds(text: str | None, default: float) -> float | None:
    """None for what is not a duration that we accept."""
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 < seconds <= SECONDS_MAX else None


def _encode(taken: Taken, started: int, duration: int, as_text: bool) -> bytes:
    if as_text:
        return folded(taken.samples)
    return encode_profile(taken.samples, taken.kinds, period=taken.period, started=started, duration=duration)
