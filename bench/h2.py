"""The row for HTTP/2 without TLS: h2load with 10 connections × 10 streams, beside nghttpx."""

import re
import subprocess
from contextlib import ExitStack

from bench.contest import Turn, contest
from bench.proxies import LOAD_CORE, Target, backend, nghttpx, queueproxy
from bench.rows import Bench, Measure, Row, UnmeasuredError, beside

__all__ = ["ROWS"]

TOOLS = {"h2load": "nghttp2-client", "nghttpx": "nghttp2-proxy", "haproxy": "haproxy", "taskset": "util-linux"}


def h2c(bench: Bench) -> Row:
    with ExitStack() as stack:
        app = stack.enter_context(backend(bench.folder, options="proto h2"))
        targets = [
            stack.enter_context(queueproxy(bench.folder, app)),
            stack.enter_context(nghttpx(bench.folder, app)),
        ]
        for target in targets:
            _h2load(target, 1)
        series = contest(targets, lambda target: _h2load(target, bench.seconds), bench.rounds)
    what = "requests/s over h2c, 10 connections × 10 streams"
    return Row(beside(series["queueproxy"], series["nghttpx"], "requests/s", 0.5, what), list(series.values()))


def _h2load(target: Target, seconds: int) -> Turn:
    command = ["taskset", "-c", str(LOAD_CORE), "h2load", "-t1", "-c10", "-m10", f"-D{seconds}"]
    command.append(f"http://127.0.0.1:{target.port}/items/1")
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 30).stdout
    rate = re.search(r"finished in .*, ([\d.]+) req/s", output)
    done = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", output)
    if rate is None or done is None:
        raise UnmeasuredError(f"h2load said something unexpected:\n{output}")
    return Turn(int(done[1]), {"requests/s": float(rate[1]), "failed": int(done[2]) + int(done[3])})


ROWS = (Measure("h2c", "short answers over HTTP/2", TOOLS, h2c),)
