"""Rounds: each key once in a period, and all of them spread over it."""

import asyncio

from autoscaler.rounds import Rounds
from upwell.api.objects import Key
from upwell.clock import FakeClock


async def test_every_key_has_one_turn_in_each_period(clock: FakeClock) -> None:
    rounds = Rounds(1.0, clock)
    keys = [Key("default", f"r{number}") for number in range(50)]
    for key in keys:
        rounds.add(key)
    turns: list[Key] = []
    task = asyncio.create_task(rounds.run(turns.append))

    await clock.advance(2.99)
    task.cancel()

    assert {key: turns.count(key) for key in keys} == dict.fromkeys(keys, 3)


async def test_turns_are_spread_over_the_period(clock: FakeClock) -> None:
    rounds = Rounds(2.0, clock)
    for number in range(80):
        rounds.add(Key("default", f"r{number}"))
    times: list[float] = []
    task = asyncio.create_task(rounds.run(lambda key: times.append(clock.monotonic())))

    await clock.advance(1.99)
    task.cancel()

    assert len(times) == 80
    assert max(times.count(at) for at in times) == 2


async def test_a_key_that_was_removed_has_no_more_turns(clock: FakeClock) -> None:
    rounds = Rounds(1.0, clock)
    key = Key("default", "gone")
    rounds.add(key)
    turns: list[Key] = []
    task = asyncio.create_task(rounds.run(turns.append))
    await clock.advance(0.5)
    rounds.remove(key)
    rounds.remove(key)
    await clock.advance(5)
    task.cancel()

    assert turns == [key]
