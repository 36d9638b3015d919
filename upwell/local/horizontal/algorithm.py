"""How many pods a HorizontalPodAutoscaler wants: Kubernetes' algorithm, as functions of numbers.

One metric at a time: the ratio of what is used to what is aimed for, times the pods that were measured. Pods without a
figure are taken to be idle when the ratio says more, and to be at their aim when it says fewer; so is a pod that is not
ready yet, which is left out when it says fewer. Within a tenth of the aim nothing changes. Of several metrics the
highest wish counts. Then the stabilization windows, the limit of a step, and the bounds.

Source: the Kubernetes documentation, Horizontal Pod Autoscaling, "Algorithm details" and "Configurable scaling
behavior".
"""

import math
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

__all__ = ["Measured", "Stabilizer", "bounded", "wanted"]

TOLERANCE: Final = 0.1
SCALE_UP_WINDOW: Final = 0.0
SCALE_DOWN_WINDOW: Final = 300.0
"""Seconds, where the object says nothing."""
STEP_FACTOR: Final = 2
STEP_PODS: Final = 4
"""The larger of doubling and four pods more is allowed in one period."""
STEP_PERIOD: Final = 15.0


class Measured(NamedTuple):
    """One pod."""

    ready: bool
    used: float | None
    """In the metric's unit; None when there is no figure."""
    aim: float
    """What it should use, in the same unit; above 0."""


def wanted(pods: Sequence[Measured], current: int) -> int | None:
    """Pods that one metric asks for; None when no ready pod has a figure."""
    counted = [pod for pod in pods if pod.ready and pod.used is not None]
    if not counted:
        return None
    ratio = _ratio(counted)
    silent = [pod for pod in pods if pod.ready and pod.used is None]
    starting = [pod for pod in pods if not pod.ready]
    if not silent and not (starting and ratio > 1):
        return current if abs(ratio - 1) <= TOLERANCE else math.ceil(ratio * len(counted))
    if ratio < 1:
        assumed = [*counted, *(pod._replace(used=pod.aim) for pod in silent)]
    else:
        assumed = [*counted, *(pod._replace(used=0.0) for pod in (*silent, *starting))]
    careful = _ratio(assumed)
    if abs(careful - 1) <= TOLERANCE or (careful < 1) != (ratio < 1):
        return current
    count = math.ceil(careful * len(assumed))
    return current if (careful < 1) == (count > current) else count


def _ratio(pods: Sequence[Measured]) -> float:
    return sum(pod.used or 0.0 for pod in pods) / sum(pod.aim for pod in pods)


class Stabilizer:
    """What was wished for in the recent past: up by the lowest of it, down by the highest."""

    def __init__(self) -> None:
        self._wishes: deque[tuple[float, int]] = deque()
        self._scales: deque[tuple[float, int]] = deque()

    def settle(self, now: float, wish: int, current: int, up_window: float, down_window: float) -> int:
        """The scale to take on at `now` (seconds, monotonic), within the windows and a step's limit."""
        self._wishes.append((now, wish))
        while self._wishes[0][0] < now - max(up_window, down_window):
            self._wishes.popleft()
        lowest = min(pods for at, pods in self._wishes if at >= now - up_window)
        highest = max(pods for at, pods in self._wishes if at >= now - down_window)
        settled = min(max(current, lowest), highest)
        return min(settled, self._highest_step(now, current))

    def _highest_step(self, now: float, current: int) -> int:
        while self._scales and self._scales[0][0] <= now - STEP_PERIOD:
            self._scales.popleft()
        self._scales.append((now, current))
        before = min(pods for _, pods in self._scales)
        return max(STEP_FACTOR * before, before + STEP_PODS)


def bounded(pods: int, lowest: int, highest: int) -> tuple[int, str]:
    """`pods` within the bounds, and which one held it: `TooFewReplicas`, `TooManyReplicas`, or nothing."""
    if pods < lowest:
        return lowest, "TooFewReplicas"
    if pods > highest:
        return highest, "TooManyReplicas"
    return pods, ""
