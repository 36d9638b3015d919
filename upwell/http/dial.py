"""Opening a connection to an upstream, and what it means when that fails."""

import asyncio
import os
from typing import TYPE_CHECKING, Protocol

from upwell.http.errors import FailureKind

if TYPE_CHECKING:
    from upwell.http.engine import Engine

__all__ = ["DialError", "SecureDialer", "dial"]


class DialError(Exception):
    """There is no connection; nothing was sent."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class SecureDialer(Protocol):
    """Opens connections with TLS and knows whom to expect at their other end."""

    async def connect(self, protocol: asyncio.Protocol, host: str, port: int) -> None:
        """Connect `protocol`; raise OSError, or DialError when it is not who it should be."""
        ...


async def dial(
    engine: "Engine", protocol: asyncio.Protocol, host: str, port: int, secure: SecureDialer | None = None
) -> None:
    """Connect `protocol` within `Limits.connect_timeout`, by `secure` if given; raise DialError."""
    seconds = engine.limits.connect_timeout
    try:
        async with asyncio.timeout(seconds or None):
            if secure is None:
                await engine.loop.create_connection(lambda: protocol, host, port)
            else:
                await secure.connect(protocol, host, port)
    except TimeoutError:
        raise DialError(FailureKind.CONNECT_TIMEOUT, f"timed out dialing {host}:{port} after {seconds:.2f}s") from None
    except OSError as error:
        number = error.errno or 0
        why = os.strerror(number).lower() if number > 0 else str(error)
        raise DialError(FailureKind.CONNECT_REFUSED, f"dial tcp {host}:{port}: connect: {why}") from error
