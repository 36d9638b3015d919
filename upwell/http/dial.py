"""Opening a connection to an upstream, and what it means when that fails."""

import asyncio
import os
from typing import TYPE_CHECKING

from upwell.http.errors import FailureKind

if TYPE_CHECKING:
    from upwell.http.engine import Engine

__all__ = ["DialError", "dial"]


class DialError(Exception):
    """There is no connection; nothing was sent."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


async def dial(engine: "Engine", protocol: asyncio.Protocol, host: str, port: int) -> None:
    """Connect `protocol` within `Limits.connect_timeout`; raise DialError."""
    seconds = engine.limits.connect_timeout
    try:
        async with asyncio.timeout(seconds or None):
            await engine.loop.create_connection(lambda: protocol, host, port)
    except TimeoutError:
        raise DialError(FailureKind.CONNECT_TIMEOUT, f"timed out dialing {host}:{port} after {seconds:.2f}s") from None
    except OSError as error:
        number = error.errno or 0
        why = os.strerror(number).lower() if number > 0 else str(error)
        raise DialError(FailureKind.CONNECT_REFUSED, f"dial tcp {host}:{port}: connect: {why}") from error
