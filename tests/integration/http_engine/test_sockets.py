"""The engine on uvloop and real sockets: what fake transports cannot show."""

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvloop
import websockets.asyncio.client
import websockets.asyncio.server

from upwell.http import Engine, Exchange, Limits, Outcome, Upstream, UpstreamFailure
from upwell.http.transports import has_news, peer_has_left, reset_on_close

Served = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Proxy:
    """An engine, and an application that forwards or parks."""

    def __init__(self) -> None:
        self.engine = Engine(limits=Limits(linger_timeout=0.5))
        self.upstream: Upstream | None = None
        self.port = 0
        self.exchanges: list[Exchange] = []
        self.ended: list[Exchange] = []
        self.parking = False
        self.errors: list[dict[str, Any]] = []
        self.server: asyncio.Server | None = None
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: self.errors.append(context))

    def request_received(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        if not self.parking:
            self.forward(exchange)

    def forward(self, exchange: Exchange) -> None:
        assert self.upstream is not None
        exchange.forward(self.upstream)

    def upstream_failed(self, exchange: Exchange, failure: UpstreamFailure) -> None:
        if failure.retryable and exchange.attempts < 2:
            self.forward(exchange)
        else:
            exchange.respond(502, (), failure.message.encode())

    def exchange_ended(self, exchange: Exchange) -> None:
        self.ended.append(exchange)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def in_front_of(self, port: int) -> None:
        self.upstream = self.engine.upstream("127.0.0.1", port)
        self.port = (await self.engine.serve(self, "127.0.0.1")).port

    async def in_front_of_app(self, serve: Served) -> None:
        self.server = await asyncio.start_server(serve, "127.0.0.1", 0)
        await self.in_front_of(self.server.sockets[0].getsockname()[1])


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    proxy = Proxy()
    yield proxy
    await proxy.engine.drain(1)
    if proxy.server is not None:
        proxy.server.close()
        await proxy.server.wait_closed()
    assert proxy.errors == []
    assert proxy.engine.in_flight == 0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for are counts, not events
            await asyncio.sleep(0.005)


async def serve_ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(OK)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()


async def test_the_loop_is_the_one_that_processes_use(proxy: Proxy) -> None:
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)


async def test_connections_are_kept_on_both_sides(proxy: Proxy) -> None:
    await proxy.in_front_of_app(serve_ok)
    reader, writer = await proxy.connect()

    for _ in range(20):
        writer.write(GET)
        assert await reader.readexactly(len(OK)) == OK

    assert proxy.upstream is not None
    assert proxy.upstream.connections_opened == 1
    writer.close()


async def test_a_websocket_passes_both_ways_and_closes_with_its_code(proxy: Proxy) -> None:
    async def echo(connection: websockets.asyncio.server.ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)
            if message == "bye":
                await connection.close(4001, "as asked")

    async with websockets.asyncio.server.serve(echo, "127.0.0.1", 0) as server:
        await proxy.in_front_of(next(iter(server.sockets)).getsockname()[1])
        async with websockets.asyncio.client.connect(f"ws://127.0.0.1:{proxy.port}/ws") as client:
            for message in ("hello", b"\x00\xff" * 100_000, "bye"):
                await client.send(message)
                assert await client.recv() == message
            await client.wait_closed()

    assert (client.close_code, client.close_reason) == (4001, "as asked")
    await until(lambda: len(proxy.ended) == 1)
    assert (proxy.ended[0].status, proxy.ended[0].outcome) == (101, Outcome.COMPLETED)


async def test_a_client_that_leaves_cancels_its_request(proxy: Proxy) -> None:
    left = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            assert await reader.read() == b""
        except ConnectionResetError:
            pass
        left.set()
        writer.close()

    await proxy.in_front_of_app(wait)
    _, writer = await proxy.connect()
    writer.write(GET)
    await until(lambda: bool(proxy.exchanges))

    writer.close()
    await asyncio.wait_for(left.wait(), 20)

    assert [exchange.outcome for exchange in proxy.ended] == [Outcome.CLIENT_GONE]


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="only Linux tells")
async def test_a_client_that_leaves_behind_unread_bytes_is_noticed_while_parked(proxy: Proxy) -> None:
    proxy.parking = True
    await proxy.in_front_of_app(serve_ok)
    client = socket.create_connection(("127.0.0.1", proxy.port))
    client.setblocking(False)
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
    await until(lambda: bool(proxy.exchanges))
    client.send(b"x" * 70_000)
    await until(lambda: proxy.exchanges[0].request_bytes >= 65536)
    client.send(b"x" * 10_000)

    client.close()

    await until(lambda: bool(proxy.ended))
    assert proxy.ended[0].outcome is Outcome.CLIENT_GONE


