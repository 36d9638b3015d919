"""The one gRPC call a sidecar makes: `grpc.health.v1.Health/Check`, which needs no gRPC library.

The answer's message alone says what is asked; an error of gRPC's own (an unknown service, say) comes without one.
"""

from typing import Final

from queueproxy.http2_client import ask

__all__ = ["check"]

_STATUSES: Final = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")


async def check(host: str, port: int, service: str, agent: str) -> str:
    """The health of `service` (empty: of the server); raise OSError, EOFError or ValueError when nothing is told."""
    fields = (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", f"{host}:{port}"),
        ("content-type", "application/grpc"),
        ("user-agent", agent),
        ("te", "trailers"),
    )
    answer = await ask(host, port, fields, _message(service), whole=True)
    return _status(answer.body)


def _message(service: str) -> bytes:
    """A HealthCheckRequest with gRPC's five bytes before it."""
    name = service.encode()
    if len(name) > 120:
        raise ValueError("the name of the gRPC health service is longer than 120 bytes")
    message = b"\x0a" + bytes((len(name),)) + name if name else b""
    return b"\x00" + len(message).to_bytes(4, "big") + message


def _status(message: bytes) -> str:
    """Field 1 of a HealthCheckResponse; absent means 0."""
    if len(message) < 5:
        return "not served"
    body = message[5:]
    number = body[1] if len(body) >= 2 and body[0] == 0x08 else 0
    return _STATUSES[number] if number < len(_STATUSES) else str(number)
