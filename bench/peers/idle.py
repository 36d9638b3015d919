"""`python -m bench.peers.idle PORT COUNT`: that many connections, each of which made one request and then went quiet.

Prints {"held": …} when they are there, and holds them until its input ends; then {"left": …}, those still open.
"""

import json
import select
import socket
import sys

from bench.proxies import BODY
from bench.wrk import HEADERS, PATH


def hold(port: int, count: int) -> list[socket.socket]:
    request = "\r\n".join([f"GET {PATH} HTTP/1.1", "Host: bench", *HEADERS, "", ""]).encode()
    held: list[socket.socket] = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", port), 5)
        connection.sendall(request)
        answer = b""
        while len(answer.partition(b"\r\n\r\n")[2]) < len(BODY):
            some = connection.recv(65536)
            if not some:
                raise SystemExit(f"idle: connection {len(held) + 1} was closed after {answer[:80]!r}")
            answer += some
        held.append(connection)
    return held


def still_open(held: list[socket.socket]) -> int:
    """Those of which nothing was heard: a proxy that closes an idle connection makes it readable."""
    heard = select.poll()
    for connection in held:
        heard.register(connection, select.POLLIN)
    return len(held) - len(heard.poll(0))


if __name__ == "__main__":
    connections = hold(int(sys.argv[1]), int(sys.argv[2]))
    print(json.dumps({"held": len(connections)}), flush=True)
    sys.stdin.read()
    print(json.dumps({"left": still_open(connections)}), flush=True)
