"""What makes a decision matter, when there is one out of turn, and whom to ask for figures."""

import random
from typing import NamedTuple

import pytest

from upwell.policy.activator_load import WAKING, ActivatorLoad
from upwell.policy.autoscaler_config import AutoscalerConfig
from upwell.policy.capacity import ScrapeAverage
from upwell.policy.collector import Collection
from upwell.policy.decider import DeciderState
from upwell.policy.resolution import resolve
from upwell.policy.sampling import candidates
from upwell.policy.standing import Standing, serves


class Pod(NamedTuple):
    name: str
    started: float


def standing() -> tuple[Standing, Collection]:
    settings = resolve(AutoscalerConfig(), {})
    return Standing(settings, DeciderState.start(settings.decider, 0, 0)), Collection(settings.collection)


def test_without_figures_there_is_no_decision() -> None:
    revision, collection = standing()

    assert revision.decide(collection, 1, 10) is None
    assert revision.desired_scale == -1


def test_only_another_scale_or_another_sign_of_the_burst_capacity_means_work() -> None:
    revision, collection = standing()
    work = []
    for now, concurrency, ready in ((1, 1.0, 0), (2, 2.0, 1), (3, 3.0, 1), (4, 3.0, 9), (5, 3.0, 9)):
        collection.record(now, ScrapeAverage(concurrency, 0.0, 1.0, 0.0))
        decision = revision.decide(collection, ready, now)
        assert decision is not None
        work.append((revision.adopt(decision), revision.desired_scale, revision.excess_burst_capacity >= 0))

    assert work[0] == (True, 1, False)  # the first
    assert work[1] == work[2] == (False, 1, False)
    assert work[3] == (True, 4, True)  # nine pods leave room for the burst, and may be halved at most
    assert work[4] == (False, 4, True)


@pytest.mark.parametrize(
    ("desired", "concurrency", "ready", "woken"),
    [(0, 1.0, 0, True), (0, 0.0, 0, False), (-1, 1.0, 0, True), (-1, 1.0, 1, False), (1, 1.0, 0, False)],
)
def test_load_at_zero_wakes(desired: int, concurrency: float, ready: int, woken: bool) -> None:
    revision, _ = standing()
    revision.desired_scale = desired

    assert revision.is_woken_by(concurrency, ready) is woken


@pytest.mark.parametrize(("want", "excess", "direct"), [(1, 0, True), (1, -1, False), (0, 5, False), (-1, 5, False)])
def test_requests_go_straight_to_pods_that_are_wanted_and_have_room(want: int, excess: int, direct: bool) -> None:
    assert serves(want, excess) is direct


def test_what_was_told_ahead_is_taken_off_the_first_report() -> None:
    load = ActivatorLoad(10.0)
    load.stats.request_in(10.0)
    load.stats.request_in(10.5)

    assert WAKING == (1.0, 1)
    assert load.report(11.0) == ((0.5, 1), False)
    load.stats.request_out(11.0)
    load.stats.request_out(11.5)
    assert load.report(12.0) == ((0.5, 0), False)
    assert load.report(13.0) == ((0.0, 0), True)


def test_settled_pods_are_asked_before_young_ones() -> None:
    pods = [Pod(f"p{number}", number) for number in range(10)]

    few = list(candidates(pods, 8, settled=4, rng=random.Random(1)))
    many = list(candidates(pods, 3, settled=4, rng=random.Random(1)))

    assert few[:5] == pods[:5]
    assert sorted(few) == sorted(many) == pods
    assert few[5:] != pods[5:]
    assert many[5:] == pods[5:]


def test_each_settled_pod_has_the_same_chance_to_be_asked() -> None:
    pods, rng = [Pod(f"p{number}", 0) for number in range(5)], random.Random(3)

    first = [next(candidates(pods, 1, settled=4, rng=rng)).name for _ in range(5000)]

    assert all(900 < first.count(pod.name) < 1100 for pod in pods)
