"""`Upgrade: h2c` with clients as they come: nghttp -u and curl --http2."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from upwell.http import Engine, Exchange, Upstream, UpstreamFailure

pytestmark = pytest.mark.skipif(not all(map(shutil.which, ("nghttp", "curl"))), reason="needs nghttp2-client and curl")


class App:
    """An HTTP/1.1 server that answers with what it was asked."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
                self.heads.append(head)
                self.bodies.append(await reader.readexactly(length))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


class Forwarding:
    """An application that forwards everything."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream

    def request_received(self, exchange: Exchange) -> None:
        exchange.forward(self.upstream)

    def upstream_failed(self, exchange: Exchange, failure: UpstreamFailure) -> None:
        exchange.respond(502, (), failure.message.encode())

    def exchange_ended(self, exchange: Exchange) -> None:
        """Nothing to note."""


@pytest.fixture
async def app() -> App:
    return App()


@pytest.fixture
async def url(app: App) -> AsyncIterator[str]:
    async with await asyncio.start_server(app.serve, "127.0.0.1", 0) as server:
        engine = Engine()
        upstream = engine.upstream("127.0.0.1", server.sockets[0].getsockname()[1])
        listener = await engine.serve(Forwarding(upstream), "127.0.0.1")
        yield f"http://127.0.0.1:{listener.port}"
        await engine.drain(1)
        assert engine.in_flight == 0


async def said_by(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    return output.decode()


async def test_curl_gets_its_answer_over_http_2_from_an_app_that_speaks_http_1(app: App, url: str) -> None:
    said = await said_by("curl", "-s", "--http2", "-w", " over %{http_version}", f"{url}/a")

    assert said == "hello over 2"
    assert app.heads[0].startswith(b"GET /a HTTP/1.1\r\n")


async def test_curl_uploads_before_it_upgrades(app: App, url: str, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(b"x" * 20_000)

    said = await said_by(
        "curl", "-s", "--http2", "-w", " over %{http_version}", "-H", "Expect: 100-continue", "-d", f"@{body}", url
    )

    assert said == "hello over 2"
    assert app.bodies == [body.read_bytes()]


async def test_nghttp_gets_its_answer_on_the_stream_that_the_upgrade_opened(url: str) -> None:
    said = await said_by("nghttp", "-nvu", f"{url}/a")

    assert "HTTP Upgrade success" in said
    assert ":status: 200" in said
