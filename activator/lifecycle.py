"""The two ends of an activator's life: from when on it serves, and how it goes.

The start waits for the API server, and requests with it, but not for ever: past their patience they are refused, and
served all the same once everything is known.

The end (contract: activator.md 11): SIGTERM → the kubelet is told no, everything goes on for `drain_seconds`, so that
nobody sends here any more → listeners close, and requests that are here finish, those that wait included → the
websocket to the autoscaler goes last, because what still waits needs pods.
"""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Final

from activator.application import Activator
from activator.config import ActivatorConfig
from activator.probe_answers import Health
from upwell.http import Engine
from upwell.telemetry import log

__all__ = ["drain", "serve_until"]

LOG: Final = log.get()
DRAIN_MOST_SECONDS: Final = 555.0
"""What the pod's grace period of 600 s leaves after the pause of 45 s."""


async def serve_until(
    stop: asyncio.Event, activator: Activator, synced: Callable[[], Awaitable[None]], patience: float
) -> None:
    """Let `activator` serve once `synced()` returns, and refuse after `patience` seconds; return at `stop`."""
    starting = asyncio.create_task(_start(activator, synced, patience), name="start")
    try:
        await stop.wait()
    finally:
        starting.cancel()


async def _start(activator: Activator, synced: Callable[[], Awaitable[None]], patience: float) -> None:
    try:
        async with asyncio.timeout(patience or None):
            await synced()
    except TimeoutError:
        LOG.error("the API server has not said which revisions there are: requests are refused", seconds=patience)
        activator.lose_patience()
        await synced()
    activator.start()
    gc.freeze()  # what was loaded stays; a full collection that goes through it would hold requests up
    LOG.info("serving")


async def drain(health: Health, engine: Engine, activator: Activator, config: ActivatorConfig) -> None:
    """Go without losing a request."""
    health.draining = True
    try:
        async with asyncio.timeout(config.drain_seconds):
            await _quiet(activator, config.drain_quiet_seconds)
    except TimeoutError:
        pass
    complete = await engine.drain(DRAIN_MOST_SECONDS)
    LOG.info("drained", complete=complete)


async def _quiet(activator: Activator, seconds: float) -> None:
    """Return when no request has come for so long; never, if that is 0."""
    if not seconds:
        await asyncio.Event().wait()
    before = -1
    while activator.arrivals != before:
        before = activator.arrivals
        await asyncio.sleep(seconds)
