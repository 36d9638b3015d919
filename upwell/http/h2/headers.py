"""Header blocks as they come in: HPACK with a memory.

Decoding is the costly part of a request, and most blocks on a connection are the same bytes over and over. What a
block meant is remembered under its bytes, as a checked, finished head: one object for all messages with that block,
for nobody changes a head after it was made. A block that names entries of the dynamic table means the same as long as
the table stays as it is. One that names none always means the same; if it adds entries to the table, as blocks of
peers do that write the same literals each time, then the remembered entries are added again.

A block earns its place when it comes for the second time, so that heads which are different each time do not fill
the memory.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from hpack import Decoder, HPACKError, OversizedHeaderListError
from hpack.table import HeaderTable

from upwell.http.h2.codes import ConnectionViolation, ErrorCode
from upwell.http.message import Fields

__all__ = ["BlockReader"]

Head = TypeVar("Head")

_ENTRY_OVERHEAD: Final = 32
"""What an entry of the table counts for beside its bytes (RFC 7541, 4.1)."""
_OWED_MAX: Final = 4096 // _ENTRY_OVERHEAD
"""Blocks whose entries may be owed to the table. Each has one, so these alone fill the largest table that we allow, and
what was owed before them would have been dropped from it, as all that is in it."""
_BLOCKS_MAX: Final = 64
_BLOCK_SIZE_MAX: Final = 4096
_ANY: Final = -1
"""In the place of a table's state: whatever it is."""
_BOMB_FACTOR: Final = 4
"""A list this many times too large is not decoded to its end, which leaves the decoder unusable."""


class _WatchedTable(HeaderTable):
    """A dynamic table that tells what a block did with it, and that is only brought up to date when it is looked at.

    Peers that write the same literals each time add the same entries each time, and most of these are never asked for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.changes = 0
        self.added: Fields = []
        """What the block added."""
        self.asked = False
        """Whether the block's meaning depends on what was in the table."""
        self._owed: deque[Fields] = deque(maxlen=_OWED_MAX)
        """What known blocks have added and is not in the table yet, in order."""

    def add(self, name: bytes, value: bytes) -> None:
        self.changes += 1
        self.added.append((name, value))
        super().add(name, value)

    def add_again(self, fields: Fields) -> None:
        """Add what a block has added before, some time."""
        self.changes += 1
        self._owed.append(fields)

    def catch_up(self) -> None:
        """Bring the table up to date: the newest entries, as many as it can hold."""
        newest: Fields = []
        size = 0
        for name, value in (field for fields in reversed(self._owed) for field in reversed(fields)):
            size += _ENTRY_OVERHEAD + len(name) + len(value)
            if size > self._maxsize:
                self.dynamic_entries.clear()
                self._current_size = 0
                break
            newest.append((name, value))
        self._owed.clear()
        for name, value in reversed(newest):
            super().add(name, value)

    def get_by_index(self, index: int) -> tuple[bytes, bytes]:
        if index > HeaderTable.STATIC_TABLE_LENGTH:
            self.asked = True
        return super().get_by_index(index)


class BlockReader(Generic[Head]):
    """Turns the blocks of one connection's heads into heads of one kind."""

    __slots__ = ("_decoder", "_known", "_known_ended", "_make", "_seen", "_table")

    def __init__(self, make: Callable[[Fields, bool], Head], list_max: int) -> None:
        """`make` gets the fields and whether the stream ends with them; what it raises passes through.

        `list_max`: bytes of names and values of one head, which `make` has to check. The decoder stops far above.
        """
        self._make = make
        self._table = _WatchedTable()
        self._decoder = Decoder(max_header_list_size=list_max * _BOMB_FACTOR)
        self._decoder.header_table = self._table
        # Block → head, what the block adds to the table, and the table's state that it needs.
        self._known: dict[bytes, tuple[Head, Fields, int]] = {}
        self._known_ended: dict[bytes, tuple[Head, Fields, int]] = {}
        self._seen: set[bytes] = set()

    def head(self, block: bytes, ended: bool) -> Head:
        """The head that this block means; raise ConnectionViolation, or what `make` raises."""
        known = self._known_ended if ended else self._known
        entry = known.get(block)
        if entry is not None:
            head, added, needed = entry
            table = self._table
            if needed == _ANY or needed == table.changes:
                if added:
                    table.add_again(added)
                return head
        fields = self.fields(block)
        head = self._make(fields, ended)
        if len(block) <= _BLOCK_SIZE_MAX:
            self._remember(known, block, head)
        return head

    def fields(self, block: bytes) -> Fields:
        """The fields of a block of any kind; every block must come by here, or the decoder loses its place."""
        table = self._table
        table.catch_up()
        table.added = []
        table.asked = False
        size = table.maxsize
        try:
            fields: Fields = list(self._decoder.decode(block, raw=True))
        except OversizedHeaderListError as error:
            raise ConnectionViolation(ErrorCode.ENHANCE_YOUR_CALM, "far too many header fields") from error
        except HPACKError as error:
            raise ConnectionViolation(ErrorCode.COMPRESSION_ERROR, str(error)) from error
        if table.maxsize != size:
            table.changes += 1
            table.asked = True
        return fields

    def _remember(self, known: dict[bytes, tuple[Head, Fields, int]], block: bytes, head: Head) -> None:
        table = self._table
        if table.asked and table.added:
            return
        if block not in self._seen:
            if len(self._seen) >= _BLOCKS_MAX:
                self._seen.clear()
            self._seen.add(block)
            return
        if len(known) >= _BLOCKS_MAX:
            known.clear()
        known[block] = (head, table.added, table.changes if table.asked else _ANY)
        table.added = []
