"""The known ways of smuggling a request past a proxy, each as the bytes on the wire."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.http.profile import PROFILE
from tests.fuzz.http.wire import Wire, read_requests

CORPUS = Path(__file__).parent / "http"


def samples(kind: str) -> list[Path]:
    found = sorted((CORPUS / kind).glob("*.raw"))
    assert found
    return found


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.close()


@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "bytewise"])
@pytest.mark.parametrize("sample", samples("refused"), ids=lambda path: path.stem)
def test_it_is_refused_and_never_reaches_an_upstream_complete(wire: Wire, sample: Path, bytewise: bool) -> None:
    data = sample.read_bytes()

    forwarded, got = wire.forward([data[index : index + 1] for index in range(len(data))] if bytewise else [data])

    assert not [request for request in read_requests(forwarded)[0] if request.complete]
    assert bytewise or not forwarded
    assert got.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5"))
    assert b"\r\nConnection: close\r\n" in got


@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "bytewise"])
@pytest.mark.parametrize("sample", samples("accepted"), ids=lambda path: path.stem)
def test_it_is_read_as_others_read_it(wire: Wire, sample: Path, bytewise: bool) -> None:
    data = sample.read_bytes()

    forwarded, got = wire.forward([data[index : index + 1] for index in range(len(data))] if bytewise else [data])

    theirs, offended = read_requests(data)
    ours, ours_offended = read_requests(forwarded)
    assert not offended
    assert not ours_offended
    assert [request.body for request in ours] == [request.body for request in theirs]
    assert all(request.complete for request in ours)
    assert b"smuggled" not in b"".join(request.start for request in ours[:1])
    assert got.count(b"HTTP/1.1 204") == len(ours)


UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
SETTINGS = b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n"


@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "bytewise"])
@pytest.mark.parametrize(
    ("fields", "switched"),
    [
        (UPGRADE + SETTINGS, True),
        (UPGRADE + SETTINGS + b"Content-Length: 5\r\n", True),
        (UPGRADE + SETTINGS + b"Content-Length: 70000\r\n", False),
        (UPGRADE + SETTINGS * 2, False),
        (UPGRADE + b"HTTP2-Settings: \r\n", True),
        (UPGRADE + b"HTTP2-Settings: AAMA\r\n", False),
        (UPGRADE, False),
        (b"Connection: Upgrade\r\nUpgrade: h2c\r\n" + SETTINGS, False),
        (b"Connection: HTTP2-Settings\r\nUpgrade: h2c\r\n" + SETTINGS, False),
        (b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: websocket, h2c\r\n" + SETTINGS, True),
        (b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2\r\n" + SETTINGS, False),
    ],
)
def test_an_upgrade_to_http_2_is_between_the_client_and_us_alone(
    wire: Wire, fields: bytes, switched: bool, bytewise: bool
) -> None:
    data = b"POST / HTTP/1.1\r\nHost: app.test\r\n" + fields + b"\r\n"
    if b"Content-Length: 5" in fields:
        data += b"hello"
    data += SMUGGLED

    forwarded, got = wire.forward([data[index : index + 1] for index in range(len(data))] if bytewise else [data])

    assert b"h2c" not in forwarded
    assert b"http2-settings" not in forwarded.lower()
    assert got.startswith(b"HTTP/1.1 101 ") is switched
    if switched:
        # What follows is no preface, and so it is nothing.
        assert b"smuggled" not in forwarded


@PROFILE
@given(
    fields=st.lists(
        st.sampled_from(
            [
                b"Connection: Upgrade, HTTP2-Settings",
                b"Connection: Upgrade",
                b"Connection: HTTP2-Settings",
                b"Upgrade: h2c",
                b"Upgrade: h2c, websocket",
                b"HTTP2-Settings: AAMAAABkAAQAAP__",
                b"HTTP2-Settings: ====",
                b"HTTP2-Settings:",
                b"Content-Length: 5",
                b"Transfer-Encoding: chunked",
                b"Expect: 100-continue",
            ]
        ),
        max_size=6,
    ),
    body=st.sampled_from([b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"5\r\nhello"]),
    cuts=st.lists(st.integers(0, 400), max_size=4),
)
def test_whatever_asks_for_http_2_is_forwarded_once_and_without_its_asking(
    wire: Wire, fields: list[bytes], body: bytes, cuts: list[int]
) -> None:
    data = b"\r\n".join([b"POST /first HTTP/1.1", b"Host: app.test", *fields, b"", b""]) + body
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]

    forwarded, got = wire.forward([data[a:b] for a, b in pairwise(edges) if a < b])

    assert b"h2c" not in forwarded
    assert b"http2-settings" not in forwarded.lower()
    ours, offended = read_requests(forwarded)
    assert not offended
    complete = [request for request in ours if request.complete]
    theirs = [request for request in read_requests(data)[0] if request.complete]
    assert [request.body for request in complete] == [request.body for request in theirs[: len(complete)]]
    if got.startswith(b"HTTP/1.1 101 "):
        assert len(complete) == 1
