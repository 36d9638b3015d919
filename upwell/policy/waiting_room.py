"""How much may wait in one process, and how that is shared out between revisions that know nothing of each other.

Without a bound in total, many revisions that wait at once, or one with large bodies, cost the process its memory and
everybody their requests. With a bound and nothing else, the first burst takes all there is, and the next revision's
cold start is turned away. So what one revision may take depends on what is left: a request may wait as long as its
revision has fewer waiting than there are places free. This is the dynamic threshold of Choudhury and Hahne (IEEE/ACM
Transactions on Networking 6(2), 1998) for shared packet buffers, with a factor of 1.

It keeps nothing in reserve by name and needs to know nobody's number: one revision alone may fill half the room; of
`n` that all want more than there is, each gets the `n+1`th part, and as much stays free for who comes next. With
20,000 places one revision gets 10,000, four get 4,000 each, and a fifth still has 4,000 places to begin with.
"""

from typing import Final

__all__ = ["Share", "WaitingRoom"]

UNBOUNDED: Final = 2**62


class WaitingRoom:
    """The places, and the bytes of request bodies kept by those who wait."""

    __slots__ = ("bytes", "bytes_most", "requests", "requests_most")

    def __init__(self, requests_most: int = UNBOUNDED, bytes_most: int = UNBOUNDED) -> None:
        self.requests_most = requests_most
        self.bytes_most = bytes_most
        self.requests = 0
        self.bytes = 0


class Share:
    """One revision's part of the room."""

    __slots__ = ("_room", "bytes", "requests")

    def __init__(self, room: WaitingRoom) -> None:
        self._room = room
        self.requests = 0
        self.bytes = 0

    @property
    def has_room_for_bytes(self) -> bool:
        """Whether requests of this revision may bring more of their bodies."""
        return self.bytes < self._room.bytes_most - self._room.bytes

    def enter(self) -> bool:
        """Take a place; whether there is one."""
        if self.requests >= self._room.requests_most - self._room.requests:
            return False
        self.reenter()
        return True

    def reenter(self) -> None:
        """Take a place in any case: for a request that had been let in before and comes back unserved."""
        self.requests += 1
        self._room.requests += 1

    def leave(self) -> None:
        """Give a place back."""
        self.requests -= 1
        self._room.requests -= 1

    def keep(self, size: int) -> None:
        """A waiting request has brought so many bytes of its body."""
        self.bytes += size
        self._room.bytes += size

    def drop(self, size: int) -> None:
        """Bytes that `keep` was told of are kept for waiting no more."""
        self.bytes -= size
        self._room.bytes -= size
