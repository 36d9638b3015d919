"""Heads: what is accepted, how it is read, and what is refused."""

import pytest

from upwell.http.errors import BadRequestError, BadResponseError
from upwell.http.message import RequestHead, ResponseHead, read_fields, read_request_head, read_response_head


def head(*lines: str) -> bytes:
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def read(*lines: str) -> RequestHead:
    return read_request_head(head(*lines), "192.0.2.7")


def read_answer(*lines: str, method: bytes = b"GET") -> ResponseHead:
    return read_response_head(head(*lines), method)


def refusal(raw: bytes) -> tuple[int, str]:
    with pytest.raises(BadRequestError) as caught:
        read_request_head(raw, "192.0.2.7")
    return caught.value.status, caught.value.reason


def test_a_request_is_read_into_its_parts() -> None:
    request = read("POST /a?b=c HTTP/1.1", "Host: app.test:8080", "X-One: 1", "Content-Length: 3")

    assert (request.method, request.target, request.version) == (b"POST", b"/a?b=c", (1, 1))
    assert request.headers == [(b"Host", b"app.test:8080"), (b"X-One", b"1"), (b"Content-Length", b"3")]
    assert (request.host, request.peer) == (b"app.test:8080", "192.0.2.7")
    assert (request.length, request.chunked, request.has_body) == (3, False, True)
    assert request.keep_alive


def test_fields_are_found_by_lower_case_name_and_the_first_counts() -> None:
    request = read("GET / HTTP/1.1", "HOST: a", "x-MANY: one", "X-Many: two", "X-Empty:")

    assert request.get(b"x-many") == b"one"
    assert request.get_all(b"x-many") == [b"one", b"two"]
    assert request.get(b"x-empty") == b""
    assert request.get(b"x-none") is None
    assert request.get_all(b"x-none") == []


def test_blanks_around_values_do_not_belong_to_them() -> None:
    request = read("GET / HTTP/1.1", "Host: a \t", "X-Pad: \t a b \t ")

    assert request.headers == [(b"Host", b"a"), (b"X-Pad", b"a b")]
    assert request.host == b"a"


@pytest.mark.parametrize("method", ["GET", "PROPFIND", "M-SEARCH", "BREW", "get", "A!#$%&'*+-.^_`|~9", "PRI", "SOURCE"])
def test_every_token_is_a_method(method: str) -> None:
    assert read(f"{method} /x HTTP/1.1", "Host: a").method == method.encode()


@pytest.mark.parametrize(
    ("target", "host", "path"),
    [
        ("http://other.test:81/p?q", b"other.test:81", b"/p?q"),
        ("HTTPS://other.test", b"other.test", b"/"),
        ("http://other.test?q=1", b"other.test", b"/?q=1"),
        ("http://[::1]:80/", b"[::1]:80", b"/"),
        ("//evil.test/x", b"app.test", b"//evil.test/x"),
        ('/a"<>^`{|}%zz', b"app.test", b'/a"<>^`{|}%zz'),
    ],
)
def test_the_target_decides_about_path_and_host(target: str, host: bytes, path: bytes) -> None:
    request = read(f"GET {target} HTTP/1.1", "Host: app.test")

    assert (request.host, request.target) == (host, path)


def test_an_asterisk_is_a_target_of_options_only() -> None:
    assert read("OPTIONS * HTTP/1.1", "Host: a").target == b"*"
    assert refusal(head("GET * HTTP/1.1", "Host: a")) == (400, "target")


def test_an_old_client_need_not_name_a_host() -> None:
    assert read("GET / HTTP/1.0").host == b""


@pytest.mark.parametrize(
    ("version", "fields", "keep_alive"),
    [
        ("1.1", (), True),
        ("1.1", ("Connection: close",), False),
        ("1.1", ("Connection: x, CLOSE",), False),
        ("1.1", ("Connection: keep-alive", "Connection: close"), False),
        ("1.0", (), False),
        ("1.0", ("Connection: Keep-Alive",), True),
        ("1.0", ("Connection: keep-alive, close",), False),
    ],
)
def test_keep_alive_is_what_version_and_connection_say(version: str, fields: tuple[str, ...], keep_alive: bool) -> None:
    assert read(f"GET / HTTP/{version}", "Host: a", *fields).keep_alive is keep_alive


@pytest.mark.parametrize(
    ("fields", "upgrade"),
    [
        (("Connection: Upgrade", "Upgrade: websocket"), b"websocket"),
        (("Connection: keep-alive, upgrade", "Upgrade: Foo/2"), b"Foo/2"),
        (("Upgrade: websocket",), None),
        (("Connection: Upgrade",), None),
        (("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ"), None),
    ],
)
def test_an_upgrade_needs_both_fields_and_is_never_to_http2(fields: tuple[str, ...], upgrade: bytes | None) -> None:
    assert read("GET / HTTP/1.1", "Host: a", *fields).upgrade == upgrade


def test_an_old_client_cannot_upgrade() -> None:
    assert read("GET / HTTP/1.0", "Host: a", "Connection: upgrade", "Upgrade: websocket").upgrade is None


