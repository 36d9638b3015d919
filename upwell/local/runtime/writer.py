"""Writing to the API what is true now, with as few requests as possible and none lost.

Things change faster than an API server can be told. A `Writer` holds the latest wanted value of one object and has at
most one request under way: what was overtaken meanwhile is never sent, and what failed for want of a server is sent
again until it arrives.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

from upwell.clock import Clock
from upwell.cluster.backoff import Backoff
from upwell.cluster.errors import ApiError, Conflict, NotFound, Unavailable
from upwell.telemetry import log

__all__ = ["Spawn", "Writer"]

LOG = log.get("writer")
NOTHING: Final = object()

Spawn = Callable[[Coroutine[Any, Any, None], str], None]
"""Starts a named background task that the runtime owns."""
T = TypeVar("T")


class Writer(Generic[T]):
    """See the module; values are compared with `==`."""

    def __init__(self, name: str, write: Callable[[T], Awaitable[None]], spawn: Spawn, clock: Clock) -> None:
        """`write` does one request; its ApiErrors are handled here."""
        self._name = name
        self._write = write
        self._spawn = spawn
        self._clock = clock
        self._wanted: T | object = NOTHING
        self._written: T | object = NOTHING
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    def want(self, value: T) -> None:
        """Make `value` the one to write; nothing is sent when it is there already."""
        self._wanted = value
        if self._idle.is_set() and not self._closed and value != self._written:
            self._idle.clear()
            self._spawn(self._run(), f"writer of {self._name}")

    async def close(self) -> None:
        """Write no more; return when no request is under way."""
        self._closed = True
        await self._idle.wait()

    async def _run(self) -> None:
        backoff = Backoff()
        try:
            while not self._closed and self._wanted != self._written:
                value: Any = self._wanted
                try:
                    await self._write(value)
                    self._written = value
                except NotFound:
                    # The object was deleted; its owner learns of that from a watch.
                    self._written = value
                except (Unavailable, Conflict) as error:
                    pause = backoff.next()
                    LOG.warning("write failed, trying again", object=self._name, error=str(error), seconds=pause)
                    await self._clock.sleep(pause)
                except ApiError as error:
                    LOG.error("write refused", object=self._name, error=str(error))
                    self._written = value
        finally:
            self._idle.set()
