"""The phases of a cold start add up to the whole, whatever was seen or missed."""

import pytest

from activator.cold_start import PHASES, ColdStart, Moment

MOMENTS: tuple[tuple[Moment, float], ...] = (
    ("decided", 2.0),
    ("pod_created", 3.0),
    ("sidecar_up", 5.0),
    ("app_ready", 8.0),
)


def test_each_phase_lasts_from_the_moment_before() -> None:
    cold_start = ColdStart()
    for moment, now in MOMENTS:
        cold_start.mark(moment, now)

    phases = cold_start.phases(arrived=0.5, queued=1.0, first_byte=9.0)

    assert phases == {
        "queued": 0.5,
        "decided": 1.0,
        "pod_created": 1.0,
        "sidecar_up": 2.0,
        "app_ready": 3.0,
        "first_byte": 1.0,
    }


def test_a_moment_that_was_not_seen_took_no_time() -> None:
    cold_start = ColdStart()
    cold_start.mark("app_ready", 4.0)

    phases = cold_start.phases(1.0, 1.0, 5.0)

    assert phases["decided"] == phases["sidecar_up"] == 0.0
    assert phases["app_ready"] == 3.0


@pytest.mark.parametrize("arrived", [0.0, 2.5, 8.5], ids=["before all", "between", "after all"])
def test_the_phases_add_up_to_the_whole(arrived: float) -> None:
    cold_start = ColdStart()
    for moment, now in MOMENTS:
        cold_start.mark(moment, now)

    phases = cold_start.phases(arrived, arrived, 9.0)

    assert list(phases) == list(PHASES)
    assert sum(phases.values()) == pytest.approx(9.0 - arrived)
    assert min(phases.values()) >= 0


def test_the_first_pod_of_a_cold_start_counts_and_the_next_cold_start_begins_anew() -> None:
    cold_start = ColdStart()
    cold_start.mark("pod_created", 1.0)
    cold_start.mark("pod_created", 5.0)
    assert cold_start.phases(0.0, 0.0, 9.0)["pod_created"] == 1.0

    cold_start.forget()
    cold_start.mark("pod_created", 5.0)
    assert cold_start.phases(4.0, 4.0, 9.0)["pod_created"] == 1.0