@pytest.mark.parametrize(
    ("line", "fields", "expects"),
    [
        ("POST / HTTP/1.1", ("Expect: 100-Continue", "Content-Length: 3"), True),
        ("POST / HTTP/1.1", ("Expect: 100-continue", "Transfer-Encoding: chunked"), True),
        ("POST / HTTP/1.1", ("Expect: 100-continue", "Content-Length: 0"), False),
        ("GET / HTTP/1.1", ("Expect: 100-continue",), False),
        ("POST / HTTP/1.0", ("Expect: 100-continue", "Content-Length: 3"), False),
        ("POST / HTTP/1.1", ("Expect: other, 100-continue", "Content-Length: 3"), True),
        ("POST / HTTP/1.1", ("Expect:", "Content-Length: 3"), False),
    ],
)
def test_only_a_modern_client_with_a_body_expects_to_be_told_to_continue(
    line: str, fields: tuple[str, ...], expects: bool
) -> None:
    assert read(line, "Host: a", *fields).expects_continue is expects


def test_an_expectation_that_nobody_knows_is_417() -> None:
    with pytest.raises(BadRequestError) as caught:
        read("GET / HTTP/1.1", "Host: a", "Expect: something")

    assert (caught.value.status, caught.value.reason) == (417, "expect")


@pytest.mark.parametrize("coding", ["chunked", "CHUNKED", " chunked "])
def test_chunked_is_understood(coding: str) -> None:
    request = read("POST / HTTP/1.1", "Host: a", f"Transfer-Encoding: {coding}")

    assert (request.chunked, request.length, request.has_body) == (True, None, True)


