"""How often something may be done that can also be left, or put off: a bucket of tokens that fills by itself."""

from upwell.clock import Clock

__all__ = ["TokenBucket"]


class TokenBucket:
    """Full at first."""

    def __init__(self, clock: Clock, most: int, per_second: float) -> None:
        """`most` may be done at once, and `per_second` over a long time."""
        self._clock = clock
        self._most = most
        self._per_second = per_second
        self._tokens = float(most)
        self._counted = clock.monotonic()

    def take(self) -> bool:
        """Whether there was a token, which is gone then."""
        now = self._clock.monotonic()
        self._tokens = min(self._most, self._tokens + (now - self._counted) * self._per_second)
        self._counted = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
