"""Whether an idle connection is still one, as the kernel tells it."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from tests.waiting import eventually
from upwell.http.transports import has_ended, has_news, is_unacknowledged, reset_on_close


@pytest.fixture
async def pair() -> AsyncIterator[tuple[asyncio.Transport, socket.socket]]:
    """Our end, which the loop has not read from yet, and the peer's socket."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(asyncio.Protocol, *server.getsockname())
        transport.pause_reading()
        peer, _ = server.accept()
        yield transport, peer
        transport.abort()
        peer.close()
        await asyncio.sleep(0)


async def test_an_idle_connection_has_neither_news_nor_an_end(pair: tuple[asyncio.Transport, socket.socket]) -> None:
    assert not has_news(pair[0])
    assert not has_ended(pair[0])


async def test_a_peer_that_says_something_has_not_ended(pair: tuple[asyncio.Transport, socket.socket]) -> None:
    transport, peer = pair
    peer.send(b"ping")
    assert has_news(transport)
    assert not has_ended(transport)


@pytest.mark.parametrize("last_words", [b"", b"goaway"])
@pytest.mark.parametrize("reset", [False, True], ids=["close", "reset"])
async def test_a_peer_that_has_closed_or_reset_has_ended_whatever_it_said_before(
    pair: tuple[asyncio.Transport, socket.socket], last_words: bytes, reset: bool
) -> None:
    transport, peer = pair
    peer.send(last_words)
    if reset:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    peer.close()
    assert has_ended(transport)


async def test_a_connection_that_we_are_closing_has_ended(pair: tuple[asyncio.Transport, socket.socket]) -> None:
    transport, _ = pair
    reset_on_close(transport)
    transport.close()
    assert has_ended(transport)


async def test_what_the_peer_s_kernel_has_got_is_acknowledged_though_nobody_reads_it(
    pair: tuple[asyncio.Transport, socket.socket],
) -> None:
    transport, _ = pair
    transport.write(b"ping")
    await eventually(lambda: not is_unacknowledged(transport))
