"""Answers of our own."""

import pytest

from upwell.http.answers import error_response, is_unsent, make_response


def test_an_answer_has_the_length_of_its_body() -> None:
    head = make_response(404, ((b"X-A", b"1"),), b"nothing here")

    assert (head.status, head.reason, head.length, head.last) == (404, b"Not Found", 12, False)
    assert head.headers == [(b"X-A", b"1"), (b"Content-Length", b"12")]


def test_a_status_without_a_usual_reason_has_none() -> None:
    assert make_response(299, (), b"").reason == b""


def test_an_error_says_who_made_it_and_why_and_is_the_last() -> None:
    head = error_response(b"activator", 400, "malformed", b"bad\n")

    assert head.get(b"upwell-error") == b"activator; reason=malformed"
    assert head.get(b"content-type") == b"text/plain; charset=utf-8"
    assert head.last
    assert not is_unsent(head)


@pytest.mark.parametrize(
    ("value", "unsent"),
    [(b"queueproxy; reason=x; unsent", True), (b"queueproxy;unsent", True), (b"queueproxy; reason=unsent", False)],
)
def test_unsent_is_a_word_of_its_own(value: bytes, unsent: bool) -> None:
    assert is_unsent(make_response(502, ((b"Upwell-Error", value),), b"")) is unsent
