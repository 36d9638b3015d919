"""Restart pauses: the distance between starts grows, not the pause itself."""

from upwell.local.runtime.backoff import RestartBackoff


def test_the_first_restart_comes_at_once() -> None:
    assert RestartBackoff().next(ran=0.0) == 0.0


def test_a_container_that_fails_on_its_first_line_waits_longer_each_time_up_to_ten_seconds() -> None:
    backoff = RestartBackoff()

    pauses = [backoff.next(ran=0.0) for _ in range(9)]

    assert pauses == [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_a_container_that_ran_longer_than_its_pause_is_back_at_once() -> None:
    backoff = RestartBackoff()
    for _ in range(4):
        backoff.next(ran=0.0)

    assert backoff.next(ran=5.0) == 0.0


def test_time_that_the_container_ran_counts_towards_its_pause() -> None:
    backoff = RestartBackoff()
    for _ in range(4):
        backoff.next(ran=0.0)

    assert backoff.next(ran=0.5) == 1.5


def test_a_minute_of_running_forgives_everything() -> None:
    backoff = RestartBackoff()
    for _ in range(9):
        backoff.next(ran=0.0)

    assert backoff.next(ran=60.0) == 0.0
    assert backoff.next(ran=0.0) == 0.25
