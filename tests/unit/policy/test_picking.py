"""Pod choice: each policy's order, its limits, and its indifference to the number of pods."""

import random
from collections import Counter

import pytest

from upwell.policy.picking import FirstAvailable, LeastLoadedOfTwo, Picker, Pod, RoundRobin, picker_for


def assigned(picker: Picker, count: int, limit: int) -> list[Pod]:
    pods = [Pod(f"10.0.0.{number}:8012", limit) for number in range(count)]
    picker.assign(pods)
    return pods


def reserve(picker: Picker, times: int) -> list[Pod | None]:
    return [picker.reserve() for _ in range(times)]


@pytest.mark.parametrize(
    ("concurrency", "policy"),
    [
        (0, LeastLoadedOfTwo),
        (1, FirstAvailable),
        (3, FirstAvailable),
        (4, RoundRobin),
        (100, RoundRobin),
    ],
)
def test_the_policy_follows_from_the_container_concurrency(concurrency: int, policy: type) -> None:
    assert type(picker_for(concurrency)) is policy


@pytest.mark.parametrize("concurrency", [0, 1, 4])
def test_without_pods_there_is_no_slot(concurrency: int) -> None:
    assert picker_for(concurrency).reserve() is None


def test_first_available_fills_one_pod_after_the_other() -> None:
    picker = FirstAvailable()
    a, b = assigned(picker, 2, limit=2)

    assert reserve(picker, 5) == [a, a, b, b, None]

    picker.release(b)
    picker.release(a)
    assert reserve(picker, 3) == [a, b, None]


def test_round_robin_goes_on_behind_the_last_and_steps_over_full_pods() -> None:
    picker = RoundRobin()
    a, b, c = assigned(picker, 3, limit=2)

    assert reserve(picker, 5) == [a, b, c, a, b]
    picker.release(a)
    assert reserve(picker, 3) == [c, a, None]


def test_round_robin_begins_anew_when_the_list_has_shrunk() -> None:
    picker = RoundRobin()
    pods = assigned(picker, 4, limit=10)
    reserve(picker, 3)

    picker.assign(pods[:2])

    assert reserve(picker, 3) == [pods[0], pods[1], pods[0]]


def test_least_loaded_of_two_takes_the_only_pod() -> None:
    picker = LeastLoadedOfTwo()
    (pod,) = assigned(picker, 1, limit=0)

    assert reserve(picker, 3) == [pod, pod, pod]


def test_least_loaded_of_two_compares_both_when_there_are_two() -> None:
    picker = LeastLoadedOfTwo(random.Random(7).random)
    busy, quiet = assigned(picker, 2, limit=0)
    busy.in_flight = 10

    assert reserve(picker, 10) == [quiet] * 10


def test_least_loaded_of_two_spreads_the_load() -> None:
    picker = LeastLoadedOfTwo(random.Random(7).random)
    pods = assigned(picker, 10, limit=0)
    reserve(picker, 1000)

    assert all(90 <= pod.in_flight <= 110 for pod in pods)


def test_least_loaded_of_two_tosses_fairly_on_a_tie() -> None:
    picker = LeastLoadedOfTwo(random.Random(7).random)
    assigned(picker, 2, limit=0)
    wins: Counter[str] = Counter()
    for _ in range(1000):
        pod = picker.reserve()
        assert pod is not None
        wins[pod.address] += 1
        picker.release(pod)

    assert min(wins.values()) > 400


@pytest.mark.parametrize("picker", [FirstAvailable(), RoundRobin()], ids=["first available", "round robin"])
def test_a_pod_that_was_left_out_gives_its_slots_back_to_nobody(picker: Picker) -> None:
    pods = assigned(picker, 2, limit=1)
    reserve(picker, 2)
    picker.assign(pods[1:])

    picker.release(pods[0])

    assert pods[0].in_flight == 0
    assert picker.reserve() is None


@pytest.mark.parametrize("picker", [FirstAvailable(), RoundRobin()], ids=["first available", "round robin"])
def test_a_lowered_limit_holds_back_until_enough_have_ended(picker: Picker) -> None:
    (pod,) = assigned(picker, 1, limit=3)
    reserve(picker, 3)
    pod.limit = 1
    picker.assign([pod])

    for _ in range(2):
        picker.release(pod)
        assert picker.reserve() is None
    picker.release(pod)
    assert picker.reserve() is pod
