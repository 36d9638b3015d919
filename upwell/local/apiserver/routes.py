"""From a URL to what it means: a discovery document, or a verb on a resource.

    /api/v1/[namespaces/NS/]PLURAL[/NAME[/SUBRESOURCE]]
    /apis/GROUP/VERSION/[namespaces/NS/]PLURAL[/NAME[/SUBRESOURCE]]

A namespace itself is `/api/v1/namespaces/NAME`, and `/api/v1/namespaces/NAME/status` its subresource. What follows a
pod's `/proxy` is the pod's own business (`proxying`).
"""

from typing import Final, NamedTuple
from urllib.parse import unquote

from upwell.api.resources import POD, Resource
from upwell.local.apiserver import errors
from upwell.local.apiserver.catalog import Catalog

__all__ = ["Target", "parse_target", "subresources"]

_OWN_SUBRESOURCES: Final = ("status", "finalize")
"""What may follow `/namespaces/NAME/` without being a resource inside the namespace."""

_INTO_PODS: Final = ("attach", "exec", "portforward")
"""Subresources of pods that need what a process on this machine does not."""


class Target(NamedTuple):
    """What a request is about; an empty name means the collection."""

    resource: Resource
    namespace: str
    name: str
    subresource: str
    old_version: str = ""
    """The apiVersion that the client speaks, where it is not the one that is stored."""


def subresources(resource: Resource) -> tuple[str, ...]:
    """The subresources that `resource` has here."""
    names = []
    if resource == POD:
        names += ["log", "proxy"]
    if resource.has_scale:
        names.append("scale")
    if resource.has_status:
        names.append("status")
    return tuple(names)


def parse_target(catalog: Catalog, path: str) -> Target:
    """What `path` (below /api or /apis) names; raise StatusError (404) when it is nothing served here."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    if parts[0] == "api":
        group, version, rest = "", parts[1] if len(parts) > 1 else "", parts[2:]
    elif len(parts) > 2:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        raise errors.unknown_resource()
    if rest[2:3] == [POD.plural] and rest[4:5] == ["proxy"]:
        rest = rest[:5]
    if not all(rest):
        raise errors.unknown_resource()
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in _OWN_SUBRESOURCES:
        namespace, rest = rest[1], rest[2:]
    if not 1 <= len(rest) <= 3:
        raise errors.unknown_resource()
    resource, old_version = catalog.at(group, version, rest[0]), ""
    if resource is None:
        resource, old_version = catalog.today(group, version, rest[0]), f"{group}/{version}"
    if resource is None or (namespace and not resource.namespaced):
        raise errors.unknown_resource()
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    if name and resource.namespaced and not namespace:
        raise errors.unknown_resource()
    if resource == POD and subresource in _INTO_PODS:
        raise errors.bad_request(f"there is no {subresource} here: pods are processes on this machine")
    if subresource and subresource not in subresources(resource):
        raise errors.unknown_resource()
    return Target(resource, namespace, name, subresource, old_version)
