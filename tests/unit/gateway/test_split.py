"""Percentages: exact over a deck, whatever the order."""

import random

import pytest

from gateway.split import Deck


@pytest.mark.parametrize("weights", [[90, 10], [50, 50], [1, 99], [33, 33, 34], [70, 20, 5, 5], [100]])
def test_a_split_is_exact_over_ten_thousand(weights: list[int]) -> None:
    deck = Deck(weights, random.Random(1))
    counts = [0] * len(weights)
    for _ in range(10_000):
        counts[deck.deal()] += 1

    assert counts == [weight * 100 for weight in weights]


def test_a_split_does_not_fall_into_step_with_pairs_of_requests() -> None:
    deck = Deck([50, 50], random.Random(1))
    first_of_pair = [(deck.deal(), deck.deal())[0] for _ in range(1000)]

    assert 400 < sum(first_of_pair) < 600


def test_no_weight_means_no_card() -> None:
    deck = Deck([0, 100, 0])
    assert {deck.deal() for _ in range(10)} == {1}
