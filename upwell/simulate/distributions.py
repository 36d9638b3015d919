"""How long something takes: a start of a pod, a request.

Written as `2s` (always the same), `uniform:low=1s,high=3s`, `normal:mean=2s,sd=0.5s`, `lognormal:p50=800ms,p99=3s`,
`exponential:mean=100ms` or `empirical:FILE`, a file with one number of seconds a line, of which one is drawn each
time. Nothing takes less than no time: a normal distribution is cut at 0.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist, fmean
from typing import Final

from upwell.simulate.errors import InputError
from upwell.simulate.words import LONGEST, Call, parse_call, read_seconds

__all__ = ["Distribution", "parse_distribution"]

_QUANTILES: Final = 1001
"""Odd, so that the median is among them."""
_Z99: Final = NormalDist().inv_cdf(0.99)


@dataclass(frozen=True, slots=True)
class Distribution:
    """A duration in seconds, by its inverse distribution function."""

    text: str
    """As it was written."""
    at: Callable[[float], float]
    """The value that a share in (0, 1) of all do not exceed."""

    def __reduce__(self) -> tuple[object, ...]:
        return parse_distribution, (self.text, self.text)  # functions cannot be sent to another process

    def draw(self, rng: random.Random) -> float:
        """One of them; exactly one random number is used, so that two policies can be given the same luck."""
        return self.at(rng.random() or 0.5)

    def quantiles(self, count: int) -> list[float]:
        """`count` values that stand for equal shares, in ascending order."""
        return [self.at((index + 0.5) / count) for index in range(count)]

    @property
    def mean(self) -> float:
        return fmean(self.quantiles(_QUANTILES))


def parse_distribution(text: str, what: str) -> Distribution:
    """Read one of the spellings above; `what` names the option in an InputError."""
    kind, found, rest = text.partition(":")
    if not found:
        value = read_seconds(text, what)
        return Distribution(text, lambda _: value)
    if kind == "empirical":
        return Distribution(text, _empirical(_read_samples(Path(rest), what)))
    make = _KINDS.get(kind)
    if make is None:
        raise InputError(
            f'{what}: "{text}": there is no {kind}', f"there are {', '.join(_KINDS)}, empirical:FILE and 2s"
        )
    return Distribution(text, make(parse_call(text)))


def _uniform(call: Call) -> Callable[[float], float]:
    call.only("low", "high")
    low, high = call.seconds("low"), call.seconds("high")
    if high < low:
        raise InputError(f'"{call.text}": high is below low', "swap them")
    return lambda share: low + share * (high - low)


def _normal(call: Call) -> Callable[[float], float]:
    call.only("mean", "sd")
    mean, deviation = call.seconds("mean"), call.seconds("sd")
    if deviation == 0:
        return lambda _: mean
    inverse = NormalDist(mean, deviation).inv_cdf
    return lambda share: max(0.0, inverse(share))


def _lognormal(call: Call) -> Callable[[float], float]:
    """By its median and 99th percentile, which is what people know: exp(mu + sigma z)."""
    call.only("p50", "p99")
    median, high = call.seconds("p50", above_zero=True), call.seconds("p99", above_zero=True)
    if high <= median:
        raise InputError(f'"{call.text}": p99 is not above p50', "give a p99 that is higher")
    inverse = NormalDist(math.log(median), math.log(high / median) / _Z99).inv_cdf
    return lambda share: min(LONGEST, math.exp(inverse(share)))


def _exponential(call: Call) -> Callable[[float], float]:
    call.only("mean")
    mean = call.seconds("mean")
    return lambda share: -mean * math.log1p(-share)


_KINDS: Final = {"uniform": _uniform, "normal": _normal, "lognormal": _lognormal, "exponential": _exponential}


def _empirical(samples: Sequence[float]) -> Callable[[float], float]:
    ordered = sorted(samples)
    return lambda share: ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _read_samples(path: Path, what: str) -> list[float]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{what}: {path}: cannot be read: {error}", "name a file with seconds, one a line") from error
    numbered = [(number, line.strip()) for number, line in enumerate(lines, 1)]
    samples = [read_seconds(line, f"{what}: {path}:{number}") for number, line in numbered if line]
    if not samples:
        raise InputError(f"{what}: {path}: no line in it", "write seconds, one a line")
    return samples
