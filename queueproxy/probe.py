"""One attempt to ask the app whether it is ready, over TCP, HTTP or gRPC (contract: queue-proxy.md 4.3).

Plain asyncio streams and a new connection each time: what a probe should find out is whether the app accepts one.
An attempt that does not pass raises NotReadyError with the reason. With `detects_http2` an HTTP attempt asks over
HTTP/2 first and over HTTP/1.1 after that (4.4); what it finds is not remembered, and requests do not depend on it.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from queueproxy.probe_spec import ProbeKind, ProbeSpec

__all__ = ["NotReadyError", "attempt"]

AGENT: Final = "kube-probe//"
"""As the reference sends it; its version fields are never filled in."""
REDIRECTS_MAX: Final = 10
HEAD_MAX: Final = 64 * 1024
OURS: Final = ("host", "user-agent", "connection")
"""Fields that a probe's own cannot replace."""
NOT_IN_HTTP2: Final = (*OURS, "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te", "content-length")


class NotReadyError(Exception):
    """The app is not ready, and why."""

    def __init__(self, reason: str, *, refused: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused
        """Nobody listens: asking again soon costs the app nothing."""


async def attempt(spec: ProbeSpec, timeout: float) -> None:
    """Ask once; raise NotReadyError when the app is not ready or does not say so within `timeout` seconds.

    Where the version of HTTP is to be found out, each question has this time for itself.
    """
    if spec.detects_http2 and not spec.https:
        await _attempt_either_version(spec, timeout)
    else:
        await _within(timeout, _PROBES[spec.kind](spec))


async def _within(timeout: float, asking: Coroutine[Any, Any, None]) -> None:
    try:
        async with asyncio.timeout(timeout):
            await asking
    except TimeoutError as error:
        raise NotReadyError(f"no answer within {timeout:g} s") from error
    except ConnectionRefusedError as error:
        raise NotReadyError("connection refused", refused=True) from error
    except (OSError, EOFError, ValueError) as error:
        raise NotReadyError(str(error) or type(error).__name__) from error


async def _attempt_either_version(spec: ProbeSpec, timeout: float) -> None:
    """The probe's own fields are sent over HTTP/2 only, once that is found to be spoken: as in the reference."""
    bare = spec._replace(headers=())
    try:
        await _within(timeout, _probe_http(bare, http2=True))
    except NotReadyError as failure:
        if failure.refused:
            raise
        await _within(timeout, _probe_http(bare))
    else:
        await _within(timeout, _probe_http(spec, http2=True))


async def _probe_tcp(spec: ProbeSpec) -> None:
    _, writer = await asyncio.open_connection(spec.host, spec.port)
    writer.close()


async def _probe_http(spec: ProbeSpec, *, http2: bool = False) -> None:
    from urllib.parse import urljoin  # with `ipaddress` behind it, a tenth of what the sidecar loads

    url = f"{'https' if spec.https else 'http'}://{spec.host}:{spec.port}{spec.path}"
    for _ in range(REDIRECTS_MAX + 1):
        status, location = await _get(url, spec, http2)
        if 200 <= status < 300 or (300 <= status < 400 and not location):
            return
        if status not in (301, 302, 303, 307, 308):
            if status < 400:
                return
            raise NotReadyError(f"status {status}")
        url = urljoin(url, location)
    raise NotReadyError(f"more than {REDIRECTS_MAX} redirects")


async def _get(url: str, spec: ProbeSpec, http2: bool) -> tuple[int, str]:
    """The status and the Location of one GET."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    secure = parts.scheme == "https"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NotReadyError(f"redirect to {url[:200]}")
    port = parts.port or (443 if secure else 80)
    target = (parts.path or "/") + ("?" + parts.query if parts.query else "")
    if http2 and not secure:
        return await _get_over_http2(parts.hostname, port, parts.netloc, target, spec)
    tls = _tls_context() if secure else None
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=tls, limit=HEAD_MAX)
    try:
        writer.write(_request(parts.netloc, target, spec))
        head = await reader.readuntil(b"\r\n\r\n")
        return _read_head(head)
    except asyncio.LimitOverrunError as error:
        raise NotReadyError("the response's head is too large") from error
    finally:
        writer.close()


async def _get_over_http2(host: str, port: int, authority: str, target: str, spec: ProbeSpec) -> tuple[int, str]:
    from queueproxy.http2_client import ask  # few probes need it

    own = [(name.lower(), value) for name, value in spec.headers if name.lower() not in NOT_IN_HTTP2]
    pseudo = ((":method", "GET"), (":scheme", "http"), (":path", target), (":authority", authority))
    answer = await ask(host, port, (*pseudo, ("user-agent", AGENT), *own))
    return answer.status, answer.headers.get("location", "")


def _request(host: str, target: str, spec: ProbeSpec) -> bytes:
    lines = [f"GET {target} HTTP/1.1", f"Host: {host}", f"User-Agent: {AGENT}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in spec.headers if name.lower() not in OURS]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "replace")


def _read_head(head: bytes) -> tuple[int, str]:
    start, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = start.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise NotReadyError(f'"{start[:80]}" is not a status line')
    fields = (line.partition(":") for line in lines)
    location = next((value.strip() for name, _, value in fields if name.lower() == "location"), "")
    return int(rest[:3]), location


def _tls_context() -> Any:
    import ssl  # costs memory that a sidecar without an HTTPS probe need not spend

    return ssl.create_default_context()


async def _probe_grpc(spec: ProbeSpec) -> None:
    from queueproxy.grpc_health import check

    status = await check(spec.host, spec.port, spec.grpc_service, AGENT)
    if status != "SERVING":
        raise NotReadyError(f"gRPC health is {status}")


async def _probe_exec(_: ProbeSpec) -> None:
    raise NotReadyError("exec probe not supported")


async def _probe_nothing(_: ProbeSpec) -> None:
    raise NotReadyError("no probe found")


_PROBES: Final[dict[ProbeKind, Callable[[ProbeSpec], Coroutine[Any, Any, None]]]] = {
    ProbeKind.TCP: _probe_tcp,
    ProbeKind.HTTP: _probe_http,
    ProbeKind.GRPC: _probe_grpc,
    ProbeKind.EXEC: _probe_exec,
    ProbeKind.NONE: _probe_nothing,
}
