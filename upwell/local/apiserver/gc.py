"""The garbage collector: what has lost its owners goes, as in a cluster's controller manager.

It works off a list of uids, each looked at as it is now (level-triggered), so it does not matter why or how often
one is on the list. An owner is absent when no object has its uid, kind, name and namespace; owners of kinds that
this server does not know count as present. On start every object with owners is looked at once, since the process
may have died between the owner's end and its dependents'.
"""

import asyncio
import logging
from typing import Final

from upwell.api.objects import Object
from upwell.api.resources import NAMESPACE
from upwell.local.apiserver.catalog import Catalog
from upwell.local.apiserver.deletion import FOREGROUND, ORPHAN, DeleteOptions, Deletion
from upwell.local.apiserver.errors import StatusError
from upwell.local.apiserver.records import Record
from upwell.local.apiserver.store import Store
from upwell.local.apiserver.worklist import Worklist

__all__ = ["Collector"]

_LOG: Final = logging.getLogger(__name__)
_SLICE: Final = 100
"""Objects looked at between two turns of the event loop, so that a large cascade does not hold up requests."""


class Collector:
    """See the module."""

    def __init__(self, store: Store, catalog: Catalog, deletion: Deletion, worklist: Worklist) -> None:
        self._store = store
        self._catalog = catalog
        self._deletion = deletion
        self._worklist = worklist

    def sweep(self) -> None:
        """Put everything on the list that could have been left behind."""
        for record in self._store.everything():
            if record.owners or record.obj["metadata"].get("deletionTimestamp"):
                self._worklist.add(record.uid)
            record.forget()

    async def run(self) -> None:
        """Collect for ever."""
        while True:
            await self._worklist.wait()
            self.collect(_SLICE)
            await self._store.committed()
            await asyncio.sleep(0)

    def collect(self, limit: int) -> int:
        """Look at up to `limit` objects; the answer is how many there were."""
        uids = self._worklist.take(limit)
        for uid in uids:
            try:
                self._look_at(uid)
            except StatusError as error:
                # Somebody made a permanent object the dependent of a missing one; the rest must still be collected.
                _LOG.warning("object cannot be collected: %s", error)
        return len(uids)

    def _look_at(self, uid: str) -> None:
        record = self._store.by_uid(uid)
        if record is None:
            for dependent in self._store.dependents(uid):
                self._worklist.add(dependent.uid)
        elif record.obj["metadata"].get("deletionTimestamp"):
            self._go_on_deleting(record)
        elif record.owners:
            self._check_owners(record)

    def _go_on_deleting(self, record: Record) -> None:
        finalizers = record.obj["metadata"].get("finalizers") or ()
        if record.resource == NAMESPACE:
            self._empty_namespace(record)
        elif ORPHAN in finalizers:
            for dependent in self._store.dependents(record.uid):
                self._let_go(dependent, {record.uid})
            self._finish(record, ORPHAN)
        elif FOREGROUND in finalizers:
            self._delete_dependents(record)

    def _delete_dependents(self, owner: Record) -> None:
        waiting = False
        for dependent in self._store.dependents(owner.uid):
            if self._has_other_owner(dependent, owner.uid):
                self._let_go(dependent, {owner.uid})
                continue
            gone = False
            if not dependent.obj["metadata"].get("deletionTimestamp"):
                _, gone = self._deletion.delete(dependent, DeleteOptions("Foreground"))
            waiting = waiting or (not gone and _blocks(dependent.obj, owner.uid))
        if not waiting:
            self._finish(owner, FOREGROUND)

    def _has_other_owner(self, dependent: Record, going: str) -> bool:
        for one in dependent.obj["metadata"]["ownerReferences"]:
            if one["uid"] == going or self._is_absent(one, dependent.namespace):
                continue
            other = self._store.by_uid(one["uid"])
            if other is None or FOREGROUND not in (other.obj["metadata"].get("finalizers") or ()):
                return True
        return False

    def _finish(self, record: Record, finalizer: str) -> None:
        metadata = dict(record.obj["metadata"])
        metadata["finalizers"] = [one for one in metadata["finalizers"] if one != finalizer]
        if not metadata["finalizers"]:
            del metadata["finalizers"]
        self._replace(record, {**record.obj, "metadata": metadata})

    def _empty_namespace(self, namespace: Record) -> None:
        inside = self._store.inside(namespace.name)
        for record in inside:
            if not record.obj["metadata"].get("deletionTimestamp"):
                self._deletion.delete(record, DeleteOptions("Background"))
        if not self._store.inside(namespace.name):
            self._replace(namespace, {**namespace.obj, "metadata": dict(namespace.obj["metadata"]), "spec": {}})

    def _check_owners(self, record: Record) -> None:
        references = record.obj["metadata"]["ownerReferences"]
        absent = {one["uid"] for one in references if self._is_absent(one, record.namespace)}
        present = [one for one in references if one["uid"] not in absent]
        if not present:
            self._deletion.delete(record, DeleteOptions("Background"))
        elif absent:
            self._let_go(record, absent)

    def _is_absent(self, reference: Object, namespace: str) -> bool:
        resource = self._catalog.of(reference)
        if resource is None:
            return False
        owner = self._store.by_uid(reference["uid"])
        if owner is None or (owner.resource, owner.name) != (resource, reference["name"]):
            return True
        return owner.resource.namespaced and owner.namespace != namespace

    def _let_go(self, record: Record, owners: set[str]) -> None:
        metadata = dict(record.obj["metadata"])
        metadata["ownerReferences"] = [one for one in metadata["ownerReferences"] if one["uid"] not in owners]
        if not metadata["ownerReferences"]:
            del metadata["ownerReferences"]
        self._replace(record, {**record.obj, "metadata": metadata})

    def _replace(self, record: Record, obj: Object) -> None:
        self._deletion.settle(self._store.put(record.resource, obj))


def _blocks(obj: Object, owner: str) -> bool:
    """Whether a foreground deletion of `owner` waits for this dependent."""
    return any(one["uid"] == owner and one.get("blockOwnerDeletion") for one in obj["metadata"]["ownerReferences"])
