"""How objects go: preconditions, grace, finalizers, and what becomes of their dependents.

A delete either removes the object at once, or marks it (deletionTimestamp) and leaves the rest to others: to whoever
owns its finalizers, to the kubelet for a pod that is bound to a node (`spec.nodeName`) and has a grace period, to
the garbage collector for foreground deletion, orphaning and namespaces. Whatever removes the last obstacle makes
the object go (`settle`).
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

from upwell.api.objects import Object, timestamp
from upwell.api.resources import NAMESPACE, POD
from upwell.clock import Clock
from upwell.local.apiserver import errors
from upwell.local.apiserver.records import Record
from upwell.local.apiserver.store import Store
from upwell.local.apiserver.worklist import Worklist

__all__ = ["FOREGROUND", "ORPHAN", "DeleteOptions", "Deletion", "blocked"]

FOREGROUND: Final = "foregroundDeletion"
ORPHAN: Final = "orphan"
_PERMANENT_NAMESPACES: Final = ("default", "kube-system")

Propagation = Literal["Background", "Foreground", "Orphan"]
_FINALIZER: Final[dict[str, str]] = {"Foreground": FOREGROUND, "Orphan": ORPHAN}


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """What a delete asks for; None means that it does not say."""

    propagation: Propagation | None = None
    grace_seconds: int | None = None
    uid: str | None = None
    resource_version: str | None = None
    dry_run: bool = False

    @classmethod
    def parse(cls, body: Any, query: dict[str, str]) -> "DeleteOptions":
        """Read DeleteOptions from body and query; raise StatusError (400)."""
        merged: dict[str, Any] = {**query, **(body if isinstance(body, dict) else {})}
        if merged.get("orphanDependents") is not None and "propagationPolicy" not in merged:
            orphan = merged["orphanDependents"] in (True, "true")
            merged["propagationPolicy"] = "Orphan" if orphan else "Background"
        policy = merged.get("propagationPolicy") or None
        if policy not in (None, "Background", "Foreground", "Orphan"):
            raise errors.bad_request(f'propagationPolicy: "{policy}" is not one of Background, Foreground, Orphan')
        grace = merged.get("gracePeriodSeconds")
        try:
            seconds = None if grace is None else max(0, int(grace))
        except (TypeError, ValueError):
            raise errors.bad_request(f"gracePeriodSeconds: {grace!r} is not a number of seconds") from None
        conditions = merged.get("preconditions") or {}
        if not isinstance(conditions, dict):
            raise errors.bad_request("preconditions must be an object")
        dry_run = bool(merged.get("dryRun"))
        return cls(policy, seconds, conditions.get("uid"), conditions.get("resourceVersion"), dry_run)


def blocked(obj: Object) -> bool:
    """Whether an object that is marked for deletion still waits for something."""
    metadata = obj["metadata"]
    waits = bool(metadata.get("finalizers")) or bool(metadata.get("deletionGracePeriodSeconds"))
    return waits or (obj["kind"] == "Namespace" and bool(obj.get("spec", {}).get("finalizers")))


class Deletion:
    """Deletes records of a store, and tells the garbage collector what to look at."""

    def __init__(self, store: Store, worklist: Worklist, clock: Clock) -> None:
        self._store = store
        self._worklist = worklist
        self._clock = clock

    def delete(self, record: Record, options: DeleteOptions) -> tuple[Record, bool]:
        """Delete or mark; the answer is the object's state and whether it is gone. Raise StatusError (409, 403)."""
        _check_preconditions(record, options)
        if record.resource == NAMESPACE and record.name in _PERMANENT_NAMESPACES:
            raise errors.forbidden(NAMESPACE, record.name, "this namespace may not be deleted")
        marked = self._marked(record, options)
        if options.dry_run:
            return record, marked is None
        if marked is None:
            return self._remove(record), True
        if marked != record.obj:
            record = self._store.put(record.resource, marked)
        self._worklist.add(record.uid)
        return record, False

    def settle(self, record: Record) -> tuple[Record, bool]:
        """Remove `record` if it is marked and nothing holds it any more; the answer as of `delete`."""
        if record.obj["metadata"].get("deletionTimestamp") and not blocked(record.obj):
            return self._remove(record), True
        return record, False

    def _remove(self, record: Record) -> Record:
        last = self._store.remove(record)
        self._worklist.add(record.uid)
        for owner in record.owners:
            self._worklist.add(owner)
        namespace = self._store.get(NAMESPACE, "", record.namespace) if record.namespace else None
        if namespace is not None and namespace.fields["status.phase"] == "Terminating":
            self._worklist.add(namespace.uid)
        return last

    def _marked(self, record: Record, options: DeleteOptions) -> Object | None:
        """The object marked for deletion, or None when nothing keeps it from going at once."""
        old = record.obj
        metadata = dict(old["metadata"])
        finalizers = list(metadata.get("finalizers") or ())
        if options.propagation is not None:
            finalizers = [one for one in finalizers if one not in (FOREGROUND, ORPHAN)]
            wanted = _FINALIZER.get(options.propagation)
            # With nothing to wait for or to let go, the finalizer would only be work.
            if wanted is not None and self._store.dependents(record.uid):
                finalizers.append(wanted)
        grace = _grace(record, options)
        if grace == 0 and not finalizers and record.resource != NAMESPACE:
            return None
        marked_before = "deletionTimestamp" in metadata
        if not marked_before or grace < int(metadata.get("deletionGracePeriodSeconds") or 0):
            metadata["deletionTimestamp"] = timestamp(self._clock.now() + grace)
            metadata["deletionGracePeriodSeconds"] = grace
            if "generation" in metadata:
                metadata["generation"] += 1
        metadata.pop("finalizers", None)
        if finalizers:
            metadata["finalizers"] = finalizers
        marked = {**old, "metadata": metadata}
        if record.resource == NAMESPACE:
            marked["status"] = {**(old.get("status") or {}), "phase": "Terminating"}
        return marked


def _check_preconditions(record: Record, options: DeleteOptions) -> None:
    if options.uid is not None and options.uid != record.uid:
        raise errors.conflict(
            record.resource,
            record.name,
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({record.uid})."
            " The object might have been deleted and then recreated",
        )
    if options.resource_version is not None and options.resource_version != str(record.revision):
        raise errors.conflict(
            record.resource,
            record.name,
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the"
            f" ResourceVersion in record ({record.revision}). The object might have been modified",
        )


def _grace(record: Record, options: DeleteOptions) -> int:
    """Seconds that the kubelet gets to stop a pod; 0 for all else."""
    obj = record.obj
    if record.resource != POD or not obj["spec"].get("nodeName"):
        return 0
    if (obj.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    running_out = obj["metadata"].get("deletionGracePeriodSeconds")
    if options.grace_seconds is not None:
        return options.grace_seconds if running_out is None else min(options.grace_seconds, int(running_out))
    if running_out is not None:
        return int(running_out)
    return int(obj["spec"].get("terminationGracePeriodSeconds", 30))
