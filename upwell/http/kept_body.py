"""What was read of a request's body, all of it, so that it can wait for an upstream, or be sent again."""

from typing import Final

__all__ = ["NO_BODY", "KeptBody"]


class KeptBody:
    """The begin of a body; its size, in bytes, is bounded by whoever adds to it."""

    __slots__ = ("_pieces", "size")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.size = 0

    def add(self, data: bytes) -> None:
        """More of the body."""
        self._pieces.append(data)
        self.size += len(data)

    def joined(self) -> bytes:
        """All of it, in one piece from here on."""
        pieces = self._pieces
        if len(pieces) > 1:
            pieces[:] = [b"".join(pieces)]
        return pieces[0] if pieces else b""


NO_BODY: Final = KeptBody()
"""For all requests without a body; nothing is ever added to it."""
