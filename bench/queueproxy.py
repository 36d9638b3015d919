"""`make bench`: what a request costs in the sidecar, beside HAProxy and beside the bare backend, in one run.

The proxy under test has core 0 for itself; the client (wrk) and the backend share core 1. The contestants take turns
within each round, so that a noisy machine is noisy for all; the table shows medians and the spread over the rounds.
CPU time is the proxy's own, from /proc. Results go to bench/RESULTS.md as well.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.proxies import Target, backend, direct, haproxy, install, queueproxy

PROXY_CORE = 0
LOAD_CORE = 1
BODY = "x" * 48
RESULTS = Path(__file__).parent / "RESULTS.md"
GOAL = 0.45
"""Of HAProxy's requests per second."""

HEADERS = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language: en-US,en;q=0.5",
    "Accept-Encoding: gzip, deflate, br",
    "Referer: https://shop.example.com/items?page=2",
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark",
    "Cache-Control: no-cache",
    "X-Request-Id: 4f5c2d8e-1b2c-4d3e-9f40-aabbccddeeff",
    "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
    "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.e30.ZRrHA1JJJW8opsbCGfG_HACGpVUMN_a9IV7pAx_Zmeo",
)
"""With Host, which the client adds, thirteen."""


@dataclass(slots=True)
class Series:
    """What was measured of one contestant, a value per round."""

    rates: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    rss_mib: list[float] = field(default_factory=list)
    errors: int = 0


def main() -> int:
    arguments = _arguments()
    missing = install({"wrk": "wrk", "haproxy": "haproxy", "taskset": "util-linux"})
    if missing:
        print(f"bench: skipped, for {missing} is missing and cannot be installed here. Try: apt-get install {missing}")
        return 0
    if len(os.sched_getaffinity(0)) < 2:
        print("bench: skipped, for it needs two cores: one for the proxy, one for client and backend")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        results = _run(Path(folder), arguments)
    table = _table(results)
    print(f"\n{table}")
    RESULTS.write_text(_page(table, arguments))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.queueproxy", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contestant (%(default)s)")
    parser.add_argument("--seconds", type=int, default=5, help="length of a turn (%(default)s)")
    parser.add_argument("--connections", type=int, default=32, help="client connections (%(default)s)")
    arguments = parser.parse_args()
    if not (1 <= arguments.rounds <= 20 and 1 <= arguments.seconds <= 60 and 1 <= arguments.connections <= 1000):
        parser.error("--rounds 1 to 20, --seconds 1 to 60, --connections 1 to 1000")
    return arguments


def _run(folder: Path, arguments: argparse.Namespace) -> dict[str, Series]:
    results: dict[str, Series] = {}
    with ExitStack() as stack:
        app = stack.enter_context(backend(folder, LOAD_CORE, BODY))
        ours = stack.enter_context(queueproxy(folder, PROXY_CORE, app, {}))
        theirs = stack.enter_context(haproxy(folder, PROXY_CORE, app))
        bare = stack.enter_context(direct(app))
        targets = [ours, theirs, bare, ours.asked_differently(), theirs.asked_differently()]
        for target in targets:
            _load(target, 1, arguments.connections)
        for number in range(1, arguments.rounds + 1):
            for target in targets:
                series = results.setdefault(target.name, Series())
                _measure(target, series, arguments)
                print(
                    f"round {number}: {target.name:<26} {series.rates[-1]:>9,.0f} requests/s "
                    f"{series.cpu_us[-1]:>6.1f} µs CPU/request",
                    flush=True,
                )
    return results


def _measure(target: Target, series: Series, arguments: argparse.Namespace) -> None:
    before = _cpu_seconds(target.pid)
    requests, rate, errors = _load(target, arguments.seconds, arguments.connections)
    used = _cpu_seconds(target.pid) - before
    series.rates.append(rate)
    series.cpu_us.append(used / max(requests, 1) * 1e6)
    series.rss_mib.append(_rss_mib(target.pid))
    series.errors += errors


def _load(target: Target, seconds: int, connections: int) -> tuple[int, float, int]:
    """Requests, requests per second and failures of one turn."""
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
    for header in HEADERS:
        command += ["-H", header]
    if target.varied:
        command += ["-s", str(Path(__file__).with_name("vary.lua"))]
    output = subprocess.run(
        [*command, f"http://127.0.0.1:{target.port}/items/1?expand=prices"],
        check=True,
        capture_output=True,
        text=True,
        timeout=seconds + 30,
    ).stdout
    requests = re.search(r"(\d+) requests in", output)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if requests is None or rate is None:
        raise SystemExit(f"bench: wrk said something unexpected:\n{output}")
    failures = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    socket_errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    errors = int(failures[1]) if failures else 0
    errors += sum(map(int, socket_errors.groups())) if socket_errors else 0
    return int(requests[1]), float(rate[1]), errors


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mib(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def _table(results: dict[str, Series]) -> str:
    lines = [
        "| | requests/s (median) | spread | of HAProxy's | CPU µs/request | RSS MiB | failed |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, series in results.items():
        spread = f"{min(series.rates):,.0f} to {max(series.rates):,.0f}"
        # Within a round, so that both met the same machine; and asked in the same way.
        reference = results["HAProxy" + "".join(name.partition(", ")[1:])].rates
        share = median(own / theirs for own, theirs in zip(series.rates, reference, strict=True))
        cpu, rss = median(series.cpu_us), max(series.rss_mib)
        lines.append(
            f"| {name} | {median(series.rates):,.0f} | {spread} | {share:.2f} "
            f"| {cpu:.1f} | {rss:.1f} | {series.errors} |"
        )
    return "\n".join(lines)


def _page(table: str, arguments: argparse.Namespace) -> str:
    return f"""# What a request costs in the sidecar

Written by `make bench`; read as ratios, machines differ.

{table}

Keep-alive, {arguments.connections} connections, {len(HEADERS) + 1} request headers, answers of {len(BODY)} bytes;
{arguments.rounds} rounds of {arguments.seconds} s, contestants taking turns; the share of HAProxy's requests/s is the
median over the rounds. The proxy alone on one core, client (wrk) and backend (HAProxy, answering from memory) together
on another. Python {platform.python_version()}. The goal is {GOAL}.
"""


if __name__ == "__main__":
    sys.exit(main())
