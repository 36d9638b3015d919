"""The statistics messages on the wire: byte for byte what protobuf makes of them, and nothing else is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upwell.api.stat import (
    Stat,
    StatError,
    WireStatMessage,
    decode_messages,
    decode_stat,
    encode_messages,
    encode_stat,
)

stats = st.builds(
    Stat,
    pod_name=st.text(max_size=300),
    average_concurrent_requests=st.floats(allow_nan=False),
    average_proxied_concurrent_requests=st.floats(allow_nan=False),
    request_count=st.floats(allow_nan=False),
    proxied_request_count=st.floats(allow_nan=False),
    process_uptime=st.floats(allow_nan=False),
    timestamp=st.integers(-(2**63), 2**63 - 1),
)


def test_a_stat_is_encoded_as_protobuf_encodes_it() -> None:
    stat = Stat(pod_name="pod-1", average_concurrent_requests=1.5, request_count=2.0, timestamp=300)

    assert encode_stat(stat) == (
        b"\x0a\x05pod-1"
        + b"\x11\x00\x00\x00\x00\x00\x00\xf8\x3f"
        + b"\x21\x00\x00\x00\x00\x00\x00\x00\x40"
        + b"\x38\xac\x02"
    )


def test_zero_values_are_left_out() -> None:
    assert encode_stat(Stat()) == b""
    assert encode_stat(Stat(pod_name="p")) == b"\x0a\x01p"


def test_a_message_carries_namespace_name_and_stat() -> None:
    message = WireStatMessage("ns", "rev", Stat(request_count=1.0))

    assert encode_messages([message]) == b"\x0a\x14\x0a\x02ns\x12\x03rev\x1a\x09\x21" + b"\0\0\0\0\0\0\xf0\x3f"


@given(stats)
def test_what_is_encoded_is_decoded_again(stat: Stat) -> None:
    assert decode_stat(encode_stat(stat)) == stat


@given(st.lists(st.builds(WireStatMessage, st.text(), st.text(), st.none() | stats), max_size=5))
def test_lists_of_messages_too(messages: list[WireStatMessage]) -> None:
    assert decode_messages(encode_messages(messages)) == messages


def test_unknown_fields_of_every_wire_type_are_skipped() -> None:
    unknown = b"\x40\x96\x01" + b"\x49" + bytes(8) + b"\x52\x02hi" + b"\x5d" + bytes(4)

    assert decode_stat(unknown + b"\x0a\x01p" + unknown) == Stat(pod_name="p")


def test_the_last_of_repeated_fields_counts() -> None:
    assert decode_stat(b"\x0a\x01a\x0a\x01b").pod_name == "b"


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a\x05ab",
        b"\x11\x00\x00",
        b"\x0a",
        b"\x80" * 11,
        b"\x03",
        b"\x00\x01",
        b"\x0a\x01\xff",
        b"\x08\x01",
        b"\x12\x01x",
        b"\x39" + bytes(8),
    ],
    ids=["text cut", "double cut", "no length", "endless", "group", "field 0", "not UTF-8", "number", "bytes", "fixed"],
)
def test_what_is_not_a_stat_is_refused(data: bytes) -> None:
    with pytest.raises(StatError):
        decode_stat(data)


@given(st.binary(max_size=80))
def test_random_bytes_raise_nothing_but_that(data: bytes) -> None:
    for decode in (decode_stat, decode_messages):
        try:
            decode(data)
        except StatError:
            pass
