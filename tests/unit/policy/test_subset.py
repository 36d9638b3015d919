"""The subset of activators is consistent, spread, and computed as the reference computes it."""

from collections import Counter

import pytest

from upwell.policy import subset
from upwell.policy.subset import choose_subset

ADDRESSES = [f"10.8.0.{number}" for number in range(1, 21)]


@pytest.mark.parametrize(
    ("text", "digest"),
    [("", 0xCBF29CE484222325), ("a", 0xAF63DC4C8601EC8C), ("foobar", 0x85944171F73967E8)],
)
def test_the_hash_is_fnv_1a_of_64_bits(text: str, digest: int) -> None:
    assert subset._hash(text) == digest


@pytest.mark.parametrize("count", [0, 20, 21])
def test_all_are_chosen_when_none_has_to_be_left_out(count: int) -> None:
    assert choose_subset(ADDRESSES, count, "hello-00001") == set(ADDRESSES)


@pytest.mark.parametrize("count", [1, 2, 7, 19])
def test_as_many_are_chosen_as_asked_for(count: int) -> None:
    chosen = choose_subset(ADDRESSES, count, "hello-00001")

    assert len(chosen) == count
    assert chosen <= set(ADDRESSES)


def test_the_choice_depends_neither_on_the_order_nor_on_repetitions() -> None:
    assert choose_subset(ADDRESSES[::-1] + ADDRESSES, 4, "hello") == choose_subset(ADDRESSES, 4, "hello")


def test_addresses_that_share_a_slot_are_both_kept() -> None:
    # With more addresses than the birthday of 2,048 slots, some must collide.
    crowd = [f"10.{high}.0.{low}" for high in range(4) for low in range(250)]

    assert len(choose_subset(crowd, 999, "hello")) == 999


def test_targets_are_spread_over_the_addresses() -> None:
    uses = Counter(address for number in range(500) for address in choose_subset(ADDRESSES, 2, f"revision-{number}"))

    assert set(uses) == set(ADDRESSES)
    assert max(uses.values()) < 200  # 50 would be even


def test_few_targets_move_when_one_address_goes() -> None:
    targets = [f"revision-{number}" for number in range(200)]
    gone = ADDRESSES[7]
    moved = 0
    for target in targets:
        before, after = choose_subset(ADDRESSES, 3, target), choose_subset(set(ADDRESSES) - {gone}, 3, target)
        moved += len(before - {gone} - after)

    assert moved < len(targets) * 3 * 0.15
