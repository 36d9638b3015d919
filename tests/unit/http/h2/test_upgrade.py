"""From HTTP/1 to HTTP/2 by `Upgrade: h2c`, with the h2 library as the client (RFC 7540, 3.2)."""

import base64

import h2.config
import h2.connection
import h2.events
import pytest

from tests.unit.http.h2.world import GET, Http2World
from tests.unit.http.world import OK, Peer, settle
from upwell.http import Limits, Outcome

SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
SETTINGS = "AAMAAABkAAQAAP__"
"""100 streams, and windows of 65535 bytes."""


def ask(
    line: str = "GET /a HTTP/1.1",
    *fields: str,
    settings: str = SETTINGS,
    connection: str = "Upgrade, HTTP2-Settings",
    upgrade: str = "h2c",
    body: bytes = b"",
) -> bytes:
    lines = [line, "Host: app.test", f"Connection: {connection}", f"Upgrade: {upgrade}", f"HTTP2-Settings: {settings}"]
    return "\r\n".join((*lines, *fields, "", "")).encode() + body


class Upgraded:
    """The client's side after the 101: the h2 library."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.settings = self.h2.initiate_upgrade_connection()
        self.events: list[h2.events.Event] = []

    def look(self) -> None:
        """Read what came, and send what there is to say."""
        data = self.peer.take()
        if data.startswith(SWITCHING):
            data = data[len(SWITCHING) :]
        self.events += self.h2.receive_data(data)
        said = self.h2.data_to_send()
        if said:
            self.peer.sends(said)

    def body(self, number: int) -> bytes:
        return b"".join(
            event.data
            for event in self.events
            if isinstance(event, h2.events.DataReceived) and event.stream_id == number
        )

    def ended(self, number: int) -> bool:
        return any(isinstance(event, h2.events.StreamEnded) and event.stream_id == number for event in self.events)


async def upgraded(world: Http2World, data: bytes) -> Upgraded:
    peer = world.client()
    client = Upgraded(peer)
    peer.sends(data)
    await settle()
    assert peer.got.startswith(SWITCHING)
    client.look()
    await settle()
    return client


async def test_the_first_request_becomes_stream_1_and_goes_to_the_app_over_http_1(world: Http2World) -> None:
    client = await upgraded(world, ask())

    (app,) = world.upstreams
    assert app.got == b"GET /a HTTP/1.1\r\nHost: app.test\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n"
    app.sends(OK)
    await settle()
    client.look()

    assert (client.body(1), client.ended(1)) == (b"ok", True)
    assert world.app.outcomes == [Outcome.COMPLETED]


async def test_after_it_the_client_opens_streams_of_its_own(world: Http2World) -> None:
    world.app.on_request = lambda exchange: exchange.respond(200, (), exchange.request.target)
    client = await upgraded(world, ask())

    client.h2.send_headers(3, GET, end_stream=True)
    client.look()
    await settle()
    client.look()

    assert client.body(1) == b"/a"
    assert client.ended(3)
    assert [exchange.request.version for exchange in world.app.exchanges] == [(1, 1), (2, 0)]


async def test_a_body_is_read_to_its_end_before_the_connection_is_switched(world: Http2World) -> None:
    peer = world.client()
    client = Upgraded(peer)
    peer.sends(ask("POST /a HTTP/1.1", "Content-Length: 5", body=b"he"))
    assert peer.got == b""
    assert world.app.exchanges == []

    peer.sends(b"llo" + client.h2.data_to_send())
    await settle()
    client.look()

    (app,) = world.upstreams
    assert app.got.endswith(b"\r\n\r\nhello")
    app.sends(OK)
    await settle()
    client.look()
    assert client.body(1) == b"ok"


async def test_a_body_in_chunks_keeps_its_trailers(world: Http2World) -> None:
    await upgraded(
        world, ask("POST /a HTTP/1.1", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n")
    )

    (app,) = world.upstreams
    assert app.got.endswith(b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n")


async def test_a_client_that_waits_with_its_body_is_told_to_send(world: Http2World) -> None:
    peer = world.client()
    peer.sends(ask("POST /a HTTP/1.1", "Content-Length: 2", "Expect: 100-continue"))
    assert peer.take() == b"HTTP/1.1 100 Continue\r\n\r\n"

    peer.sends(b"hi")
    await settle()

    assert peer.got.startswith(SWITCHING)
    assert world.upstreams[0].got.endswith(b"\r\n\r\nhi")


async def test_the_window_that_the_client_names_counts_from_the_first_answer_on(world: Http2World) -> None:
    small = base64.urlsafe_b64encode(b"\x00\x04\x00\x00\x00\x03").decode()
    peer = world.client()
    world.app.on_request = lambda exchange: exchange.respond(200, (), b"too much")

    peer.sends(ask(settings=small))
    await settle()

    frames = peer.take().removeprefix(SWITCHING)
    assert b"too" in frames
    assert b"too much" not in frames


@pytest.mark.parametrize(
    "data",
    [
        ask(connection="Upgrade"),
        ask(upgrade="websocket"),
        ask(settings="not base64!"),
        ask(settings="AAMAAABkAAQ"),
        ask(settings="AAT_____"),
        ask("GET /a HTTP/1.1", f"HTTP2-Settings: {SETTINGS}"),
        ask("GET /a HTTP/1.0"),
        ask("POST /a HTTP/1.1", "Content-Length: 65537"),
    ],
    ids=["no-token", "no-h2c", "no-base64", "cut-short", "window", "twice", "http-1.0", "long-body"],
)
async def test_what_must_not_be_upgraded_is_answered_over_http_1(world: Http2World, data: bytes) -> None:
    world.app.on_request = lambda exchange: exchange.respond(200, (), b"plain")
    peer = world.client()

    peer.sends(data)

    assert peer.got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert peer.got.endswith(b"plain")


async def test_a_body_that_turns_out_too_long_is_answered_over_http_1(world: Http2World) -> None:
    world = Http2World(Limits(held_bytes=4))
    peer = world.client()
    peer.sends(ask("POST /a HTTP/1.1", "Transfer-Encoding: chunked", body=b"3\r\nabc\r\n"))
    assert world.app.exchanges == []

    peer.sends(b"3\r\ndef\r\n0\r\n\r\n")
    await settle()
    (app,) = world.upstreams
    app.sends(OK)

    assert app.got.endswith(b"6\r\nabcdef\r\n0\r\n\r\n")
    assert peer.got == OK


async def test_a_malformed_body_is_refused_and_nobody_hears_of_it(world: Http2World) -> None:
    peer = world.client()

    peer.sends(ask("POST /a HTTP/1.1", "Transfer-Encoding: chunked", body=b"x\r\n"))

    assert peer.got.startswith(b"HTTP/1.1 400 ")
    assert world.app.exchanges == []


async def test_a_client_that_leaves_within_its_body_leaves_nothing_behind(world: Http2World) -> None:
    peer = world.client()
    peer.sends(ask("POST /a HTTP/1.1", "Content-Length: 5", body=b"he"))

    peer.ends()
    await settle()

    assert world.app.exchanges == []
    assert not world.engine.connections


async def test_a_client_that_stalls_within_its_body_is_closed(world: Http2World) -> None:
    peer = world.client()
    peer.sends(ask("POST /a HTTP/1.1", "Content-Length: 5", body=b"he"))

    await world.passes(61)

    assert peer.gone


async def test_requests_before_the_upgrade_are_answered_as_ever(world: Http2World) -> None:
    world.app.on_request = lambda exchange: exchange.respond(200, (), exchange.request.target)
    peer = world.client()

    peer.sends(b"GET /first HTTP/1.1\r\nHost: app.test\r\n\r\n" + ask())
    await settle()

    first, _, rest = peer.got.partition(SWITCHING)
    assert first.endswith(b"/first")
    assert rest
    assert len(world.engine.head_memory) == 0
