"""Names, and the annotations that say who made an object."""

import re
from collections.abc import Mapping
from typing import Any, Final

from upwell.api.field_errors import FieldErrors, at
from upwell.api.names import ANNOTATION_CREATOR, ANNOTATION_LAST_MODIFIER, AUTOSCALING
from upwell.api.objects import Object, annotations_of, labels_of

__all__ = [
    "default_authors",
    "dns_label_problem",
    "validate_authors",
    "validate_autoscaling_is_not_here",
    "validate_name",
    "validate_owner_label",
]

_LABEL: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_NAME_MAX: Final = 63
_NOT_A_LABEL: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_TOO_LONG: Final = "must be no more than 63 characters"


def dns_label_problem(text: str) -> str:
    """Why `text` is no DNS-1035 label; empty when it is one."""
    problems = [_TOO_LONG] if len(text) > _NAME_MAX else []
    if not _LABEL.fullmatch(text):
        problems.append(_NOT_A_LABEL)
    return " ".join(problems)


def dns_label_prefix_problem(text: str) -> str:
    """Why no DNS-1035 label can begin with `text`; empty when one can. Two characters are masked, as in Kubernetes."""
    return dns_label_problem(text[:-2] + "a" if len(text) > 1 and text.endswith("-") else text)


def validate_name(metadata: Mapping[str, Any], path: str, errors: FieldErrors) -> None:
    """The name, or the prefix that a name is made from, must be a DNS-1035 label."""
    name, prefix = metadata.get("name") or "", metadata.get("generateName") or ""
    if not name and not prefix:
        errors.add("name or generateName is required", at(path, "name"))
    if prefix and (problem := dns_label_prefix_problem(prefix)):
        errors.add(f"not a DNS 1035 label prefix: [{problem}]", at(path, "generateName"))
    elif name and (problem := dns_label_problem(name)):
        errors.add(f"not a DNS 1035 label: [{problem}]", at(path, "name"))


def validate_autoscaling_is_not_here(metadata: Mapping[str, Any], errors: FieldErrors) -> None:
    """Autoscaling annotations work on the revision template only; elsewhere they are a common mistake."""
    for key in metadata.get("annotations") or {}:
        if key.startswith(AUTOSCALING):
            errors.invalid_key(
                key,
                "metadata.annotations",
                details='autoscaling annotations must be put under "spec.template.metadata.annotations" to work',
            )


def validate_owner_label(obj: Object, label: str, owner_kind: str, errors: FieldErrors) -> None:
    """A label that names the owner must name an owner that is there."""
    value = labels_of(obj).get(label)
    owners = obj["metadata"].get("ownerReferences") or ()
    if value is not None and not any(o.get("kind") == owner_kind and o.get("name") == value for o in owners):
        errors.missing(f"metadata.labels.{label}")


def default_authors(obj: Object, old: Object | None, user: str) -> None:
    """Note who made the object, and who last changed its spec; nothing when the user is not known."""
    if not user:
        return
    annotations = obj["metadata"].setdefault("annotations", {})
    if old is None:
        annotations[ANNOTATION_CREATOR] = annotations[ANNOTATION_LAST_MODIFIER] = user
    elif obj.get("spec") != old.get("spec"):
        annotations[ANNOTATION_LAST_MODIFIER] = user


def validate_authors(obj: Object, old: Object, errors: FieldErrors) -> None:
    """The creator never changes, and the last modifier only with the spec."""
    before, now = annotations_of(old), annotations_of(obj)
    path = "metadata.annotations."
    if before.get(ANNOTATION_CREATOR, "") != now.get(ANNOTATION_CREATOR, ""):
        errors.add("annotation value is immutable", path + ANNOTATION_CREATOR)
    modifier = now.get(ANNOTATION_LAST_MODIFIER, "")
    if obj.get("spec") == old.get("spec") and before.get(ANNOTATION_LAST_MODIFIER, "") != modifier:
        errors.invalid(modifier, path + ANNOTATION_LAST_MODIFIER)