@pytest.mark.parametrize(
    "lines",
    [
        ("GET  / HTTP/1.1", "Host: a"),
        ("GET / HTTP/1.1 ", "Host: a"),
        ("GET /a b HTTP/1.1", "Host: a"),
        ("GET /", "Host: a"),
        ("GET / HTTP/1.1x", "Host: a"),
        ("GET / http/1.1", "Host: a"),
        ("GET / RTSP/1.0", "Host: a"),
        ("G(T / HTTP/1.1", "Host: a"),
        ("GET\t/ HTTP/1.1", "Host: a"),
        ("GET /\x01 HTTP/1.1", "Host: a"),
        ("GET /\xff HTTP/1.1", "Host: a"),
        ("GET / HTTP/1.1", "Host: a", "X : b"),
        ("GET / HTTP/1.1", "Host: a", " X: b"),
        ("GET / HTTP/1.1", " X: b", "Host: a"),
        ("GET / HTTP/1.1", "Host: a", "X: b", "\tfolded"),
        ("GET / HTTP/1.1", "Host: a", "nonsense"),
        ("GET / HTTP/1.1", "Host: a", ": b"),
        ("GET / HTTP/1.1", "Host: a", "X\x00: b"),
        ("GET / HTTP/1.1", "Host: a", "X: a\x00b"),
        ("GET / HTTP/1.1", "Host: a", "X: a\x7fb"),
        ("GET / HTTP/1.1", "Host: a", "X: a\rb"),
        ("GET / HTTP/1.1", "Host: a\n", "X: b"),
        ("GET / HTTP/1.1", "Host: a", "Content-Length: +5"),
        ("GET / HTTP/1.1", "Host: a", "Content-Length: -1"),
        ("GET / HTTP/1.1", "Host: a", "Content-Length: 5, 5"),
        ("GET / HTTP/1.1", "Host: a", "Content-Length: 5 5"),
        ("GET / HTTP/1.1", "Host: a", "Content-Length: 0x5"),
        ("GET / HTTP/1.1", "Host: a", "Content-Length:"),
        ("GET / HTTP/1.1", "Host: a", "Content-Length: 99999999999999999999"),
        ("GET / HTTP/1.1", "Host: a", "Content-Length: 5", "Content-Length: 5"),
        ("GET / HTTP/1.1", "Host: a", "Content-Length: 5", "Transfer-Encoding: chunked"),
        ("GET / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Content-Length: 5"),
        ("GET / HTTP/1.1", "Host: a", "Transfer-Encoding: identity"),
        ("GET / HTTP/1.1", "Host: a", "Transfer-Encoding:"),
        ("GET / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        ("GET / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked, identity"),
        ("GET / HTTP/1.1", "Host: a", "Transfer-Encoding: \x0bchunked"),
    ],
)
def test_a_malformed_request_is_refused(lines: tuple[str, ...]) -> None:
    assert refusal(head(*lines))[0] == 400


@pytest.mark.parametrize(
    ("lines", "refused"),
    [
        (("GET / HTTP/1.1",), (400, "host")),
        (("GET / HTTP/1.1", "Host: a", "Host: a"), (400, "host")),
        (("GET / HTTP/1.1", "Host: a b"), (400, "host")),
        (("GET / HTTP/1.1", "Host: a/b"), (400, "host")),
        (("GET / HTTP/1.1", "Host: user@a"), (400, "host")),
        (("GET foo HTTP/1.1", "Host: a"), (400, "malformed")),
        (("GET /#part HTTP/1.1", "Host: a"), (400, "target")),
        (("GET http://user@a/ HTTP/1.1", "Host: a"), (400, "target")),
        (("GET ftp://a/ HTTP/1.1", "Host: a"), (400, "target")),
        (("GET / HTTP/2.0", "Host: a"), (505, "version")),
        (("GET / HTTP/1.2", "Host: a"), (505, "version")),
        (("GET / HTTP/0.9", "Host: a"), (505, "version")),
        (("CONNECT a:80 HTTP/1.1", "Host: a"), (502, "connect")),
        (("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: gzip, chunked"), (501, "framing")),
        (("POST / HTTP/1.0", "Host: a", "Transfer-Encoding: chunked"), (400, "framing")),
    ],
)
def test_what_is_well_formed_but_wrong_is_refused_with_its_own_reason(
    lines: tuple[str, ...], refused: tuple[int, str]
) -> None:
    assert refusal(head(*lines)) == refused


def test_a_response_is_read_into_its_parts() -> None:
    response = read_answer("HTTP/1.1 299 Fine By Me", "Content-Length: 3", "X-A: 1 ")

    assert (response.status, response.reason, response.version) == (299, b"Fine By Me", (1, 1))
    assert response.headers == [(b"Content-Length", b"3"), (b"X-A", b"1")]
    assert (response.length, response.chunked, response.until_close) == (3, False, False)
    assert response.keep_alive


@pytest.mark.parametrize("line", ["HTTP/1.1 200 ", "HTTP/1.1 200"])
def test_a_status_needs_no_reason(line: str) -> None:
    response = read_answer(line, "Content-Length: 0")

    assert (response.status, response.reason) == (200, b"")


@pytest.mark.parametrize(
    ("lines", "method", "until_close"),
    [
        (("HTTP/1.1 200 OK",), b"GET", True),
        (("HTTP/1.1 200 OK",), b"HEAD", False),
        (("HTTP/1.1 204 No Content",), b"GET", False),
        (("HTTP/1.1 304 Not Modified",), b"GET", False),
        (("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"), b"GET", False),
        (("HTTP/1.0 200 OK", "Content-Length: 5"), b"GET", False),
    ],
)
def test_a_body_without_framing_lasts_until_the_connection_closes(
    lines: tuple[str, ...], method: bytes, until_close: bool
) -> None:
    assert read_answer(*lines, method=method).until_close is until_close


@pytest.mark.parametrize(
    ("lines", "keep_alive"),
    [
        (("HTTP/1.1 200 OK", "Content-Length: 0"), True),
        (("HTTP/1.1 200 OK", "Content-Length: 0", "Connection: close"), False),
        (("HTTP/1.0 200 OK", "Content-Length: 0"), False),
        (("HTTP/1.0 200 OK", "Content-Length: 0", "Connection: keep-alive"), True),
        (("HTTP/1.1 200 OK",), False),
    ],
)
def test_an_upstream_connection_is_kept_when_its_answer_allows_it(lines: tuple[str, ...], keep_alive: bool) -> None:
    assert read_answer(*lines).keep_alive is keep_alive


@pytest.mark.parametrize(
    "lines",
    [
        ("this is not http at all",),
        ("HTTP/1.1 OK",),
        ("HTTP/1.1  200 OK",),
        ("HTTP/1.1 099 OK",),
        ("HTTP/1.1 1000 OK",),
        ("HTTP/2.0 200 OK",),
        ("HTTP/1.1 200 \x01",),
        ("HTTP/1.1 200 OK", "X : b"),
        ("HTTP/1.1 200 OK", "X: b", " folded"),
        ("HTTP/1.1 200 OK", "X: a\x00b"),
        ("HTTP/1.1 200 OK", "Content-Length: 5", "Content-Length: 6"),
        ("HTTP/1.1 200 OK", "Content-Length: 5", "Transfer-Encoding: chunked"),
        ("HTTP/1.1 200 OK", "Transfer-Encoding: gzip, chunked"),
        ("HTTP/1.1 200 OK", "Transfer-Encoding: gzip"),
        ("HTTP/1.0 200 OK", "Transfer-Encoding: chunked"),
        ("HTTP/1.1 101 Switching Protocols",),
    ],
)
def test_a_malformed_response_is_refused(lines: tuple[str, ...]) -> None:
    with pytest.raises(BadResponseError):
        read_answer(*lines)


def test_trailers_are_fields() -> None:
    assert read_fields(b"X-Sum: 42 \r\nX-Other: b\r\n\r\n") == [(b"X-Sum", b"42"), (b"X-Other", b"b")]
    assert read_fields(b"\r\n") == []


@pytest.mark.parametrize("block", [b"X : y\r\n\r\n", b"X: y\n\r\n", b" X: y\r\n\r\n", b"X: a\x00\r\n\r\n", b"X: y\r\n"])
def test_malformed_trailers_are_refused(block: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_fields(block)
