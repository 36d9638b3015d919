"""How Ready follows from the conditions that it depends on."""

from typing import Any

import pytest

from upwell.api.conditions import Conditions, ConditionSet, find, keep_transition_times, status_of

KINDS = ConditionSet("Ready", ["Built", "Routed"])
START = 946_684_800.0


@pytest.fixture
def status() -> dict[str, Any]:
    return {}


@pytest.fixture
def conditions(status: dict[str, Any]) -> Conditions:
    managed = KINDS.manage(status, START)
    managed.init()
    return managed


def test_missing_conditions_start_unknown_and_sorted(conditions: Conditions, status: dict[str, Any]) -> None:
    assert [(c["type"], c["status"]) for c in status["conditions"]] == [
        ("Built", "Unknown"),
        ("Ready", "Unknown"),
        ("Routed", "Unknown"),
    ]


def test_new_dependents_of_a_ready_object_start_true(status: dict[str, Any]) -> None:
    status["conditions"] = [{"type": "Ready", "status": "True"}]

    KINDS.manage(status, START).init()

    assert status_of(status, "Built") == "True"


def test_ready_is_true_once_all_dependents_are(conditions: Conditions) -> None:
    conditions.mark_true("Built")
    assert conditions.status("Ready") == "Unknown"

    conditions.mark_true("Routed")
    assert conditions.is_true("Ready")
    assert "reason" not in conditions.get("Ready")


def test_a_false_dependent_makes_ready_false_with_its_words(conditions: Conditions) -> None:
    conditions.mark_false("Built", "NoSpace", "The disk is full.")

    ready = conditions.get("Ready")
    assert (ready["status"], ready["reason"], ready["message"]) == ("False", "NoSpace", "The disk is full.")


def test_an_unknown_dependent_does_not_hide_a_false_one(conditions: Conditions) -> None:
    conditions.mark_false("Built", "NoSpace", "The disk is full.")
    conditions.mark_unknown("Routed", "Waiting", "Not yet.")

    assert conditions.get("Ready")["reason"] == "NoSpace"
    assert conditions.is_false("Ready")


def test_recovery_of_one_falls_back_to_the_latest_failure(conditions: Conditions) -> None:
    conditions.mark_false("Routed", "NoRoute", "")
    conditions.mark_false("Built", "NoSpace", "")
    conditions.mark_true("Built")

    assert conditions.get("Ready")["reason"] == "NoRoute"


def test_a_pass_that_learns_nothing_new_leaves_the_reason_of_ready(status: dict[str, Any]) -> None:
    for now in (START, START + 0.5):
        again = ConditionSet("Ready", ["Built", "Routed", "Placed"]).manage(status, now)
        again.init()
        again.mark_unknown("Placed", "NoRoom")
        again.mark_true("Built")

    assert find(status, "Ready")["reason"] == "NoRoom"


def test_other_conditions_are_information_only(conditions: Conditions) -> None:
    conditions.mark_false("Active", "NoTraffic", "Idle.")

    assert conditions.get("Active")["severity"] == "Info"
    assert conditions.status("Ready") == "Unknown"


def test_the_transition_time_moves_only_with_a_change(conditions: Conditions, status: dict[str, Any]) -> None:
    later = KINDS.manage(status, START + 60)
    later.mark_unknown("Built")
    later.mark_unknown("Routed", "Waiting")

    assert find(status, "Built")["lastTransitionTime"] == "2000-01-01T00:00:00Z"
    assert find(status, "Routed")["lastTransitionTime"] == "2000-01-01T00:01:00Z"


def test_a_change_taken_back_in_one_pass_keeps_its_time(conditions: Conditions, status: dict[str, Any]) -> None:
    before = [dict(condition) for condition in status["conditions"]]
    later = KINDS.manage(status, START + 60)
    later.mark_false("Built", "NoSpace")
    later.mark_unknown("Built")
    later.mark_unknown("Ready")

    keep_transition_times(before, status)

    assert find(status, "Built")["lastTransitionTime"] == "2000-01-01T00:00:00Z"
