"""wrk as the client: as many requests as it can over some keep-alive connections, with a browser's headers."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.contest import Turn
from bench.proxies import LOAD_CORE, Target
from bench.rows import UnmeasuredError

__all__ = ["HEADERS", "PATH", "TOOLS", "wrk"]

TOOLS = {"wrk": "wrk", "haproxy": "haproxy", "taskset": "util-linux"}
PATH = "/items/1?expand=prices"

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


def wrk(
    target: Target,
    seconds: int,
    connections: int,
    script: str = "",
    headers: Sequence[str] = HEADERS,
    settings: Mapping[str, str] | None = None,
) -> Turn:
    """One turn; whatever was answered counts. `script` is a file of Lua beside this one, `settings` its environment."""
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
    for header in headers:
        command += ["-H", header]
    if script:
        command += ["-s", str(Path(__file__).with_name(script))]
    command.append(f"http://127.0.0.1:{target.port}{PATH}")
    env = {**os.environ, **(settings or {})}
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 30, env=env).stdout
    requests = re.search(r"(\d+) requests in", output)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if requests is None or rate is None:
        raise UnmeasuredError(f"wrk said something unexpected:\n{output}")
    failures = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    socket_errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    failed = int(failures[1]) if failures else 0
    failed += sum(map(int, socket_errors.groups())) if socket_errors else 0
    return Turn(int(requests[1]), {"requests/s": float(rate[1]), "failed": failed})
