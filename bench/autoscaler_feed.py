"""Plays what an autoscaler gets its figures from: an activator that reports every second, or pods that are scraped."""

import asyncio
import sys
from typing import Final, cast

import aiohttp
import uvloop

from upwell.api.stat import Stat, WireStatMessage, encode_messages, encode_stat

ANSWER: Final = encode_stat(Stat("revision-00000-deployment-5d8f7b9c4-x2x9k", 3.25, 0, 41.5, 0, 600))
RESPONSE: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/protobuf\r\nContent-Length: %d\r\n\r\n" % len(ANSWER) + ANSWER
)


class Pods(asyncio.Protocol):
    """Every pod there is: one request, one answer, on connections that stay."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(RESPONSE * data.count(b"\r\n\r\n"))


async def _serve_pods(port: int) -> None:
    loop = asyncio.get_running_loop()
    await loop.create_server(Pods, "0.0.0.0", port, backlog=4096)
    await asyncio.Event().wait()


async def _report(port: int, revisions: int) -> None:
    loop, number = asyncio.get_running_loop(), 0
    async with aiohttp.ClientSession() as session, session.ws_connect(f"ws://127.0.0.1:{port}/") as socket:
        due = loop.time()
        while True:
            number += 1
            await socket.send_bytes(
                encode_messages(
                    WireStatMessage(
                        f"ns-{one % 50}",
                        f"revision-{one:05d}",
                        Stat("activator-5d8f7b9c4-x2x9k", 3 + (one + number) % 7 / 8, 0, 40 + (one + number) % 5, 0),
                    )
                    for one in range(revisions)
                )
            )
            due += 1
            await asyncio.sleep(due - loop.time())


def main() -> None:
    source, port, revisions = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve_pods(port) if source == "pods" else _report(port, revisions))


if __name__ == "__main__":
    main()
