"""A consistent choice of some addresses for a target: which activators stand in front of a revision.

Every party that computes it gets the same answer without talking, and few targets are moved when an address comes
or goes. Addresses and the target are hashed on a circle of 2,048 slots; from the target's start angle, steps of the
target's own length pick the next address not picked yet. The hash is FNV-1a with 64 bits, and salts and universe are
Knative's (contract: autoscaler.md 10.3), because its controller and autoscaler must come to the same choice.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

__all__ = ["choose_subset"]

_UNIVERSE: Final = 2048
_START_SALT: Final = "start-angle-salt"
_STEP_SALT: Final = "step-angle-salt"
_FNV_OFFSET: Final = 0xCBF29CE484222325
_FNV_PRIME: Final = 0x100000001B3
_MASK: Final = 2**64 - 1


def choose_subset(addresses: Iterable[str], count: int, target: str) -> frozenset[str]:
    """`count` of the distinct `addresses` for `target`; all of them when `count` is 0 or there are no more."""
    distinct = sorted(set(addresses))
    if count == 0 or len(distinct) <= count:
        return frozenset(distinct)
    slots = _place(distinct, target)
    circle = sorted(slots)
    angle = _hash(target + _START_SALT) % _UNIVERSE
    step = _hash(target + _STEP_SALT) % _UNIVERSE
    chosen: set[int] = set()
    while len(chosen) < count:
        position = bisect_left(circle, angle) % len(circle)
        while circle[position] in chosen:
            position = (position + 1) % len(circle)
        chosen.add(circle[position])
        angle = (angle + step) % _UNIVERSE
    return frozenset(slots[slot] for slot in chosen)


def _place(addresses: list[str], target: str) -> dict[int, str]:
    """A slot for each address; one that is taken is left by hashing again with the hash as further salt."""
    slots: dict[int, str] = {}
    # Universe and salt do not grow with the input: past 2,048 addresses there is no free slot left to find.
    for address in addresses[:_UNIVERSE]:
        text = address + target
        digest = _hash(text)
        while digest % _UNIVERSE in slots:
            text += f"{digest:x}"
            digest = _hash(text)
        slots[digest % _UNIVERSE] = address
    return slots


def _hash(text: str) -> int:
    digest = _FNV_OFFSET
    for byte in text.encode():
        digest = (digest ^ byte) * _FNV_PRIME & _MASK
    return digest
