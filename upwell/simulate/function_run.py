"""What became of one function that was simulated minute by minute: sums, and a value for each minute."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

__all__ = ["QUEUE_FULL", "TIMED_OUT", "FunctionRun"]

TIMED_OUT: Final = "timed out"
QUEUE_FULL: Final = "activator's queue full"


def _doubles() -> "array[float]":
    """A fifth of a list's memory: ten thousand functions have 58 million of them in a day."""
    return array("d")


@dataclass(slots=True)
class FunctionRun:
    """What became of one function; the lists have a value per minute."""

    name: str
    requests: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    cold_starts: int = 0
    pods_started: int = 0
    pod_seconds: float = 0.0
    idle_seconds: float = 0.0
    peak_pods: int = 0
    panics: int = 0
    waits: defaultdict[float, float] = field(default_factory=lambda: defaultdict(float))
    """Seconds waited, to two digits, and how many requests did; cold ones included."""
    cold_waits: defaultdict[float, float] = field(default_factory=lambda: defaultdict(float))
    ready: "array[float]" = field(default_factory=_doubles)
    """The average over the minute, as all that follow."""
    starting: "array[float]" = field(default_factory=_doubles)
    concurrency: "array[float]" = field(default_factory=_doubles)
    queued: "array[float]" = field(default_factory=_doubles)

    def figures(self) -> Mapping[str, object]:
        return {
            "function": self.name,
            "requests": self.requests,
            "failed": self.failed.total(),
            "cold_starts": self.cold_starts,
            "pods_started": self.pods_started,
            "peak_pods": self.peak_pods,
            "pod_seconds": round(self.pod_seconds, 3),
            "wasted_share": round(self.idle_seconds / self.pod_seconds, 6) if self.pod_seconds else 0.0,
        }
