"""How much a revision can bear, and how it is shared out: the arithmetic of pods, activators and samples.

Plain functions of numbers, used on both sides: the activator sizes its throttler with `revision_capacity` and
`assign_slice`; the autoscaler samples pods with `sample_size` and `scrape_average`, says how many activators stand in
front of a revision with `num_activators` and clamps its wish with `apply_bounds`. The rules are Knative's
(contract: activator.md 6.4 to 6.6, autoscaler.md 5.2, 5.3, 8 and 9), so that either side may be theirs.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeVar

from upwell.policy.load import Load

__all__ = [
    "UNLIMITED",
    "ScrapeAverage",
    "apply_bounds",
    "assign_slice",
    "num_activators",
    "revision_capacity",
    "sample_size",
    "scrape_average",
]

UNLIMITED: Final = 2**31 - 1
"""The capacity of a revision without a concurrency limit, and the highest there is."""

T = TypeVar("T")

# 1.96 squared (95 % confidence), times a variance of 100, over a margin of 5 squared.
_SAMPLE_FACTOR: Final = 1.96**2 * 100 / 5**2


def revision_capacity(container_concurrency: int, backends: int, assigned_pods: int, activators: int) -> int:
    """Exchanges that one activator may have in flight to a revision.

    `backends` are the healthy pods there are, `assigned_pods` those that this activator addresses itself, 0 when it
    uses the service address; `activators` 0 means not known yet. With 10 a pod and 10 pods behind the service
    address, each of 5 activators may use 20, and each of 200 may still use 1.
    """
    if container_concurrency == 0:
        return UNLIMITED if backends > 0 else 0
    if assigned_pods > 0:
        return min(container_concurrency * assigned_pods, UNLIMITED)
    total = container_concurrency * backends
    if total == 0:
        return 0
    return min(max(1, total // max(1, activators)), UNLIMITED)


def assign_slice(pods: Sequence[T], self_index: int, activators: int) -> list[T]:
    """The pods, given in address order, that the activator at `self_index` (-1: unknown) of `activators` may use.

    With fewer pods than activators some share one, each with the pod's full concurrency. Otherwise all get an equal
    run of neighbours, and the remainder at the end goes one by one to the first: 3 pods for 2 activators are
    [0, 2] and [1].
    """
    count = len(pods)
    if self_index < 0 or count <= 1 or activators <= 1:
        return list(pods)
    if activators > count:
        return [pods[self_index % count]]
    size, rest = divmod(count, activators)
    mine = list(pods[self_index * size : (self_index + 1) * size])
    if self_index < rest:
        mine.append(pods[count - rest + self_index])
    return mine


def num_activators(ready_pods: int, total_value: float, target_burst_capacity: float, activator_capacity: float) -> int:
    """Activators to stand in front of a revision: enough to carry its pods' load and the burst on top, at least 2.

    `total_value` is what one pod bears and `activator_capacity` what one activator does, in the metric's unit.
    5 pods of 100 and a burst of 211 over activators of 100 make 8.
    """
    if target_burst_capacity == 0:
        return 2
    load = ready_pods * total_value + max(0.0, target_burst_capacity)
    return max(2, math.ceil(load / activator_capacity))


def apply_bounds(value: int, minimum: int, maximum: int) -> int:
    """`value` raised to `minimum`, then lowered to `maximum` unless that is 0, which means there is none."""
    raised = max(value, minimum)
    return min(raised, maximum) if maximum > 0 else raised


def sample_size(population: int) -> int:
    """Pods to ask out of `population` to know their average within 5 at 95 % confidence: 10 → 7, 100 → 14."""
    if population <= 3:
        return max(0, population)
    return math.ceil(population * _SAMPLE_FACTOR / (population + _SAMPLE_FACTOR - 1))


class ScrapeAverage(NamedTuple):
    """The sampled pods' figures, extrapolated to all pods."""

    average_concurrent_requests: float
    average_proxied_concurrent_requests: float
    request_count: float
    proxied_request_count: float


def scrape_average(samples: Sequence[Load], total_pods: int) -> ScrapeAverage:
    """Each figure's mean over `samples` (at least one), times `total_pods`."""

    def extrapolate(values: list[float]) -> float:
        return sum(values) / len(samples) * total_pods

    return ScrapeAverage(
        extrapolate([sample.average_concurrent_requests for sample in samples]),
        extrapolate([sample.average_proxied_concurrent_requests for sample in samples]),
        extrapolate([sample.request_count for sample in samples]),
        extrapolate([sample.proxied_request_count for sample in samples]),
    )
