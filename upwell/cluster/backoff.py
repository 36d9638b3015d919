"""How long to wait before trying again: doubling, bounded, and never in step with others."""

import random
from typing import Final

__all__ = ["Backoff"]

GROWTH: Final = 2.0


class Backoff:
    """The pauses of one thing that is tried again and again."""

    def __init__(self, first: float = 0.1, most: float = 8.0, rng: random.Random | None = None) -> None:
        """`first` and `most` are in seconds; the pauses are between half and all of the current bound."""
        self._first = first
        self._most = most
        self._bound = first
        self._rng = rng or random.Random()

    def next(self) -> float:
        """Seconds to wait after one more failure in a row."""
        bound = self._bound
        self._bound = min(self._most, bound * GROWTH)
        return bound * self._rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        """It worked: the next failure is the first again."""
        self._bound = self._first
