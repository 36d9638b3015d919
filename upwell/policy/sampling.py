"""Which pods of a revision to ask for their figures, and in which order.

Pods older than the stable window are asked before younger ones, whose figures are not settled yet. When the older ones
do not suffice, all of them are asked, and chance decides among the younger. Source: contract, autoscaler.md 5.2.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

__all__ = ["Startable", "candidates"]


class Startable(Protocol):
    """Anything that began to run at a time."""

    @property
    def started(self) -> float: ...


P = TypeVar("P", bound=Startable)


def candidates(pods: Sequence[P], wanted: int, settled: float, rng: random.Random) -> Iterator[P]:
    """The order in which to ask: pods that started by `settled` first, then younger ones; a fair choice among them."""
    old = [pod for pod in pods if pod.started <= settled]
    young = [pod for pod in pods if pod.started > settled]
    if len(old) < wanted:
        yield from old
        yield from _shuffled(young, rng)
    else:
        yield from _shuffled(old, rng)
        yield from young


def _shuffled(pods: list[P], rng: random.Random) -> Iterator[P]:
    """In random order, drawn one by one: of a thousand pods mostly only some twenty are asked."""
    for left in range(len(pods), 0, -1):
        place = int(rng.random() * left)
        pods[place], pods[left - 1] = pods[left - 1], pods[place]
        yield pods[left - 1]
