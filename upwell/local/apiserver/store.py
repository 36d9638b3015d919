"""Every object of the cluster, in memory: the one place where state changes.

A change is synchronous and whole: the revision counts up, the record takes its place, indexes follow, the change is
noted for the database, and watchers get their bytes. Who acknowledges a change awaits `committed()` first. Rules
about what may change are someone else's (`registry`, `deletion`); here everything is possible.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

from upwell.api.objects import Object
from upwell.api.resources import Resource
from upwell.local.apiserver.errors import qualified
from upwell.local.apiserver.records import Record
from upwell.local.apiserver.watch import Event, Feed

__all__ = ["Log", "Store"]


class Log(Protocol):
    """Where changes are kept over a restart; the journal, as the store needs it."""

    def put(self, resource: str, record: Record) -> None: ...

    def remove(self, resource: str, record: Record) -> None: ...

    async def committed(self) -> None: ...


class _Collection:
    """The objects of one resource, by namespace and name."""

    __slots__ = ("feed", "name", "namespaces")

    def __init__(self, resource: Resource, floor: int) -> None:
        self.name = qualified(resource)
        self.feed = Feed(floor)
        self.namespaces: dict[str, dict[str, Record]] = {}


class Store:
    """See the module."""

    def __init__(self, resources: Iterable[Resource], log: Log | None = None, revision: int = 0) -> None:
        """`revision` is the last one used by the life before; what watchers saw of it cannot be resumed."""
        self.revision = revision
        self._log = log
        self._collections = {resource: _Collection(resource, revision) for resource in resources}
        self._by_uid: dict[str, Record] = {}
        self._dependents: dict[str, dict[str, Record]] = {}

    def restore(self, records: Iterable[Record]) -> None:
        """Take in what an earlier life stored; nobody is told."""
        for record in records:
            self._place(record)
            record.forget()

    def get(self, resource: Resource, namespace: str, name: str) -> Record | None:
        return self._collections[resource].namespaces.get(namespace, {}).get(name)

    def records(self, resource: Resource, namespace: str = "") -> list[Record]:
        """All records of a namespace, or of all, in the order in which Kubernetes lists them."""
        namespaces = self._collections[resource].namespaces
        names = sorted(namespaces) if not (resource.namespaced and namespace) else [namespace]
        found: list[Record] = []
        for each in names:
            objects = namespaces.get(each, {})
            found.extend(objects[name] for name in sorted(objects))
        return found

    def everything(self) -> Iterator[Record]:
        return iter(list(self._by_uid.values()))

    def inside(self, namespace: str) -> list[Record]:
        """Every namespaced object in `namespace`."""
        return [
            record
            for resource, collection in self._collections.items()
            if resource.namespaced
            for record in collection.namespaces.get(namespace, {}).values()
        ]

    def by_uid(self, uid: str) -> Record | None:
        return self._by_uid.get(uid)

    def dependents(self, uid: str) -> list[Record]:
        """The objects that name the object with this uid as an owner."""
        return list(self._dependents.get(uid, {}).values())

    def feed(self, resource: Resource) -> Feed:
        return self._collections[resource].feed

    def put(self, resource: Resource, obj: Object) -> Record:
        """Create or replace an object.

        `obj` and its metadata must be the caller's own; the resourceVersion is set in them, and from here on they
        must not change.
        """
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        record = Record(resource, obj)
        collection = self._collections[resource]
        previous = self.get(resource, record.namespace, record.name)
        if previous is not None:
            self._displace(previous)
        self._place(record)
        if self._log is not None:
            self._log.put(collection.name, record)
        collection.feed.publish(Event("ADDED" if previous is None else "MODIFIED", record, previous))
        return record

    def remove(self, record: Record) -> Record:
        """Take an object away; the answer is its last state, at the revision of its removal."""
        self.revision += 1
        obj = {**record.obj, "metadata": {**record.obj["metadata"], "resourceVersion": str(self.revision)}}
        last = Record(record.resource, obj)
        last.forget()
        collection = self._collections[record.resource]
        self._displace(record)
        del self._by_uid[record.uid]
        objects = collection.namespaces[record.namespace]
        del objects[record.name]
        if not objects:
            del collection.namespaces[record.namespace]
        if self._log is not None:
            self._log.remove(collection.name, last)
        collection.feed.publish(Event("DELETED", last, record))
        return last

    async def committed(self) -> None:
        """Return once all changes so far would survive the death of this process."""
        if self._log is not None:
            await self._log.committed()

    def _place(self, record: Record) -> None:
        self._collections[record.resource].namespaces.setdefault(record.namespace, {})[record.name] = record
        self._by_uid[record.uid] = record
        for owner in record.owners:
            self._dependents.setdefault(owner, {})[record.uid] = record

    def _displace(self, record: Record) -> None:
        for owner in record.owners:
            dependents = self._dependents.get(owner, {})
            dependents.pop(record.uid, None)
            if not dependents:
                self._dependents.pop(owner, None)
        record.forget()
