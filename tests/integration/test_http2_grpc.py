"""gRPC as it comes: grpcio's client and server with the sidecar between them, all kinds of calls."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from tests.integration.sidecar import MAIN, sidecar

BIG = 3 * 1024 * 1024


class Echo(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """One method of each kind; messages are bytes as they are."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()
        self.started = asyncio.Event()

    def service(self, details: Any) -> Any:
        return {
            "/t.Echo/Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "/t.Echo/Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "/t.Echo/Hang": grpc.unary_unary_rpc_method_handler(self.hang),
            "/t.Echo/Down": grpc.unary_stream_rpc_method_handler(self.down),
            "/t.Echo/Up": grpc.stream_unary_rpc_method_handler(self.up),
            "/t.Echo/Both": grpc.stream_stream_rpc_method_handler(self.both),
        }.get(details.method)

    async def unary(self, request: bytes, context: Any) -> bytes:
        context.set_trailing_metadata((("x-trailer", "yes"),))
        return request

    async def fail(self, request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today")
        return b""

    async def hang(self, request: bytes, context: Any) -> bytes:
        self.started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return b""

    async def down(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        for number in range(int(request)):
            yield b"%d" % number * 1000

    async def up(self, requests: Any, context: Any) -> bytes:
        return b"%d" % sum([len(message) async for message in requests])

    async def both(self, requests: Any, context: Any) -> AsyncIterator[bytes]:
        async for message in requests:
            yield message.upper()


@asynccontextmanager
async def world(**settings: str) -> AsyncIterator[tuple[grpc.aio.Channel, Echo]]:
    """A channel to a sidecar, and the service behind it."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    echo = Echo()
    server.add_generic_rpc_handlers((echo,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with sidecar(port, **settings) as running:
            options = [("grpc.max_receive_message_length", -1), ("grpc.enable_http_proxy", 0)]
            async with grpc.aio.insecure_channel(f"127.0.0.1:{running.ports[MAIN]}", options=options) as channel:
                yield channel, echo
    finally:
        await server.stop(None)


async def test_unary_calls_one_after_another_and_many_at_once() -> None:
    async with world() as (channel, _):
        call = channel.unary_unary("/t.Echo/Unary")
        assert await call(b"hello", timeout=10) == b"hello"
        answers = await asyncio.gather(*(call(b"%d" % number, timeout=20) for number in range(300)))
        assert answers == [b"%d" % number for number in range(300)]


async def test_a_message_larger_than_every_window() -> None:
    async with world() as (channel, _):
        message = bytes(range(256)) * (BIG // 256)
        assert await channel.unary_unary("/t.Echo/Unary")(message, timeout=30) == message


async def test_trailing_metadata_arrives() -> None:
    async with world() as (channel, _):
        call = channel.unary_unary("/t.Echo/Unary")(b"x", timeout=10)
        await call
        assert ("x-trailer", "yes") in [tuple(pair) for pair in await call.trailing_metadata()]


async def test_an_error_of_the_app_is_the_client_s() -> None:
    async with world() as (channel, _):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/t.Echo/Fail")(b"", timeout=10)
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert caught.value.details() == "not today"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/t.Echo/Nothing")(b"", timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_all_kinds_of_streams() -> None:
    async def requests() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 10_000

    async with world() as (channel, _):
        down = [message async for message in channel.unary_stream("/t.Echo/Down")(b"200", timeout=20)]
        assert down == [b"%d" % number * 1000 for number in range(200)]
        assert await channel.stream_unary("/t.Echo/Up")(requests(), timeout=20) == b"1000000"
        both = channel.stream_stream("/t.Echo/Both")(timeout=20)
        for word in (b"one", b"two", b"three"):
            await both.write(word)
            assert await both.read() == word.upper()
        await both.done_writing()
        assert await both.read() is grpc.aio.EOF


async def test_a_deadline_and_a_cancellation_reach_the_app() -> None:
    async with world() as (channel, echo):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/t.Echo/Hang")(b"", timeout=0.5)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await asyncio.wait_for(echo.cancelled.wait(), 10)
        echo.cancelled.clear()
        echo.started.clear()
        call = channel.unary_unary("/t.Echo/Hang")(b"")
        await asyncio.wait_for(echo.started.wait(), 10)
        call.cancel()
        await asyncio.wait_for(echo.cancelled.wait(), 10)


async def test_the_concurrency_limit_counts_streams() -> None:
    async with world(CONTAINER_CONCURRENCY="1") as (channel, _):
        call = channel.unary_unary("/t.Echo/Unary")
        answers = await asyncio.gather(*(call(b"%d" % number, timeout=20) for number in range(10)))
        assert answers == [b"%d" % number for number in range(10)]
