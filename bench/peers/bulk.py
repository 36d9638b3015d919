"""A large body, with hardly any work at either end, so that the proxy in between is what takes the time.

    python -m bench.peers.bulk serve PORT            the app: GET answers with as many bytes as the path says
    python -m bench.peers.bulk down|up PORT BYTES    the client; prints {"seconds": …, "bytes": …}

The sender lets the kernel send from a file in memory; the receiver has the kernel drop what came (MSG_TRUNC) instead
of copying it.
"""

import json
import os
import socket
import sys
import threading
import time

BLOCK = 16 * 1024 * 1024
PIECE = 1024 * 1024
END = b"\r\n\r\n"
TIMEOUT = 120.0


def _block() -> int:
    """A file in memory to send from."""
    block = os.memfd_create("bulk")
    os.write(block, b"b" * BLOCK)
    return block


def _send(connection: socket.socket, block: int, count: int) -> None:
    while count:
        # From the beginning every time: what the bytes are does not matter.
        count -= os.sendfile(connection.fileno(), block, 0, min(count, BLOCK))


def _drop(connection: socket.socket, count: int) -> int:
    """Receive and forget so many bytes; how many came before the other side closed."""
    scratch, came = bytearray(PIECE), 0
    while came < count:
        some = connection.recv_into(scratch, min(PIECE, count - came), socket.MSG_TRUNC)
        if not some:
            break
        came += some
    return came


def _head(connection: socket.socket) -> tuple[bytes, int]:
    """A head, and how many bytes of the body came along."""
    got = b""
    while END not in got:
        some = connection.recv(4096)
        if not some:
            return b"", 0
        got += some
    head, _, rest = got.partition(END)
    return head, len(rest)


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def _answer(connection: socket.socket, block: int) -> None:
    with connection:
        while True:
            head, along = _head(connection)
            if not head:
                return
            if head.startswith(b"GET /"):
                size = int(head.split(b" ")[1][1:])
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d%b" % (size, END))
                _send(connection, block, size)
            else:
                _drop(connection, _length(head) - along)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0" + END)


def serve(port: int) -> None:
    block = _block()
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_answer, args=(connection, block), daemon=True).start()


def transfer(direction: str, port: int, count: int) -> dict[str, float]:
    block = _block()
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as connection:
        # Blocking, with the kernel's own time limits: sendfile knows nothing of Python's.
        connection.settimeout(None)
        began = time.perf_counter()
        if direction == "down":
            connection.sendall(b"GET /%d HTTP/1.1\r\nHost: bench" % count + END)
            head, along = _head(connection)
            came = along + _drop(connection, count - along)
        else:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: bench\r\nContent-Length: %d%b" % (count, END))
            _send(connection, block, count)
            head, _ = _head(connection)
            came = count
        seconds = time.perf_counter() - began
    if not head.startswith(b"HTTP/1.1 200 ") or came != count:
        raise SystemExit(f"bulk: {came} of {count} bytes, after {head[:80]!r}")
    return {"seconds": seconds, "bytes": came}


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    else:
        print(json.dumps(transfer(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
