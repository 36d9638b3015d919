"""Windows: what an average says about the recent past, and what it does about gaps, late values and resizing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upwell.policy.windows import LinearWindow, SlidingMaximum, WeightedWindow, smoothing_coefficient


def filled(window: LinearWindow | WeightedWindow, *values: float, start: float = 100) -> None:
    for second, value in enumerate(values):
        window.record(start + second, value)


def test_the_first_seconds_are_averaged_over_themselves_alone() -> None:
    window = LinearWindow(60)

    filled(window, 10, 20)

    assert window.average(101) == 15


def test_values_within_one_second_add_up() -> None:
    window = LinearWindow(60)
    window.record(100.1, 3)
    window.record(100.9, 4)

    assert window.average(100.95) == 7


def test_a_full_window_forgets_the_oldest_second() -> None:
    window = LinearWindow(3)

    filled(window, 9, 1, 2, 3)

    assert window.average(103) == 2


def test_seconds_without_a_write_at_the_end_are_missing_and_not_zeros() -> None:
    window = LinearWindow(4)
    filled(window, 8, 8, 8, 8)

    assert window.average(105) == 8


def test_a_gap_before_the_newest_write_counts_as_zeros() -> None:
    window = LinearWindow(10)
    window.record(100, 6)
    window.record(102, 6)

    assert window.average(102) == 4


def test_after_a_whole_window_of_silence_everything_starts_anew() -> None:
    window = LinearWindow(5)
    filled(window, 50, 50)
    window.record(110, 2)

    assert window.average(110) == 2


def test_a_late_value_lands_in_its_own_second() -> None:
    window = LinearWindow(3)
    filled(window, 1, 1, 1)
    window.record(101, 6)

    assert window.average(102) == 3
    window.record(104, 0)
    assert window.average(104) == pytest.approx(1 / 3, abs=1e-6)


def test_a_value_older_than_the_window_is_dropped() -> None:
    window = LinearWindow(3)
    filled(window, 1, 1, 1)
    window.record(99, 600)

    assert window.average(102) == 1


def test_a_window_is_empty_once_nothing_was_written_for_longer_than_it() -> None:
    window = LinearWindow(6)
    assert window.is_empty(100)
    window.record(100, 0)

    assert not window.is_empty(106.9)
    assert window.is_empty(107)


def test_shrinking_keeps_the_newest_seconds_and_growing_counts_the_old_length_as_full() -> None:
    window = LinearWindow(4)
    filled(window, 1, 2, 3, 4)

    window.resize(2, 103)
    assert window.average(103) == 3.5
    window.resize(8, 103)
    assert window.average(103) == 3.5


def test_a_weighted_window_leans_to_the_newest_second() -> None:
    window = WeightedWindow(60)

    filled(window, 0, 0, 10)

    assert window.average(102) == pytest.approx(10 * 0.2)
    assert window.average(103) == pytest.approx(10 * 0.2 * 0.8)


def test_the_newest_weight_never_falls_below_a_fifth() -> None:
    assert smoothing_coefficient(1) == pytest.approx(0.9999)
    assert smoothing_coefficient(3600) == 0.2


def test_the_maximum_is_forgotten_when_its_bucket_leaves_the_window() -> None:
    window = SlidingMaximum(6, 2)

    assert [window.record(at, value) for at, value in ((0, 9), (2, 4), (4, 5), (6, 1), (10, 1))] == [9, 9, 9, 5, 1]


def test_a_clock_that_goes_back_does_not_lose_the_maximum() -> None:
    window = SlidingMaximum(4, 2)
    window.record(100, 3)

    assert window.record(50, 1) == 3
    assert window.record(102, 1) == 3


@given(
    st.integers(1, 12),
    st.lists(st.tuples(st.integers(0, 4), st.floats(0, 1e6)), min_size=1, max_size=60),
)
def test_an_average_lies_within_what_was_written(size: int, steps: list[tuple[int, float]]) -> None:
    window, now, highest = LinearWindow(size), 1000, 0.0
    sums: dict[int, float] = {}
    for pause, value in steps:
        now += pause
        window.record(now, value)
        sums[now] = sums.get(now, 0) + value
        highest = max(highest, *sums.values())

        assert -1e-6 <= window.average(now) <= highest * (1 + 1e-9) + 1e-6
