"""The answers that the sidecar makes itself.

Plain text with a newline, in the form of the reference's, plus a header that tells the sidecar's 503 from the app's:
`Upwell-Error: queueproxy; reason=REASON`. Where no byte of the request reached the app, `; unsent` says so, and the
hop before may send the request elsewhere whatever its method.
"""

from typing import Final

from upwell.api import names
from upwell.http import Exchange

__all__ = ["answer_error", "error_field"]

TEXT: Final = (
    (b"Content-Type", b"text/plain; charset=utf-8"),
    (b"X-Content-Type-Options", b"nosniff"),
)
_ERROR: Final = names.HEADER_ERROR.encode()


def answer_error(
    exchange: Exchange, status: int, reason: str, text: bytes, *headers: tuple[bytes, bytes], unsent: bool = False
) -> None:
    """Answer one line of text; `reason` is a stable word for programs."""
    exchange.respond(status, (*TEXT, error_field(reason, unsent=unsent), *headers), text + b"\n")


def error_field(reason: str, *, unsent: bool = False) -> tuple[bytes, bytes]:
    """The field that says who answers and why."""
    return _ERROR, (f"queueproxy; reason={reason}" + ("; unsent" if unsent else "")).encode()
