"""Faults at every byte: the app or the client closes, resets or stalls there; what is seen, and that nothing leaks.

After each case the sidecar, whose limit is one, serves the next request, so its slot is free; at the end of each test
nothing is in flight and nobody waits.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.integration.sidecar import OK, USER_METRICS, App, Sidecar, app, sidecar
from tests.waiting import eventually

METRICS = '{"requestMetrics": {"protocol": "prometheus"}}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"
UPLOAD = b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED_UPLOAD = b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
Reply = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Faulty:
    """An app that says a part of an answer to /fault and then fails; to anything else it says ok."""

    def __init__(self) -> None:
        self.answer = ANSWER
        self.length = 0
        self.reset = False

    async def __call__(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b" /fault" not in head:
            writer.write(OK)
            return
        writer.write(self.answer[: self.length])
        await writer.drain()
        if self.reset:
            # A reset throws away what the other side has not read; let the answer's part arrive first.
            await asyncio.sleep(0.005)
            writer.transport.abort()
        else:
            writer.close()


@contextlib.asynccontextmanager
async def served(reply: Reply, **settings: str) -> AsyncIterator[tuple[App, Sidecar]]:
    settings = {"CONTAINER_CONCURRENCY": "1", "OBSERVABILITY_CONFIG": METRICS, **settings}
    async with app(reply) as running, sidecar(running.port, **settings) as proxy:
        yield running, proxy
        await eventually(lambda: nothing_is_left(proxy))
        assert not [line for line in proxy.lines if "raceback" in line or "failed in" in line]


async def nothing_is_left(proxy: Sidecar) -> bool:
    text = (await proxy.get("/metrics", port=USER_METRICS)).body.decode()
    wanted = ("upwell_queueproxy_in_flight_requests 0.0", "upwell_queueproxy_waiting_requests 0.0")
    return all(f"{line}\n" in text for line in wanted) and "kn_serving_queue_depth{" in text


async def seen(proxy: Sidecar, request: bytes) -> bytes:
    client = await proxy.connect()
    client.send(request)
    data = await client.rest(5)
    client.close()
    return data


@pytest.mark.parametrize("answer", [ANSWER, CHUNKED], ids=["length", "chunked"])
@pytest.mark.parametrize("reset", [False, True], ids=["close", "reset"])
async def test_an_app_that_breaks_off_is_502_before_its_answer_and_a_cut_within(answer: bytes, reset: bool) -> None:
    faulty = Faulty()
    faulty.answer, faulty.reset = answer, reset
    body_begins = answer.index(b"\r\n\r\n") + 4
    request = b"POST /fault HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    async with served(faulty) as (_, proxy):
        for faulty.length in range(len(answer) + 1):
            data = await seen(proxy, request)
            if faulty.length < body_begins:
                assert data.startswith(b"HTTP/1.1 502 "), faulty.length
                assert b"Upwell-Error: queueproxy; reason=reset\r\n" in data
            elif faulty.length == len(answer):
                assert data.startswith(b"HTTP/1.1 200 ")
                assert b"hello" in data
            else:
                assert not data.endswith((b"\r\n\r\nhello", b"0\r\n\r\n", b"X-T: 1\r\n\r\n")), data
                assert b"502" not in data[:15]
            assert (await proxy.get("/after")).status == 200


@pytest.mark.parametrize("request_bytes", [UPLOAD, CHUNKED_UPLOAD], ids=["length", "chunked"])
@pytest.mark.parametrize("reset", [False, True], ids=["close", "reset"])
async def test_a_client_that_leaves_at_any_byte_leaves_nothing_behind(request_bytes: bytes, reset: bool) -> None:
    async def read_upload(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"/upload" in head:
            await reader.read()  # for ever, unless the sidecar lets go
        writer.write(OK)

    async with served(read_upload) as (running, proxy):
        for length in range(len(request_bytes) + 1):
            client = await proxy.connect()
            client.send(request_bytes[:length])
            await client.writer.drain()
            if length == len(request_bytes):
                await eventually(lambda: running.running > 0)
            if reset:
                client.reset()
            else:
                client.close()
            assert (await proxy.get("/after")).status == 200
        await eventually(lambda: running.running == 0)


@pytest.mark.parametrize("length", [0, 10, len(ANSWER) - 5, len(ANSWER) - 1])
async def test_an_app_that_stalls_is_504_before_its_answer_and_a_cut_within(length: int) -> None:
    async def stall(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"/fault" not in head:
            writer.write(OK)
            return
        writer.write(ANSWER[:length])
        await reader.read()

    async with served(stall, REVISION_TIMEOUT_SECONDS="1") as (running, proxy):
        data = await seen(proxy, b"GET /fault HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        if length < len(ANSWER) - 5:
            assert data.startswith(b"HTTP/1.1 504 ")
            assert data.endswith(b"\r\n\r\nrequest timeout")
            assert b"Upwell-Error: queueproxy; reason=timeout\r\n" in data
        else:
            assert data.startswith(b"HTTP/1.1 200 ")
            assert not data.endswith(b"hello")
        assert (await proxy.get("/after")).status == 200
        await eventually(lambda: running.running == 0)


async def test_a_client_that_stalls_in_its_upload_is_408_and_the_app_is_let_go() -> None:
    async def read_upload(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"/upload" in head:
            await reader.read()
        writer.write(OK)

    async with served(read_upload, UPWELL_BODY_IDLE_TIMEOUT_SECONDS="0.3") as (running, proxy):
        client = await proxy.connect()
        client.send(UPLOAD[:-2])
        answer = await client.answer()
        assert answer.status == 408
        assert answer.headers["upwell-error"] == "queueproxy; reason=body-timeout"
        await eventually(lambda: running.running == 0)
        assert (await proxy.get("/after")).status == 200


async def test_a_head_that_never_ends_closes_the_connection() -> None:
    async with served(Faulty(), UPWELL_HEAD_TIMEOUT_SECONDS="0.3") as (_, proxy):
        assert await seen(proxy, b"GET / HTTP/1.1\r\nHost") == b""


async def test_limits_are_set_by_variables() -> None:
    settings = {"UPWELL_HEAD_BYTES_MAX": "1000", "UPWELL_HEAD_FIELDS_MAX": "3", "UPWELL_TARGET_BYTES_MAX": "20"}
    async with served(Faulty(), **settings) as (_, proxy):
        for request, status in (
            (b"GET /" + b"x" * 30 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 1000 + b"\r\n\r\n", 431),
            (b"GET / HTTP/1.1\r\nHost: a\r\nB: 1\r\nC: 2\r\nD: 3\r\n\r\n", 431),
        ):
            assert (await seen(proxy, request)).startswith(b"HTTP/1.1 %d " % status)


async def test_an_app_that_closes_between_requests_costs_a_get_nothing() -> None:
    async def close_after(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        writer.close()

    async with served(close_after) as (_, proxy):
        client = await proxy.connect()
        for method in ("GET", "POST", "GET", "POST"):
            client.send(f"{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".encode())
            assert (await client.answer()).status == 200


# Better than the reference: one test for each way in which it fails its users.


async def test_an_informational_answer_does_not_change_the_final_status() -> None:
    async def hint(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n")

    async with served(hint) as (_, proxy):
        data = await seen(proxy, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert data.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 418 Teapot\r\n")


@pytest.mark.parametrize("status", [413, 504])
async def test_an_early_answer_reaches_a_client_that_is_still_uploading(status: int) -> None:
    async def refuse(_: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if status == 413:
            writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
            return
        await reader.read()

    async with served(refuse, REVISION_TIMEOUT_SECONDS="1") as (_, proxy):
        client = await proxy.connect()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 100_000)
        answer = await client.answer()
        assert answer.status == status
        client.close()


async def test_a_websocket_with_traffic_outlives_idle_and_response_start_timeouts() -> None:
    async def echo(_: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    timeouts = {"REVISION_IDLE_TIMEOUT_SECONDS": "1", "REVISION_RESPONSE_START_TIMEOUT_SECONDS": "1"}
    async with served(echo, **timeouts) as (_, proxy):
        client = await proxy.connect()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        await client.reader.readuntil(b"\r\n\r\n")
        for _ in range(8):
            client.send(b"ping")
            assert await client.reader.readexactly(4) == b"ping"
            await asyncio.sleep(0.25)  # traffic every quarter of the timeout, for twice its length
        client.close()


async def test_server_timing_tells_queue_from_app() -> None:
    async with served(Faulty(), UPWELL_SERVER_TIMING="true") as (_, proxy):
        parts = (await proxy.get()).headers["server-timing"].split(", ")
        assert [part.split(";dur=")[0] for part in parts] == ["queue", "app"]
        assert all(float(part.split("=")[1]) >= 0 for part in parts)
