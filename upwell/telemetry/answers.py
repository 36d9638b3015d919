"""The answers that a component makes itself.

Plain text with a newline, in the form of the reference's, plus a header that tells the component's 503 from the app's:
`Upwell-Error: COMPONENT; reason=REASON`. Where no byte of the request reached the app, `; unsent` says so, and the
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
    exchange.respond(status, (*TEXT, error_field(exchange, reason, unsent=unsent), *headers), text + b"\n")


def error_field(exchange: Exchange, reason: str, *, unsent: bool = False) -> tuple[bytes, bytes]:
    """The field that says who answers and why."""
    return _ERROR, b"%b; reason=%b%b" % (exchange.component, reason.encode(), b"; unsent" if unsent else b"")
