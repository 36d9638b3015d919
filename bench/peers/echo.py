"""Websocket messages of 64 bytes, there and back.

    python -m bench.peers.echo serve PORT                          the app
    python -m bench.peers.echo drive PORT CONNECTIONS SECONDS      the client; prints {"messages": …, "seconds": …}

Every connection has one message under way. All frames are whole and valid (RFC 6455: those of the client are masked),
but nobody looks into them: their lengths are known, so counting bytes is enough.
"""

import base64
import gc
import hashlib
import json
import os
import select
import socket
import sys
import time

PAYLOAD = bytes(range(64))
MASK = b"\x12\x34\x56\x78"
ASK = b"\x82\xc0" + MASK + bytes(byte ^ MASK[place % 4] for place, byte in enumerate(PAYLOAD))
REPLY = b"\x82\x40" + PAYLOAD
KEY = base64.b64encode(b"bench of upwell!")
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
HANDSHAKE = (
    b"GET /echo HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n" % KEY
)
AGREED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %b\r\n\r\n"
)


def _until_end_of_head(connection: socket.socket) -> bytes:
    got = b""
    while not got.endswith(b"\r\n\r\n"):
        some = connection.recv(4096)
        if not some:
            return b""
        got += some
    return got


def _welcome(connection: socket.socket) -> bool:
    """Shake hands; whether it became a websocket."""
    connection.settimeout(5)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for line in _until_end_of_head(connection).split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"sec-websocket-key":
            accept = base64.b64encode(hashlib.sha1(value.strip() + MAGIC).digest())
            connection.sendall(AGREED % accept)
            connection.setblocking(False)
            return True
    return False


def serve(port: int) -> None:
    events, open_now = select.epoll(), dict[int, socket.socket]()
    pending: dict[int, int] = {}
    with socket.create_server(("127.0.0.1", port), backlog=2048) as listener:
        events.register(listener, select.EPOLLIN)
        while True:
            for place, _ in events.poll():
                if place == listener.fileno():
                    connection, _ = listener.accept()
                    if _welcome(connection):
                        open_now[connection.fileno()] = connection
                        events.register(connection, select.EPOLLIN)
                    continue
                try:
                    came = len(os.read(place, 65536))
                except OSError:
                    came = 0
                if not came:
                    pending.pop(place, None)
                    open_now.pop(place).close()
                    continue
                whole, rest = divmod(came + pending.pop(place, 0), len(ASK))
                if rest:
                    pending[place] = rest
                os.write(place, REPLY * whole)


def drive(port: int, connections: int, seconds: float) -> dict[str, float]:
    events = select.epoll()
    opened = [_open(port) for _ in range(connections)]
    for connection in opened:
        events.register(connection, select.EPOLLIN)
        connection.send(ASK)
    messages, pending = 0, dict[int, int]()
    began = now = time.perf_counter()
    while now < began + seconds:
        for place, _ in events.poll(5):
            came = len(os.read(place, 4096)) + pending.pop(place, 0)
            if came == len(REPLY):
                messages += 1
                os.write(place, ASK)
            elif 0 < came < len(REPLY):
                pending[place] = came
            else:
                raise SystemExit(f"echo: {came} bytes where {len(REPLY)} were due")
        now = time.perf_counter()
    return {"messages": messages, "seconds": now - began}


def _open(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), 5)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(HANDSHAKE)
    answer = _until_end_of_head(connection)
    if not answer.startswith(b"HTTP/1.1 101 "):
        raise SystemExit(f"echo: the handshake was answered with {answer[:80]!r}")
    connection.setblocking(False)
    return connection


if __name__ == "__main__":
    gc.disable()
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    else:
        print(json.dumps(drive(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))))
