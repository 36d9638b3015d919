"""What is accepted, and said all the same: values left to Kubernetes' insecure defaults, and a deprecated annotation.

Warnings go along with the answer to a write; kubectl prints them. Nothing is said once `secure-pod-defaults` fills in
the secure values.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from upwell.api.config_features import SECURE_POD_DEFAULTS, FeaturesConfig
from upwell.api.field_errors import at, at_index
from upwell.api.objects import Object, annotations_of
from upwell.api.resources import CONFIGURATION, REVISION, SERVICE, Resource
from upwell.api.revision_validation import PERCENTAGE_KEYS
from upwell.api.template_names import template_of

__all__ = ["WARNED", "warnings_of"]

WARNED: Final = frozenset({SERVICE, CONFIGURATION, REVISION})
"""The kinds that there may be warnings about."""
_INSECURE: Final = "Kubernetes default value is insecure, Knative may default this to secure in a future release"
_PERCENTAGE: Final = (
    "Queue proxy resource percentage annotation is deprecated. Please use the available annotations to explicitly set "
    "resource values per service"
)


def warnings_of(resource: Resource, obj: Object, features: FeaturesConfig) -> list[str]:
    """The warnings about an object of the kinds in WARNED, with its defaults."""
    if resource is REVISION:
        annotations, spec, path = annotations_of(obj), obj.get("spec") or {}, "spec"
    else:
        template = template_of(obj)
        annotations = (template.get("metadata") or {}).get("annotations") or {}
        spec, path = template.get("spec") or {}, "spec.template.spec"
    found = [f"{_PERCENTAGE}: "] if any(key in annotations for key in PERCENTAGE_KEYS) else []
    if features.value(SECURE_POD_DEFAULTS) == "Disabled" and (paths := sorted(_insecure(spec, path))):
        found.append(f"{_INSECURE}: {', '.join(paths)}")
    return found


def _insecure(spec: Mapping[str, Any], path: str) -> Iterator[str]:
    pod = spec.get("securityContext") or {}
    for group in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(group) or ()):
            where = at(at_index(at(path, group), index), "securityContext")
            yield from _insecure_of(container.get("securityContext") or {}, pod, where)


def _insecure_of(security: Mapping[str, Any], pod: Mapping[str, Any], where: str) -> Iterator[str]:
    if security.get("allowPrivilegeEscalation") is None:
        yield at(where, "allowPrivilegeEscalation")
    capabilities = security.get("capabilities")
    if capabilities is None:
        yield at(where, "capabilities")
    elif not capabilities.get("drop"):
        yield at(where, "capabilities.drop")
    for field in ("runAsNonRoot", "seccompProfile"):
        if security.get(field) is None and pod.get(field) is None:
            yield at(where, field)
