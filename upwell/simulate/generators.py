"""Traffic made up: a rate of arrivals over time, and requests drawn from it.

`steady` sends at equal distances; all others draw from a Poisson process whose rate follows the shape, so that
two requests may come at once, as in life. Times and rates are arguments, such as `spike:rate=5,peak=200,at=2m,for=10m`:

- `steady:rate`, `poisson:rate`: the same rate all the time;
- `ramp:from,to`: rising or falling evenly;
- `spike:rate,peak,at,length`: `peak` from `at` on for `length`, `rate` before and after;
- `diurnal:low,high,period`: a cosine from `low` at the start to `high` in the middle of each period;
- `on-off:rate,on,off`: `rate` for `on`, nothing for `off`, and again.

`for` is how long it lasts. The same seed makes the same requests.
"""

import math
import random
from array import array
from collections.abc import Callable, Iterator
from typing import Final

from upwell.simulate.distributions import Distribution
from upwell.simulate.errors import InputError
from upwell.simulate.traces import REQUESTS_MOST, Requests, make_requests
from upwell.simulate.words import Call, parse_call

__all__ = ["GENERATORS", "generate"]

Rate = Callable[[float], float]
"""Requests per second at a time."""

STEP: Final = 0.25
"""Seconds in which a rate is taken as constant."""


def generate(text: str, service_time: Distribution, seed: int) -> Requests:
    """The requests that `text` describes, each with a time of work drawn from `service_time`."""
    call = parse_call(text)
    make = GENERATORS.get(call.kind)
    if make is None:
        raise InputError(f'"{text}": there is no generator {call.kind}', f"there are {', '.join(GENERATORS)}")
    rate = make(call)
    length = call.seconds("for", "10m", above_zero=True)
    expected = sum(rate((step + 0.5) * length / 1000) for step in range(1000)) * length / 1000
    if expected > REQUESTS_MOST:
        raise InputError(f'"{text}": that is {expected:.0f} requests', f"{REQUESTS_MOST} are the most")
    rng = random.Random(f"arrivals {seed}")
    instants = _evenly(rate(0), length) if call.kind == "steady" else _drawn(rate, length, rng)
    arrivals = array("d", instants)
    work = random.Random(f"durations {seed}")
    return make_requests(text, arrivals, array("d", (service_time.draw(work) for _ in arrivals)))


def _evenly(rate: float, length: float) -> Iterator[float]:
    return (index / rate for index in range(math.ceil(length * rate)))


def _drawn(rate: Rate, length: float, rng: random.Random) -> Iterator[float]:
    """A Poisson process: the rate's integral between two arrivals is exponential with mean 1."""
    wanted = rng.expovariate(1.0)
    for step in range(math.ceil(length / STEP)):
        start = step * STEP
        width = min(STEP, length - start)
        here = rate(start + width / 2)
        passed = 0.0
        while here > 0 and wanted <= (width - passed) * here:
            passed += wanted / here
            yield start + passed
            wanted = rng.expovariate(1.0)
        wanted -= (width - passed) * here


def _constant(call: Call) -> Rate:
    call.only("rate", "for")
    rate = call.number("rate", lowest=1e-6)
    return lambda _: rate


def _ramp(call: Call) -> Rate:
    call.only("from", "to", "for")
    first, last, length = call.number("from"), call.number("to"), call.seconds("for", "10m", above_zero=True)
    return lambda t: first + (last - first) * t / length


def _spike(call: Call) -> Rate:
    call.only("rate", "peak", "at", "length", "for")
    rate, peak = call.number("rate"), call.number("peak")
    begin = call.seconds("at", "2m")
    end = begin + call.seconds("length", "1m")
    return lambda t: peak if begin <= t < end else rate


def _diurnal(call: Call) -> Rate:
    call.only("low", "high", "period", "for")
    low, high, period = call.number("low"), call.number("high"), call.seconds("period", "1d", above_zero=True)
    return lambda t: low + (high - low) * (1 - math.cos(2 * math.pi * t / period)) / 2


def _on_off(call: Call) -> Rate:
    call.only("rate", "on", "off", "for")
    rate, on, off = call.number("rate"), call.seconds("on", above_zero=True), call.seconds("off")
    return lambda t: rate if t % (on + off) < on else 0.0


GENERATORS: Final[dict[str, Callable[[Call], Rate]]] = {
    "steady": _constant,
    "poisson": _constant,
    "ramp": _ramp,
    "spike": _spike,
    "diurnal": _diurnal,
    "on-off": _on_off,
}
