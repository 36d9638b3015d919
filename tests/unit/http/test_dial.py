"""Opening connections: how often, how long, and what is said when there is none. The clock is the test's."""

import asyncio
import socket

import pytest

from tests.unit.http.world import GET, OK, Peer, World, settle
from upwell.http import FailureKind, Limits
from upwell.http.dial import attempts


class Silence:
    """An address that does not answer: attempts go out, and nothing comes back before `answers_at` of them."""

    def __init__(self, world: World, answers_at: int = 1000) -> None:
        self.begun: list[float] = []
        self.given_up: list[float] = []
        self._world = world
        self._answers_at = answers_at

    async def __call__(self, attempt: int) -> None:
        clock = self._world.clock
        self.begun.append(clock.monotonic())
        if attempt >= self._answers_at:
            return
        try:
            await asyncio.Event().wait()
        finally:
            self.given_up.append(clock.monotonic())


def asked(world: World) -> Peer:
    client = world.client()
    client.sends(GET)
    return client


def test_attempts_get_longer_by_1_4_with_a_pause_before_each_but_the_first() -> None:
    schedule = list(attempts())

    assert len(schedule) == 16
    assert schedule[0] == (0.0, 0.05)
    for number, (pause, seconds) in enumerate(schedule[1:]):
        assert 0.03 <= pause <= 0.06
        assert 0.05 * 1.4**number <= seconds <= 0.05 * 1.4**number * 1.1
    assert 19 < sum(pause + seconds for pause, seconds in schedule) < 23


async def test_an_attempt_that_takes_too_long_is_followed_by_another(world: World) -> None:
    world.connects = silence = Silence(world, answers_at=3)
    client = asked(world)
    await settle()

    await world.passes(0.049)
    assert len(silence.begun) == 1
    await world.passes(1)
    (upstream,) = world.upstreams
    upstream.sends(OK)

    assert len(silence.begun) == 3
    assert silence.given_up[0] == pytest.approx(0.05)
    assert 0.03 <= silence.begun[1] - silence.given_up[0] <= 0.06
    assert 0.05 <= silence.given_up[1] - silence.begun[1] <= 0.055
    assert client.got == OK


async def test_sixteen_attempts_are_enough(world: World) -> None:
    world.connects = silence = Silence(world)
    asked(world)

    await world.passes(25)

    assert len(silence.begun) == len(silence.given_up) == 16
    (failure,) = world.app.failures
    assert (failure.kind, failure.retryable) == (FailureKind.CONNECT_TIMEOUT, True)
    assert failure.message == f"timed out dialing 10.0.0.1:8080 after {silence.given_up[-1]:.2f}s"
    world.quiet()


async def test_all_attempts_together_are_bounded(world: World) -> None:
    world = World(Limits(connect_timeout=0.5))
    world.connects = silence = Silence(world)
    asked(world)

    await world.passes(0.6)

    (failure,) = world.app.failures
    assert silence.given_up[-1] <= 0.5 + 1e-9
    assert failure.message == "timed out dialing 10.0.0.1:8080 after 0.50s"


async def test_who_is_refused_knows_at_once(world: World) -> None:
    async def refused(attempt: int) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    world.connects = refused
    asked(world)
    await settle()

    assert len(world.dials) == 1
    assert world.app.failures[0].kind is FailureKind.CONNECT_REFUSED


async def test_a_refusal_after_a_silence_is_the_last_word(world: World) -> None:
    async def silent_then_refused(attempt: int) -> None:
        if attempt > 1:
            raise ConnectionRefusedError(111, "Connection refused")
        await asyncio.Event().wait()

    world.connects = silent_then_refused
    asked(world)
    await world.passes(1)

    assert len(world.dials) == 2
    assert world.app.failures[0].kind is FailureKind.CONNECT_REFUSED


async def test_the_kernel_asks_silent_peers_every_five_seconds(world: World) -> None:
    await world.exchange(world.client())

    assert set(world.upstreams[0].socket.options) == {
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    }


async def test_a_drain_ends_attempts_that_are_under_way(world: World) -> None:
    world.connects = silence = Silence(world)
    client = asked(world)
    await settle()
    client.ends()

    assert await world.engine.drain(0)

    assert len(silence.given_up) == 1
    assert not world.upstreams
