"""What the server can do, told to clients: /api, /apis, resource lists, /version.

kubectl asks for the aggregated form (`apidiscovery.k8s.io/v2`) first: everything in two documents. Older clients
walk the separate ones. All are made from the catalog.
"""

import platform
from typing import Any, Final

from upwell.api.objects import Object
from upwell.api.resources import Resource
from upwell.local.apiserver.catalog import VERBS, Catalog, singular
from upwell.local.apiserver.routes import subresources

__all__ = ["AGGREGATED", "aggregated", "api_group", "api_groups", "api_versions", "resource_list", "version"]

AGGREGATED: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
"""The content type of the aggregated form."""
_SUBRESOURCE_VERBS: Final = {
    "log": ["get"],
    "proxy": ["create", "delete", "get", "patch", "update"],
    "scale": ["get", "patch", "update"],
    "status": ["get", "patch", "update"],
}
_SCALE: Final = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
_KUBERNETES_MINOR: Final = 32


def version() -> Object:
    """The Kubernetes version that the API follows."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return {
        "major": "1",
        "minor": str(_KUBERNETES_MINOR),
        "gitVersion": f"v1.{_KUBERNETES_MINOR}.0+upwell",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "CPython",
        "platform": f"{platform.system().lower()}/{machine}",
    }


def api_versions() -> Object:
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def api_groups(catalog: Catalog) -> Object:
    groups = [_group(name, versions) for name, versions in catalog.groups().items()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def api_group(catalog: Catalog, name: str) -> Object | None:
    versions = catalog.groups().get(name)
    return None if versions is None else {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)}


def _group(name: str, versions: list[str]) -> Object:
    listed = [{"groupVersion": f"{name}/{one}", "version": one} for one in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def resource_list(catalog: Catalog, group: str, api_version: str) -> Object | None:
    """The resources of one version and their subresources; None when there are none."""
    resources = catalog.within(group, api_version)
    if not resources:
        return None
    entries: list[Object] = []
    for one in resources:
        entries.append(_entry(one))
        entries.extend(_subresource_entry(one, name) for name in subresources(one))
    name = f"{group}/{api_version}" if group else api_version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": entries}


def _entry(resource: Resource) -> Object:
    entry: dict[str, Any] = {
        "name": resource.plural,
        "singularName": singular(resource),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(VERBS),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    return entry


def _subresource_entry(resource: Resource, name: str) -> Object:
    entry: dict[str, Any] = {
        "name": f"{resource.plural}/{name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": _SUBRESOURCE_VERBS[name],
    }
    if name == "scale":
        entry.update(_SCALE)
    return entry


def aggregated(catalog: Catalog, core: bool) -> Object:
    """Everything in the core group, or everything in the named groups."""
    groups = {"": ["v1"]} if core else catalog.groups()
    items = []
    for name, versions in groups.items():
        listed = [
            {
                "version": one,
                "freshness": "Current",
                "resources": [_aggregated_entry(resource) for resource in catalog.within(name, one)],
            }
            for one in versions
        ]
        items.append({"metadata": {"name": name, "creationTimestamp": None}, "versions": listed})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _aggregated_entry(resource: Resource) -> Object:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    entry: dict[str, Any] = {
        "resource": resource.plural,
        "responseKind": kind,
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": singular(resource),
        "verbs": list(VERBS),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    below = [
        {"subresource": name, "responseKind": _SCALE if name == "scale" else kind, "verbs": _SUBRESOURCE_VERBS[name]}
        for name in subresources(resource)
    ]
    if below:
        entry["subresources"] = below
    return entry
