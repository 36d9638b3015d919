"""`make soak SECONDS=600`: mixed traffic with random faults through a real queue-proxy; nothing may grow.

Clients get, upload, stream, open websockets, leave in the middle, send rubbish and stall; the app answers, is slow,
breaks off, resets and closes between requests. Memory and file descriptors of the sidecar are looked at once a second.
After a warm-up they must stay flat, the log must hold no unhandled exception, and at the end nothing may be in
flight. The last line is JSON; the exit status is 1 when something was not as it should be.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

MAIN, ADMIN, STATS, METRICS = 8012, 8022, 9090, 9091
WARM_UP = 0.25
"""Of the time; what was used at its end is what later use is compared with."""
RSS_GROWTH_MAX_MIB = 8.0
FDS_GROWTH_MAX = 10
CLIENTS = 16
ENVIRONMENT = {
    "CONTAINER_CONCURRENCY": "10",
    "QUEUE_SERVING_PORT": str(MAIN),
    "QUEUE_SERVING_TLS_PORT": "8112",
    "USER_PORT": "8080",
    "REVISION_TIMEOUT_SECONDS": "2",
    "REVISION_IDLE_TIMEOUT_SECONDS": "1",
    "SERVING_LOGGING_CONFIG": "",
    "SERVING_LOGGING_LEVEL": "error",
    "SERVING_NAMESPACE": "soak",
    "SERVING_CONFIGURATION": "soak",
    "SERVING_REVISION": "soak-00001",
    "SERVING_POD": "soak",
    "SERVING_POD_IP": "127.0.0.1",
    "UPWELL_BIND_HOST": "127.0.0.1",
    "UPWELL_BODY_IDLE_TIMEOUT_SECONDS": "1",
    "UPWELL_HEAD_TIMEOUT_SECONDS": "1",
    "UPWELL_DRAIN_QUIET_SECONDS": "0.2",
    "OBSERVABILITY_CONFIG": '{"requestMetrics": {"protocol": "prometheus"}}',
}


@dataclass
class Soak:
    """What is under way, and what was seen."""

    chance: random.Random
    ports: dict[int, int]
    process: asyncio.subprocess.Process
    outcomes: Counter[str] = field(default_factory=Counter)
    rss: list[float] = field(default_factory=list)
    fds: list[int] = field(default_factory=list)
    log: list[str] = field(default_factory=list)


async def serve_app(chance: random.Random, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection to the app: requests until one of them ends badly."""
    with contextlib.suppress(OSError, EOFError, asyncio.LimitOverrunError):
        while not writer.is_closing():
            head = await reader.readuntil(b"\r\n\r\n")
            await answer(chance, head, reader, writer)
            await writer.drain()
    writer.close()


async def answer(
    chance: random.Random, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    if b"Upgrade: websocket" in head:
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()
        return
    if chance.random() < 0.05:
        writer.transport.abort()
        return
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), 0)
    if length and chance.random() < 0.9:
        await reader.readexactly(length)
    draw = chance.random()
    if draw < 0.80:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    elif draw < 0.90:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(chance.randrange(20)):
            writer.write(b"4000\r\n" + bytes(0x4000) + b"\r\n")
            await writer.drain()
        if chance.random() < 0.8:
            writer.write(b"0\r\n\r\n")
        else:
            writer.transport.abort()
    elif draw < 0.94:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()
    elif draw < 0.97:
        writer.write(b"HTTP/1.1 200 OK\r\nConte")
        writer.close()
    elif draw < 0.99:
        await asyncio.sleep(chance.random() * 0.2)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    else:
        await reader.read(1)  # stalls until the sidecar gives up


async def send_traffic(soak: Soak, until: float) -> None:
    """One client: scenario after scenario, each on a connection of its own."""
    scenarios: list[tuple[str, Callable[..., Awaitable[None]], int]] = [
        ("keep-alive", keep_alive, 60),
        ("upload", upload, 15),
        ("leave", leave, 10),
        ("rubbish", rubbish, 5),
        ("websocket", websocket, 5),
        ("stall", stall, 1),
    ]
    weights = [weight for _, _, weight in scenarios]
    while time.monotonic() < until:
        name, scenario, _ = soak.chance.choices(scenarios, weights)[0]
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", soak.ports[MAIN])
        except OSError:
            soak.outcomes["refused"] += 1
            await asyncio.sleep(0.1)
            continue
        try:
            async with asyncio.timeout(10):
                await scenario(soak, reader, writer)
            soak.outcomes[name] += 1
        except TimeoutError:
            soak.outcomes[f"{name}: hung"] += 1
        except (OSError, EOFError):
            soak.outcomes[f"{name}: cut"] += 1
        finally:
            writer.transport.abort()


async def keep_alive(soak: Soak, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for _ in range(soak.chance.randrange(1, 30)):
        writer.write(b"GET / HTTP/1.1\r\nHost: soak\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        soak.outcomes[head[9:12].decode()] += 1
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), None)
        if length is None:
            while (size := int(await reader.readuntil(b"\r\n"), 16)) > 0:
                await reader.readexactly(size + 2)
            await reader.readline()
        else:
            await reader.readexactly(length)
        if b"Connection: close" in head:
            return


