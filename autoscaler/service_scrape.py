"""Asking pods by their Service's name, where a mesh keeps single pods from being asked.

Each request goes over a connection of its own, so that the mesh may give it to another pod; an answer by a pod that has
answered before counts for nothing. As many different pods are needed as the sample has. Pods that are younger than the
stable window are only counted when there are not enough others. Source: contract, autoscaler.md 5.4.
"""

import asyncio
from typing import Final, Protocol

import aiohttp

from upwell.api.stat import Stat, StatError, decode_stat
from upwell.policy.capacity import sample_size

__all__ = ["ServiceFailed", "ServiceScrape", "Unseen"]

TRIES: Final = 10
TIMEOUT: Final = 3.0
BODY_MOST: Final = 6 * 10 + 256 + 20
MEDIA_TYPE: Final = "application/protobuf"


class ServiceFailed(Exception):  # noqa: N818  # it is what happened
    """There were not enough answers by different pods."""


class Unseen(Exception):  # noqa: N818
    """Only pods that had answered before did."""

    def __init__(self) -> None:
        super().__init__("did not receive stat from an unscraped pod")


class Ask(Protocol):
    """Sends one request to a URL, over a new connection."""

    async def __call__(self, url: str) -> Stat:
        """Raise StatError, OSError, TimeoutError or aiohttp.ClientError."""
        ...


class ServiceScrape:
    """See the module; to be closed."""

    def __init__(self, ask: Ask | None = None) -> None:
        self._ask = ask or self._fetch
        self._session: aiohttp.ClientSession | None = None

    async def sample(self, url: str, pods: int, stable_window: float) -> list[Stat]:
        """The figures of as many different pods as a sample of `pods` has; raise ServiceFailed."""
        wanted = sample_size(pods)
        round_ = _Round(self._ask, url, wanted, stable_window)
        results = await asyncio.gather(*(round_.work() for _ in range(wanted)), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, Unseen):
                raise ServiceFailed(f"unsuccessful scrape, sampleSize={wanted}: {result}") from result
        found = [*round_.old, *round_.young][:wanted]
        if len(found) < wanted:
            raise ServiceFailed(f"unsuccessful scrape, sampleSize={wanted}: {Unseen()}")
        return found

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _fetch(self, url: str) -> Stat:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True, limit=256),
                timeout=aiohttp.ClientTimeout(total=TIMEOUT),
                trust_env=False,
            )
        async with self._session.get(url, headers={"Accept": MEDIA_TYPE}, allow_redirects=False) as response:
            if not 200 <= response.status < 300:
                raise StatError(f"the answer was {response.status}")
            if response.headers.get("Content-Type") != MEDIA_TYPE:
                raise StatError("unsupported metric type")
            body = await response.content.read(BODY_MOST + 1)
            if len(body) > BODY_MOST:
                raise StatError(f"the answer has more than {BODY_MOST} bytes")
            return decode_stat(body)


class _Round:
    """One sample in the making, shared by its workers."""

    def __init__(self, ask: Ask, url: str, wanted: int, stable_window: float) -> None:
        self.old: list[Stat] = []
        self.young: list[Stat] = []
        self._ask = ask
        self._url = url
        self._wanted = wanted
        self._stable_window = stable_window
        self._seen: set[str] = set()

    async def work(self) -> None:
        """Find one more settled pod; raise what the last of too many tries raised."""
        for attempt in range(1, TRIES + 1):
            try:
                stat = await self._unseen()
            except (Unseen, StatError, OSError, TimeoutError, aiohttp.ClientError):
                if attempt == TRIES:
                    raise
                continue
            if stat.process_uptime >= self._stable_window:
                self.old.append(stat)
                return
            if len(self.young) >= self._wanted:
                return
            self.young.append(stat)

    async def _unseen(self) -> Stat:
        stat = await self._ask(self._url)
        if stat.pod_name in self._seen:
            raise Unseen
        self._seen.add(stat.pod_name)
        return stat
