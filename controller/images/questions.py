"""Questions to registries: few at a time, and each only once for all who want the answer.

A thousand revisions of one image are one question. An answer is good for whoever wanted it before it was asked for, and
for nobody who comes later: a tag may have been moved in between, and its user means the new image. Apart from that,
registries are asked ten times a second in the long run, and up to a hundred times at once, as the reference does
(contract: control-plane.md 5.7).
"""

import asyncio
from collections import OrderedDict
from contextlib import AbstractAsyncContextManager
from typing import Final, NamedTuple, Protocol

from controller.images.credentials import Credentials
from upwell.api.image_reference import ImageReference
from upwell.clock import Clock
from upwell.cluster.tokens import TokenBucket

__all__ = ["Asked", "Questions"]

AT_ONCE: Final = 100
PER_SECOND: Final = 10.0
REMEMBERED: Final = 1024

_Key = tuple[ImageReference, Credentials]


class Asked(Protocol):
    """What resolves one image; `controller.images.registry.Registry` does."""

    async def digest(self, image: ImageReference, credentials: Credentials, agent: str, timeout: float) -> str: ...


class _Answer(NamedTuple):
    began: float
    digest: str


class Questions:
    """An asynchronous context manager over a registry, whose questions end with it."""

    def __init__(self, registry: AbstractAsyncContextManager[Asked], clock: Clock) -> None:
        self._registry = registry
        self._asked: Asked | None = None
        self._clock = clock
        self._tokens = TokenBucket(clock, AT_ONCE, PER_SECOND)
        self._turn = asyncio.Lock()
        self._under_way: dict[_Key, asyncio.Task[str]] = {}
        self._answers: OrderedDict[_Key, _Answer] = OrderedDict()

    async def __aenter__(self) -> "Questions":
        self._asked = await self._registry.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._registry.__aexit__(None, None, None)

    async def digest(
        self, image: ImageReference, credentials: Credentials, agent: str, timeout: float, wanted_since: float
    ) -> str:
        """What the tag stands for, at `wanted_since` (by the clock's monotonic) or later; raise RegistryError.

        `timeout` is for the registry, in seconds, without the wait for our turn.
        """
        key = image, credentials
        known = self._answers.get(key)
        if known is not None and known.began >= wanted_since:
            return known.digest
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._ask(key, agent, timeout), name=f"digest of {image.name}")
            task.add_done_callback(lambda ended: self._ended(key, ended))
            self._under_way[key] = task
        # Whoever stops waiting leaves the question to the others.
        return await asyncio.shield(task)

    async def _ask(self, key: _Key, agent: str, timeout: float) -> str:
        assert self._asked is not None, "asked before it runs"
        async with self._turn:
            while not self._tokens.take():
                await self._clock.sleep(1 / PER_SECOND)
        began = self._clock.monotonic()
        digest = await self._asked.digest(*key, agent, timeout)
        self._answers[key] = _Answer(began, digest)
        self._answers.move_to_end(key)
        if len(self._answers) > REMEMBERED:
            self._answers.popitem(last=False)
        return digest

    def _ended(self, key: _Key, task: asyncio.Task[str]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # it may be that nobody waits for it any more
