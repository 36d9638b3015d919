"""Whether a revision that is being rolled out does worse than the one before it.

Two shares are compared, each over the same time: requests answered with 5xx, and requests that take longer than nearly
all (95 %) of the old revision's did. The new one is worse when its share is higher by a margin that matters (1 % of
requests for errors, 10 % for slowness) and by more than chance explains: the two-proportion test, pooled, one-sided,

    z = (p_new - p_old) / sqrt(p (1 - p) (1/n_new + 1/n_old)) > 4

which a revision that is just as good exceeds once in 30,000 looks; looks are many, and not independent. Nothing is said
before both have answered 20 requests.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

__all__ = ["Counts", "counts_by_service", "judge"]

LEAST_REQUESTS: Final = 20
LEAST_Z: Final = 4.0
ERRORS_MARGIN: Final = 0.01
SLOWNESS_MARGIN: Final = 0.10
USUAL: Final = 0.95
"""The share of the old revision's requests whose time counts as usual."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Requests to one revision that were answered, over some time."""

    requests: float = 0
    errors: float = 0
    within: Mapping[float, float] = field(default_factory=dict)
    """By a time in seconds, how many took no longer."""

    def __add__(self, other: "Counts") -> "Counts":
        return self._combined(other, 1)

    def __sub__(self, other: "Counts") -> "Counts":
        return self._combined(other, -1)

    def _combined(self, other: "Counts", sign: int) -> "Counts":
        bounds = sorted({*self.within, *other.within})
        return Counts(
            self.requests + sign * other.requests,
            self.errors + sign * other.errors,
            {bound: self.within.get(bound, 0) + sign * other.within.get(bound, 0) for bound in bounds},
        )


def judge(old: Counts, new: Counts) -> str:
    """Why `new` is worse than `old`, in words for users; empty while it is not, or nobody can tell."""
    if min(old.requests, new.requests) < LEAST_REQUESTS:
        return ""
    if _is_worse(new.errors, new.requests, old.errors, old.requests, ERRORS_MARGIN):
        return (
            f"{new.errors:.0f} of {new.requests:.0f} requests failed, "
            f"while {old.errors:.0f} of {old.requests:.0f} did before it"
        )
    bound = _usual_time(old)
    if bound is None:
        return ""
    slow_new, slow_old = new.requests - new.within.get(bound, 0), old.requests - old.within[bound]
    if _is_worse(slow_new, new.requests, slow_old, old.requests, SLOWNESS_MARGIN):
        return (
            f"{slow_new:.0f} of {new.requests:.0f} requests took longer than {bound:g}s, "
            f"while {slow_old:.0f} of {old.requests:.0f} did before it"
        )
    return ""


def counts_by_service(text: str, namespace: str) -> dict[str, Counts]:
    """By Service, which is named as its revision, what a gateway's metrics say since it started."""
    found: dict[str, Counts] = {}
    for line in text.splitlines():
        if line.startswith("upwell_gateway_request") and f'namespace="{namespace}"' in line:
            name, labels, value = _sample(line)
            counts = _counts(name, labels, value)
            if counts is not None:
                found[labels["service"]] = found.get(labels["service"], Counts()) + counts
    return found


def _sample(line: str) -> tuple[str, dict[str, str], float]:
    name, _, rest = line.partition("{")
    inside, _, value = rest.rpartition("}")
    # None of these labels' values can have a comma or a quotation mark in it: they are names, classes and numbers.
    labels = dict(part.split("=", 1) for part in inside.split(",") if part)
    return name, {key: text.strip('"') for key, text in labels.items()}, float(value.split()[0])


def _counts(name: str, labels: Mapping[str, str], value: float) -> Counts | None:
    if name == "upwell_gateway_requests_total" and labels["code_class"] != "none":
        return Counts(value, value if labels["code_class"] == "5xx" else 0)
    if name == "upwell_gateway_request_duration_seconds_bucket":
        return Counts(within={float(labels["le"]): value})
    return None


def _is_worse(new_hits: float, new_all: float, old_hits: float, old_all: float, margin: float) -> bool:
    new_share, old_share = new_hits / new_all, old_hits / old_all
    pooled = (new_hits + old_hits) / (new_all + old_all)
    spread = math.sqrt(pooled * (1 - pooled) * (1 / new_all + 1 / old_all))
    return new_share - old_share > margin and (new_share - old_share) > LEAST_Z * spread


def _usual_time(old: Counts) -> float | None:
    """The least bound that nearly all of the old revision's requests kept; None when none was."""
    kept = (bound for bound, count in sorted(old.within.items()) if count >= USUAL * old.requests)
    bound = next(kept, math.inf)
    return None if math.isinf(bound) else bound
