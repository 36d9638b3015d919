"""Objects whose owners, dependents or namespace have changed, for the garbage collector to look at."""

import asyncio

__all__ = ["Worklist"]


class Worklist:
    """Uids to look at, each once, oldest first; bounded by the number of objects there are or just were."""

    def __init__(self) -> None:
        self._uids: dict[str, None] = {}
        self._added = asyncio.Event()

    def add(self, uid: str) -> None:
        self._uids[uid] = None
        self._added.set()

    def take(self, limit: int) -> list[str]:
        """Up to `limit` uids, no longer on the list."""
        taken = list(self._uids)[:limit] if len(self._uids) > limit else list(self._uids)
        for uid in taken:
            del self._uids[uid]
        if not self._uids:
            self._added.clear()
        return taken

    async def wait(self) -> None:
        """Return once there is something to take."""
        await self._added.wait()
