"""The arithmetic of the contract's own examples; the recorded cases are in tests/golden/test_capacity.py."""

import pytest

from upwell.policy.capacity import (
    UNLIMITED,
    apply_bounds,
    assign_slice,
    num_activators,
    revision_capacity,
    sample_size,
)


@pytest.mark.parametrize(
    ("activators", "capacity"), [(0, 100), (1, 100), (5, 20), (200, 1)], ids=["unknown", "one", "five", "many"]
)
def test_behind_the_service_address_activators_share_the_capacity_but_each_has_some(
    activators: int, capacity: int
) -> None:
    assert revision_capacity(10, backends=10, assigned_pods=0, activators=activators) == capacity


def test_with_pods_of_its_own_an_activator_has_all_their_slots() -> None:
    assert revision_capacity(10, backends=10, assigned_pods=2, activators=5) == 20


def test_a_revision_without_a_limit_is_open_or_closed() -> None:
    assert revision_capacity(0, backends=1, assigned_pods=1, activators=1) == UNLIMITED
    assert revision_capacity(0, backends=0, assigned_pods=0, activators=1) == 0


@pytest.mark.parametrize(("pods", "activators"), [(1, 1), (5, 2), (7, 3), (12, 4), (100, 7)])
def test_slices_cover_every_pod_exactly_once_when_there_are_enough(pods: int, activators: int) -> None:
    slices = [assign_slice(range(pods), index, activators) for index in range(activators)]

    assert sorted(pod for mine in slices for pod in mine) == list(range(pods))
    assert all(mine == sorted(mine) for mine in slices)
    assert max(map(len, slices)) - min(map(len, slices)) <= 1


def test_more_activators_than_pods_share_them_in_turn() -> None:
    assert [assign_slice("ab", index, 5) for index in range(5)] == [["a"], ["b"], ["a"], ["b"], ["a"]]


def test_an_activator_that_does_not_know_its_place_uses_every_pod() -> None:
    assert assign_slice("abc", -1, 3) == ["a", "b", "c"]


def test_two_activators_are_the_least() -> None:
    assert num_activators(0, 100, 0, 100) == 2
    assert num_activators(0, 100, -1, 100) == 2
    assert num_activators(5, 100, 211, 100) == 8


def test_maximum_wins_over_minimum_and_zero_is_none() -> None:
    assert apply_bounds(1, 3, 0) == 3
    assert apply_bounds(9, 3, 2) == 2


def test_a_sample_grows_to_sixteen_and_no_further() -> None:
    assert [sample_size(pods) for pods in (-1, 0, 3, 10, 100, 10**6)] == [0, 0, 3, 7, 14, 16]
