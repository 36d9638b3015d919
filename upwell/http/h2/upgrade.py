"""From HTTP/1 to HTTP/2 on the same connection: by the preface, or by `Upgrade: h2c` (RFC 7540, 3.2).

A request that asks for the upgrade is read to its end first, for the client's preface follows its body; then 101 is
said, and the request becomes stream 1, half-closed. It keeps its version, and so goes to the app over HTTP/1.1: an
app that a client can only reach this way need not speak HTTP/2. The streams that the client opens itself do not.

Not upgraded, but answered over HTTP/1 as if nothing had been asked, is what RFC 7540 tells to ignore (over TLS, from
HTTP/1.0, without good settings), and a request whose body is too long to be held.
"""

import asyncio
import binascii
from base64 import b64decode
from typing import TYPE_CHECKING, Final

from upwell.http.exchange import Exchange
from upwell.http.h2.codes import ConnectionViolation
from upwell.http.h2.connection import Setting
from upwell.http.h2.downstream import Http2Downstream
from upwell.http.h2.frames import WINDOW_MAX, read_settings
from upwell.http.kept_body import KeptBody
from upwell.http.message import HTTP_1_1, Fields, RequestHead

if TYPE_CHECKING:
    from upwell.http.engine import Engine
    from upwell.http.limits import Limits
    from upwell.http.sides import Application

__all__ = ["Http2Upgrade", "take_over"]

_SWITCHING: Final = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
_SETTINGS_BYTES_MAX: Final = 600
"""Base64 of 75 settings; there are six."""


class Http2Upgrade:
    """A request over HTTP/1 that is to be answered over HTTP/2, while its body is collected."""

    __slots__ = ("_kept", "_limit", "request", "stream_window")

    def __init__(self, request: RequestHead, stream_window: int | None, limit: int) -> None:
        """`stream_window` is what the client takes on a stream, where it says so; `limit` bounds the body, in bytes."""
        self.request = request
        self.stream_window = stream_window
        self._limit = limit
        self._kept = KeptBody()

    @classmethod
    def wanted(cls, request: RequestHead, transport: asyncio.Transport, limits: "Limits") -> "Http2Upgrade | None":
        """The upgrade that `request` asks for, unless it asks for none or must not have it."""
        limit = limits.held_bytes
        if (
            request.version != HTTP_1_1
            or b"h2c" not in request.tokens(b"upgrade")
            or not {b"upgrade", b"http2-settings"}.issubset(request.tokens(b"connection"))
            or (request.length or 0) > limit
            or transport.get_extra_info("sslcontext") is not None
        ):
            return None
        values = request.get_all(b"http2-settings")
        try:
            (value,) = values
            settings = dict(_read(value))
        except ValueError:
            return None
        return cls(request, settings.get(Setting.INITIAL_WINDOW_SIZE), limit)

    @property
    def body(self) -> bytes:
        """What was read of the body."""
        return self._kept.joined()

    @property
    def too_long(self) -> bool:
        """Whether the body is more than should be held."""
        return self._kept.size > self._limit

    def add(self, data: bytes) -> None:
        """More of the body."""
        self._kept.add(data)


def _read(value: bytes) -> list[tuple[int, int]]:
    """The settings in a field, which is the payload of a frame in base64 without padding; raise ValueError."""
    if len(value) > _SETTINGS_BYTES_MAX:
        raise ValueError("too many settings")
    try:
        settings = read_settings(b64decode(value + b"=" * (-len(value) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ConnectionViolation) as error:
        raise ValueError("malformed settings") from error
    for key, setting in settings:
        if key == Setting.INITIAL_WINDOW_SIZE and setting > WINDOW_MAX:
            raise ValueError("an impossible INITIAL_WINDOW_SIZE")
    return settings


class _Upgraded(Http2Downstream):
    """A connection of which the first request came over HTTP/1."""

    def begin(self, upgrade: Http2Upgrade, trailers: Fields) -> None:
        """Open stream 1 with that request, all of it."""
        if upgrade.stream_window is not None:
            self._change_stream_windows(upgrade.stream_window)
        self._last = 1
        stream = self._open(1, True)
        exchange = stream.exchange = Exchange(self.engine, self._app, stream, upgrade.request, self.engine.now())
        if not exchange.request_complete:
            if upgrade.body:
                exchange.request_data(upgrade.body)
            exchange.request_ended(trailers)
        self._admit(stream)


def take_over(
    engine: "Engine",
    app: "Application",
    transport: asyncio.Transport,
    upgrade: Http2Upgrade | None,
    trailers: Fields,
    early: bytes,
) -> None:
    """Speak HTTP/2 on `transport` from here on, `early` being what the client has sent of it already.

    `upgrade` is the request that asked for it, complete with its `trailers`; without one the client just began.
    """
    if upgrade is None:
        connection = Http2Downstream(engine, app)
        transport.set_protocol(connection)
        connection.connection_made(transport)
    else:
        transport.write(_SWITCHING)
        connection = _Upgraded(engine, app)
        transport.set_protocol(connection)
        connection.connection_made(transport)
        connection.begin(upgrade, trailers)
    if early:
        connection.data_received(early)
