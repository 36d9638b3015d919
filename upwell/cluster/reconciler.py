"""Level-triggered control: something changed → a key → read what is, compare with what should be, act.

A reconciler gets keys from informers' handlers and works on each with `reconcile(key)`, which reads the caches,
writes what differs and may be called at any time, twice, or late. It returns seconds after which to look again, or
None. When it raises, the key comes again after a growing pause; a Conflict means that the cache was behind, so it
comes again without a word.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from upwell.api.objects import Key, Object, controller_of, key_of, namespace_of
from upwell.clock import Clock, SystemClock
from upwell.cluster.errors import ApiError, Conflict, Unavailable
from upwell.cluster.informer import Handler
from upwell.cluster.workqueue import ShutDown, WorkQueue
from upwell.telemetry import log

__all__ = ["Reconcile", "Reconciler"]

RECONCILE_SECONDS: Final = 30.0
"""The longest that one reconcile may take (contract: control-plane.md 1)."""

Reconcile = Callable[[Key], Awaitable[float | None]]


class Reconciler:
    """A work queue, its workers, and the handlers that feed it."""

    def __init__(self, name: str, reconcile: Reconcile, *, workers: int = 4, clock: Clock | None = None) -> None:
        self.name = name
        self._reconcile = reconcile
        self._workers = workers
        self._queue = WorkQueue(clock or SystemClock())
        self._log = log.get(name)
        self._is_ours: Callable[[Key], bool] = lambda key: True
        self._under_way: dict[Key, tuple[asyncio.Timeout, asyncio.Event]] = {}
        """What each key's work can be ended by, and is told by that it has ended."""

    def limit_to(self, is_ours: Callable[[Key], bool]) -> None:
        """Pass over keys that are another replica's to work on, as `is_ours` tells when their turn comes."""
        self._is_ours = is_ours

    async def break_off(self) -> None:
        """End the work on keys that are not ours any more, and return when it has ended."""
        given_up = [work for key, work in self._under_way.items() if not self._is_ours(key)]
        for scope, _ in given_up:
            scope.reschedule(asyncio.get_running_loop().time())
        for _, ended in given_up:
            await ended.wait()

    def enqueue(self, key: Key) -> None:
        self._queue.add(key)

    def enqueue_object(self, obj: Object) -> None:
        self._queue.add(key_of(obj))

    def enqueue_changed(self, old: Object | None, new: Object | None) -> None:
        """An informer's handler: the object that changed needs work itself."""
        obj = new if new is not None else old
        if obj is not None:
            self._queue.add(key_of(obj))

    def enqueue_controller_of(self, kind: str) -> Handler:
        """An informer's handler: whoever of `kind` controls the object needs work (before and after a change)."""

        def handle(old: Object | None, new: Object | None) -> None:
            for obj in (old, new):
                owner = controller_of(obj) if obj is not None else None
                if obj is not None and owner is not None and owner.get("kind") == kind:
                    self._queue.add(Key(namespace_of(obj), str(owner["name"])))

        return handle

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue.run(), name=f"{self.name} timer")
            for number in range(self._workers):
                group.create_task(self._work(), name=f"{self.name} worker {number}")

    async def _work(self) -> None:
        while True:
            try:
                key = await self._queue.get()
            except ShutDown:
                return
            try:
                await self._reconcile_one(key)
            finally:
                self._queue.done(key)

    async def _reconcile_one(self, key: Key) -> None:
        if not self._is_ours(key):
            self._queue.forget(key)
            return
        try:
            async with asyncio.timeout(RECONCILE_SECONDS) as scope:
                ended = asyncio.Event()
                self._under_way[key] = scope, ended
                try:
                    again = await self._reconcile(key)
                finally:
                    del self._under_way[key]
                    ended.set()
        except TimeoutError as error:
            if self._is_ours(key):
                self._failed(key, error)
        except Conflict:
            self._queue.add_rate_limited(key)
        except Exception as error:
            self._failed(key, error)
        else:
            self._queue.forget(key)
            if again is not None:
                self._queue.add_after(key, again)

    def _failed(self, key: Key, error: Exception) -> None:
        self._queue.add_rate_limited(key, error.retry_after if isinstance(error, ApiError) else 0.0)
        again = self._queue.failures(key)
        if isinstance(error, Unavailable):
            self._log.warning("cannot reconcile while the API server is away", key=str(key), error=str(error))
        elif isinstance(error, ApiError | TimeoutError):
            self._log.error("reconcile failed", key=str(key), error=str(error) or "took too long", failures=again)
        else:
            self._log.exception("reconcile failed", key=str(key), failures=again)
