"""When to write a status that only says how far something has come.

An object that comes into being passes through states whose condition Ready is Unknown; telling each is a write that
the API server stores and everyone who watches hears of. While few objects are made, each state is told at once. While
a thousand are, a state waits for its turn, and mostly has passed when that comes: then it never was written, and the
object is ready the sooner.

    Ready Unknown before and now ── a token left ──> write now        tokens: TOKENS_MOST, TOKENS_PER_SECOND more
                                 └─ none ──────────> look again, and write after HELD_SECONDS whatever the tokens
    anything else ──> write now
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

from upwell.api.conditions import READY, UNKNOWN, status_of
from upwell.api.objects import Key
from upwell.clock import Clock
from upwell.cluster.tokens import TokenBucket

__all__ = ["HELD_SECONDS", "Progress", "earliest"]

TOKENS_MOST: Final = 30
TOKENS_PER_SECOND: Final = 1.0
HELD_SECONDS: Final = 30.0
"""The longest that a user waits to see how far something has come."""


class Progress:
    """Decides for all objects of one kind."""

    def __init__(self, clock: Clock, lasting: Callable[[Mapping[str, Any]], object] = lambda status: None) -> None:
        """`lasting` is what of a status later decisions are based on: a change of that is always written."""
        self._clock = clock
        self._lasting = lasting
        self._tokens = TokenBucket(clock, TOKENS_MOST, TOKENS_PER_SECOND)
        self._held: OrderedDict[Key, float] = OrderedDict()
        """Since when; the earliest first. What was deleted meanwhile drops out when its time is over."""

    def hold(self, key: Key, before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> float | None:
        """Seconds until the status that is to be `after` must be looked at again; None to write it now."""
        now = self._clock.monotonic()
        self._drop(now)
        if before == after or not self._is_progress(before or {}, after) or self._tokens.take():
            self._held.pop(key, None)
            return None
        since = self._held.setdefault(key, now)
        left = since + HELD_SECONDS - now
        if left > 0:
            return left
        del self._held[key]
        return None

    def _is_progress(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
        unknown = status_of(before, READY) == status_of(after, READY) == UNKNOWN
        return unknown and self._lasting(before) == self._lasting(after)

    def _drop(self, now: float) -> None:
        while self._held:
            key, since = next(iter(self._held.items()))
            if since + 2 * HELD_SECONDS > now:
                return
            del self._held[key]


def earliest(*waits: float | None) -> float | None:
    """The shortest of several waits in seconds; None when there is none."""
    return min((wait for wait in waits if wait is not None), default=None)
