"""A local copy of one resource, kept current by one list and a watch that never ends for good.

    list ──> put all, report the difference ──> watch from the list's resourceVersion ─┐
      ^                                            │ ended, or the connection broke    │ event: put or remove,
      └──────── 410 Gone: position too old ────────┴── watch again from the last <─────┘ report, remember its
                                                       resourceVersion (bookmarks too)   resourceVersion

Handlers are called in the order of the changes, once for each: an event that repeats the version in the cache is
none, a deletion missed while we were away shows in the next list, and an object that was replaced under its name
is reported as deleted and added. The cache holds the new state before the handler is called. While the API server
is away the cache stays as it is, and `synced` stays true. resourceVersions are opaque: they are only compared for
equality and sent back.

A copy of everything in a big cluster is mostly fields that nobody here reads. Whoever makes an informer may give it a
`trim`, which says what to keep of an object; what is dropped is gone before the next page of a list is read.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, Final, Protocol, cast

from upwell.api.objects import Key, Object, key_of
from upwell.api.resources import Resource
from upwell.clock import Clock, SystemClock
from upwell.cluster.backoff import Backoff
from upwell.cluster.errors import ApiError, Gone
from upwell.cluster.store import Change, IndexFunction, Store
from upwell.telemetry import log

__all__ = ["Handler", "Informer", "Source", "Trim", "unfilled"]

LOG: Final = log.get("informer")
HEALTHY_WATCH_SECONDS: Final = 1.0
"""A watch that ends sooner without an event counts as failed, so that a server in trouble is not hammered."""
_POSITION_HOLDS: Final = frozenset({0, 429})
"""After no connection and "not now" a watch goes on where it was. Any other refusal may be about the position, such
as one from before a restored backup, that the server has not come to yet: list again."""

_NOT_ALLOWED: Final = 403

Objects = list[Object]
Handler = Callable[[Object | None, Object | None], None]
"""Called with (old, new): no old means added, no new means deleted."""
Trim = Callable[[Object], Object]
"""What to keep of an object; at least its metadata's name, namespace, uid and resourceVersion. It may change it."""


class Source(Protocol):
    """What an informer needs of a client."""

    async def list(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = "", trim: Trim | None = None
    ) -> tuple[list[Object], str]: ...

    def watch(
        self, resource: Resource, namespace: str = "", *, resource_version: str, labels: str = "", fields: str = ""
    ) -> AsyncIterator[tuple[str, Object]]: ...


class Informer:
    """See the module. Objects that it returns are shared: copy before changing (upwell.api.objects.mutable)."""

    def __init__(
        self,
        client: Source,
        resource: Resource,
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        trim: Trim | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`labels` and `fields` are selectors in the API's syntax; an empty `namespace` means all.

        With `trim`, what is returned is what that left of each object, and must not be written back.
        """
        self.resource = resource
        self.synced = False
        """Whether the first list has arrived."""
        self.trouble = ""
        """What went wrong last, as the API server or the network says; empty once something arrives again."""
        self._client = client
        self._namespace = namespace
        self._labels = labels
        self._fields = fields
        self._trim = trim
        self._clock = clock or SystemClock()
        self._store = Store()
        self._handlers: list[Handler] = []
        self._first_list = asyncio.Event()
        self._version = ""
        self._backoff = Backoff()

    def get(self, namespace: str, name: str) -> Object | None:
        return self._store.get(Key(namespace, name))

    def list(self, namespace: str = "", labels: Mapping[str, str] | None = None) -> list[Object]:
        """The known objects, of one namespace or of all, that carry every one of `labels`."""
        return self._store.select(namespace, labels or {})

    def add_index(self, name: str, keys: IndexFunction) -> None:
        """Make objects findable with `by_index` under each of `keys(obj)`."""
        self._store.add_index(name, keys)

    def by_index(self, name: str, key: str) -> Objects:
        return self._store.by_index(name, key)

    def add_handler(self, handler: Handler) -> None:
        """Call `handler` for each change from now on, and at once, as added, for what is known already."""
        self._handlers.append(handler)
        for obj in self._store.select("", {}):
            self._call(handler, None, obj)

    async def wait_synced(self) -> None:
        await self._first_list.wait()

    async def run(self) -> None:
        """Keep the copy current until cancelled."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except Gone:
                LOG.info("watch position expired, listing again", resource=self.resource.plural)
                self._version = ""
            except ApiError as error:
                if error.status not in _POSITION_HOLDS:
                    self._version = ""
                pause = max(self._backoff.next(), error.retry_after)
                self._tell(error, pause)
                await self._clock.sleep(pause)

    def _tell(self, error: ApiError, pause: float) -> None:
        self.trouble = str(error)
        about = {"resource": self.resource.plural, "group": self.resource.group, "namespace": self._namespace}
        if error.status == _NOT_ALLOWED and not self.synced:
            line = "the right to list and watch a resource is missing, nothing starts without it"
            LOG.error(line, **about, error=str(error), seconds=round(pause, 2))
        else:
            LOG.warning("cannot follow a resource, trying again", **about, error=str(error), seconds=round(pause, 2))

    async def _list(self) -> None:
        objects, version = await self._client.list(
            self.resource, self._namespace, labels=self._labels, fields=self._fields, trim=self._kept
        )
        self._report(self._store.replace(objects))
        self._version = version
        self._goes_well()
        if not self.synced:
            self.synced = True
            self._first_list.set()

    async def _watch(self) -> None:
        started = self._clock.monotonic()
        quiet = True
        stream = self._client.watch(
            self.resource,
            self._namespace,
            resource_version=self._version,
            labels=self._labels,
            fields=self._fields,
        )
        async with _closing(stream) as events:
            async for kind, obj in events:
                quiet = False
                self._goes_well()
                self._apply(kind, obj)
        if quiet and self._clock.monotonic() - started < HEALTHY_WATCH_SECONDS:
            await self._clock.sleep(self._backoff.next())
        else:
            self.trouble = ""

    def _goes_well(self) -> None:
        self.trouble = ""
        self._backoff.reset()

    def _apply(self, kind: str, obj: Object) -> None:
        # The position moves before the handlers run, so that whatever they do, no event is seen twice.
        self._version = str(obj["metadata"].get("resourceVersion") or self._version)
        if kind == "DELETED":
            self._report(self._store.remove(obj))
        elif kind != "BOOKMARK":
            self._report(self._store.put(self._kept(obj)))

    def _report(self, changes: Iterable[Change]) -> None:
        for old, new in changes:
            for handler in self._handlers:
                self._call(handler, old, new)

    def _call(self, handler: Handler, old: Object | None, new: Object | None) -> None:
        try:
            handler(old, new)
        except Exception:
            # One bad object must not stop the copy for all the others.
            changed = new if new is not None else old
            name = str(key_of(changed)) if changed is not None else ""
            LOG.exception("a change could not be handled", resource=self.resource.plural, object=name)

    def _kept(self, obj: Object) -> Object:
        # Who set which field is a third of an object, nobody here asks for it, and an update without it keeps it.
        obj["metadata"].pop("managedFields", None)
        return obj if self._trim is None else self._trim(obj)


def _closing(stream: AsyncIterator[Any]) -> AbstractAsyncContextManager[AsyncIterator[Any]]:
    return aclosing(cast("Any", stream))


def unfilled(*informers: Informer) -> str:
    """The resources whose copies have not been filled, each with why, where that is known; empty when all have been."""
    return ", ".join(
        f"{one.resource.plural}.{one.resource.group}".removesuffix(".") + (f" ({one.trouble})" if one.trouble else "")
        for one in informers
        if not one.synced
    )
