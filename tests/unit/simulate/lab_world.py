"""Policies, pods and traffic in a line each."""

from array import array
from collections.abc import Sequence
from itertools import pairwise

from upwell.policy.autoscaler_config import AutoscalerConfig
from upwell.simulate.distributions import parse_distribution
from upwell.simulate.policy import PodModel, Policy
from upwell.simulate.recording import Outcome
from upwell.simulate.requests import simulate_requests
from upwell.simulate.traces import Requests, make_requests

PREFIX = "autoscaling.knative.dev/"


def policy(concurrency: int = 0, timeout: float = 300.0, **settings: str) -> Policy:
    """`policy(10, max_scale="3")`: containerConcurrency and annotations."""
    annotations = {PREFIX + name.replace("_", "-"): value for name, value in settings.items()}
    return Policy("tried", AutoscalerConfig(), annotations, concurrency, timeout)


def pods(cold_start: str = "1s", service_time: str = "100ms") -> PodModel:
    return PodModel(parse_distribution(cold_start, "cold start"), parse_distribution(service_time, "service time"))


def requests(*pairs: tuple[float, float]) -> Requests:
    """(arrival, duration) pairs."""
    return make_requests("test", array("d", [pair[0] for pair in pairs]), array("d", [pair[1] for pair in pairs]))


def steady(rate: float, seconds: float, duration: float) -> Requests:
    return requests(*((index / rate, duration) for index in range(round(rate * seconds))))


def ready_at(outcome: Outcome, t: float) -> float:
    """Ready pods at a moment."""
    return [count for since, count in outcome.pods if since <= t][-1]


def tried(with_policy: Policy, *pairs: tuple[float, float], cold_start: str = "1s", seed: int = 0) -> Outcome:
    return simulate_requests(with_policy, pods(cold_start), requests(*pairs), seed)


def integral(points: Sequence[tuple[float, float]]) -> float:
    """Of a step function given by its changes."""
    return sum(value * (after - t) for (t, value), (after, _) in pairwise(points))
