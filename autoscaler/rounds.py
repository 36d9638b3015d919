"""Work that is due for every key once in a period, spread evenly over it.

Ten thousand revisions are decided on every two seconds. Done all at once, that would keep everything else waiting
for a tenth of a second; in slots of 50 ms it is a few milliseconds each. A key stays in its slot, so its turns are a
whole period apart; a new one joins the emptiest slot.
"""

from collections.abc import Callable
from typing import Final

from upwell.api.objects import Key
from upwell.clock import Clock

__all__ = ["Rounds"]

SLOT_SECONDS: Final = 0.05


class Rounds:
    """The keys, and whose turn it is."""

    def __init__(self, period: float, clock: Clock) -> None:
        """`period` is in seconds."""
        self._clock = clock
        self._slots: list[dict[Key, None]] = [{} for _ in range(round(period / SLOT_SECONDS))]
        self._slot_of: dict[Key, int] = {}
        self.due = clock.monotonic()
        """When the turns that are being taken were due; those of a key are exactly a period apart."""

    def add(self, key: Key) -> None:
        if key not in self._slot_of:
            number = min(range(len(self._slots)), key=lambda slot: len(self._slots[slot]))
            self._slot_of[key] = number
            self._slots[number][key] = None

    def remove(self, key: Key) -> None:
        number = self._slot_of.pop(key, None)
        if number is not None:
            del self._slots[number][key]

    async def run(self, turn: Callable[[Key], None]) -> None:
        """Call `turn` for each key once in a period, until cancelled.

        Slots that something else held up are made up for; after a standstill of a whole period, its turns are skipped.
        """
        self.due = self._clock.monotonic()
        while True:
            for slot in self._slots:
                for key in list(slot):
                    turn(key)
                self.due += SLOT_SECONDS
                now = self._clock.monotonic()
                if now - self.due > len(self._slots) * SLOT_SECONDS:
                    self.due = now
                await self._clock.sleep(self.due - now)
