"""The known ways of smuggling a request past a proxy, each as the bytes on the wire."""

from collections.abc import Iterator
from pathlib import Path

import pytest

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
