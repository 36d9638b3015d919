"""What a DomainMapping refers to, and the host inside the cluster by which it is reached.

Anything that says where it is reached (`status.address.url`) will do, and Kubernetes' own Services. The host has to be
one of a Service in the mapping's namespace, because that is where the Ingress sends requests. Source: contract,
control-plane.md 8.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from upwell.api.objects import Object
from upwell.api.resources import BY_KIND, CORE_SERVICE, Resource

__all__ = ["Unresolved", "host_of", "resource_of"]


class Unresolved(ValueError):  # noqa: N818  # an outcome that the conditions tell
    """The reference leads nowhere."""


def resource_of(reference: Mapping[str, Any]) -> Resource:
    """Raise Unresolved for a kind that we cannot read."""
    kind = (str(reference.get("apiVersion") or ""), str(reference.get("kind") or ""))
    resource = BY_KIND.get(kind)
    if resource is None:
        raise Unresolved(f"{kind[0]} {kind[1]} is not a kind that can be referred to")
    return resource


def host_of(reference: Mapping[str, Any], target: Object, namespace: str, cluster_domain: str) -> str:
    """`NAME.NAMESPACE.svc.DOMAIN`; raise Unresolved when the target has no such address."""
    name = str(reference.get("name"))
    if resource_of(reference) is CORE_SERVICE:
        return f"{name}.{namespace}.svc.{cluster_domain}"
    url = ((target.get("status") or {}).get("address") or {}).get("url") or ""
    if not url:
        raise Unresolved(f"address not set for {reference.get('kind')} {namespace}/{name}")
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.path.strip("/"):
        raise Unresolved(f'resolved URI "{url}" contains a path')
    labels, suffix = host.split("."), f"svc.{cluster_domain}"
    if len(labels) < 3 or ".".join(labels[2:]) != suffix:
        raise Unresolved(f'resolved URI "{url}" must be of the form {{name}}.{{namespace}}.{suffix}')
    if labels[1] != namespace:
        raise Unresolved(f'resolved URI "{url}" must be in same namespace as DomainMapping')
    return host
