"""One line on stdout for each finished request (contract: queue-proxy.md 11.2).

Lines gather while the event loop is busy and leave in one write when it comes round, so that a burst of requests
costs one system call. A reader of stdout that stops reading stops the process too, as it does the reference's.
"""

import asyncio
import sys
from typing import BinaryIO, Protocol

from upwell.http import Exchange, RequestHead
from upwell.telemetry.log_template import LogEntry, Template
from upwell.telemetry.statuses import final_status

__all__ = ["LoggedRevision", "RequestLog"]


class LoggedRevision(Protocol):
    """What a line says about the revision and the pod that a request was for."""

    @property
    def namespace(self) -> str: ...
    @property
    def service(self) -> str: ...
    @property
    def configuration(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def pod(self) -> str: ...
    @property
    def pod_ip(self) -> str: ...


class RequestLog:
    """Writes the template's line for an exchange."""

    def __init__(self, template: Template, output: BinaryIO | None = None) -> None:
        self._template = template
        self._output = output or sys.stdout.buffer
        self._lines: list[str] = []

    def write(self, exchange: Exchange, seconds: float, revision: LoggedRevision) -> None:
        """Log an exchange that took so many seconds."""
        if not self._lines:
            asyncio.get_running_loop().call_soon(self.flush)
        self._lines.append(self._template.render(_entry(exchange, seconds, revision)))

    def flush(self) -> None:
        """Write what has gathered."""
        data = "".join(self._lines).encode()
        self._lines.clear()
        try:
            self._output.write(data)
            self._output.flush()
        except (OSError, ValueError):
            pass  # nobody reads any more; requests are served all the same


def _entry(exchange: Exchange, seconds: float, revision: LoggedRevision) -> LogEntry:
    request = exchange.request

    def header(name: str) -> str:
        return _text(request.get(name.encode("latin-1", "replace")) or b"")

    major, minor = request.version
    return LogEntry(
        method=_text(request.method),
        target=_text(request.target),
        protocol=f"HTTP/{major}.{minor}",
        host=_text(request.host),
        peer=f"{request.peer}:{request.peer_port}",
        request_size=_request_size(request),
        status=final_status(exchange),
        response_size=exchange.response_bytes,
        latency=round(seconds, 9),
        trace_id=_trace_id(header("traceparent"), header("x-b3-traceid")),
        namespace=revision.namespace,
        service=revision.service,
        configuration=revision.configuration,
        revision=revision.name,
        pod=revision.pod,
        pod_ip=revision.pod_ip,
        header=header,
    )


def _text(data: bytes) -> str:
    """What a client sent; there is no rule about its encoding, and most send UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _request_size(request: RequestHead) -> int:
    length = request.get(b"content-length")
    if length is not None:
        return int(length)
    return -1 if request.get(b"transfer-encoding") else 0


def _trace_id(traceparent: str, b3: str) -> str:
    """The second field of a W3C traceparent, else B3's trace id."""
    fields = traceparent.split("-")
    return fields[1] if len(fields) > 1 else b3
