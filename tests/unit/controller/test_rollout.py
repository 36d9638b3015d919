"""How traffic moves over to a new revision, step by step."""

import pytest

from controller.route.rollout import ConfigurationRollout, Rollout, parse_rollout

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


def state(*shares: tuple[str, int], percent: int = 100, **steps: int) -> Rollout:
    return Rollout((ConfigurationRollout("app", "", percent, shares, **steps),))


def shares(rollout: Rollout) -> dict[str, int]:
    return dict(rollout.configurations[0].revisions)


def test_a_first_revision_gets_everything_at_once() -> None:
    goal = state(("app-1", 100))

    assert Rollout().advance(goal, START) == goal


def test_a_new_revision_begins_with_one_percent() -> None:
    begun = state(("app-1", 100)).advance(state(("app-2", 100)), START)

    assert shares(begun) == {"app-1": 99, "app-2": 1}
    assert begun.configurations[0].started == START
    assert not begun.done
    assert begun.next_step() == 0


def test_the_steps_of_a_rollout_over_twenty_seconds_are_as_recorded() -> None:
    goal = state(("app-2", 100))
    rollout = state(("app-1", 100)).advance(goal, START).observe_ready(START + SECOND // 10, 20)
    assert (rollout.configurations[0].step_size, rollout.configurations[0].step_duration) == (5, SECOND)

    seen = []
    while not rollout.done:
        rollout = rollout.advance(goal, rollout.next_step())
        seen.append(shares(rollout)["app-2"])

    assert seen == [6, 11, 16, 21, 26, 31, 36, 41, 46, 51, 56, 61, 66, 71, 76, 81, 86, 91, 96, 100]
    assert rollout == goal


def test_nothing_moves_before_the_next_step_is_due() -> None:
    goal = state(("app-2", 100))
    planned = state(("app-1", 100)).advance(goal, START).observe_ready(START, 100)

    assert planned.advance(goal, planned.next_step() - 1) == planned


def test_an_ingress_that_takes_its_time_makes_for_fewer_and_larger_steps() -> None:
    planned = state(("app-1", 100)).advance(state(("app-2", 100)), START).observe_ready(START + 10 * SECOND, 40)

    one = planned.configurations[0]
    assert (one.step_size, one.step_duration) == (33, 10 * SECOND)


def test_a_third_revision_in_the_middle_takes_over_from_the_newest_before() -> None:
    goal = state(("app-3", 100))
    middle = state(("app-1", 60), ("app-2", 40), started=START, step_duration=SECOND, step_size=10)

    begun = middle.advance(goal, START)
    planned = begun.observe_ready(START, 20)
    stepped = planned.advance(goal, planned.next_step())

    assert shares(begun) == {"app-1": 60, "app-2": 39, "app-3": 1}
    assert shares(stepped) == {"app-1": 60, "app-2": 34, "app-3": 6}


def test_one_percent_jumps() -> None:
    goal = state(("app-2", 1), percent=1)

    assert state(("app-1", 1), percent=1).advance(goal, START) == goal


@pytest.mark.parametrize(("percent", "expected"), [(80, {"app-1": 50, "app-2": 30}), (120, {})])
def test_a_changed_target_percentage_is_given_by_the_oldest(percent: int, expected: dict[str, int]) -> None:
    middle = state(("app-1", 70), ("app-2", 30), started=START)
    if percent > 100:
        grown = state(("app-1", 50), ("app-2", 30), percent=80).advance(state(("app-2", 100)), START)
        assert shares(grown) == {"app-1": 50, "app-2": 50}
    else:
        assert shares(middle.advance(state(("app-2", percent), percent=percent), START)) == expected


def test_the_state_survives_its_annotation() -> None:
    rollout = state(("app-1", 99), ("app-2", 1), started=START, next_step=START + 1, step_duration=2, step_size=5)

    assert parse_rollout(rollout.to_json()) == rollout
    assert state(("app-1", 100)).to_json() == (
        '{"configurations":[{"configurationName":"app","percent":100,'
        '"revisions":[{"revisionName":"app-1","percent":100}],"stepParams":{}}]}'
    )
    assert Rollout().to_json() == "{}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not JSON",
        "[]",
        '{"configurations":[{"configurationName":"app","percent":100,"revisions":[{"revisionName":"a","percent":7}]}]}',
        '{"configurations":[{"configurationName":"app","percent":200,"revisions":[{"revisionName":"a","percent":200}]}]}',
        '{"configurations":[{"percent":100}]}',
    ],
)
def test_a_state_that_makes_no_sense_is_no_state(text: str) -> None:
    assert parse_rollout(text) == Rollout()
