"""Heads of requests and responses: from the bytes of one complete head to checked, parsed fields.

The connections find the end of a head and hand over exactly those bytes. llhttp (httptools), in its strict mode,
parses and validates them; what it lets pass and RFC 9112 or a proxy's safety forbids is refused here: versions other
than 1.0 and 1.1, more than one space in the request line, a missing or repeated or impossible Host, transfer codings
other than `chunked`, request targets that are not in a form a server may get. A parser lives for one head only, so
nothing of one message can colour the next, and an idle connection keeps none.

llhttp knows a fixed list of methods. Any other token is a method too (RFC 9110, 9.1), so for those it is shown a
known one; the token itself is checked and kept here.
"""

import re
from typing import Any, Final

import httptools

from upwell.http.errors import BadRequestError, BadResponseError

__all__ = [
    "HTTP_1_0",
    "HTTP_1_1",
    "HTTP_2",
    "IDEMPOTENT_METHODS",
    "Fields",
    "RequestHead",
    "ResponseHead",
    "is_bodyless",
    "read_fields",
    "read_request_head",
    "read_response_head",
]

Fields = list[tuple[bytes, bytes]]
"""Names as received, and values without the blanks around them; in order, repeated names repeated."""

HTTP_1_0: Final = (1, 0)
HTTP_1_1: Final = (1, 1)
HTTP_2: Final = (2, 0)

IDEMPOTENT_METHODS: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))
"""Doing it twice does no more than doing it once (RFC 9110, 9.2.2)."""

# The methods that llhttp accepts and that carry no meaning of their own for it. CONNECT and PRI do, and are refused.
_PARSER_METHODS: Final = frozenset(
    b"DELETE GET HEAD POST PUT OPTIONS TRACE COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH UNLOCK BIND REBIND UNBIND"
    b" ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PATCH PURGE MKCALENDAR LINK UNLINK"
    b" QUERY".split()
)
_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HOST: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.%~A-Za-z_\-]*\]|[!$&'()*+,;=\-._~%0-9A-Za-z]*)(?::[0-9]*)?")
_ABSOLUTE_FORM: Final = re.compile(rb"https?://([^/?#@]+)([/?][^#]*)?", re.IGNORECASE)
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: ([\t -~\x80-\xff]*))?")
_VERSION: Final = re.compile(rb"HTTP/[0-9](?:\.[0-9])?")

_good_hosts: set[bytes] = set()
_GOOD_HOSTS_MAX: Final = 1024
_status_lines: dict[bytes, tuple[tuple[int, int], int, bytes]] = {}
_STATUS_LINES_MAX: Final = 256


class _FieldCollector:
    """What httptools calls while it goes through one head."""

    __slots__ = ("complete", "fields")

    def __init__(self) -> None:
        self.fields: Fields = []
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        self.complete = True


class _Head:
    """What the heads of requests and responses have in common."""

    __slots__ = ("chunked", "encoded", "fields", "headers", "length", "note", "repeated", "repeats")

    headers: Fields
    """Every field line, names as received."""
    fields: dict[bytes, bytes]
    """Lower-case name → the first value of that name."""
    repeats: bool
    """Whether a name occurs twice. If not, `fields` and `headers` are in the same order."""
    length: int | None
    """Content-Length, if given."""
    chunked: bool
    """Whether the body is in chunks."""
    repeated: bool
    """Whether its connection has brought these very bytes more than once; then its encoded form is kept as well."""
    encoded: tuple[Any, bytes] | None
    """Of a repeated head: what it was encoded with, and the result."""
    note: Any
    """The application's own, None at first: what it has found out about this head, which other messages may share."""

    def get(self, name: bytes) -> bytes | None:
        """The first value of the field with this lower-case name."""
        return self.fields.get(name)

    def get_all(self, name: bytes) -> list[bytes]:
        """All values of the field with this lower-case name, in order."""
        if not self.repeats:
            value = self.fields.get(name)
            return [] if value is None else [value]
        return [value for key, value in self.headers if key.lower() == name]

    def tokens(self, name: bytes) -> list[bytes]:
        """The comma-separated members of a list field, in lower case, without blanks."""
        found = (part.strip() for value in self.get_all(name) for part in value.lower().split(b","))
        return [token for token in found if token]

    def set_fields(self, headers: Fields) -> None:
        """Take over the field lines."""
        self.repeated = False
        self.encoded = None
        self.note = None
        fields = {name.lower(): value for name, value in headers}
        self.repeats = len(fields) != len(headers)
        if self.repeats:
            fields = {}
            for name, value in headers:
                fields.setdefault(name.lower(), value)
        self.headers = headers
        self.fields = fields


