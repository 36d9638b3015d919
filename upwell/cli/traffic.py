"""Requests as a user's client sends them, counted and timed; for the demo and the chaos run.

`Traffic` keeps a bounded record: totals, every latency rounded into a list of a bounded length, and the newest
latencies for the display. Its workers send one request after the other, each on a kept-alive connection.
"""

import asyncio
import statistics
from collections import deque
from dataclasses import dataclass, field
from time import perf_counter

import aiohttp

__all__ = ["Traffic", "percentile"]

_LATENCIES_KEPT = 200_000


def percentile(values: list[float], percent: float) -> float:
    """The value that `percent` of all do not exceed; 0 when there are none."""
    if not values:
        return 0.0
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=1000, method="inclusive")[min(998, int(percent * 10) - 1)]


@dataclass
class Traffic:
    """A client of one host behind the gateway."""

    url: str
    host: str
    timeout: float = 60.0
    sent: int = 0
    answered: int = 0
    in_flight: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    latencies_ms: list[float] = field(default_factory=list)
    recent_ms: deque[float] = field(default_factory=lambda: deque(maxlen=200))

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    async def request(self, session: aiohttp.ClientSession, path: str = "/") -> float:
        """Send one GET and read its answer; returns milliseconds to the first byte, or -1 when it failed."""
        self.sent += 1
        self.in_flight += 1
        started = perf_counter()
        try:
            async with session.get(self.url + path, headers={"Host": self.host}) as response:
                first_byte = (perf_counter() - started) * 1000
                await response.read()
                if response.status != 200:
                    self._fail(f"status {response.status}")
                    return -1.0
        except (aiohttp.ClientError, TimeoutError) as error:
            self._fail(type(error).__name__)
            return -1.0
        finally:
            self.in_flight -= 1
        self.answered += 1
        latency = (perf_counter() - started) * 1000
        self.recent_ms.append(latency)
        if len(self.latencies_ms) < _LATENCIES_KEPT:
            self.latencies_ms.append(latency)
        return first_byte

    def _fail(self, kind: str) -> None:
        self.failures[kind] = self.failures.get(kind, 0) + 1

    def session(self, connections: int) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=connections)
        return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=self.timeout))

    async def burst(self, concurrency: int, seconds: float, path: str = "/") -> None:
        """Keep `concurrency` requests in flight for `seconds`, then let the last ones finish."""
        end = perf_counter() + seconds

        async def worker(session: aiohttp.ClientSession) -> None:
            while perf_counter() < end:
                if await self.request(session, path) < 0:
                    await asyncio.sleep(0.05)  # a refused connection must not become a busy loop

        async with self.session(concurrency) as session, asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(worker(session), name="demo client")
