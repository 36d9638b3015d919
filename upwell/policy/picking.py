"""Which pod gets the next exchange: three policies over one set of pods, each a constant cost per choice.

The policy follows from the container concurrency (contract: activator.md 6.3):

- 0, no limit: two pods at random, the one with fewer exchanges in flight;
- 1 to 3: the first pod in address order with a free slot, so that the others stay empty and can go;
- 4 and more: round robin, the next pod with a free slot after the one taken last.

The limited policies keep the pods with a free slot as bits, 32 to a word, and one more integer with a bit for each word
that is not empty. The lowest bit, or the lowest one past the last choice, is found by arithmetic on two small numbers,
so a thousand pods cost what ten do, full or not.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

__all__ = ["FirstAvailable", "LeastLoadedOfTwo", "Picker", "Pod", "RoundRobin", "picker_for"]

_SHIFT: Final = 5
_WIDTH: Final = 1 << _SHIFT
_MASK: Final = _WIDTH - 1


class Pod:
    """One address that exchanges go to, and how many are there now."""

    __slots__ = ("address", "in_flight", "limit", "position", "target")

    def __init__(self, address: str, limit: int) -> None:
        self.address = address
        self.limit = limit
        """Exchanges it may have at once; 0 means no limit."""
        self.in_flight = 0
        self.position = -1
        """Its place in the picker's order; -1 while it is in none, when it only gives slots back."""
        self.target: Any = None
        """Whatever the owner wants to find again with the pod, such as its connection pool."""

    def __repr__(self) -> str:
        return f"<Pod {self.address} {self.in_flight}/{self.limit or '∞'}>"


class Picker(Protocol):
    """Chooses among the pods assigned last."""

    def assign(self, pods: Sequence[Pod]) -> None:
        """Choose among `pods` from now on, in this order; their limits may have changed too."""
        ...

    def reserve(self) -> Pod | None:
        """Take a slot of the pod that is next; None when no pod has one."""
        ...

    def release(self, pod: Pod) -> None:
        """Give back a slot, whether or not the pod is still among the assigned."""
        ...


def picker_for(container_concurrency: int, rng: Callable[[], float] = random.random) -> Picker:
    """The policy for a revision with this limit; `rng` gives numbers in [0, 1)."""
    if container_concurrency == 0:
        return LeastLoadedOfTwo(rng)
    return FirstAvailable() if container_concurrency <= 3 else RoundRobin()


class LeastLoadedOfTwo:
    """Two different pods at random, the less loaded one wins. Limits are not looked at."""

    __slots__ = ("_pods", "_random")

    def __init__(self, rng: Callable[[], float] = random.random) -> None:
        """`rng` gives numbers in [0, 1)."""
        self._pods: Sequence[Pod] = ()
        self._random = rng

    def assign(self, pods: Sequence[Pod]) -> None:
        self._pods = pods

    def reserve(self) -> Pod | None:
        pods = self._pods
        count = len(pods)
        if count == 0:
            return None
        pod = pods[0]
        if count > 1:
            # The order of the two is random as well, so a tie is a fair toss.
            first = int(self._random() * count)
            second = int(self._random() * (count - 1))
            pod, other = pods[first], pods[second + (second >= first)]
            if other.in_flight < pod.in_flight:
                pod = other
        pod.in_flight += 1
        return pod

    def release(self, pod: Pod) -> None:
        pod.in_flight -= 1


class _SlotPicker:
    """What the limited policies share: the bits that say which pods have a free slot."""

    __slots__ = ("_groups", "_pods", "_words")

    def __init__(self) -> None:
        self._pods: Sequence[Pod] = ()
        self._words: list[int] = []
        """Bit `i` of word `g` is pod `32 g + i`."""
        self._groups = 0
        """Bit `g` says that word `g` is not 0."""

    def assign(self, pods: Sequence[Pod]) -> None:
        for pod in self._pods:
            pod.position = -1
        self._pods = pods
        self._words = [0] * (len(pods) // _WIDTH + 1)
        self._groups = 0
        for position, pod in enumerate(pods):
            pod.position = position
            if pod.in_flight < pod.limit or not pod.limit:
                self._free(position)

    def release(self, pod: Pod) -> None:
        pod.in_flight -= 1
        if pod.in_flight == pod.limit - 1 and pod.position >= 0:
            self._free(pod.position)

    def _free(self, position: int) -> None:
        group = position >> _SHIFT
        self._words[group] |= 1 << (position & _MASK)
        self._groups |= 1 << group

    def _take(self, group: int, word: int) -> Pod:
        """A slot of the pod that is the lowest bit of `word`, which is all or some of that group's."""
        bit = word & -word
        pod = self._pods[(group << _SHIFT) + bit.bit_length() - 1]
        pod.in_flight += 1
        if pod.in_flight == pod.limit:
            self._words[group] ^= bit
            if not self._words[group]:
                self._groups ^= 1 << group
        return pod


class FirstAvailable(_SlotPicker):
    """The first pod in order that has a free slot."""

    __slots__ = ()

    def reserve(self) -> Pod | None:
        groups = self._groups
        if not groups:
            return None
        group = (groups & -groups).bit_length() - 1
        return self._take(group, self._words[group])


class RoundRobin(_SlotPicker):
    """The next pod with a free slot, beginning behind the one taken last."""

    __slots__ = ("_next",)

    def __init__(self) -> None:
        super().__init__()
        self._next = 0

    def reserve(self) -> Pod | None:
        groups = self._groups
        if not groups:
            return None
        # Places, not pods, are remembered: when the list has shrunk below the place, the round begins anew.
        start = self._next if self._next < len(self._pods) else 0
        group, before = start >> _SHIFT, start & _MASK
        word = self._words[group] >> before << before
        if not word:
            ahead = groups >> group + 1 << group + 1 or groups
            group = (ahead & -ahead).bit_length() - 1
            word = self._words[group]
        pod = self._take(group, word)
        self._next = pod.position + 1
        return pod
