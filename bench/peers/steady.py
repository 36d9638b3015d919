"""`python -m bench.peers.steady PORT RATE SECONDS`: requests at a constant rate, whatever becomes of those before.

Every request has a moment at which it is due. Its latency counts from there, even if the client is late to send it,
and it never waits for an earlier one: it takes an idle connection or opens another. So a stall of the proxy shows up
in every request that it delayed (no coordinated omission). Prints {"p50": ms, "p99": ms, "failed": …, "requests": …}.
"""

import gc
import json
import select
import socket
import sys
import time
from statistics import quantiles

from bench.proxies import BODY
from bench.wrk import HEADERS, PATH

CONNECTIONS_MAX = 256
PATIENCE = 5.0
"""Seconds that the last answers may take."""

Waiting = dict[socket.socket, tuple[float, bytes]]
"""{connection: (when its request was due, what of the answer is there)}"""


def run(port: int, rate: float, seconds: float) -> dict[str, float]:
    request = "\r\n".join([f"GET {PATH} HTTP/1.1", "Host: bench", *HEADERS, "", ""]).encode()
    idle, waiting = [_connect(port) for _ in range(8)], Waiting()
    taken: list[float] = []
    total, sent, failed = int(rate * seconds), 0, 0
    began = time.perf_counter()
    while len(taken) + failed < total:
        now = time.perf_counter()
        due = began + sent / rate
        if sent < total and now >= due:
            if not idle and len(waiting) >= CONNECTIONS_MAX:
                raise SystemExit(f"steady: {len(waiting)} requests without an answer")
            connection = idle.pop() if idle else _connect(port)
            connection.sendall(request)
            waiting[connection] = (due, b"")
            sent += 1
            continue
        ready, _, _ = select.select(list(waiting), [], [], due - now if sent < total else PATIENCE)
        if not ready and sent == total:
            raise SystemExit(f"steady: {len(waiting)} requests got no answer")
        for connection in ready:
            failed += _receive(connection, waiting, idle, taken)
    cuts = quantiles(taken, n=100)
    return {"p50": cuts[49], "p99": cuts[98], "failed": failed, "requests": total}


def _connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), 5)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _receive(connection: socket.socket, waiting: Waiting, idle: list[socket.socket], taken: list[float]) -> bool:
    """Read what is there; whether that made the request fail."""
    some = connection.recv(65536)
    due, before = waiting[connection]
    answer = before + some
    if some and len(answer.partition(b"\r\n\r\n")[2]) < len(BODY):
        waiting[connection] = (due, answer)
        return False
    del waiting[connection]
    if not answer.startswith(b"HTTP/1.1 200 ") or not some:
        connection.close()
        return True
    taken.append((time.perf_counter() - due) * 1000)
    idle.append(connection)
    return False


if __name__ == "__main__":
    gc.disable()
    print(json.dumps(run(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))))