class RequestHead(_Head):
    """One request's line and fields."""

    __slots__ = (
        "expects_continue",
        "host",
        "keep_alive",
        "method",
        "peer",
        "peer_port",
        "target",
        "upgrade",
        "version",
    )

    method: bytes
    target: bytes
    """In origin form (or `*`), exactly as received; an absolute form has been split into `host` and the rest."""
    version: tuple[int, int]
    host: bytes
    """The authority that was asked for; empty when an HTTP/1.0 client named none."""
    peer: str
    """The client's IP address."""
    peer_port: int
    """The client's port, for logs; 0 where there is none."""
    keep_alive: bool
    """Whether the client would use its connection again."""
    upgrade: bytes | None
    """The protocol that the client wants to switch to, as received."""
    expects_continue: bool
    """Whether the client waits for 100 before it sends the body."""

    @property
    def has_body(self) -> bool:
        """Whether body bytes follow (a Content-Length of 0 is none)."""
        return self.chunked or bool(self.length)


class ResponseHead(_Head):
    """One response's status line and fields."""

    __slots__ = ("keep_alive", "last", "reason", "status", "until_close", "version")

    status: int
    reason: bytes
    version: tuple[int, int]
    keep_alive: bool
    """Whether the sender would take another request on its connection."""
    until_close: bool
    """Whether the body ends with the connection."""
    last: bool
    """Whether the client's connection is to be closed after this answer."""


def read_request_head(head: bytes, peer: str, peer_port: int = 0) -> RequestHead:
    """Parse one complete request head, its empty line included; raise BadRequestError."""
    parts = head.split(b" ", 2)
    request = RequestHead()
    if len(parts) == 3 and parts[2].startswith(b"HTTP/1.1\r\n"):
        request.version = HTTP_1_1
    elif len(parts) == 3 and parts[2].startswith(b"HTTP/1.0\r\n"):
        request.version = HTTP_1_0
    else:
        raise _request_line_error(head)
    request.method = method = parts[0]
    request.target = target = parts[1]
    request.peer = peer
    request.peer_port = peer_port
    collector = _FieldCollector()
    try:
        httptools.HttpRequestParser(collector).feed_data(
            head if method in _PARSER_METHODS else _with_known_method(head, method)
        )
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise BadRequestError(400, "malformed", f"malformed request: {error}") from error
    if not collector.complete:
        raise BadRequestError(400, "malformed", "malformed request")
    request.set_fields(_without_trailing_blanks(head, collector.fields))
    fields = request.fields
    host = fields.get(b"host")
    if host in _good_hosts and target.startswith(b"/") and target.find(b"#") < 0 and not request.repeats:
        request.host = host
    else:
        _read_host(request, host)
    _read_request_framing(request, fields)
    if b"connection" in fields:
        _read_connection(request)
    else:
        request.keep_alive = request.version == HTTP_1_1
        request.upgrade = None
    return request


def _request_line_error(head: bytes) -> BadRequestError:
    parts = head.partition(b"\r\n")[0].split(b" ")
    if len(parts) == 3 and _VERSION.fullmatch(parts[2]):
        return BadRequestError(505, "version", "only HTTP/1.0 and HTTP/1.1 are spoken here")
    return BadRequestError(400, "malformed", "malformed request line")


def _with_known_method(head: bytes, method: bytes) -> bytes:
    """The head to show to llhttp when it would not know the method."""
    if method == b"CONNECT":
        raise BadRequestError(502, "connect", "client sent unsupported CONNECT request")
    if not _TOKEN.fullmatch(method):
        raise BadRequestError(400, "malformed", "malformed request method")
    return b"GET" + head[len(method) :]


def _without_trailing_blanks(head: bytes, headers: Fields) -> Fields:
    """llhttp leaves the blanks at the end of a value; few heads have any, and hardly one has a tab."""
    # Not `in`: for bytes that first tries, and fails, to take the left side for a number.
    if head.find(b"\t") >= 0 or head.find(b" \r\n") >= 0:
        return [(name, value.rstrip(b" \t")) for name, value in headers]
    return headers


def _read_host(request: RequestHead, host: bytes | None) -> None:
    target = request.target
    if host is None:
        if request.version == HTTP_1_1:
            raise BadRequestError(400, "host", "missing required Host header")
        host = b""
    elif request.repeats and len(request.get_all(b"host")) > 1:
        raise BadRequestError(400, "host", "too many Host headers")
    if not target.startswith(b"/"):
        absolute = _ABSOLUTE_FORM.fullmatch(target)
        if absolute is not None:
            # The target's authority is the one that counts, whatever Host says (RFC 9112, 3.2.2).
            host = absolute[1]
            path = absolute[2] or b"/"
            request.target = path if path.startswith(b"/") else b"/" + path
        elif target != b"*" or request.method != b"OPTIONS":
            raise BadRequestError(400, "target", "malformed request target")
    elif target.find(b"#") >= 0:
        raise BadRequestError(400, "target", "malformed request target: a fragment is not sent")
    if host not in _good_hosts:
        _check_host(host)
    request.host = host


