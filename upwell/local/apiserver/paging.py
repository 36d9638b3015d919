"""Lists in pages: `limit` and `continue`, over one consistent snapshot.

The rest of a list is kept (records are shared, so that is cheap) until it is fetched or pushed out by newer lists;
then the client is told to start again, as by a cluster that has compacted its history.
"""

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from upwell.local.apiserver import errors
from upwell.local.apiserver.records import Record

__all__ = ["Page", "Pages"]

_KEPT: Final = 64


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a list, the revision that it shows, and the token and number of what is left."""

    records: list[Record]
    revision: int
    token: str = ""
    remaining: int = 0


class Pages:
    """Cuts lists into pages and remembers the rest."""

    def __init__(self) -> None:
        self._rests: OrderedDict[str, tuple[list[Record], int]] = OrderedDict()

    def first(self, records: list[Record], revision: int, limit: int) -> Page:
        """The first page; `limit` 0 means all."""
        if not limit or len(records) <= limit:
            return Page(records, revision)
        token = secrets.token_urlsafe(18)
        self._rests[token] = (records[limit:], revision)
        if len(self._rests) > _KEPT:
            self._rests.popitem(last=False)
        return Page(records[:limit], revision, token, len(records) - limit)

    def next(self, token: str, limit: int) -> Page:
        """The page that follows; raise StatusError (410) when the token is no longer known."""
        rest = self._rests.get(token)
        if rest is None:
            raise errors.expired(
                "The provided continue parameter is too old to display a consistent list result. You must start a new"
                " list without the continue parameter."
            )
        return self.first(rest[0], rest[1], limit)
