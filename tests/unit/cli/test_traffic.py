"""The client that the demo counts with."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestServer

from upwell.cli.traffic import Traffic, percentile


@asynccontextmanager
async def serving(status: int) -> AsyncIterator[Traffic]:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, text=request.host)

    app = web.Application()
    app.add_routes([web.get("/", answer)])
    async with TestServer(app) as server:
        yield Traffic(f"http://127.0.0.1:{server.port}", "hello.default.localhost")


async def test_an_answer_is_counted_and_timed() -> None:
    async with serving(200) as traffic, traffic.session(1) as session:
        first_byte = await traffic.request(session)

    assert (traffic.sent, traffic.answered, traffic.failed, traffic.in_flight) == (1, 1, 0, 0)
    assert 0 < first_byte <= traffic.latencies_ms[0]


async def test_any_other_status_is_a_failure_of_that_kind() -> None:
    async with serving(503) as traffic, traffic.session(1) as session:
        assert await traffic.request(session) == -1

    assert traffic.failures == {"status 503": 1}
    assert traffic.answered == 0


async def test_a_refused_connection_is_a_failure_and_not_an_error() -> None:
    traffic = Traffic("http://127.0.0.1:9", "a")
    async with traffic.session(1) as session:
        await traffic.request(session)

    assert traffic.failed == 1
    assert traffic.in_flight == 0


def test_percentiles_of_nothing_and_of_one_value_are_defined() -> None:
    assert percentile([], 99) == 0
    assert percentile([7.0], 50) == 7.0
    assert percentile([float(n) for n in range(1, 101)], 50) == 50.5