async def upload(soak: Soak, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    size = soak.chance.choice((10, 5_000, 200_000))
    writer.write(b"POST / HTTP/1.1\r\nHost: soak\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size)
    writer.write(bytes(size))
    head = await reader.readuntil(b"\r\n\r\n")
    soak.outcomes[head[9:12].decode()] += 1
    await reader.read()


async def leave(soak: Soak, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    request = b"POST / HTTP/1.1\r\nHost: soak\r\nContent-Length: 10\r\n\r\n0123456789"
    writer.write(request[: soak.chance.randrange(1, len(request) + 1)])
    await writer.drain()
    await asyncio.sleep(soak.chance.random() * 0.01)


async def rubbish(soak: Soak, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(soak.chance.randbytes(soak.chance.randrange(1, 2000)) + b"\r\n\r\n")
    await reader.read(65536)


async def websocket(soak: Soak, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET / HTTP/1.1\r\nHost: soak\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    for _ in range(soak.chance.randrange(20)):
        writer.write(b"x" * 64)
        await reader.readexactly(64)


async def stall(soak: Soak, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(soak.chance.choice((b"GET / HT", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx")))
    await reader.read(65536)


async def watch(soak: Soak) -> None:
    """Look at the sidecar's memory and descriptors, once a second, for ever."""
    process = Path("/proc") / str(soak.process.pid)
    while True:
        pages = int((process / "statm").read_text().split()[1])
        soak.rss.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
        soak.fds.append(len(list((process / "fd").iterdir())))
        await asyncio.sleep(1)


@contextlib.asynccontextmanager
async def sidecar(app_port: int, chance: random.Random) -> AsyncIterator[Soak]:
    listeners = {port: socket.create_server(("127.0.0.1", 0)) for port in (MAIN, ADMIN, STATS, METRICS)}
    handed = ",".join(f"{port}={listener.fileno()}" for port, listener in listeners.items())
    env = {**ENVIRONMENT, "UPWELL_LISTEN_FDS": handed, "UPWELL_PORT_MAP": f"8080={app_port}"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "queueproxy",
        env={**env, "PATH": os.environ["PATH"]},
        pass_fds=[listener.fileno() for listener in listeners.values()],
        stderr=asyncio.subprocess.PIPE,
    )
    ports = {port: listener.getsockname()[1] for port, listener in listeners.items()}
    for listener in listeners.values():
        listener.close()
    soak = Soak(chance, ports, process)

    async def read_log() -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            soak.log.append(line.decode("utf-8", "replace").rstrip())

    reading = asyncio.create_task(read_log(), name="log")
    try:
        yield soak
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading


async def metric(soak: Soak, name: str) -> float:
    reader, writer = await asyncio.open_connection("127.0.0.1", soak.ports[METRICS])
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    return float(next(line.split(" ")[1] for line in text.splitlines() if line.startswith(name + " ")))


async def run(seconds: float, seed: int) -> dict[str, object]:
    """Soak, and what came of it; `problems` is empty when all is well."""
    chance = random.Random(seed)
    app = await asyncio.start_server(lambda reader, writer: serve_app(chance, reader, writer), "127.0.0.1", 0)
    async with sidecar(app.sockets[0].getsockname()[1], chance) as soak:
        until = time.monotonic() + seconds
        watching = asyncio.create_task(watch(soak), name="watch")
        await asyncio.gather(*(send_traffic(soak, until) for _ in range(CLIENTS)))
        watching.cancel()
        await asyncio.sleep(3)  # the longest timeout of the sidecar
        in_flight = await metric(soak, "upwell_queueproxy_in_flight_requests")
        soak.process.terminate()
        status = await asyncio.wait_for(soak.process.wait(), 30)
    app.close()
    return judge(soak, in_flight, status, seconds, seed)


def judge(soak: Soak, in_flight: float, status: int, seconds: float, seed: int) -> dict[str, object]:
    warm = max(1, int(len(soak.rss) * WARM_UP))
    rss_growth = max(soak.rss[warm:], default=0.0) - max(soak.rss[:warm])
    fds_growth = max(soak.fds[warm:], default=0) - max(soak.fds[:warm])
    problems = [f"log: {line[:300]}" for line in soak.log[:5]]
    if rss_growth > RSS_GROWTH_MAX_MIB:
        problems.append(f"memory grew by {rss_growth:.1f} MiB after the warm-up")
    if fds_growth > FDS_GROWTH_MAX:
        problems.append(f"file descriptors grew by {fds_growth} after the warm-up")
    if in_flight:
        problems.append(f"{in_flight:.0f} requests are still in flight")
    if status:
        problems.append(f"the sidecar left with {status}")
    problems += [f"{count} × {name}" for name, count in soak.outcomes.items() if "hung" in name or name == "refused"]
    return {
        "seconds": seconds,
        "seed": seed,
        "outcomes": dict(sorted(soak.outcomes.items())),
        "rss_mib": {"warm": round(max(soak.rss[:warm]), 1), "end": round(soak.rss[-1], 1), "growth": rss_growth},
        "fds": {"warm": max(soak.fds[:warm]), "end": soak.fds[-1], "growth": fds_growth},
        "problems": problems,
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600, help="length of the traffic (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the random choices (%(default)s)")
    arguments = parser.parse_args()
    if not 5 <= arguments.seconds <= 86_400:
        parser.error("--seconds 5 to 86400")
    found = asyncio.run(run(arguments.seconds, arguments.seed))
    print(json.dumps(found, ensure_ascii=False))
    return 1 if found["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