def _check_host(host: bytes) -> None:
    """A client names one of few hosts; each is looked at once."""
    if not _HOST.fullmatch(host):
        raise BadRequestError(400, "host", "malformed Host header")
    if len(_good_hosts) >= _GOOD_HOSTS_MAX:
        _good_hosts.clear()
    _good_hosts.add(host)


def _read_request_framing(request: RequestHead, fields: dict[bytes, bytes]) -> None:
    request.chunked = False
    request.expects_continue = False
    # llhttp has refused lists, signs, repetitions, overflow, and a length beside a transfer coding.
    length = fields.get(b"content-length")
    request.length = None if length is None else int(length)
    if b"transfer-encoding" in fields:
        if request.version == HTTP_1_0:
            raise BadRequestError(400, "framing", "an HTTP/1.0 request has no transfer coding")
        if request.tokens(b"transfer-encoding") != [b"chunked"]:
            raise BadRequestError(501, "framing", "unsupported transfer encoding")
        request.chunked = True
    if b"expect" in fields:
        expected = request.tokens(b"expect")
        if b"100-continue" in expected:
            request.expects_continue = request.has_body and request.version == HTTP_1_1
        elif expected:
            raise BadRequestError(417, "expect", "only 100-continue can be expected")


def _read_connection(request: RequestHead) -> None:
    options = request.tokens(b"connection")
    request.upgrade = None
    if request.version == HTTP_1_0:
        request.keep_alive = b"keep-alive" in options and b"close" not in options
        return
    request.keep_alive = b"close" not in options
    if b"upgrade" in options:
        protocol = request.fields.get(b"upgrade", b"")
        # h2c is a matter between the client and us, never with the app behind us (RFC 9113, 3.1).
        if protocol and b"h2c" not in request.tokens(b"upgrade"):
            request.upgrade = protocol


def read_response_head(head: bytes, method: bytes) -> ResponseHead:
    """Parse one complete response head to a request with `method`; raise BadResponseError."""
    line = head[: head.find(b"\r\n")]
    parts = _status_lines.get(line) or _read_status_line(line)
    collector = _FieldCollector()
    try:
        httptools.HttpResponseParser(collector).feed_data(head)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise BadResponseError(f"malformed HTTP response: {error}") from error
    if not collector.complete:
        raise BadResponseError("malformed HTTP response")
    response = ResponseHead()
    response.version, response.status, response.reason = parts
    response.last = False
    response.set_fields(_without_trailing_blanks(head, collector.fields))
    _read_response_framing(response, method)
    return response


def _read_status_line(line: bytes) -> tuple[tuple[int, int], int, bytes]:
    """An app says one of few status lines; each is taken apart once."""
    found = _STATUS_LINE.fullmatch(line)
    if found is None:
        raise BadResponseError("malformed HTTP status line")
    if len(_status_lines) >= _STATUS_LINES_MAX:
        _status_lines.clear()
    parts = HTTP_1_1 if found[1] == b"1" else HTTP_1_0, int(found[2]), found[3] or b""
    _status_lines[line] = parts
    return parts


def _read_response_framing(response: ResponseHead, method: bytes) -> None:
    fields = response.fields
    length = fields.get(b"content-length")
    response.length = None if length is None else int(length)
    response.chunked = False
    if b"transfer-encoding" in fields:
        # Another coding under the chunks would reach a client that was not told of it; HTTP/1.0 knows none at all.
        if response.tokens(b"transfer-encoding") != [b"chunked"] or response.version == HTTP_1_0:
            raise BadResponseError("unsupported transfer encoding in the response")
        response.chunked = True
    keep_alive = response.version == HTTP_1_1
    if b"connection" in fields:
        options = response.tokens(b"connection")
        keep_alive = b"close" not in options and (keep_alive or b"keep-alive" in options)
    response.until_close = length is None and not response.chunked and not is_bodyless(response.status, method)
    response.keep_alive = keep_alive and not response.until_close


def is_bodyless(status: int, method: bytes) -> bool:
    """Whether a final response with this status, to a request with this method, has no body whatever its head says."""
    return status == 204 or status == 304 or status < 200 or method == b"HEAD"


def read_fields(block: bytes) -> Fields:
    """Parse a trailer section, its empty line included; raise ValueError."""
    collector = _FieldCollector()
    try:
        httptools.HttpRequestParser(collector).feed_data(b"GET / HTTP/1.1\r\n" + block)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise ValueError(str(error)) from error
    if not collector.complete:
        raise ValueError("incomplete trailer section")
    return _without_trailing_blanks(block, collector.fields)