async def test_a_response_without_end_is_cut_for_an_old_client_by_a_reset(proxy: Proxy) -> None:
    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await writer.drain()
        writer.close()

    await proxy.in_front_of_app(break_off)
    reader, writer = await proxy.connect()
    writer.write(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")

    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_a_refusal_reaches_a_client_that_is_still_sending(proxy: Proxy) -> None:
    await proxy.in_front_of_app(serve_ok)
    reader, writer = await proxy.connect()
    writer.write(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + b"x" * 200_000
    )

    assert (await reader.read()).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    writer.close()


async def test_the_answer_of_an_app_that_reads_no_further_is_not_lost_to_its_reset(proxy: Proxy) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
        writer.close()

    await proxy.in_front_of_app(refuse)
    for _ in range(20):
        reader, writer = await proxy.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n" + b"x" * 5_000_000)
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 413")
        writer.transport.abort()


async def test_a_drain_waits_for_what_is_under_way_and_what_is_unsent(proxy: Proxy) -> None:
    body = b"x" * 5_000_000
    begun = asyncio.Event()

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        begun.set()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    await proxy.in_front_of_app(slowly)
    reader, writer = await proxy.connect()
    writer.write(GET)
    await begun.wait()
    draining = asyncio.create_task(proxy.engine.drain(20))
    received = await reader.read()

    assert received.endswith(b"\r\n\r\n" + body)
    assert await draining is True
    writer.close()


@pytest.mark.timeout(110)
async def test_random_faults_on_both_sides_leave_nothing_behind(proxy: Proxy) -> None:
    """Clients and apps stop anywhere; no exception is left unhandled, and nothing is left in flight."""
    chance = random.Random(20260821)
    answers = [
        OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n5\r\n more\r\n0\r\nX-Sum: 1\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nnot",
        b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + b"y" * 300_000,
    ]
    requests = [
        GET,
        b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000,
    ]

    async def faulty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                answer = chance.choice(answers)
                if chance.random() < 0.5:
                    writer.write(answer)
                    continue
                writer.write(answer[: chance.randrange(len(answer))])
                if chance.random() < 0.5:
                    await writer.drain()
                _end(writer, chance)
                return
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            writer.close()

    async def client() -> None:
        for _ in range(25):
            reader, writer = await proxy.connect()
            try:
                data = chance.choice(requests)
                if chance.random() < 0.3:
                    writer.write(data[: chance.randrange(len(data))])
                    await asyncio.sleep(chance.random() * 0.01)
                else:
                    writer.write(data)
                    async with asyncio.timeout(0.5):
                        await reader.read(chance.choice((1, 100, 1_000_000)))
            except (ConnectionError, TimeoutError):
                pass
            _end(writer, chance)

    await proxy.in_front_of_app(faulty)
    async with asyncio.TaskGroup() as clients:
        for number in range(16):
            clients.create_task(client(), name=f"client {number}")

    await until(lambda: len(proxy.ended) == len(proxy.exchanges))
    assert len({id(exchange) for exchange in proxy.ended}) == len(proxy.exchanges)
    assert proxy.engine.in_flight == 0
    assert proxy.upstream is not None
    assert proxy.upstream.in_flight == 0
    assert Outcome.COMPLETED in {exchange.outcome for exchange in proxy.ended}
    assert Outcome.UPSTREAM_ABORTED in {exchange.outcome for exchange in proxy.ended}


def _end(writer: asyncio.StreamWriter, chance: random.Random) -> None:
    """Close, by a reset half of the time."""
    if chance.random() < 0.5:
        raw = writer.get_extra_info("socket")
        if raw is not None and not writer.transport.is_closing():
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    else:
        writer.close()


class Held(asyncio.Protocol):
    """One end of a connection that nobody reads."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.pause_reading()  # type: ignore[attr-defined]


async def _pair() -> tuple[Any, socket.socket]:
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", 0))
    far = socket.create_connection(listener.getsockname())
    near, _ = listener.accept()
    listener.close()
    transport, _ = await loop.create_connection(Held, sock=near)
    return transport, far


async def test_news_on_a_connection_are_seen_before_they_are_read() -> None:
    transport, far = await _pair()
    assert not has_news(transport)
    far.send(b"x")
    await until(lambda: has_news(transport))
    transport.abort()
    far.close()


async def test_an_end_counts_as_news() -> None:
    transport, far = await _pair()
    far.close()
    await until(lambda: has_news(transport))
    transport.abort()


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="only Linux tells")
@pytest.mark.parametrize("reset", [False, True])
async def test_the_kernel_knows_that_a_peer_has_left_although_nobody_reads(reset: bool) -> None:
    transport, far = await _pair()
    far.send(b"unread")
    assert not peer_has_left(transport)
    if reset:
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    far.close()
    await until(lambda: peer_has_left(transport))
    transport.abort()


async def test_a_reset_on_close_is_what_the_peer_sees() -> None:
    transport, far = await _pair()
    reset_on_close(transport)
    transport.abort()
    far.settimeout(10)
    with pytest.raises(ConnectionResetError):
        await asyncio.to_thread(far.recv, 1)
    far.close()
