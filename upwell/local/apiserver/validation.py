"""What an object must look like to be stored at all: its type, its name, its metadata.

Knative's own rules come from admission; of the built-in kinds only those rules are checked here that people run
into (a Deployment's selector, a pod without containers). Messages are the real server's where it has one.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from upwell.api.objects import Object
from upwell.api.resources import Resource
from upwell.local.apiserver import errors
from upwell.local.apiserver.catalog import is_custom
from upwell.local.apiserver.errors import Cause

__all__ = ["check_type", "validate", "validate_change"]

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_SUBDOMAIN_RULE: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start"
    " and end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
    r" '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_RULE: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end"
    " with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SERVICE_RULE: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character,"
    " and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is"
    " '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_IS_SUBDOMAIN: Final = re.compile(rf"(?=.{{1,253}}\Z){_SUBDOMAIN}\Z")
_IS_LABEL: Final = re.compile(rf"(?=.{{1,63}}\Z){_LABEL}\Z")
_NAMES: Final[Mapping[tuple[str, str], tuple[re.Pattern[str], str]]] = {
    ("", "Namespace"): (_IS_LABEL, _LABEL_RULE),
    ("", "Service"): (re.compile(r"(?=.{1,63}\Z)[a-z]([-a-z0-9]*[a-z0-9])?\Z"), _SERVICE_RULE),
}
_QUALIFIED: Final = re.compile(rf"(({_SUBDOMAIN})/)?(?=[^/]{{1,63}}\Z)[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?\Z")
_LABEL_VALUE: Final = re.compile(r"(?=.{0,63}\Z)([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?\Z")
_LABEL_VALUE_RULE: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and"
    " end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is"
    " '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?'), of at most 63 characters"
)
_ANNOTATIONS_LIMIT: Final = 256 * 1024


def check_type(resource: Resource, body: Any, namespace: str, name: str = "") -> Object:
    """The body as an object of `resource`, in `namespace`; raise StatusError (400) when it is something else."""
    if not isinstance(body, dict):
        raise errors.bad_request(f"the body must be an object of kind {resource.kind}, not a {type(body).__name__}")
    body["apiVersion"] = _same(body, "apiVersion", resource.api_version, is_custom(resource))
    body["kind"] = _same(body, "kind", resource.kind, is_custom(resource))
    metadata = body.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        raise errors.bad_request("metadata must be an object")
    _check_metadata(metadata)
    if metadata.get("namespace", namespace) not in ("", namespace):
        raise errors.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    if resource.namespaced:
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)
    if name and metadata.setdefault("name", name) != name:
        raise errors.bad_request(
            f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
        )
    metadata.pop("managedFields", None)
    metadata.pop("selfLink", None)
    for field in ("spec", "status"):
        if body.get(field) is None:
            body.pop(field, None)
        elif not isinstance(body[field], dict):
            raise errors.bad_request(f"{field} must be an object")
    return body


def _same(body: Object, field: str, expected: str, required: bool) -> str:
    found = body.get(field)
    if found is None and not required:
        return expected
    if found is None:
        raise errors.bad_request(f"Object '{field[0].upper()}{field[1:]}' is missing; expected {expected}")
    if found != expected:
        told = "API version" if field == "apiVersion" else field
        raise errors.bad_request(f"the {told} in the data ({found}) does not match the expected {told} ({expected})")
    return expected


def _check_metadata(metadata: Object) -> None:
    for field in ("name", "generateName", "namespace", "uid", "resourceVersion"):
        if metadata.get(field) is None:
            metadata.pop(field, None)
        elif not isinstance(metadata[field], str):
            raise errors.bad_request(f"metadata.{field}: {metadata[field]!r} is not a string")
    for field in ("labels", "annotations"):
        values = metadata.get(field)
        if values is None:
            metadata.pop(field, None)
        elif not isinstance(values, dict):
            raise errors.bad_request(f"metadata.{field} must be an object of strings")
        else:
            for key, value in values.items():
                if not isinstance(value, str):
                    raise errors.bad_request(f'metadata.{field}["{key}"]: {value!r} is not a string; put it in quotes')
    for field, kind in (("finalizers", str), ("ownerReferences", dict)):
        items = metadata.get(field)
        if not items:
            metadata.pop(field, None)
        elif not isinstance(items, list) or not all(isinstance(item, kind) for item in items):
            raise errors.bad_request(f"metadata.{field} must be a list of {'strings' if kind is str else 'objects'}")


def validate(resource: Resource, obj: Object) -> None:
    """Raise StatusError (422) with every field of `obj` that cannot be accepted."""
    causes = _metadata_causes(resource, obj["metadata"])
    check_kind = _KINDS.get((resource.group, resource.kind))
    if check_kind is not None:
        causes.extend(check_kind(obj))
    if causes:
        raise errors.invalid(resource, str(obj["metadata"].get("name", "")), causes)


def _metadata_causes(resource: Resource, metadata: Object) -> list[Cause]:
    causes = []
    pattern, rule = _NAMES.get((resource.group, resource.kind), (_IS_SUBDOMAIN, _SUBDOMAIN_RULE))
    prefix = metadata.get("generateName", "")
    if prefix and not pattern.match(prefix[:-1] + "a" if prefix.endswith("-") else prefix):
        causes.append(_wrong("metadata.generateName", prefix, rule))
    if not pattern.match(metadata["name"]):
        causes.append(_wrong("metadata.name", metadata["name"], rule))
    for key, value in (metadata.get("labels") or {}).items():
        if not _QUALIFIED.match(key):
            causes.append(_wrong("metadata.labels", key, "name part must be a label, after an optional DNS prefix"))
        if not _LABEL_VALUE.match(value):
            causes.append(_wrong("metadata.labels", value, _LABEL_VALUE_RULE))
    annotations = metadata.get("annotations") or {}
    causes.extend(
        _wrong("metadata.annotations", key, "name part must be a label, after an optional DNS prefix")
        for key in annotations
        if not _QUALIFIED.match(key.lower())
    )
    if sum(len(key) + len(value) for key, value in annotations.items()) > _ANNOTATIONS_LIMIT:
        too_long = f"Too long: may not be more than {_ANNOTATIONS_LIMIT} bytes"
        causes.append(Cause("FieldValueTooLong", "metadata.annotations", too_long))
    for index, reference in enumerate(metadata.get("ownerReferences") or ()):
        causes.extend(
            _required(f"metadata.ownerReferences[{index}].{field}")
            for field in ("apiVersion", "kind", "name", "uid")
            if not isinstance(reference.get(field), str) or not reference[field]
        )
    return causes


def _wrong(field: str, value: Any, rule: str) -> Cause:
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    return Cause("FieldValueInvalid", field, f"Invalid value: {shown}: {rule}")


def _required(field: str, detail: str = "") -> Cause:
    return Cause("FieldValueRequired", field, f"Required value{detail and ': '}{detail}")


def _pod_causes(obj: Object, path: str = "spec") -> list[Cause]:
    spec = obj["spec"]
    containers = spec.get("containers")
    if not isinstance(containers, list) or not containers:
        return [_required(f"{path}.containers")]
    causes = []
    for index, container in enumerate(containers):
        where = f"{path}.containers[{index}].name"
        name = container.get("name") if isinstance(container, dict) else None
        if not name:
            causes.append(_required(where))
        elif not isinstance(name, str) or not _IS_LABEL.match(name):
            causes.append(_wrong(where, name, _LABEL_RULE))
    grace = spec.get("terminationGracePeriodSeconds", 0)
    if not isinstance(grace, int):
        causes.append(_wrong(f"{path}.terminationGracePeriodSeconds", grace, "must be a whole number"))
    return causes


def _deployment_causes(obj: Object) -> list[Cause]:
    spec = obj["spec"]
    causes = []
    replicas = spec.get("replicas", 1)
    if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
        causes.append(_wrong("spec.replicas", replicas, "must be greater than or equal to 0"))
    selector = spec.get("selector")
    template = spec["template"]
    if not isinstance(selector, dict) or not selector:
        return [*causes, _required("spec.selector")]
    labels = (template.get("metadata") or {}).get("labels") or {}
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        path = "spec.template.metadata.labels"
        causes.append(_wrong(path, labels, "`selector` does not match template `labels`"))
    return [*causes, *_pod_causes(template, "spec.template.spec")]


_KINDS: Final[Mapping[tuple[str, str], Callable[[Object], list[Cause]]]] = {
    ("", "Pod"): _pod_causes,
    ("apps", "Deployment"): _deployment_causes,
}


def validate_change(resource: Resource, new: Object, old: Object) -> None:
    """Raise StatusError (422) when a field changes that must not."""
    name = new["metadata"]["name"]
    if old["metadata"].get("deletionTimestamp"):
        added = set(new["metadata"].get("finalizers") or ()) - set(old["metadata"].get("finalizers") or ())
        if added:
            why = "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers"
            cause = Cause("FieldValueForbidden", "metadata.finalizers", f"{why} {sorted(added)}")
            raise errors.invalid(resource, name, [cause])
    if (resource.group, resource.kind) == ("apps", "Deployment"):
        selector = new["spec"]["selector"]
        if selector != old["spec"]["selector"]:
            raise errors.invalid(resource, name, [_wrong("spec.selector", selector, "field is immutable")])
