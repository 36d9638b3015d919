"""What h11 rejects, or frames differently, never passes the engine.

For any bytes from a client: every request that reaches an upstream complete is one that h11 reads from the same bytes,
in the same order, with the same method, target and body. For any bytes from an upstream: every response that reaches
the client complete is the one that h11 reads, with the same status and body, unless it is our own 502.

500 cases each, always the same ones; the nightly profile (`HYPOTHESIS_PROFILE=nightly`) has 20,000 new ones.
"""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.http.profile import PROFILE
from tests.fuzz.http.strategies import pieces, requests, responses
from tests.fuzz.http.wire import Message, Wire, read_requests, read_response


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.close()


def without_authority(start: bytes) -> bytes:
    """A request line's begin with its target in origin form, as it is forwarded."""
    method, _, target = start.partition(b" ")
    if target.lower().startswith(b"http://"):
        target = b"/" + target[7:].partition(b"/")[2]
    return method + b" " + target


def seen(message: Message) -> tuple[bytes, bytes]:
    return without_authority(message.start), message.body


@PROFILE
@given(sent=pieces(requests))
def test_every_request_that_is_forwarded_is_one_that_h11_reads(wire: Wire, sent: list[bytes]) -> None:
    forwarded, got = wire.forward(sent)

    ours, offended = read_requests(forwarded)
    assert not offended, forwarded
    theirs, _ = read_requests(b"".join(sent))
    complete = [message for message in ours if message.complete]
    assert [seen(message) for message in complete] == [seen(message) for message in theirs[: len(complete)]]
    assert all(message.complete for message in theirs[: len(complete)])
    assert not any(message.has(b"content-length") and message.has(b"transfer-encoding") for message in ours)
    assert got.count(b"HTTP/1.1 204 ") == len(complete)


@PROFILE
@given(method=st.sampled_from([b"GET", b"GET", b"POST", b"HEAD"]), sent=pieces(responses))
def test_every_complete_response_is_one_that_h11_reads(wire: Wire, method: bytes, sent: list[bytes]) -> None:
    got, cut = wire.answer(method, sent)

    ours = read_response(got, method, ended=cut)
    if ours is None or (ours.start == b"502" and ours.has(b"x-failed")):
        return
    theirs = read_response(b"".join(sent), method)
    assert theirs is not None
    assert ours.start == theirs.start
    if ours.complete:
        assert theirs.complete, "what is not whole looks whole"
        assert ours.body == theirs.body
    else:
        assert cut
        assert theirs.body.startswith(ours.body)
