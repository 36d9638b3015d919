import pytest
from hpack import Decoder, NeverIndexedHeaderTuple

from upwell.http import Limits
from upwell.http.errors import BadRequestError
from upwell.http.h2.codes import StreamViolation
from upwell.http.h2.heads import check_trailers, encode_request, encode_response, make_request, make_response_head
from upwell.http.message import Fields

GET: Fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"app.test"), (b":path", b"/a?b")]


def request(
    *fields: tuple[bytes, bytes], base: Fields = GET, ended: bool = True, limits: Limits | None = None
) -> object:
    return make_request([*base, *fields], ended, "192.0.2.7", 40000, limits or Limits())


def test_a_request_has_what_its_pseudo_fields_say() -> None:
    made = make_request([*GET, (b"x-one", b"1")], True, "192.0.2.7", 40000, Limits())
    assert (made.method, made.target, made.host, made.version) == (b"GET", b"/a?b", b"app.test", (2, 0))
    assert made.headers == [(b"x-one", b"1")]
    assert not made.has_body


def test_a_request_that_goes_on_has_a_body_of_unknown_length_unless_it_says_its_length() -> None:
    assert make_request(GET, False, "", 0, Limits()).chunked
    made = make_request([*GET, (b"content-length", b"5")], False, "", 0, Limits())
    assert not made.chunked
    assert made.length == 5


@pytest.mark.parametrize(
    "fields",
    [
        GET[1:],
        GET[:1] + GET[2:],
        GET[:3],
        [*GET, (b":path", b"/")],
        [*GET, (b":unknown", b"x")],
        [*GET, (b":status", b"200")],
        [*GET, (b"x", b"1"), (b":path", b"/")],
        [*GET, (b"Upper", b"1")],
        [*GET, (b"", b"1")],
        [*GET, (b"a b", b"1")],
        [*GET, (b"x", b"a\nb")],
        [*GET, (b"x", b"a\0b")],
        [*GET, (b"x", b"a\r")],
        [*GET, (b"x", b" a")],
        [*GET, (b"x", b"a ")],
        [*GET, (b"x\ny", b"1")],
        [*GET, (b"connection", b"close")],
        [*GET, (b"transfer-encoding", b"chunked")],
        [*GET, (b"upgrade", b"websocket")],
        [*GET, (b"keep-alive", b"1")],
        [*GET, (b"proxy-connection", b"1")],
        [*GET, (b"te", b"gzip")],
        [*GET, (b"content-length", b"x")],
        [*GET, (b"content-length", b"-1")],
        [*GET, (b"content-length", b"5")],
        [*GET, (b"content-length", b"0"), (b"content-length", b"0")],
        [*GET, (b"host", b"other.test")],
        [(b":method", b""), *GET[1:]],
        [(b":method", b"G T"), *GET[1:]],
        [*GET[:3], (b":path", b"")],
    ],
)
def test_what_the_rules_forbid_costs_the_stream(fields: Fields) -> None:
    with pytest.raises(StreamViolation):
        make_request(fields, True, "", 0, Limits())


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([*GET[:3], (b":path", b"no-slash")], 400),
        ([*GET[:3], (b":path", b"/a b")], 400),
        ([*GET[:3], (b":path", b"/a#b")], 400),
        ([*GET[:3], (b":path", b"*")], 400),
        ([*GET[:2], (b":authority", b"user@host"), GET[3]], 400),
        ([(b":method", b"CONNECT"), (b":authority", b"a:1")], 502),
        ([*GET[:3], (b":path", b"/" + b"a" * 40_000)], 414),
        ([*GET, *[(b"x", b"1")] * 300], 431),
        ([*GET, (b"x", b"v" * 140_000)], 431),
    ],
)
def test_what_cannot_be_served_is_answered(fields: Fields, status: int) -> None:
    with pytest.raises(BadRequestError) as caught:
        make_request(fields, True, "", 0, Limits())
    assert caught.value.status == status


def test_a_host_field_stands_in_for_a_missing_authority() -> None:
    made = make_request([*GET[:2], GET[3], (b"host", b"app.test")], True, "", 0, Limits())
    assert made.host == b"app.test"


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [(b"x", b"1")],
        [(b":status", b"20")],
        [(b":status", b"101")],
        [(b":status", b"200"), (b":path", b"/")],
        [(b":status", b"200"), (b"connection", b"close")],
    ],
)
def test_a_response_must_have_one_status_and_nothing_of_http_1(fields: Fields) -> None:
    with pytest.raises(StreamViolation):
        make_response_head(fields, 1000)


def test_a_copy_of_a_response_can_be_changed_without_the_others_noticing() -> None:
    head = make_response_head([(b":status", b"200"), (b"a", b"1")], 1000)
    before = head.encode()
    copied = head.copy()
    copied.set_fields([*copied.headers, (b"Server-Timing", b"x")])
    assert copied.encode() != before
    assert head.block == before


def test_trailers_have_no_pseudo_fields() -> None:
    assert check_trailers([(b"grpc-status", b"0")], 1000) == [(b"grpc-status", b"0")]
    with pytest.raises(StreamViolation):
        check_trailers([(b":status", b"200")], 1000)


def test_a_field_that_must_not_be_indexed_stays_so_on_its_way_through() -> None:
    secret = NeverIndexedHeaderTuple(b"authorization", b"secret")
    asked = make_request(
        [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), secret, (b"x-a", b"1")], True, "", 0, Limits()
    )
    answered = make_response_head([(b":status", b"200"), secret, (b"proxy-authenticate", b"x")], 1000)

    for block in (encode_request(asked, None, b"app", frozenset({b"x-a"}), ()), encode_response(answered)):
        fields = Decoder().decode(block, raw=True)
        assert [field.indexable for field in fields if field[0] == b"authorization"] == [False]
