"""From fields to HPACK blocks, without a memory.

Our encoder never uses the dynamic table: a field is one index of the static table, or a literal without Huffman coding.
That costs some bytes on a short wire and saves the rest: a block means the same at any time on any connection, so a
usual head is encoded once and then is a look-up, and a peer that remembers blocks (as our own other end does) never
has to forget one. A field that came marked as never to be indexed leaves so (RFC 7541, 6.2.3).

The first block on a connection is to be preceded by `TABLE_UNUSED`: whatever table size the peer allows, now or
later, none is used.
"""

from collections.abc import Iterable
from typing import Any, Final

from hpack import NeverIndexedHeaderTuple
from hpack.table import HeaderTable

__all__ = ["TABLE_UNUSED", "encode_fields", "encode_pseudo"]

TABLE_UNUSED: Final = b"\x20"
"""A dynamic table size update to 0."""

_NEVER_INDEXED: Final = 0x10
_INDEXED: Final = {field: bytes((0x80 | index,)) for index, field in enumerate(HeaderTable.STATIC_TABLE, 1) if field[1]}
_NAMES_MAX: Final = 1024
_NAME_SIZE_MAX: Final = 64


def _integer(value: int, bits: int) -> bytes:
    """An integer with a prefix of so many bits (RFC 7541, 5.1); the bits above it are 0."""
    limit = (1 << bits) - 1
    if value < limit:
        return bytes((value,))
    encoded = bytearray((limit,))
    value -= limit
    while value >= 128:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


_LENGTHS: Final = tuple(_integer(length, 7) for length in range(256))
_STATIC_NAMES: Final = {
    name: _integer(index, 4) for index, (name, _) in reversed(list(enumerate(HeaderTable.STATIC_TABLE, 1)))
}
_names: dict[bytes, bytes] = {}


def encode_fields(fields: Iterable[Any]) -> bytes:
    """The block of these pairs of name and value, names in lower case whatever they were.

    They are not typed as pairs: compiled code makes tuples typed so anew, and with its type a field loses its mark.
    """
    parts: list[bytes] = []
    names = _names
    for field in fields:
        name, value = field
        prefix = names.get(name) or _encode_name(name)
        if type(field) is NeverIndexedHeaderTuple:
            prefix = bytes((prefix[0] | _NEVER_INDEXED,)) + prefix[1:]
        elif field in _INDEXED:
            parts.append(_INDEXED[field])
            continue
        size = len(value)
        parts += (prefix, _LENGTHS[size] if size < 256 else _integer(size, 7), value)
    return b"".join(parts)


def encode_pseudo(name: bytes, value: bytes) -> bytes:
    """The block of one pseudo-header field."""
    return encode_fields(((name, value),))


def _encode_name(name: bytes) -> bytes:
    """How a literal with this name begins; few names are in use, so each is made once."""
    lower = name.lower()
    prefix = _STATIC_NAMES.get(lower) or b"\x00" + _integer(len(lower), 7) + lower
    if len(name) <= _NAME_SIZE_MAX:
        if len(_names) >= _NAMES_MAX:
            _names.clear()
        _names[name] = prefix
    return prefix
