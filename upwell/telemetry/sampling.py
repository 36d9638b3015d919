"""Which requests are traced: the caller's word, a share of all, or a rule of OpenTelemetry's (contract 10.5).

    rate >= 1: all; rate <= 0: none; between: what the caller says, and of those without a caller's word that share

The share is taken by the trace id's lower half, so that every hop that samples at the same rate decides alike.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from upwell.ports import ConfigError

__all__ = ["Sampler", "read_sampler"]

_LOWER_HALF: Final = 2**64 - 1
_NAMED: Final[Mapping[str, tuple[bool, float | None]]] = {
    "always_on": (False, 1.0),
    "always_off": (False, 0.0),
    "traceidratio": (False, None),
    "parentbased_always_on": (True, 1.0),
    "parentbased_always_off": (True, 0.0),
    "parentbased_traceidratio": (True, None),
}
"""Whether the caller's word counts, and the rate; None: OTEL_TRACES_SAMPLER_ARG."""


class Sampler(NamedTuple):
    """A rule."""

    rate: float
    asks_parent: bool

    @classmethod
    def of_rate(cls, rate: float) -> "Sampler":
        """The contract's rule for `tracing.samplingRate`."""
        return cls(min(max(rate, 0.0), 1.0), 0 < rate < 1)

    def takes(self, trace_id: int, parent_sampled: bool | None) -> bool:
        """Whether this request is traced; `parent_sampled` is None without a caller's word."""
        if self.asks_parent and parent_sampled is not None:
            return parent_sampled
        return (trace_id & _LOWER_HALF) < self.rate * 2**64


def read_sampler(env: Mapping[str, str], rate: float) -> Sampler:
    """The sampler that OTEL_TRACES_SAMPLER names, else that of `rate`; raise ConfigError."""
    name = env.get("OTEL_TRACES_SAMPLER", "")
    if not name:
        return Sampler.of_rate(rate)
    if name not in _NAMED:
        raise ConfigError(f'OTEL_TRACES_SAMPLER="{name}": not known; use one of {", ".join(_NAMED)}')
    asks_parent, fixed = _NAMED[name]
    if fixed is not None:
        return Sampler(fixed, asks_parent)
    text = env.get("OTEL_TRACES_SAMPLER_ARG") or "1"
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ConfigError(f'OTEL_TRACES_SAMPLER_ARG="{text}": not a number from 0 to 1')
    return Sampler(share, asks_parent)
