"""Percentages, kept exactly: a deck of cards, dealt in random order.

A route that sends 90 % here and 10 % there has a deck of nine cards for the one and one for the other. Cards are
dealt until the deck is empty, then it is shuffled again. Over every full deck (at most 100 requests) the split is
exact, which independent random choices are not (over 10,000 requests they miss 50 % by 1 % now and then), and unlike
a fixed rotation it does not fall into step with clients whose requests come in patterns.
"""

import math
import random
from collections.abc import Sequence

__all__ = ["Deck"]


class Deck:
    """Deals the numbers 0 to n-1, each as often as its weight asks."""

    __slots__ = ("_cards", "_left", "_rng")

    def __init__(self, weights: Sequence[int], rng: random.Random | None = None) -> None:
        """`weights` are integers of which at least one is positive; they need not add up to 100."""
        divisor = math.gcd(*weights)
        self._cards = [number for number, weight in enumerate(weights) for _ in range(weight // divisor)]
        self._left: list[int] = []
        self._rng = rng or random.Random()

    def deal(self) -> int:
        """The next number."""
        left = self._left
        if not left:
            left.extend(self._cards)
            self._rng.shuffle(left)
        return left.pop()
