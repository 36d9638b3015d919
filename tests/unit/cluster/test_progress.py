"""Which statuses wait, for how long, and which never do."""

from typing import Any

import pytest

from upwell.api.objects import Key
from upwell.clock import FakeClock
from upwell.cluster.progress import HELD_SECONDS, TOKENS_MOST, TOKENS_PER_SECOND, Progress, earliest

APP = Key("shop", "app")


def status(ready: str, reason: str = "", **fields: Any) -> dict[str, Any]:
    return {"conditions": [{"type": "Ready", "status": ready, "reason": reason}], **fields}


@pytest.fixture(name="clock")
def clock_fixture() -> FakeClock:
    return FakeClock()


def spent(clock: FakeClock) -> Progress:
    """One that has no token left."""
    progress = Progress(clock, lasting=lambda status: status.get("digests"))
    for number in range(TOKENS_MOST):
        assert progress.hold(Key("shop", str(number)), None, status("Unknown")) is None
    return progress


def test_the_steps_of_a_few_objects_are_told_at_once(clock: FakeClock) -> None:
    progress = Progress(clock)

    for step in range(TOKENS_MOST):
        assert progress.hold(APP, status("Unknown", str(step)), status("Unknown", str(step + 1))) is None


def test_one_step_of_many_waits_and_is_told_when_its_time_is_over(clock: FakeClock) -> None:
    progress = spent(clock)

    assert progress.hold(APP, None, status("Unknown", "Deploying")) == HELD_SECONDS


async def test_a_step_is_told_after_half_a_minute_however_many_there_are(clock: FakeClock) -> None:
    progress = spent(clock)
    progress.hold(APP, None, status("Unknown", "Deploying"))
    await clock.advance(4)
    for number in range(TOKENS_MOST):
        progress.hold(Key("shop", f"other-{number}"), None, status("Unknown"))

    assert progress.hold(APP, None, status("Unknown", "Deploying")) == pytest.approx(HELD_SECONDS - 4)
    await clock.advance(HELD_SECONDS - 4)
    for number in range(TOKENS_MOST):
        progress.hold(Key("shop", f"another-{number}"), None, status("Unknown"))
    assert progress.hold(APP, None, status("Unknown", "Deploying")) is None


@pytest.mark.parametrize(("before", "after"), [("Unknown", "True"), ("Unknown", "False"), ("True", "Unknown")])
def test_whether_something_is_ready_never_waits(clock: FakeClock, before: str, after: str) -> None:
    assert spent(clock).hold(APP, status(before), status(after)) is None


def test_what_later_decisions_are_based_on_never_waits(clock: FakeClock) -> None:
    progress = spent(clock)

    assert progress.hold(APP, status("Unknown"), status("Unknown", digests=["sha256:1"])) is None
    assert (
        progress.hold(APP, status("Unknown", digests=["sha256:1"]), status("Unknown", digests=["sha256:1"], step=2))
        is not None
    )


def test_a_step_that_is_there_already_does_not_wait_for_itself(clock: FakeClock) -> None:
    progress = spent(clock)
    progress.hold(APP, None, status("Unknown", "Deploying"))

    assert progress.hold(APP, status("Unknown", "Deploying"), status("Unknown", "Deploying")) is None
    assert progress.hold(APP, status("Unknown", "Deploying"), status("Unknown", "Next")) == HELD_SECONDS


async def test_steps_are_told_again_as_time_goes_by(clock: FakeClock) -> None:
    progress = spent(clock)
    await clock.advance(3)

    told = [progress.hold(Key("shop", f"late-{number}"), None, status("Unknown")) for number in range(10)]

    assert told.count(None) == 3 * TOKENS_PER_SECOND


def test_the_earliest_of_no_waits_is_none() -> None:
    assert earliest(None, None) is None
    assert earliest(None, 3.0, 2.0) == 2.0
