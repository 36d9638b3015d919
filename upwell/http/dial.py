"""Opening a connection to an upstream, and what it means when that fails.

A SYN that gets lost, or meets a full backlog, is sent again by the kernel after a second at the earliest, and a cold
start has no second to lose. So an attempt is given up soon and another one made, each with more patience than the one
before: 50 ms, then 15 times from 50 ms on, growing by 1.4, with a short pause before each; some 20 s in all (contract:
queue-proxy.md 7.1, activator.md 8.3). Only an attempt that takes too long is followed by another. Whoever is refused
knows at once.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from math import inf
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from upwell.http.errors import FailureKind
from upwell.http.transports import probe_when_silent

if TYPE_CHECKING:
    from upwell.http.engine import Engine

__all__ = ["DialError", "SecureDialer", "attempts", "dial"]

Connection = TypeVar("Connection", bound=asyncio.Protocol)

FIRST_SECONDS: Final = 0.05
MORE_ATTEMPTS: Final = 15
GROWTH: Final = 1.4
JITTER: Final = 0.1
PAUSE_SECONDS: Final = 0.03
"""Before each attempt but the first, and up to twice as long."""
KEEP_ALIVE_SECONDS: Final = 5


class DialError(Exception):
    """There is no connection; nothing was sent."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class SecureDialer(Protocol):
    """Opens connections with TLS and knows whom to expect at their other end."""

    async def connect(self, protocol: asyncio.Protocol, host: str, port: int) -> asyncio.Transport:
        """Connect `protocol`; raise OSError, or DialError when it is not who it should be."""
        ...


async def dial(
    engine: "Engine",
    make: Callable[[], Connection],
    host: str,
    port: int,
    secure: SecureDialer | None = None,
) -> Connection:
    """A connected protocol, by `secure` if given; raise DialError.

    Each attempt has a protocol of its own from `make`. `Limits.connect_timeout` bounds all of them together.
    """
    clock = engine.clock
    started = clock.monotonic()
    end = started + (engine.limits.connect_timeout or inf)
    for pause, seconds in attempts():
        if pause:
            await clock.sleep(min(pause, end - clock.monotonic()))
        left = end - clock.monotonic()
        if left <= 0:
            break
        protocol = make()
        try:
            transport = await _attempt(engine, protocol, host, port, secure, min(seconds, left))
        except TimeoutError:
            continue
        except OSError as error:
            number = error.errno or 0
            why = os.strerror(number).lower() if number > 0 else str(error)
            raise DialError(FailureKind.CONNECT_REFUSED, f"dial tcp {host}:{port}: connect: {why}") from error
        probe_when_silent(transport, KEEP_ALIVE_SECONDS)
        return protocol
    elapsed = clock.monotonic() - started
    raise DialError(FailureKind.CONNECT_TIMEOUT, f"timed out dialing {host}:{port} after {elapsed:.2f}s")


def attempts() -> Iterator[tuple[float, float]]:
    """Of each attempt, in seconds: the pause before it, and how long it may take."""
    yield 0.0, FIRST_SECONDS
    from random import random  # hardly ever needed, and slow to load

    seconds = FIRST_SECONDS
    for _ in range(MORE_ATTEMPTS):
        yield PAUSE_SECONDS * (1 + random()), seconds * (1 + JITTER * random())
        seconds *= GROWTH


async def _attempt(
    engine: "Engine", protocol: asyncio.Protocol, host: str, port: int, secure: SecureDialer | None, seconds: float
) -> asyncio.Transport:
    """Connect `protocol` within `seconds` of the engine's clock; raise TimeoutError or OSError."""
    async with asyncio.timeout(None) as bound:
        alarm = engine.start(_end(bound, engine, seconds), f"dial timeout {host}:{port}")
        try:
            if secure is not None:
                return await secure.connect(protocol, host, port)
            transport, _ = await engine.loop.create_connection(lambda: protocol, host, port)
            return transport
        finally:
            alarm.cancel()


async def _end(bound: asyncio.Timeout, engine: "Engine", seconds: float) -> None:
    await engine.clock.sleep(seconds)
    bound.reschedule(engine.loop.time())
