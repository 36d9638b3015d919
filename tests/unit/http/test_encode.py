"""Heads on their way out: what is kept byte for byte, what is dropped, what is added."""

import pytest

from upwell.http.encode import encode_chunk, encode_last_chunk, encode_request_head, encode_response_head
from upwell.http.message import read_request_head, read_response_head

NOTHING: frozenset[bytes] = frozenset()


def forwarded(
    *fields: str,
    line: str = "GET /x HTTP/1.1",
    host: bytes | None = None,
    remove: frozenset[bytes] = NOTHING,
    add: tuple[tuple[bytes, bytes], ...] = (),
) -> list[str]:
    """The lines of the head that leaves when one with these fields came in."""
    request = read_request_head("\r\n".join((line, *fields, "", "")).encode(), "192.0.2.7")
    encoded = encode_request_head(request, host, b"10.0.0.1:8080", remove, add)
    assert encoded.endswith(b"\r\n\r\n")
    return encoded.decode().split("\r\n")[:-2]


def answered(
    *fields: str,
    line: str = "HTTP/1.1 200 OK",
    chunked: bool = False,
    bare: bool = False,
    connection: bytes | None = None,
) -> list[str]:
    response = read_response_head("\r\n".join((line, *fields, "", "")).encode(), b"GET")
    encoded = encode_response_head(response, chunked=chunked, bare=bare, connection=connection)
    assert encoded.endswith(b"\r\n\r\n")
    return encoded.decode().split("\r\n")[:-2]


def test_a_plain_head_leaves_as_it_came_with_the_peer_added() -> None:
    assert forwarded("Host: app.test", "X-CaSe: Value", "x-many: 1", "Cookie: a=1; b=2") == [
        "GET /x HTTP/1.1",
        "Host: app.test",
        "X-CaSe: Value",
        "x-many: 1",
        "Cookie: a=1; b=2",
        "X-Forwarded-For: 192.0.2.7",
    ]


def test_repeated_fields_stay_apart_and_in_order() -> None:
    lines = forwarded("Host: a", "X-Many: one", "X-Other: o", "x-many: two", "X-Many: three")

    assert lines[2:6] == ["X-Many: one", "X-Other: o", "x-many: two", "X-Many: three"]


def test_fields_of_the_connection_are_dropped_and_so_are_those_it_names() -> None:
    lines = forwarded(
        "Host: a",
        "Connection: keep-alive, X-Private, host",
        "X-Private: secret",
        "Keep-Alive: timeout=9",
        "Proxy-Connection: keep-alive",
        "Proxy-Authorization: Basic eA==",
        "Proxy-Authenticate: Basic",
        "TE: gzip",
        "Upgrade: websocket",
        "X-Public: kept",
    )

    assert lines == ["GET /x HTTP/1.1", "Host: a", "X-Public: kept", "X-Forwarded-For: 192.0.2.7"]


def test_te_trailers_is_all_that_remains_of_te() -> None:
    assert "TE: trailers" in forwarded("Host: a", "TE: gzip;q=0.5, Trailers")
    assert not [line for line in forwarded("Host: a", "TE: gzip") if line.startswith("TE")]
    assert not [line for line in forwarded("Host: a", "TE: trailers;q=0.5") if line.startswith("TE")]


def test_an_upgrade_is_asked_for_again() -> None:
    lines = forwarded("Host: a", "Connection: upgrade, X-Gone", "Upgrade: WebSocket", "X-Gone: 1")

    assert lines[2:] == ["X-Forwarded-For: 192.0.2.7", "Connection: Upgrade", "Upgrade: WebSocket"]


def test_trailers_are_announced_only_where_there_can_be_any() -> None:
    assert "Trailer: X" not in forwarded("Host: a", "Trailer: X")
    assert "Trailer: X" in forwarded("Host: a", "Trailer: X", "Transfer-Encoding: chunked", line="POST / HTTP/1.1")
    assert "Trailer: X" not in answered("Trailer: X", "Content-Length: 2")
    assert "Trailer: X" in answered("Trailer: X", "Transfer-Encoding: chunked", chunked=True)


