"""Asking a container how it is: one attempt of a probe or a hook, over HTTP, TCP or a command.

Each attempt has a connection of its own, as a kubelet's has: a probe that only tells that an old connection still
works tells nothing. gRPC probes are answered by whether the port accepts a connection; nothing more is looked at.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from upwell.local.runtime.probes import Probe

__all__ = ["Execute", "Outcome", "attempt", "listens"]

USER_AGENT: Final = "kube-probe/1.32"

Execute = Callable[[Sequence[str]], Awaitable[int]]
"""Runs a command like the container itself would and returns its exit code."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attempt found; the message says why it failed."""

    passed: bool
    message: str = ""


async def attempt(probe: Probe, execute: Execute, timeout: float | None = None) -> Outcome:
    """Ask once, for at most `timeout` seconds (by default the probe's own)."""
    limit = probe.timeout if timeout is None else timeout
    try:
        async with asyncio.timeout(limit):
            if probe.kind == "exec":
                code = await execute(probe.command)
                return Outcome(code == 0, "" if code == 0 else f"command ended with exit code {code}")
            if probe.kind == "httpGet":
                return await _http_get(probe)
            return await _connect(probe)
    except TimeoutError:
        return Outcome(False, f"no answer within {limit:g} s")
    except OSError as error:
        return Outcome(False, f"{probe.host}:{probe.port}: {error.strerror or error}")


async def listens(host: str, port: int) -> bool:
    """Whether something accepts connections there."""
    return (await attempt(Probe(kind="tcpSocket", host=host, port=port), _no_command)).passed


async def _http_get(probe: Probe) -> Outcome:
    reader, writer = await asyncio.open_connection(probe.host, probe.port, ssl=_tls(probe))
    try:
        writer.write(_request(probe))
        line = await reader.readline()
    finally:
        writer.close()
    version, _, rest = line.partition(b" ")
    status = rest[:3]
    if not version.startswith(b"HTTP/") or not status.isdigit():
        return Outcome(False, f"{probe.host}:{probe.port} did not answer in HTTP")
    return Outcome(200 <= int(status) < 400, f"HTTP status {int(status)}")


def _request(probe: Probe) -> bytes:
    headers = {"Host": f"{probe.host}:{probe.port}", "User-Agent": USER_AGENT, "Accept": "*/*", "Connection": "close"}
    own = {name.lower() for name, _ in probe.headers}
    lines = [f"{name}: {value}" for name, value in headers.items() if name.lower() not in own]
    lines += [f"{name}: {value}" for name, value in probe.headers]
    return "\r\n".join([f"GET {probe.path} HTTP/1.1", *lines, "", ""]).encode("latin-1", "replace")


def _tls(probe: Probe) -> ssl.SSLContext | None:
    if probe.scheme != "HTTPS":
        return None
    # A probe asks whether the app answers, not who it is; kubelets do not verify either.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _connect(probe: Probe) -> Outcome:
    _, writer = await asyncio.open_connection(probe.host, probe.port)
    writer.close()
    return Outcome(True)


async def _no_command(_: Sequence[str]) -> int:
    return 1
