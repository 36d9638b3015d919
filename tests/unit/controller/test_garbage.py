"""Which revisions go, and when: worked out by hand from the contract's rules (control-plane.md 7)."""

from typing import Any

import pytest

from controller.garbage import doomed, next_look
from tests.unit.controller.objects import revision
from upwell.api.config_gc import GcConfig
from upwell.api.objects import Object, name_of, timestamp

NOW = 946_684_800.0
HOUR = 3600.0
PREFIX = "serving.knative.dev/"


def aged(
    number: int, *, created: float, idle: float | None = None, state: str = "reserve", **annotations: str
) -> Object:
    """Revision `number`, made `created` hours ago and out of use for `idle` hours."""
    obj = revision(f"app-{number:05d}")
    obj["metadata"]["creationTimestamp"] = timestamp(NOW - created * HOUR)
    obj["metadata"]["labels"][PREFIX + "routingState"] = state
    obj["metadata"]["annotations"] = {PREFIX + key.replace("_", "-"): value for key, value in annotations.items()}
    if idle is not None:
        obj["metadata"]["annotations"][PREFIX + "routingStateModified"] = timestamp(NOW - idle * HOUR)
    return obj


def gone(revisions: list[Object], *, latest: str = "", in_use: tuple[str, ...] = (), **config: Any) -> list[int]:
    """The numbers of the revisions that go, in order."""
    found = doomed(revisions, latest, GcConfig(**config), NOW, in_use)
    return [int(name_of(one).rsplit("-", 1)[1]) for one in found]


FIVE = [aged(number, created=100 - number, idle=50 - number) for number in range(1, 6)]


def test_stale_revisions_go_oldest_first_until_the_least_number_is_left() -> None:
    assert gone(FIVE, non_active_min=2) == [1, 2, 3]


def test_nothing_goes_while_there_are_no_more_than_the_least_number() -> None:
    assert gone(FIVE, non_active_min=5) == []
    assert gone(FIVE, non_active_min=0) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("created", "idle", "goes"),
    [(48, 15, True), (47.9, 15, False), (48, 14.9, False), (480, 0, False)],
)
def test_a_revision_is_stale_when_it_is_past_both_limits(created: float, idle: float, goes: bool) -> None:
    assert gone([aged(1, created=created, idle=idle)], non_active_min=0) == ([1] if goes else [])


def test_a_limit_that_is_disabled_does_not_count() -> None:
    young, idle = aged(1, created=1, idle=0.5), aged(2, created=1, idle=20)

    assert gone([young, idle], non_active_min=0, retain_since_create=None) == [2]
    assert gone([young, idle], non_active_min=0, retain_since_last_active=None, retain_since_create=HOUR) == [2, 1]


def test_a_revision_without_a_change_of_its_routing_is_idle_since_it_was_made() -> None:
    assert gone([aged(1, created=49)], non_active_min=0) == [1]


def test_what_is_in_use_or_pinned_or_not_yet_routed_stays() -> None:
    kept = [
        aged(1, created=100, idle=50, state="active"),
        aged(2, created=100, idle=50, state="pending"),
        aged(3, created=100, idle=50, no_gc="True"),
        aged(4, created=100, idle=50),
        aged(5, created=100, idle=50),
    ]

    assert gone(kept, latest="app-00004", in_use=("app-00005",), non_active_min=0) == []


def test_the_most_that_may_stay_holds_for_fresh_ones_too() -> None:
    fresh = [aged(number, created=10 - number, idle=5 - number) for number in range(1, 5)]

    assert gone(fresh, non_active_min=1, non_active_max=2) == [1, 2]
    assert gone(fresh, non_active_min=1, non_active_max=None) == []


def test_the_most_counts_what_the_first_pass_left() -> None:
    mixed = [*FIVE[:2], *(aged(number, created=1, idle=1 / number) for number in (6, 7, 8))]

    assert gone(mixed, non_active_min=0, non_active_max=2) == [1, 2, 6]


def test_nothing_goes_when_every_limit_is_disabled() -> None:
    assert (
        gone(FIVE, non_active_min=0, retain_since_create=None, retain_since_last_active=None, non_active_max=None) == []
    )


def test_only_the_number_counts_when_the_times_are_disabled() -> None:
    times: dict[str, Any] = {"retain_since_create": None, "retain_since_last_active": None}

    assert gone(FIVE, non_active_min=0, non_active_max=3, **times) == [1, 2]


def test_it_looks_again_when_the_next_one_grows_stale() -> None:
    config = GcConfig(non_active_min=0)
    revisions = [aged(1, created=47, idle=20), aged(2, created=60, idle=5)]

    assert next_look(revisions, "", config, NOW) == pytest.approx(HOUR)
    assert next_look(revisions[1:], "", config, NOW) == pytest.approx(10 * HOUR)


def test_it_does_not_look_again_when_time_alone_changes_nothing() -> None:
    assert next_look(FIVE, "", GcConfig(non_active_min=5), NOW) is None
    assert next_look([aged(1, created=1, state="active")], "", GcConfig(non_active_min=0), NOW) is None