def test_the_framing_of_the_body_is_kept() -> None:
    assert "Content-Length: 3" in forwarded("Host: a", "Content-Length: 3")
    assert "Transfer-Encoding: chunked" in forwarded("Host: a", "transfer-encoding: CHUNKED")


def test_the_peer_joins_the_list_of_those_it_was_forwarded_for() -> None:
    lines = forwarded("Host: a", "X-Forwarded-For: 203.0.113.1", "x-forwarded-for: 203.0.113.2")

    assert lines[-1] == "X-Forwarded-For: 203.0.113.1, 203.0.113.2, 192.0.2.7"
    assert len([line for line in lines if "orwarded" in line]) == 1


def test_an_application_can_begin_that_list_anew() -> None:
    lines = forwarded("Host: a", "X-Forwarded-For: 203.0.113.1", remove=frozenset({b"x-forwarded-for"}))

    assert lines[-1] == "X-Forwarded-For: 192.0.2.7"


def test_an_application_can_replace_the_host_and_drop_and_add_fields() -> None:
    lines = forwarded(
        "X-A: 1", "HOST: a", "X-B: 2", host=b"b.test", remove=frozenset({b"x-a"}), add=((b"X-C", b"3"), (b"X-C", b"4"))
    )

    assert lines == ["GET /x HTTP/1.1", "Host: b.test", "X-B: 2", "X-Forwarded-For: 192.0.2.7", "X-C: 3", "X-C: 4"]


def test_the_authority_of_an_absolute_target_becomes_the_host() -> None:
    lines = forwarded("Host: a", line="GET http://other.test:81/p HTTP/1.1")

    assert lines[:2] == ["GET /p HTTP/1.1", "Host: other.test:81"]


def test_who_names_no_host_gets_the_upstreams() -> None:
    assert forwarded(line="GET / HTTP/1.0")[:2] == ["GET / HTTP/1.1", "Host: 10.0.0.1:8080"]


def test_many_different_sets_of_removed_fields_are_no_problem() -> None:
    for number in range(200):
        name = f"x-{number}"
        assert f"{name}: 1" not in forwarded("Host: a", f"{name}: 1", remove=frozenset({name.encode()}))


def test_a_response_leaves_as_it_came() -> None:
    assert answered("Content-Length: 2", "Set-Cookie: a=1", "Set-Cookie: b=2", line="HTTP/1.0 299 Fine By Me") == [
        "HTTP/1.1 299 Fine By Me",
        "Content-Length: 2",
        "Set-Cookie: a=1",
        "Set-Cookie: b=2",
    ]


def test_a_response_without_fields_is_possible() -> None:
    assert answered(line="HTTP/1.1 200 ") == ["HTTP/1.1 200 "]


def test_a_responses_connection_fields_are_its_own() -> None:
    lines = answered("Connection: keep-alive, X-Mine", "Keep-Alive: timeout=5", "X-Mine: 1", "X-End: kept")

    assert lines == ["HTTP/1.1 200 OK", "X-End: kept"]


@pytest.mark.parametrize(
    ("connection", "lines"),
    [(b"close", ["Connection: close"]), (b"Upgrade", ["Connection: Upgrade", "Upgrade: websocket"]), (None, [])],
)
def test_what_becomes_of_the_connection_is_said(connection: bytes | None, lines: list[str]) -> None:
    assert answered("Upgrade: websocket", connection=connection)[1:] == lines


def test_chunks_are_announced_and_a_bare_status_has_no_length() -> None:
    assert answered("Transfer-Encoding: chunked", chunked=True)[1:] == ["Transfer-Encoding: chunked"]
    assert answered("Content-Length: 5", "X-A: 1", bare=True, line="HTTP/1.1 204 No Content")[1:] == ["X-A: 1"]


def test_a_chunk_says_its_size_in_hex() -> None:
    assert encode_chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"


def test_trailers_that_would_change_the_message_stay_behind() -> None:
    trailers = [(b"X-Sum", b"42"), (b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked"), (b"Host", b"evil")]

    assert encode_last_chunk(trailers) == b"0\r\nX-Sum: 42\r\n\r\n"
    assert encode_last_chunk([]) == b"0\r\n\r\n"
