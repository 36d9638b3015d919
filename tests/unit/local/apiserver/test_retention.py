"""How long Events stay."""

from typing import Any

import pytest

from tests.unit.local.apiserver.world import World
from upwell.api.resources import EVENT
from upwell.local.apiserver.retention import Retention

NOW = {"lastTimestamp": "2000-01-01T00:00:00Z"}
LONG_AGO = {"lastTimestamp": "1999-12-31T22:59:59Z"}


def event(name: str, **times: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "involvedObject": {}, **times}


@pytest.mark.parametrize(
    ("times", "stays"),
    [
        (NOW, True),
        (LONG_AGO, False),
        ({}, True),
        ({"lastTimestamp": "junk"}, True),
        ({"eventTime": "1999-12-31T22:00:00.123456Z"}, False),
        ({**LONG_AGO, "series": {"lastObservedTime": "2000-01-01T00:00:00.000000Z"}}, True),
    ],
)
def test_an_event_stays_for_an_hour_after_it_was_last_seen(world: World, times: dict[str, Any], stays: bool) -> None:
    world.create(EVENT, event("e", **times))

    Retention(world.store, world.clock).remove_old()

    assert world.names(EVENT) == (["e"] if stays else [])


async def test_time_passes(world: World) -> None:
    world.create(EVENT, event("e", **NOW))

    await world.clock.advance(3601)

    assert Retention(world.store, world.clock).remove_old() == 1
