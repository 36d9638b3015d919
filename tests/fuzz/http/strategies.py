"""Requests and responses that are nearly right: a grammar with wrong turns, and bytes changed afterwards."""

from itertools import pairwise

from hypothesis import strategies as st

__all__ = ["pieces", "requests", "responses"]

Bytes = st.SearchStrategy[bytes]

_SPECIAL = [bytes([byte]) for byte in b"\r\n\0\t :;,=\"'0+-x\x0b\x7f\xff/#@"] + [b"\r\n", b"\r\n\r\n", b" \r\n", b"\n "]
_EOL = st.sampled_from([b"\r\n"] * 120 + [b"\n", b"\r", b"\r\r\n", b" \r\n", b"\r\n "])
_COLON = st.sampled_from([b": "] * 40 + [b":", b":  ", b" : ", b" :", b":\t", b""])

_METHODS = st.sampled_from(
    [b"GET", b"POST", b"PUT"] * 4 + [b"HEAD", b"DELETE", b"BREW", b"get", b"", b"P\xd6ST", b"GE T"]
)
_TARGETS = st.sampled_from(
    [b"/"] * 12 + [b"/a?b=c", b"http://other.test/x", b"*", b"//a", b"/%zz", b"foo", b"", b"/a b", b"/\xff", b"/#a"]
)
_VERSIONS = st.sampled_from(
    [b"HTTP/1.1"] * 30 + [b"HTTP/1.0"] * 3 + [b"HTTP/2.0", b"HTTP/1.2", b"http/1.1", b"", b"HTTP/1.1 "]
)

_NAMES = st.sampled_from([b"X-A", b"Cookie"] * 5 + [b"TE", b"Trailer", b"Keep-Alive", b"", b"X A", b"X\0"])
_VALUES = st.sampled_from([b"1", b"a b"] * 5 + [b"", b"\xe9", b" pad ", b"a\0b", b"trailers", b"a,b", b"x\x0by"])
_LENGTHS = st.sampled_from(
    [b"5"] * 10
    + [b"0", b"3", b"05", b"10", b"5, 5", b"+5", b"-1", b"5 5", b"0x5", b"1_0", b"", b"9" * 19, b"9" * 30, b"5\0"]
)
_CODINGS = st.sampled_from(
    [b"chunked"] * 15
    + [b"Chunked", b"chunked ", b"chunked, chunked", b"gzip, chunked", b"chunked, identity", b"identity", b"xchunked"]
    + [b"", b"\x0bchunked", b"chunked;q=1", b'"chunked"']
)
_FIELDS = st.one_of(
    st.tuples(_NAMES, _VALUES),
    st.tuples(
        st.sampled_from([b"Content-Length"] * 8 + [b"content-length", b"Content-Length ", b"Content_Length"]), _LENGTHS
    ),
    st.tuples(st.sampled_from([b"Transfer-Encoding"] * 8 + [b"TRANSFER-ENCODING", b" Transfer-Encoding"]), _CODINGS),
    st.tuples(
        st.just(b"Connection"), st.sampled_from([b"close", b"keep-alive", b"Content-Length", b"Transfer-Encoding"])
    ),
    st.tuples(st.sampled_from([b"X-Host"] * 4 + [b"Host"]), st.sampled_from([b"a", b"", b"a b", b"a,b", b"b:80"])),
)

_SIZES = st.sampled_from(
    [b"5"] * 30 + [b"05", b"5;a=b", b"5 ", b" 5", b"+5", b"0x5", b"5;", b"5\t", b"6", b"4", b"", b"5;a\nb", b"f" * 17]
)
_DATA_END = st.sampled_from([b"\r\n"] * 40 + [b"\n", b"", b"XX", b"\r"])
_CHUNK = st.tuples(_SIZES, _EOL, st.just(b"hello"), _DATA_END).map(b"".join)
_TRAILERS = st.sampled_from(
    [b""] * 9 + [b"X-Sum: 1\r\n", b"Content-Length: 9\r\n", b"X : y\r\n", b"X: y\n", b" X: y\r\n", b"X\r\n"]
)
_CHUNKED = st.tuples(
    st.lists(_CHUNK, max_size=3).map(b"".join), st.sampled_from([b"0\r\n"] * 20 + [b"00\r\n", b"0\n"]), _TRAILERS, _EOL
).map(b"".join)
_BODIES = st.one_of(
    st.just(b""), st.just(b"hello"), _CHUNKED, _CHUNKED, st.just(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
)


def _field(parts: tuple[tuple[bytes, bytes], bytes, bytes]) -> bytes:
    (name, value), colon, eol = parts
    return name + colon + value + eol


_FIELD_LINES = st.lists(st.tuples(_FIELDS, _COLON, _EOL).map(_field), max_size=3).map(b"".join)
_HOSTS = st.sampled_from([b"Host: a\r\n"] * 30 + [b"", b"host: a\r\n", b"Host: a\r\nHost: a\r\n"])


def _mutated(whole: Bytes) -> Bytes:
    """Mostly as it is; else with one to three places changed."""
    change = st.tuples(st.integers(0, 400), st.integers(0, 2), st.sampled_from(_SPECIAL))
    changes: st.SearchStrategy[list[tuple[int, int, bytes]]] = st.one_of(
        st.just([]), st.just([]), st.just([]), st.lists(change, min_size=1, max_size=3)
    )
    return st.builds(_change, whole, changes)


def _change(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    for position, removed, inserted in changes:
        place = position % (len(data) + 1)
        data = data[:place] + inserted + data[place + removed :]
    return data


_REQUEST = st.tuples(
    _METHODS,
    st.just(b" "),
    _TARGETS,
    st.just(b" "),
    _VERSIONS,
    _EOL,
    _HOSTS,
    _FIELD_LINES,
    _EOL,
    _BODIES,
).map(b"".join)

requests: Bytes = _mutated(st.lists(_REQUEST, min_size=1, max_size=2).map(b"".join))
"""One request or two, and not always well-formed."""

_STATUS_LINES = st.sampled_from(
    [b"HTTP/1.1 200 OK"] * 12
    + [b"HTTP/1.0 200 OK", b"HTTP/1.1 404 Not Found", b"HTTP/1.1 204 No Content", b"HTTP/1.1 304 Not Modified"]
    + [b"HTTP/1.1 200", b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK", b"HTTP/2.0 200 OK", b"HTTP/1.1  200 OK", b"ICY 200 OK"]
    + [b"HTTP/1.1 100 Continue", b"HTTP/1.1 103 Early Hints", b"HTTP/1.1 099 Low", b"HTTP/1.1 200 \0", b""]
)
_RESPONSE = st.tuples(_STATUS_LINES, _EOL, _FIELD_LINES, _EOL, _BODIES).map(b"".join)

responses: Bytes = _mutated(st.lists(_RESPONSE, min_size=1, max_size=2).map(b"".join))
"""What an upstream might say before it closes its connection."""


@st.composite
def pieces(draw: st.DrawFn, whole: Bytes) -> list[bytes]:
    """The same bytes in up to five reads."""
    data = draw(whole)
    cuts = sorted({cut % (len(data) + 1) for cut in draw(st.lists(st.integers(0, 1000), max_size=4))})
    borders = [0, *cuts, len(data)]
    return [data[start:end] for start, end in pairwise(borders) if end > start]
