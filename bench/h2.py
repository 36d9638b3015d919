"""`python -m bench.h2`: what a request over h2c costs in the sidecar, beside nghttpx, and what it adds to a gRPC call.

Placed and interleaved as in `bench.queueproxy`: the proxy under test alone on core 0, client and app on core 1, the
contestants taking turns within each round. The app for h2load is HAProxy, answering from memory; for gRPC it is
grpcio's server, and the client calls one after another, at a steady pace, so that latencies can be compared.
"""

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from bench.proxies import Target, _haproxy, _process, free_port, install, queueproxy

PROXY_CORE, LOAD_CORE = 0, 1
GOAL = 0.50
"""Of nghttpx's requests per second."""
CALLS_PER_SECOND = 500

_APP = """
frontend answers
    bind 127.0.0.1:{port} proto h2
    http-request return status 200 content-type text/plain string "{body}"
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.h2", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contestant (%(default)s)")
    parser.add_argument("--seconds", type=int, default=4, help="length of a turn (%(default)s)")
    arguments = parser.parse_args()
    tools = {"h2load": "nghttp2-client", "nghttpx": "nghttp2-proxy", "haproxy": "haproxy", "taskset": "util-linux"}
    missing = install(tools)
    if missing or len(os.sched_getaffinity(0)) < 2:
        print(f"bench: skipped, for {missing or 'a second core'} is missing")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        _throughput(Path(folder), arguments.rounds, arguments.seconds)
        asyncio.run(_grpc(Path(folder), arguments.rounds, arguments.seconds))
    return 0


@contextmanager
def nghttpx(folder: Path, core: int, behind: Target) -> Iterator[Target]:
    """nghttpx in front of the app, with one worker."""
    port = free_port()
    command = ["nghttpx", "-n1", "--conf=/dev/null", "--errorlog-file=/dev/null", "--accesslog-file=/dev/null"]
    command += ["-f", f"127.0.0.1,{port};no-tls", "-b", f"127.0.0.1,{behind.port};;proto=h2"]
    with _process(command, "nghttpx", core, port, folder, dict(os.environ)) as target:
        yield target


def _throughput(folder: Path, rounds: int, seconds: int) -> None:
    rates: dict[str, list[float]] = {}
    with ExitStack() as stack:
        port = free_port()
        app = stack.enter_context(_haproxy(folder, "backend", LOAD_CORE, port, _APP.format(port=port, body="x" * 48)))
        targets = [
            stack.enter_context(queueproxy(folder, PROXY_CORE, app, {})),
            stack.enter_context(nghttpx(folder, PROXY_CORE, app)),
        ]
        for _ in range(rounds):
            for target in targets:
                rates.setdefault(target.name, []).append(_h2load(target, seconds))
    reference = median(rates["nghttpx"])
    for name, measured in rates.items():
        middle = median(measured)
        spread = f"{min(measured):,.0f} to {max(measured):,.0f}"
        print(f"{name:<12} {middle:>9,.0f} requests/s ({spread}), {middle / reference:.2f} of nghttpx's")


def _h2load(target: Target, seconds: int) -> float:
    command = ["taskset", "-c", str(LOAD_CORE), "h2load", "-t1", "-c10", "-m10", f"-D{seconds}"]
    output = subprocess.run(
        [*command, f"http://127.0.0.1:{target.port}/items/1"],
        check=True,
        capture_output=True,
        text=True,
        timeout=seconds + 30,
    ).stdout
    found = re.search(r"finished in .*, ([\d.]+) req/s", output)
    if found is None or " 0 failed, 0 errored" not in output:
        raise SystemExit(f"bench: h2load said something unexpected:\n{output}")
    return float(found[1])


async def _grpc(folder: Path, rounds: int, seconds: int) -> None:
    import grpc
    import grpc.aio

    async def echo(request: bytes, context: Any) -> bytes:
        return request

    os.sched_setaffinity(0, {LOAD_CORE})
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(echo)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.Echo", {"Unary": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    app = Target("direct", port, os.getpid())
    measured: dict[str, list[float]] = {}
    with queueproxy(folder, PROXY_CORE, app, {}) as sidecar:
        for _ in range(rounds):
            for target in (app, sidecar):
                async with grpc.aio.insecure_channel(f"127.0.0.1:{target.port}") as channel:
                    call = channel.unary_unary("/t.Echo/Unary")
                    await call(b"warm")
                    measured.setdefault(target.name, []).extend(await _paced(call, seconds))
    await server.stop(None)
    base = _percentiles(measured["direct"])
    added = _percentiles(measured["queueproxy"])
    print(f"gRPC unary, {CALLS_PER_SECOND} calls/s: direct p50 {base[0]:.2f} ms, p99 {base[1]:.2f} ms;", end=" ")
    print(f"added by the sidecar p50 {added[0] - base[0]:.2f} ms, p99 {added[1] - base[1]:.2f} ms")


async def _paced(call: Any, seconds: int) -> list[float]:
    taken = []
    due = time.perf_counter()
    for _ in range(seconds * CALLS_PER_SECOND):
        due += 1 / CALLS_PER_SECOND
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        begun = time.perf_counter()
        await call(b"x" * 48)
        taken.append((time.perf_counter() - begun) * 1000)
    return taken


def _percentiles(values: list[float]) -> tuple[float, float]:
    cuts = quantiles(values, n=100)
    return median(values), cuts[98]


if __name__ == "__main__":
    sys.exit(main())
