"""Writers: one request at a time, nothing overtaken sent, nothing lost."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from upwell.clock import FakeClock
from upwell.cluster.errors import Invalid, NotFound, Unavailable
from upwell.local.runtime.writer import Writer


class Server:
    """Takes values when told to, or fails as told."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self.failures: list[Exception] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.tasks: list[asyncio.Task[None]] = []

    async def write(self, value: int) -> None:
        self.received.append(value)
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self.tasks.append(asyncio.create_task(work, name=name))


@pytest.fixture
async def server() -> Server:
    return Server()


def writer(server: Server, clock: FakeClock) -> Writer[int]:
    return Writer("thing", server.write, server.spawn, clock)


async def test_a_value_is_written_once(server: Server) -> None:
    clock = FakeClock()
    subject = writer(server, clock)

    subject.want(1)
    await clock.advance(0)
    subject.want(1)
    await clock.advance(0)

    assert server.received == [1]


async def test_values_overtaken_while_a_request_is_under_way_are_never_sent(server: Server) -> None:
    clock = FakeClock()
    subject = writer(server, clock)
    server.gate.clear()

    for value in (1, 2, 3):
        subject.want(value)
        await clock.advance(0)
    server.gate.set()
    await clock.advance(0)

    assert server.received == [1, 3]


async def test_what_failed_for_want_of_a_server_is_sent_again_and_then_with_the_latest_value(server: Server) -> None:
    clock = FakeClock()
    subject = writer(server, clock)
    server.failures = [Unavailable(0, "NoConnection", "away")]

    subject.want(1)
    await clock.advance(0)
    subject.want(2)
    await clock.advance(1)

    assert server.received == [1, 2]


@pytest.mark.parametrize("error", [NotFound(404, "NotFound", "gone"), Invalid(422, "Invalid", "no")])
async def test_what_can_never_succeed_is_not_repeated(server: Server, error: Exception) -> None:
    clock = FakeClock()
    subject = writer(server, clock)
    server.failures = [error]

    subject.want(1)
    await clock.advance(60)

    assert server.received == [1]


async def test_a_closed_writer_finishes_its_request_and_sends_no_more(server: Server) -> None:
    clock = FakeClock()
    subject = writer(server, clock)
    server.gate.clear()
    subject.want(1)
    await clock.advance(0)
    closing = asyncio.create_task(subject.close())
    subject.want(2)
    await clock.advance(0)
    assert not closing.done()

    server.gate.set()
    await clock.advance(0)

    assert closing.done()
    assert server.received == [1]
