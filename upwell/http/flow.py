"""Back-pressure: a source is read only while nobody downstream of it is full.

Each connection has one `FlowControl` for its reading side. Whoever cannot take more says `hold` with its reason, and
`release` when it can; the transport is paused as long as any reason stands. Reasons are independent, so a client whose
request waits in a queue and whose upstream's buffer is full is read again only when both are over.
"""

import asyncio
from enum import IntFlag
from typing import Final

__all__ = ["BODY_HELD", "PEER_FULL", "PIPELINE_FULL", "FlowControl", "HoldReason"]


class HoldReason(IntFlag):
    """Why a connection is not read."""

    NONE = 0
    PEER_FULL = 1
    """The other side's write buffer is over its high-water mark."""
    BODY_HELD = 2
    """The request waits, and as much of its body was read as may be kept."""
    PIPELINE_FULL = 4
    """The client has sent enough requests ahead."""


PEER_FULL: Final = int(HoldReason.PEER_FULL)
BODY_HELD: Final = int(HoldReason.BODY_HELD)
PIPELINE_FULL: Final = int(HoldReason.PIPELINE_FULL)


class FlowControl:
    """Pauses and resumes the reading side of one transport."""

    __slots__ = ("_reasons", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._reasons = 0

    @property
    def held(self) -> HoldReason:
        """The reasons that stand now."""
        return HoldReason(self._reasons)

    def hold(self, reason: int) -> None:
        """Stop reading, for this reason."""
        if not self._reasons and not self._transport.is_closing():
            self._transport.pause_reading()
        self._reasons |= reason

    def release(self, reason: int) -> None:
        """This reason is over; read again if it was the last."""
        if not self._reasons & reason:
            return
        self._reasons &= ~reason
        if not self._reasons and not self._transport.is_closing():
            self._transport.resume_reading()
