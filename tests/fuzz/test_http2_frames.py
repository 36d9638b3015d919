"""Arbitrary frames from either peer: never an unhandled exception, never an exchange that is not ended."""

import asyncio
from typing import Any

from hypothesis import given, seed, settings
from hypothesis import strategies as st

from tests.unit.http.h2.world import GET, Http2World
from tests.unit.http.world import Peer, settle
from upwell.http.h2.downstream import Http2Downstream
from upwell.http.h2.fields import encode_fields
from upwell.http.h2.frames import PREFACE, encode_frame

CASES = 250
BLOCK = encode_fields([(name.encode(), value.encode()) for name, value in GET])
RESPONSE = encode_fields([(b":status", b"200")])
SETTINGS = encode_frame(4, 0, 0)

numbers = st.sampled_from((0, 1, 1, 1, 2, 3, 5, 7, 2**31 - 1))
payloads = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        (BLOCK, RESPONSE, b"", b"\0\0\0\x08", b"\0\0\0\x01", b"\x7f\xff\xff\xff", b"12345678", b"x" * 5000)
    ),
    st.sampled_from((b"\0\3\0\0\0\1", b"\0\4\0\0\0\0", b"\0\4\x7f\xff\xff\xff", b"\0\5\0\0\x40\0")),
)
frames = st.builds(
    encode_frame,
    st.one_of(st.integers(0, 10), st.sampled_from((0, 1, 1))),
    st.sampled_from((0, 1, 4, 5, 5, 8, 0x20, 0xFF)),
    numbers,
    payloads,
)
streams = st.lists(st.one_of(frames, frames, frames, st.binary(max_size=20)), max_size=25)


@seed(20260821)
@settings(max_examples=CASES, deadline=None, derandomize=False, database=None)
@given(data=streams, cuts=st.lists(st.integers(1, 400), max_size=6), behaviour=st.sampled_from(("respond", "forward")))
def test_a_client_may_send_what_it_likes(data: list[bytes], cuts: list[int], behaviour: str) -> None:
    async def play() -> None:
        world = Http2World()
        loop = asyncio.get_running_loop()
        problems: list[Any] = []
        loop.set_exception_handler(lambda _, context: problems.append(context))
        if behaviour == "respond":
            world.app.on_request = lambda exchange: exchange.respond(200, (), b"x" * 100)
        peer = Peer(Http2Downstream(world.engine, world.app), loop)
        await feed(peer, PREFACE + SETTINGS + b"".join(data), cuts)
        if not peer.gone:
            peer.resets()
        await settle()
        assert not problems
        assert world.engine.in_flight == 0
        assert len(world.app.ended) == len(world.app.exchanges)

    asyncio.run(play())


@seed(20260821)
@settings(max_examples=CASES, deadline=None, derandomize=False, database=None)
@given(data=streams, cuts=st.lists(st.integers(1, 400), max_size=6), greeted=st.booleans())
def test_an_upstream_may_send_what_it_likes(data: list[bytes], cuts: list[int], greeted: bool) -> None:
    async def play() -> None:
        world = Http2World()
        loop = asyncio.get_running_loop()
        problems: list[Any] = []
        loop.set_exception_handler(lambda _, context: problems.append(context))
        client = await world.h2_client()
        for number in (1, 3, 5):
            client.h2.send_headers(number, GET, end_stream=number != 5)
        await client.look()
        peer = world.upstreams[0]
        await feed(peer, (SETTINGS if greeted else b"") + b"".join(data), cuts)
        if not peer.gone:
            peer.resets()
        await settle()
        client.peer.resets()
        await settle()
        assert not problems
        assert world.engine.in_flight == 0
        assert world.upstream.in_flight == 0
        assert len(world.app.ended) == len(world.app.exchanges)

    asyncio.run(play())


async def feed(peer: Peer, data: bytes, cuts: list[int]) -> None:
    for cut in [*cuts, len(data)]:
        piece, data = data[:cut], data[cut:]
        if piece and not peer.gone:
            peer.sends(piece)
            await settle()
