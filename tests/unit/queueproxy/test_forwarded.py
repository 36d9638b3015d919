"""The Forwarded header made from X-Forwarded-*: the contract's table, 7.2."""

import pytest

from queueproxy.forwarded import forwarded


@pytest.mark.parametrize(
    ("for_", "host", "proto", "wanted"),
    [
        (b"127.0.0.1, ::1", b"h", b"p", b'for=127.0.0.1;host=h;proto=p, for="[::1]"'),
        (b"127.0.0.1, ::1", b"", b"p", b'for=127.0.0.1;proto=p, for="[::1]"'),
        (b"", b"h", b"p", b"host=h;proto=p"),
        (b"", b"", b"p", b"proto=p"),
        (b",,,", b"", b"", b"for=, for=, for="),
        (b"a", b"", b"", b"for=a"),
        (b"a,b", b"", b"", b"for=a, for=b"),
        (b"a,", b"", b"", b"for=a"),
        (b" a ,\tb ", b"h", b"", b"for=a;host=h, for=b"),
    ],
)
def test_nodes_come_first_then_host_and_proto_then_further_nodes(
    for_: bytes, host: bytes, proto: bytes, wanted: bytes
) -> None:
    assert forwarded(for_, host, proto) == wanted
