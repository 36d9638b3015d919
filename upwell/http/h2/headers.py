"""Header blocks as they come in: HPACK with a memory, and what a head may say.

Decoding is the costly part of a request, and most blocks on a connection are the same bytes over and over. A block
that changes nothing in the decoder's dynamic table means the same as long as the table stays as it is; so what it
meant is remembered under its bytes, and everything is forgotten as soon as any block changes the table. A block earns
its place when it comes for the second time, so that heads which are different each time do not fill the memory.

What is remembered are checked, finished heads, one object for all requests with the same block: nobody changes a head
after it was made.
"""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from hpack import Decoder, HPACKError, OversizedHeaderListError
from hpack.table import HeaderTable

from upwell.http.h2.codes import ConnectionViolation, ErrorCode
from upwell.http.message import Fields

__all__ = ["BlockReader"]

Head = TypeVar("Head")

_BLOCKS_MAX: Final = 64
_BLOCK_SIZE_MAX: Final = 4096
_BOMB_FACTOR: Final = 4
"""A list this many times too large is not decoded to its end, which leaves the decoder unusable."""


class _WatchedTable(HeaderTable):
    """A dynamic table that counts its changes."""

    def __init__(self) -> None:
        super().__init__()
        self.changes = 0

    def add(self, name: bytes, value: bytes) -> None:
        self.changes += 1
        super().add(name, value)

    def _shrink(self) -> None:
        self.changes += 1
        super()._shrink()


class BlockReader(Generic[Head]):
    """Turns the blocks of one connection's heads into heads of one kind."""

    __slots__ = ("_decoder", "_known", "_known_ended", "_make", "_seen", "_table", "list_max")

    def __init__(self, make: Callable[[Fields, bool], Head], list_max: int) -> None:
        """`make` gets the fields and whether the stream ends with them; what it raises passes through.

        `list_max`: bytes of names and values of one head, which `make` has to check. The decoder stops far above.
        """
        self.list_max = list_max
        self._make = make
        self._table = _WatchedTable()
        self._decoder = Decoder(max_header_list_size=list_max * _BOMB_FACTOR)
        self._decoder.header_table = self._table
        self._known: dict[bytes, Head] = {}
        self._known_ended: dict[bytes, Head] = {}
        self._seen: set[bytes] = set()

    def head(self, block: bytes, ended: bool) -> Head:
        """The head that this block means; raise ConnectionViolation, or what `make` raises."""
        known = self._known_ended if ended else self._known
        head = known.get(block)
        if head is None:
            before = self._table.changes
            head = self._make(self.fields(block), ended)
            if self._table.changes == before and len(block) <= _BLOCK_SIZE_MAX:
                self._remember(known, block, head)
        return head

    def fields(self, block: bytes) -> Fields:
        """The fields of a block of any kind; every block must come by here, or the decoder loses its place."""
        table = self._table
        before = table.changes
        try:
            fields: Fields = list(self._decoder.decode(block, raw=True))
        except OversizedHeaderListError as error:
            raise ConnectionViolation(ErrorCode.ENHANCE_YOUR_CALM, "far too many header fields") from error
        except HPACKError as error:
            raise ConnectionViolation(ErrorCode.COMPRESSION_ERROR, str(error)) from error
        if table.changes != before:
            self._known.clear()
            self._known_ended.clear()
            self._seen.clear()
        return fields

    def _remember(self, known: dict[bytes, Head], block: bytes, head: Head) -> None:
        if block not in self._seen:
            if len(self._seen) >= _BLOCKS_MAX:
                self._seen.clear()
            self._seen.add(block)
            return
        if len(known) >= _BLOCKS_MAX:
            known.clear()
        known[block] = head
