"""An API server in memory, with faults on demand, for tests that need no sockets.

It behaves as the real one where callers can tell: resourceVersions that mean nothing to them, conflicts, watches
that end, break or expire, deletions with the last state. What it gives out is a copy.
"""

import asyncio
import copy
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

from upwell.api.objects import Key, Object, key_of, matches_labels
from upwell.api.resources import Resource
from upwell.cluster.client import Client, PatchType
from upwell.cluster.errors import AlreadyExists, ApiError, Conflict, Gone, NotFound, Unavailable

Event = tuple[str, Object]


class FakeApi(Client):
    """Use it wherever a Client goes."""

    def __init__(self) -> None:
        self.objects: dict[tuple[Resource, Key], Object] = {}
        self.writes: list[tuple[str, str, Key]] = []
        """(verb, plural, key) of every write that went through."""
        self.tried: list[Object] = []
        """What was not to be stored."""
        self.lists = 0
        self.watches_from: list[str] = []
        self.fail: ApiError | None = None
        """Raised by every call while set."""
        self._count = itertools.count(1)
        self._history: list[tuple[str, Resource, str, Object]] = []
        self._expired = 0
        self._watchers: list[asyncio.Queue[Event | ApiError | None]] = []

    # What tests do to it

    def break_watches(self) -> None:
        """Every open watch loses its connection."""
        self._tell_watchers(Unavailable(0, "NoConnection", "connection lost"))

    def end_watches(self) -> None:
        """Every open watch ends regularly."""
        self._tell_watchers(None)

    def bookmark(self) -> None:
        """Tell every open watch how far the server has come."""
        version = self._next_version()
        self._history.append((version, None, "BOOKMARK", {}))  # type: ignore[arg-type]
        self._tell_watchers(("BOOKMARK", {"metadata": {"resourceVersion": version}}))

    def expire(self) -> None:
        """Forget everything up to now, so that watching from earlier positions is refused."""
        self._expired = len(self._history)

    def put(self, resource: Resource, obj: Object) -> Object:
        """Create or replace, as somebody else would."""
        known = self.objects.get((resource, key_of(obj)))
        return self._keep(resource, obj, "MODIFIED" if known else "ADDED")

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        obj = self.objects.pop((resource, Key(namespace, name)))
        self._record(resource, "DELETED", obj)

    # What a client does

    async def get(self, resource: Resource, name: str, namespace: str = "") -> Object:
        await self._answer()
        return copy.deepcopy(self._find(resource, Key(namespace, name)))

    async def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        trim: Callable[[Object], Object] | None = None,
    ) -> tuple[list[Object], str]:
        await self._answer()
        self.lists += 1
        items = [
            copy.deepcopy(obj) if trim is None else trim(copy.deepcopy(obj))
            for (kind, key), obj in self.objects.items()
            if kind is resource and namespace in ("", key.namespace) and _selected(obj, labels)
        ]
        return items, self._version()

    async def watch(
        self, resource: Resource, namespace: str = "", *, resource_version: str, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Event]:
        await self._answer()
        self.watches_from.append(resource_version)
        start = next((i + 1 for i, past in enumerate(self._history) if past[0] == resource_version), 0)
        if start < self._expired:
            raise Gone(410, "Expired", "too old resource version")
        queue: asyncio.Queue[Event | ApiError | None] = asyncio.Queue()
        for _, kind, change, obj in self._history[start:]:
            if kind is resource:
                queue.put_nowait((change, obj))
        self._watchers.append(queue)
        try:
            while (event := await queue.get()) is not None:
                if isinstance(event, ApiError):
                    raise event
                if event[0] == "BOOKMARK" or self._concerns(event[1], resource, namespace, labels):
                    yield event[0], copy.deepcopy(event[1])
        finally:
            self._watchers.remove(queue)

    async def create(self, resource: Resource, obj: Object, *, strict: bool = False) -> Object:
        await self._answer()
        if (resource, key_of(obj)) in self.objects:
            raise AlreadyExists(409, "AlreadyExists", f"{key_of(obj)} already exists")
        self.writes.append(("create", resource.plural, key_of(obj)))
        return self._keep(resource, obj, "ADDED")

    async def try_create(self, resource: Resource, obj: Object) -> None:
        await self._answer()
        self.tried.append(copy.deepcopy(obj))

    async def update(self, resource: Resource, obj: Object, *, strict: bool = False) -> Object:
        return await self._replace("update", resource, obj, "status")

    async def update_status(self, resource: Resource, obj: Object) -> Object:
        return await self._replace("update_status", resource, obj, "spec")

    async def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str,
        patch: Any,
        kind: PatchType = PatchType.MERGE,
        subresource: str = "",
    ) -> Object:
        await self._answer()
        merged = _merged(self._find(resource, Key(namespace, name)), patch)
        self.writes.append(("patch", resource.plural, Key(namespace, name)))
        return self._keep(resource, merged, "MODIFIED")

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        resource_version: str = "",
        propagation: str = "Background",
    ) -> None:
        await self._answer()
        metadata = self._find(resource, Key(namespace, name))["metadata"]
        if resource_version and metadata["resourceVersion"] != resource_version:
            raise Conflict(409, "Conflict", "the object has been modified")
        self.writes.append(("delete", resource.plural, Key(namespace, name)))
        self.remove(resource, namespace, name)

    async def close(self) -> None:
        self.end_watches()

    async def _answer(self) -> None:
        await asyncio.sleep(0)
        if self.fail is not None:
            raise self.fail

    async def _replace(self, verb: str, resource: Resource, obj: Object, kept: str) -> Object:
        await self._answer()
        old = self._find(resource, key_of(obj))
        version = obj["metadata"].get("resourceVersion")
        if version and version != old["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", "the object has been modified")
        new = {name: value for name, value in obj.items() if name != kept or not resource.has_status}
        if resource.has_status and kept in old:
            new[kept] = old[kept]
        self.writes.append((verb, resource.plural, key_of(obj)))
        return self._keep(resource, new, "MODIFIED")

    def _find(self, resource: Resource, key: Key) -> Object:
        try:
            return self.objects[resource, key]
        except KeyError:
            raise NotFound(404, "NotFound", f"{resource.plural} {key} not found") from None

    def _keep(self, resource: Resource, obj: Object, event: str) -> Object:
        kept = copy.deepcopy(obj)
        old = self.objects.get((resource, key_of(obj)))
        kept["metadata"].setdefault("uid", old["metadata"]["uid"] if old else f"uid-{next(self._count)}")
        self.objects[resource, key_of(obj)] = kept
        self._record(resource, event, kept)
        return copy.deepcopy(kept)

    def _record(self, resource: Resource, event: str, obj: Object) -> None:
        obj["metadata"]["resourceVersion"] = self._next_version()
        snapshot = copy.deepcopy(obj)
        self._history.append((obj["metadata"]["resourceVersion"], resource, event, snapshot))
        self._tell_watchers((event, snapshot))

    def _tell_watchers(self, event: Event | ApiError | None) -> None:
        for queue in self._watchers:
            queue.put_nowait(event)

    def _next_version(self) -> str:
        return f"rv{next(self._count)}x"

    def _version(self) -> str:
        return self._history[-1][0] if self._history else "rv0x"

    @staticmethod
    def _concerns(obj: Object, resource: Resource, namespace: str, labels: str) -> bool:
        return (
            obj.get("kind") == resource.kind
            and namespace in ("", obj["metadata"].get("namespace"))
            and _selected(obj, labels)
        )


def _selected(obj: Object, labels: str) -> bool:
    wanted = dict(part.split("=") for part in labels.split(",")) if labels else {}
    return matches_labels(obj, wanted)


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merged(result.get(name), value)
    return result
