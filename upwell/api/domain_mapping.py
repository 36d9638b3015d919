"""DomainMapping: a domain of one's own for a Service. Its name is the domain."""

import re
from collections.abc import Mapping
from typing import Any, Final

from upwell.api.conditions import ConditionSet
from upwell.api.configs import KindsConfig
from upwell.api.field_errors import FieldErrors
from upwell.api.metadata import default_authors, validate_authors
from upwell.api.objects import Object

__all__ = [
    "CERTIFICATE_PROVISIONED",
    "CONDITIONS",
    "DOMAIN_CLAIMED",
    "INGRESS_READY",
    "REFERENCE_RESOLVED",
    "default_domain_mapping",
    "validate_domain_mapping",
]

DOMAIN_CLAIMED = "DomainClaimed"
REFERENCE_RESOLVED = "ReferenceResolved"
INGRESS_READY = "IngressReady"
CERTIFICATE_PROVISIONED = "CertificateProvisioned"
CONDITIONS = ConditionSet(dependents=[DOMAIN_CLAIMED, REFERENCE_RESOLVED, INGRESS_READY, CERTIFICATE_PROVISIONED])

_LABEL: Final = re.compile("[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_MAX: Final = 63
_NAME_MAX: Final = 253
_SUBDOMAIN_RULE: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


def default_domain_mapping(mapping: Object, old: Object | None, config: KindsConfig, user: str) -> None:
    """Fill in what its author left out, in place: what it refers to is beside it."""
    reference = mapping["spec"].get("ref")
    if reference is not None and mapping["metadata"].get("namespace"):
        reference.setdefault("namespace", mapping["metadata"]["namespace"])
    default_authors(mapping, old, user)


def validate_domain_mapping(mapping: Object, old: Object | None, config: KindsConfig, errors: FieldErrors) -> None:
    metadata = mapping["metadata"]
    if metadata.get("generateName"):
        errors.disallowed("metadata.generateName")
    _validate_domain(str(metadata.get("name") or ""), config.cluster_domain, errors)
    _validate_reference(mapping["spec"].get("ref") or {}, metadata.get("namespace", ""), errors)
    if old is not None:
        validate_authors(mapping, old, errors)


def _validate_domain(name: str, cluster_domain: str, errors: FieldErrors) -> None:
    if problem := domain_problem(name):
        errors.add(f'invalid name "{name}": {problem}', "metadata.name")
    if name.endswith(f".{cluster_domain}"):
        why = f'must not be a subdomain of cluster local domain "{cluster_domain}"'
        errors.add(f'invalid name "{name}": {why}', "metadata.name")


def domain_problem(name: str) -> str:
    """Why `name` is no fully qualified domain name; empty when it is one."""
    if not name:
        return "name: Required value"
    labels = name.split(".")
    if len(name) > _NAME_MAX:
        return f'name: Invalid value: "{name}": must be no more than {_NAME_MAX} characters'
    if not all(map(_LABEL.fullmatch, labels)):
        return f'name: Invalid value: "{name}": {_SUBDOMAIN_RULE}'
    if len(labels) < 2:
        return f'name: Invalid value: "{name}": should be a domain with at least two segments separated by dots'
    long = [label for label in labels if len(label) > _LABEL_MAX]
    return f'name: Invalid value: "{long[0]}": must be no more than {_LABEL_MAX} characters' if long else ""


def _validate_reference(reference: Mapping[str, Any], namespace: str, errors: FieldErrors) -> None:
    for field in ("name", "kind", "apiVersion"):
        if not reference.get(field):
            errors.missing(f"spec.ref.{field}")
    if reference.get("group"):
        errors.disallowed("spec.ref.group")
    given = reference.get("namespace", "")
    if given and namespace and given != namespace:
        details = f'parent namespace: "{namespace}" does not match ref: "{given}"'
        errors.add("mismatched namespaces", "spec.ref.namespace", details=details)
