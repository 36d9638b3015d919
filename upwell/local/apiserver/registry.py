"""What requests do to objects: create, replace, patch, delete, with all the rules in their order.

Each operation runs to its end without waiting, so between reading an object and writing it nobody else writes. An
update that changes nothing is not stored: it makes no new resourceVersion and no event.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

from upwell.api.objects import Object
from upwell.api.resources import CORE_SERVICE, LEASE, NAMESPACE, Resource
from upwell.clock import Clock
from upwell.local.apiserver import errors, scale
from upwell.local.apiserver.builtin_types import refuse_wrong_types
from upwell.local.apiserver.catalog import is_custom
from upwell.local.apiserver.defaults import apply_defaults
from upwell.local.apiserver.deletion import DeleteOptions, Deletion
from upwell.local.apiserver.encoding import decode
from upwell.local.apiserver.errors import Cause
from upwell.local.apiserver.patch import Patcher
from upwell.local.apiserver.records import Record
from upwell.local.apiserver.selectors import Selector
from upwell.local.apiserver.store import Store
from upwell.local.apiserver.strategy import assign_address, for_create, for_status, for_update, with_generation
from upwell.local.apiserver.validation import check_type, validate, validate_change
from upwell.local.apiserver.worklist import Worklist

__all__ = ["Registry", "Reviewer", "WriteOptions"]


class Reviewer(Protocol):
    """Admission, as the registry needs it."""

    def review(self, resource: Resource, obj: Object, old: Object | None, strict: bool) -> Object:
        """The object with its defaults; raise StatusError when it is denied."""

    def review_status(self, resource: Resource, obj: Object) -> Object:
        """An object whose status was set, as it may be stored; raise StatusError."""

    def warnings(self, resource: Resource, obj: Object) -> list[str]:
        """What is accepted, and said all the same."""


class WriteOptions(NamedTuple):
    """What a write asks for besides its content."""

    dry_run: bool = False
    """Do everything but store."""
    strict: bool = False
    """Refuse unknown fields."""


WRITE: Final = WriteOptions()


class Registry:
    """See the module. Answers are records; with `dry_run` they are what would have been stored."""

    def __init__(self, store: Store, deletion: Deletion, worklist: Worklist, reviewer: Reviewer, clock: Clock) -> None:
        self.store = store
        self._deletion = deletion
        self._worklist = worklist
        self._reviewer = reviewer
        self._clock = clock

    def warnings(self, record: Record) -> list[str]:
        """What whoever wrote it is to be told."""
        return self._reviewer.warnings(record.resource, record.obj)

    def get(self, resource: Resource, namespace: str, name: str) -> Record:
        """Raise StatusError (404)."""
        record = self.store.get(resource, namespace, name)
        if record is None:
            raise errors.not_found(resource, name)
        return record

    def select(self, resource: Resource, namespace: str, selector: Selector) -> list[Record]:
        """The matching records, in order."""
        wanted = selector.field_value("metadata.name")
        if wanted is not None and (namespace or not resource.namespaced):
            record = self.store.get(resource, namespace, wanted)
            candidates = [] if record is None else [record]
        else:
            candidates = self.store.records(resource, namespace)
        if not selector.labels and not selector.fields:
            return candidates
        return [record for record in candidates if selector.matches(record.labels, record.fields)]

    def create(self, resource: Resource, namespace: str, body: object, options: WriteOptions = WRITE) -> Record:
        """Store a new object; `body` is changed. Raise StatusError."""
        obj = check_type(resource, body, namespace)
        self._check_namespace(resource, namespace, obj)
        obj = for_create(resource, obj, self._clock.now())
        name = obj["metadata"]["name"]
        obj = self._completed(resource, obj, None, options.strict)
        if self.store.get(resource, namespace, name) is not None:
            raise errors.already_exists(resource, name)
        if resource == CORE_SERVICE:
            assign_address(obj, None, self._addresses)
        return self._store(resource, obj, options.dry_run)

    def update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: object,
        subresource: str = "",
        options: WriteOptions = WRITE,
    ) -> Record:
        """Replace an object, or its status or scale; `body` is changed. Raise StatusError."""
        old = self.get(resource, namespace, name)
        if subresource == "scale":
            return self._rescale(old, body, options)
        obj = check_type(resource, body, namespace, name)
        unconditional = not (is_custom(resource) or resource == LEASE)
        if not obj["metadata"].get("resourceVersion") and not unconditional:
            must = "Invalid value: 0x0: must be specified for an update"
            raise errors.invalid(resource, name, [Cause("FieldValueInvalid", "metadata.resourceVersion", must)])
        return self._replace(old, obj, subresource, options)

    def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        apply: Patcher,
        subresource: str = "",
        options: WriteOptions = WRITE,
    ) -> Record:
        """Patch an object, or its status or scale. Raise StatusError."""
        old = self.get(resource, namespace, name)
        if subresource == "scale":
            return self._rescale(old, apply(scale.scale_of(old.obj)), options)
        obj = check_type(resource, apply(decode(old.raw)), namespace, name)
        return self._replace(old, obj, subresource, options)

    def delete(self, resource: Resource, namespace: str, name: str, options: DeleteOptions) -> tuple[Record, bool]:
        """Delete an object; the answer is its state and whether it is gone already. Raise StatusError."""
        return self._deletion.delete(self.get(resource, namespace, name), options)

    def delete_all(self, records: Iterable[Record], options: DeleteOptions) -> list[Record]:
        return [self.delete(one.resource, one.namespace, one.name, options)[0] for one in records]

    def _check_namespace(self, resource: Resource, namespace: str, obj: Object) -> None:
        if not resource.namespaced:
            return
        record = self.store.get(NAMESPACE, "", namespace)
        if record is None:
            raise errors.not_found(NAMESPACE, namespace)
        if record.fields["status.phase"] == "Terminating":
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise errors.forbidden(resource, str(obj["metadata"].get("name", "")), why)

    def _rescale(self, old: Record, body: object, options: WriteOptions) -> Record:
        obj = decode(old.raw)
        replicas, version = scale.parse_scale(old.resource, old.name, body)
        obj["spec"]["replicas"] = replicas
        if version:
            obj["metadata"]["resourceVersion"] = version
        return self._replace(old, obj, "", options)

    def _replace(self, old: Record, obj: Object, subresource: str, options: WriteOptions) -> Record:
        resource, metadata = old.resource, obj["metadata"]
        if metadata.get("uid", old.uid) != old.uid:
            why = f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: {old.uid}"
            raise errors.conflict(resource, old.name, why)
        if metadata.get("resourceVersion", str(old.revision)) != str(old.revision):
            raise errors.conflict(resource, old.name)
        obj = (
            self._reviewer.review_status(resource, for_status(obj, old.obj))
            if subresource == "status"
            else self._prepared(resource, obj, old.obj, options.strict)
        )
        obj["metadata"]["resourceVersion"] = str(old.revision)
        if obj == old.obj:
            return old
        return self._store(resource, obj, options.dry_run)

    def _prepared(self, resource: Resource, obj: Object, old: Object, strict: bool) -> Object:
        obj = for_update(resource, obj, old)
        obj = self._completed(resource, obj, old, strict)
        if resource == CORE_SERVICE:
            assign_address(obj, old, self._addresses)
        return with_generation(resource, obj, old)

    def _completed(self, resource: Resource, obj: Object, old: Object | None, strict: bool) -> Object:
        """The object with all defaults, once nothing is wrong with it."""
        if strict:
            refuse_wrong_types(resource, obj)
        try:
            apply_defaults(resource, obj)
            validate(resource, obj)
            if old is not None:
                validate_change(resource, obj, old)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # Types are only looked at one by one when something trips over them: that costs, and clients of ours
            # send what is right.
            refuse_wrong_types(resource, obj)
            raise errors.cannot_be_handled(resource, f"a field has a value of a wrong type ({error})") from error
        return self._reviewer.review(resource, obj, old, strict)

    def _store(self, resource: Resource, obj: Object, dry_run: bool) -> Record:
        if dry_run:
            obj["metadata"].setdefault("resourceVersion", str(self.store.revision))
            return Record(resource, obj)
        record, gone = self._deletion.settle(self.store.put(resource, obj))
        if record.owners and not gone:
            self._worklist.add(record.uid)
        return record

    def _addresses(self) -> set[str]:
        return {record.fields["spec.clusterIP"] for record in self.store.records(CORE_SERVICE)}
