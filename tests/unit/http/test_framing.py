"""The end of a head, and when it is no use to wait for it."""

import pytest

from upwell.http.errors import BadRequestError
from upwell.http.framing import request_head_end
from upwell.http.limits import Limits

LIMITS = Limits(head_bytes=200, target_bytes=50)
HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def status(data: bytes) -> int:
    with pytest.raises(BadRequestError) as caught:
        request_head_end(data, LIMITS)
    return caught.value.status


def test_a_head_ends_after_its_empty_line() -> None:
    assert request_head_end(HEAD + b"body\r\n\r\n", LIMITS) == len(HEAD)


@pytest.mark.parametrize("cut", range(len(HEAD)))
def test_a_part_of_a_head_is_waited_for(cut: int) -> None:
    assert request_head_end(HEAD[:cut], LIMITS) == 0


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\nHost: a\n\n", b"GET / HTTP/1.1\r\nHost: a\n"])
def test_bare_line_feeds_are_refused_before_the_end(data: bytes) -> None:
    assert status(data) == 400


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
def test_a_long_head_is_refused_complete_or_not(end: bytes) -> None:
    assert status(b"GET / HTTP/1.1\r\nX: " + b"x" * 200 + end) == 431


@pytest.mark.parametrize("end", [b"", b" HTTP/1.1\r\nHost: a\r\n\r\n"])
def test_a_long_target_is_refused_complete_or_not(end: bytes) -> None:
    assert status(b"GET /" + b"x" * 50 + end) == 414


def test_a_long_method_is_a_long_head() -> None:
    assert request_head_end(b"G" * 100, LIMITS) == 0
    assert status(b"G" * 201) == 431
