"""Large bodies through a proxy process on real sockets: byte-identical, with back-pressure, in little memory.

Run as a program this file is that process: `python -m tests.integration.http_engine.test_streaming UPSTREAM_PORT`
forwards everything and prints its own port.
"""

import asyncio
import hashlib
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from upwell.http import Engine, Exchange, Upstream, UpstreamFailure

MEBIBYTE = 1 << 20
SIZE = 200 * MEBIBYTE
BLOCK = bytes(range(256)) * 1024
GROWTH_MAX_MIB = 32.0


class Everything:
    """Forwards every request to one upstream."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def request_received(self, exchange: Exchange) -> None:
        exchange.set_timeouts(total=300)
        exchange.forward(self._upstream)

    def upstream_failed(self, exchange: Exchange, failure: UpstreamFailure) -> None:
        exchange.respond(502, (), failure.message.encode())

    def exchange_ended(self, exchange: Exchange) -> None:
        """Nothing to count here."""


async def _proxy(upstream_port: int) -> None:
    engine = Engine()
    listener = await engine.serve(Everything(engine.upstream("127.0.0.1", upstream_port)), "127.0.0.1", 0)
    print(listener.port, flush=True)
    await asyncio.Event().wait()


class Proxy:
    """The process, and how much memory it has ever had."""

    def __init__(self, upstream_port: int) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", __name__, str(upstream_port)], stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def watch_memory(self) -> float:
        """Begin to watch the highest amount of memory in use; the present one, in MiB."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
        return self.peak_mib()

    def peak_mib(self) -> float:
        """The highest amount of memory in use since the watch began."""
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
        assert found is not None
        return int(found[1]) / 1024

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port))
        connection.settimeout(60)
        return connection

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


class App:
    """One listening socket; each connection is served by `serve` in a thread of its own."""

    def __init__(self) -> None:
        self.serve: Callable[[socket.socket, bytes, bytes], None] = lambda connection, head, rest: None
        self.sent = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(60)
            received = read_head(connection)
            if received is not None:
                self.serve(connection, *received)

    def close(self) -> None:
        self._listener.close()


def read_head(connection: socket.socket) -> tuple[bytes, bytes] | None:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return None
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def digest_of(connection: socket.socket, begin: bytes, size: int) -> str:
    """Read `size` bytes, of which `begin` are here already."""
    digest = hashlib.sha256(begin)
    left = size - len(begin)
    buffer = bytearray(1 << 18)
    while left:
        count = connection.recv_into(buffer, min(left, len(buffer)))
        assert count, "the body is short"
        digest.update(memoryview(buffer)[:count])
        left -= count
    return digest.hexdigest()


EXPECTED = hashlib.sha256(BLOCK * (SIZE // len(BLOCK))).hexdigest()


@pytest.fixture
def app() -> Iterator[App]:
    app = App()
    yield app
    app.close()


@pytest.fixture
def proxy(app: App) -> Iterator[Proxy]:
    proxy = Proxy(app.port)
    yield proxy
    proxy.stop()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_a_large_download_arrives_whole_in_little_memory(app: App, proxy: Proxy) -> None:
    def serve(connection: socket.socket, head: bytes, rest: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
        for _ in range(SIZE // len(BLOCK)):
            connection.sendall(BLOCK)

    app.serve = serve
    before = proxy.watch_memory()

    with proxy.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        received = read_head(client)
        assert received is not None
        digest = digest_of(client, received[1], SIZE)

    assert digest == EXPECTED
    assert proxy.peak_mib() - before < GROWTH_MAX_MIB


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_a_large_upload_arrives_whole_in_little_memory(app: App, proxy: Proxy) -> None:
    digests: list[str] = []

    def serve(connection: socket.socket, head: bytes, rest: bytes) -> None:
        digests.append(digest_of(connection, rest, SIZE))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    app.serve = serve
    before = proxy.watch_memory()

    with proxy.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % SIZE)
        for _ in range(SIZE // len(BLOCK)):
            client.sendall(BLOCK)
        received = read_head(client)

    assert received is not None
    assert received[0].startswith(b"HTTP/1.1 200 OK")
    assert digests == [EXPECTED]
    assert proxy.peak_mib() - before < GROWTH_MAX_MIB


def test_a_client_that_does_not_read_stops_the_app(app: App, proxy: Proxy) -> None:
    def serve(connection: socket.socket, head: bytes, rest: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while app.sent < SIZE:
            connection.sendall(b"%x\r\n%b\r\n" % (len(BLOCK), BLOCK))
            app.sent += len(BLOCK)
        connection.sendall(b"0\r\n\r\n")

    app.serve = serve

    with proxy.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        sent = _when_it_stops_changing(lambda: app.sent)
        assert sent < SIZE // 4

        received = b""
        body = 0
        while not received.endswith(b"\r\n0\r\n\r\n"):
            piece = client.recv(1 << 18)
            assert piece, "the body is short"
            body += len(piece)
            received = (received + piece)[-16:]

    assert app.sent == SIZE
    assert body > SIZE


def _when_it_stops_changing(value: Callable[[], int]) -> int:
    """The value once it has stood still, above zero, for a few looks."""
    deadline = time.monotonic() + 30
    last, same = value(), 0
    while time.monotonic() < deadline:
        time.sleep(0.05)
        now = value()
        same = same + 1 if now == last and now else 0
        last = now
        if same == 10:
            return now
    raise AssertionError("it never stood still")


if __name__ == "__main__":
    uvloop.run(_proxy(int(sys.argv[1])))
