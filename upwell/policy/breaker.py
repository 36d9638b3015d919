"""A concurrency limit with a bounded first-in, first-out queue.

The breaker hands out `capacity` slots. Whoever finds none free waits in line, at most `queue_depth` at a time;
whoever finds the line full is turned away. It holds the caller's own items (an exchange, say) and moves no bytes:
the caller asks `enter`, and starts whatever `leave` or `resize` hands back.

    enter ──> RUNNING ───────────────┐
      │                              ├──> leave
      ├─────> WAITING ── (its turn) ─┘
      └─────> REJECTED  (never entered; nothing to leave)

An item leaves exactly once, whether it ran or gave up in line; both cost O(1). With the queue-proxy's numbers, 10
slots and a queue of 100, the 111th request at once is the first to be rejected.
"""

from collections import OrderedDict
from collections.abc import Hashable
from enum import IntEnum
from typing import Final, Generic, TypeVar

__all__ = ["REJECTED", "RUNNING", "WAITING", "Admission", "Breaker"]


class Admission(IntEnum):
    """What became of an item that asked to enter."""

    RUNNING = 0
    WAITING = 1
    REJECTED = 2


RUNNING: Final = Admission.RUNNING
WAITING: Final = Admission.WAITING
REJECTED: Final = Admission.REJECTED

Item = TypeVar("Item", bound=Hashable)


class Breaker(Generic[Item]):
    """Slots and the line in front of them; an item may be in it only once at a time."""

    __slots__ = ("_line", "capacity", "queue_depth", "running")

    def __init__(self, capacity: int, queue_depth: int) -> None:
        """`capacity` slots (0: everyone waits) and at most `queue_depth` items waiting for one."""
        self.capacity = capacity
        self.queue_depth = queue_depth
        self.running = 0
        # Unlike a dict, an OrderedDict finds its first entry in O(1) after many deletions at the front.
        self._line: OrderedDict[Item, None] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Breaker {self.running}/{self.capacity} running, {self.waiting}/{self.queue_depth} waiting>"

    @property
    def waiting(self) -> int:
        """Items in line."""
        return len(self._line)

    def enter(self, item: Item) -> Admission:
        """Take a slot, or a place in line, or neither."""
        if self.running < self.capacity and not self._line:
            self.running += 1
            return RUNNING
        if len(self._line) >= self.queue_depth:
            return REJECTED
        assert item not in self._line, "an item enters once"
        self._line[item] = None
        return WAITING

    def leave(self, item: Item) -> Item | None:
        """Give back the item's slot or its place in line; return the item that runs from now on in its stead."""
        line = self._line
        if line and item in line:
            del line[item]
            return None
        assert self.running > 0, "an item leaves once"
        if line and self.running <= self.capacity:
            return line.popitem(last=False)[0]
        self.running -= 1
        return None

    def resize(self, capacity: int) -> list[Item]:
        """Change the number of slots; return those in line that run from now on, first come first.

        Whoever runs keeps running when capacity shrinks; their slots vanish as they leave.
        """
        self.capacity = capacity
        admitted: list[Item] = []
        while self._line and self.running < capacity:
            admitted.append(self._line.popitem(last=False)[0])
            self.running += 1
        return admitted
