import pytest
from hpack import Decoder, Encoder, HPACKError, NeverIndexedHeaderTuple
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from upwell.http.h2.codes import ConnectionViolation, ErrorCode
from upwell.http.h2.fields import TABLE_UNUSED, encode_fields
from upwell.http.h2.headers import BlockReader
from upwell.http.message import Fields

FIELDS = [(b":method", b"GET"), (b":path", b"/items?page=2"), (b"user-agent", b"me"), (b"x-long", b"v" * 300)]


class Reader:
    """Remembers how often a head had to be made."""

    def __init__(self) -> None:
        self.made = 0
        reader = BlockReader(self._make, 100_000)
        self.head, self.fields = reader.head, reader.fields

    def _make(self, fields: Fields, ended: bool) -> Fields:
        self.made += 1
        return list(fields)


def test_a_block_that_leaves_the_table_alone_is_decoded_twice_and_then_known() -> None:
    reader, encoder = Reader(), Encoder()
    first = encoder.encode(FIELDS)
    again = encoder.encode(FIELDS)
    assert first != again
    assert [reader.head(block, True) for block in (first, again, again, again, again)] == [FIELDS] * 5
    assert reader.made == 3


def test_what_was_known_by_the_table_is_forgotten_when_the_table_changes() -> None:
    reader, encoder = Reader(), Encoder()
    for _ in range(4):
        reader.head(encoder.encode(FIELDS), True)
    other = [*FIELDS, (b"x-new", b"1")]
    assert reader.head(encoder.encode(other), True) == other
    made = reader.made
    assert reader.head(encoder.encode(FIELDS), True) == FIELDS
    assert reader.made == made + 1


def test_a_block_that_writes_the_same_literals_each_time_is_known_and_still_fills_the_table() -> None:
    reader, plain = Reader(), Decoder()
    literal = b"\x40\x03x-a\x011" + b"\x40\x03x-b\x012"
    by_index = b"\xbe\xbf"
    for block in (literal, literal, literal, literal, by_index, literal, by_index):
        assert reader.head(block, True) == list(plain.decode(block, raw=True))
    assert reader.made == 2 + 2


def test_the_same_block_with_and_without_an_end_makes_two_heads() -> None:
    reader = Reader()
    block = encode_fields(FIELDS)
    for _ in range(3):
        reader.head(block, True)
        reader.head(block, False)
    made = reader.made
    reader.head(block, True)
    reader.head(block, False)
    assert reader.made == made


def test_a_broken_block_ends_the_connection() -> None:
    with pytest.raises(ConnectionViolation) as caught:
        Reader().head(b"\xff\xff\xff", True)
    assert caught.value.code is ErrorCode.COMPRESSION_ERROR


def test_a_header_bomb_ends_the_connection() -> None:
    reader = BlockReader(lambda fields, ended: fields, 1000)
    with pytest.raises(ConnectionViolation) as caught:
        reader.head(b"\x40\x03x-a\x7f\x81\x07" + b"v" * 1024 + b"\xbe" * 200, True)
    assert caught.value.code is ErrorCode.ENHANCE_YOUR_CALM


def test_what_we_encode_is_what_hpack_decodes_and_leaves_the_table_alone() -> None:
    fields = [*FIELDS, (b"Content-Type", b"text/plain"), (b":status", b"200"), (b"x" * 200, b"y" * 70_000)]
    decoder = Decoder(max_header_list_size=1 << 20)
    decoded = list(decoder.decode(TABLE_UNUSED + encode_fields(fields), raw=True))
    assert decoded == [(name.lower(), value) for name, value in fields]
    assert not decoder.header_table.dynamic_entries


def test_a_field_that_must_not_be_indexed_leaves_so() -> None:
    (field,) = Decoder().decode(encode_fields([NeverIndexedHeaderTuple(b"authorization", b"secret")]), raw=True)
    assert not field.indexable


def _literal(name: bytes, value: bytes) -> bytes:
    """A literal that is added to the table (RFC 7541, 6.2.1); short enough for one byte of length each."""
    return b"\x40" + bytes((len(name),)) + name + bytes((len(value),)) + value


_pieces = st.one_of(
    st.tuples(st.sampled_from((b"x-a", b"x-b", b"x-c")), st.sampled_from((b"", b"1", b"v" * 120))).map(
        lambda field: _literal(*field)
    ),
    st.sampled_from((b"\x82", b"\xbe", b"\xbf", b"\xc5", b"\x00\x01n\x01v", b"\x20", b"\x3f\x31", b"\x3f\xe1\x1f")),
)
_blocks = st.lists(_pieces, min_size=1, max_size=4).map(b"".join)


@seed(20260821)
@settings(max_examples=300, deadline=None, database=None)
@given(blocks=st.lists(_blocks, min_size=1, max_size=4), order=st.lists(st.integers(0, 3), min_size=4, max_size=80))
def test_blocks_mean_what_a_decoder_without_a_memory_says(blocks: list[bytes], order: list[int]) -> None:
    reader, plain = Reader(), Decoder()
    for index in order:
        block = blocks[index % len(blocks)]
        try:
            expected = list(plain.decode(block, raw=True))
        except HPACKError:
            with pytest.raises(ConnectionViolation):
                reader.head(block, True)
            return
        assert reader.head(block, True) == expected


def test_entries_that_are_added_over_and_over_are_those_that_fit() -> None:
    reader, plain = Reader(), Decoder()
    first, second = _literal(b"x-a", b"1" * 100) + _literal(b"x-b", b"2"), _literal(b"x-c", b"3" * 90)
    for _ in range(3):
        for block in (first, second):
            assert reader.head(block, True) == list(plain.decode(block, raw=True))
    made = reader.made
    for _ in range(700):
        for block in (first, second, second):
            reader.head(block, True)
            plain.decode(block)
    assert reader.made == made
    everything = bytes(range(0x80 | 62, 0x80 | 62 + len(plain.header_table.dynamic_entries)))
    assert reader.head(everything, True) == list(plain.decode(everything, raw=True))
