"""Kubernetes' horizontal scaling: the numbers of its documentation, and who counts how."""

import pytest

from upwell.local.horizontal.algorithm import Measured, Stabilizer, bounded, wanted


def pods(*used: float | None, aim: float = 50, ready: bool = True) -> list[Measured]:
    return [Measured(ready, one, aim) for one in used]


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        ((100, 100), 4),  # twice the aim
        ((25, 25), 1),
        ((54, 54), 2),  # within a tenth
        ((46, 46), 2),
        ((56, 56), 3),
        ((0, 0), 0),
    ],
)
def test_pods_follow_the_ratio_of_use_to_aim(used: tuple[float, ...], expected: int) -> None:
    assert wanted(pods(*used), len(used)) == expected


def test_without_any_figure_there_is_no_wish() -> None:
    assert wanted(pods(None, None), 2) is None
    assert wanted(pods(80, ready=False), 1) is None


def test_pods_without_figures_are_idle_on_the_way_up_and_at_their_aim_on_the_way_down() -> None:
    assert wanted(pods(100, 100, None), 3) == 4, "200 over an aim of 150"
    assert wanted(pods(75, None), 2) == 2, "75 over an aim of 100 says fewer, the 75 of one pod said more"
    assert wanted(pods(5, 5, None, None), 4) == 3, "110 over an aim of 200"


def test_pods_that_start_dampen_the_way_up_only() -> None:
    assert wanted([*pods(100), *pods(None, ready=False)], 2) == 2
    assert wanted([*pods(10, 10), *pods(None, ready=False)], 3) == 1


def test_down_goes_by_the_highest_wish_of_its_window_and_up_by_the_lowest_of_its_own() -> None:
    stabilizer = Stabilizer()
    assert stabilizer.settle(0, 5, 2, 0, 30) == 5
    assert stabilizer.settle(10, 1, 5, 0, 30) == 5
    assert stabilizer.settle(30, 1, 5, 0, 30) == 5
    assert stabilizer.settle(31, 1, 5, 0, 30) == 1
    patient = Stabilizer()
    assert patient.settle(0, 1, 1, 10, 10) == 1
    assert patient.settle(5, 4, 1, 10, 10) == 1
    assert patient.settle(15, 4, 1, 10, 10) == 4


def test_a_step_up_is_at_most_doubling_or_four_more_in_a_quarter_of_a_minute() -> None:
    stabilizer = Stabilizer()
    assert stabilizer.settle(0, 100, 1, 0, 0) == 5
    assert stabilizer.settle(2, 100, 5, 0, 0) == 5
    assert stabilizer.settle(15, 100, 5, 0, 0) == 10


def test_bounds_win_and_say_which() -> None:
    assert bounded(0, 1, 3) == (1, "TooFewReplicas")
    assert bounded(9, 1, 3) == (3, "TooManyReplicas")
    assert bounded(2, 1, 3) == (2, "")
