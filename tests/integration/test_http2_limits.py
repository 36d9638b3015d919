"""Each bound of HTTP/2 that an operator can set: what goes beyond it gets what the reference page says."""

import asyncio

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from tests.integration.http2_peers import AppConnection, Http2Client, Served, http2_served
from tests.integration.sidecar import MAIN, Client
from tests.waiting import eventually

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
END_HEADERS, ACK = 4, 1
GET = b"\x82\x86\x84\x41\x01a"
"""GET / over http from host a, as a header block."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


async def until(client: Client, wanted: bytes) -> None:
    """Read until this frame has come."""
    received = b""
    async with asyncio.timeout(10):
        while wanted not in received:
            piece = await client.reader.read(65536)
            assert piece, received
            received += piece


def keep_silent(_: AppConnection, __: int, ___: str) -> None:
    """The app's part where it does not matter."""


async def goaway_of(served: Served, data: bytes, seconds: float = 10) -> int:
    """The code of the GOAWAY by which a client that sends this is given up."""
    client: Client = await served.proxy.connect(MAIN)
    client.send(PREFACE + frame(SETTINGS, 0, 0) + data)
    received = await client.rest(seconds)
    while received:
        size, kind = int.from_bytes(received[:3], "big"), received[3]
        if kind == GOAWAY:
            return int.from_bytes(received[13:17], "big")
        received = received[9 + size :]
    raise AssertionError("the connection ended without a GOAWAY")


async def test_a_stream_too_many_is_refused() -> None:
    async with http2_served(keep_silent, UPWELL_HTTP2_STREAMS_MAX="3", CONTAINER_CONCURRENCY="9") as served:
        client: Http2Client = served.client
        first = [client.start("/fault") for _ in range(3)]
        await eventually(lambda: len(served.app.requests) == 3)
        client.h2.remote_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = 9  # a client that does not look
        client.h2.remote_settings.acknowledge()
        refused = await client.result(client.start("/fault"))
        assert refused.reset == ErrorCodes.REFUSED_STREAM
        assert not any(client.results[number].over for number in first)


async def test_an_upload_beyond_its_window_is_an_error_of_flow_control() -> None:
    async with http2_served(keep_silent, UPWELL_HTTP2_STREAM_WINDOW_BYTES="1024") as served:
        served.client.start("/fault")  # has the slot, so that the upload waits and nobody takes it
        await eventually(lambda: served.app.requests)
        client = await served.proxy.connect(MAIN)
        data = frame(HEADERS, END_HEADERS, 1, GET) + frame(DATA, 0, 1, bytes(1025))
        client.send(PREFACE + frame(SETTINGS, 0, 0) + data)
        await until(client, frame(RST_STREAM, 0, 1, ErrorCodes.FLOW_CONTROL_ERROR.to_bytes(4, "big")))
        client.close()


@pytest.mark.parametrize(
    ("variable", "attack"),
    [
        ("HEADER_FRAMES_MAX", frame(HEADERS, 0, 1, GET) + frame(CONTINUATION, 0, 1) * 6),
        (
            "RESETS_BURST",
            b"".join(
                frame(HEADERS, END_HEADERS, number, GET) + frame(RST_STREAM, 0, number, bytes(4))
                for number in range(1, 15, 2)
            ),
        ),
        ("CHORES_BURST", frame(PING, 0, 0, bytes(8)) * 8),
    ],
)
async def test_a_flood_is_enhance_your_calm(variable: str, attack: bytes) -> None:
    settings = {f"UPWELL_HTTP2_{variable}": "5", "UPWELL_HTTP2_CHORES_PER_SECOND": "0"}
    async with http2_served(keep_silent, UPWELL_HTTP2_RESETS_PER_SECOND="0", **settings) as served:
        assert await goaway_of(served, attack) == ErrorCodes.ENHANCE_YOUR_CALM
        assert (await served.client.get("/")).status == 200


async def test_settings_that_are_never_acknowledged_end_the_connection() -> None:
    async with http2_served(keep_silent, UPWELL_HTTP2_SETTINGS_TIMEOUT_SECONDS="0.2") as served:
        assert await goaway_of(served, b"") == ErrorCodes.SETTINGS_TIMEOUT
        assert (await served.client.get("/")).status == 200


async def test_a_client_that_opens_no_window_loses_its_stream() -> None:
    def answer(connection: AppConnection, number: int, _: str) -> None:
        connection.answer(number, b"x" * 1000)

    async with http2_served(answer, UPWELL_HTTP2_STALL_TIMEOUT_SECONDS="0.2") as served:
        client: Client = await served.proxy.connect(MAIN)
        block = b"\x82\x86\x04\x06/fault\x41\x01a"
        no_window = frame(SETTINGS, 0, 0, b"\x00\x04" + bytes(4))
        client.send(PREFACE + no_window + frame(SETTINGS, ACK, 0) + frame(HEADERS, END_HEADERS | 1, 1, block))
        await until(client, frame(RST_STREAM, 0, 1, ErrorCodes.CANCEL.to_bytes(4, "big")))
        client.close()


async def test_an_app_that_does_not_answer_pings_gets_its_next_requests_on_another_connection() -> None:
    def fall_silent(connection: AppConnection, _: int, __: str) -> None:
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]

    settings = {"UPWELL_HTTP2_PING_INTERVAL_SECONDS": "0.05", "UPWELL_HTTP2_PING_TIMEOUT_SECONDS": "0.05"}
    async with http2_served(fall_silent, CONTAINER_CONCURRENCY="99", **settings) as served:
        served.client.start("/fault")
        await eventually(lambda: served.app.requests)

        async def answered_elsewhere() -> bool:
            served.client.start("/")
            await asyncio.sleep(0.1)
            return len(served.app.connections) == 2

        await eventually(answered_elsewhere)
        assert (await served.client.get("/")).status == 200


async def test_streams_beyond_the_bound_of_a_connection_to_the_app_get_another() -> None:
    settings = {"UPWELL_HTTP2_APP_STREAMS": "2", "UPWELL_HTTP2_APP_STREAMS_MAX": "2", "CONTAINER_CONCURRENCY": "9"}
    async with http2_served(keep_silent, **settings) as served:
        for _ in range(5):
            served.client.start("/fault")
        await eventually(lambda: len(served.app.requests) == 5)
        assert len(served.app.connections) == 3
