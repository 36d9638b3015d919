"""Back-pressure: a source is read only while nobody downstream of it is full.

Each connection has one `FlowControl` for its reading side. Whoever cannot take more says `hold` with its reason, and
`release` when it can; the transport is paused as long as any reason stands. Reasons are independent, so a client whose
request waits in a queue and whose upstream's buffer is full is read again only when both are over.
"""

import asyncio
from typing import Final

__all__ = ["BODY_HELD", "CLIENT_FULL", "PEER_FULL", "PIPELINE_FULL", "FlowControl"]

PEER_FULL: Final = 1
"""The other side's write buffer is over its high-water mark."""
BODY_HELD: Final = 2
"""The request waits, and as much of its body was read as may be kept."""
PIPELINE_FULL: Final = 4
"""The client has sent enough requests ahead."""
CLIENT_FULL: Final = 8
"""The client does not read its answers, so it gets no more of them."""


class FlowControl:
    """Pauses and resumes the reading side of one transport."""

    __slots__ = ("_transport", "reasons")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.reasons = 0
        """Why it is not read, as a sum of the reasons above."""

    def hold(self, reason: int) -> None:
        """Stop reading, for this reason."""
        if not self.reasons and not self._transport.is_closing():
            self._transport.pause_reading()
        self.reasons |= reason

    def release(self, reason: int) -> None:
        """This reason is over; read again if it was the last."""
        if not self.reasons & reason:
            return
        self.reasons &= ~reason
        if not self.reasons and not self._transport.is_closing():
            self._transport.resume_reading()
