"""A whole server without its sockets and its database: what the tests of its rules drive."""

from typing import Any

from upwell.api.objects import Object
from upwell.api.resources import DEPLOYMENT, NAMESPACE, POD, SERVICE, Resource
from upwell.clock import FakeClock
from upwell.local.apiserver.admission import Admission
from upwell.local.apiserver.catalog import CATALOG
from upwell.local.apiserver.deletion import DeleteOptions, Deletion
from upwell.local.apiserver.gc import Collector
from upwell.local.apiserver.patch import merge_patch
from upwell.local.apiserver.records import Record
from upwell.local.apiserver.registry import Registry
from upwell.local.apiserver.restore import ensure_namespaces
from upwell.local.apiserver.selectors import Selector, parse_fields, parse_labels
from upwell.local.apiserver.store import Store
from upwell.local.apiserver.watch import Watcher
from upwell.local.apiserver.worklist import Worklist


class World:
    """One cluster, in the namespace `default`."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = Store(CATALOG.resources)
        self.worklist = Worklist()
        self.deletion = Deletion(self.store, self.worklist, self.clock)
        self.registry = Registry(self.store, self.deletion, self.worklist, Admission(self.store), self.clock)
        self.collector = Collector(self.store, CATALOG, self.deletion, self.worklist)
        ensure_namespaces(self.registry, ["default", "knative-serving"])

    def create(self, resource: Resource, obj: Object) -> Object:
        return self.registry.create(resource, "default" if resource.namespaced else "", obj).obj

    def update(self, resource: Resource, obj: Object, subresource: str = "") -> Object:
        metadata = obj["metadata"]
        namespace = metadata.get("namespace", "")
        return self.registry.update(resource, namespace, metadata["name"], obj, subresource).obj

    def merge(self, resource: Resource, name: str, patch: Any, subresource: str = "") -> Object:
        namespace = "default" if resource.namespaced else ""
        return self.registry.patch(resource, namespace, name, lambda doc: merge_patch(doc, patch), subresource).obj

    def delete(self, resource: Resource, name: str, options: DeleteOptions | None = None) -> tuple[Record, bool]:
        namespace = "default" if resource.namespaced else ""
        return self.registry.delete(resource, namespace, name, options or DeleteOptions())

    def find(self, resource: Resource, name: str) -> Object | None:
        record = self.store.get(resource, "default" if resource.namespaced else "", name)
        return None if record is None else record.obj

    def names(self, resource: Resource) -> list[str]:
        return [record.name for record in self.store.records(resource)]

    def collect_garbage(self) -> None:
        while self.collector.collect(100):
            pass

    def watch(self, resource: Resource, labels: str = "", fields: str = "", since: int | None = None) -> Watcher:
        selector = Selector(parse_labels(labels), parse_fields(resource, fields))
        watcher = Watcher("default" if resource.namespaced else "", selector)
        start = self.store.revision if since is None else since
        self.store.feed(resource).watch(watcher, start, self.store.revision)
        return watcher


def pod(name: str, owners: list[Object] | None = None, node: str = "", **metadata: Any) -> Object:
    """A pod; with a node it has a kubelet that must let it go."""
    spec: Object = {"containers": [{"name": "app", "image": "example/app:1"}]}
    if node:
        spec["nodeName"] = node
    metadata = {"name": name, **metadata}
    if owners:
        metadata["ownerReferences"] = [owned_by(one) for one in owners]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def owned_by(owner: Object) -> Object:
    metadata = owner["metadata"]
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def deployment(name: str, **metadata: Any) -> Object:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "app", "image": "a:1"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, **metadata},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template},
    }


def service(name: str) -> Object:
    """A Knative Service."""
    spec = {"template": {"spec": {"containers": [{"image": "example/app:1"}]}}}
    return {"apiVersion": SERVICE.api_version, "kind": "Service", "metadata": {"name": name}, "spec": spec}


def config_map(name: str, data: dict[str, str] | None = None, **metadata: Any) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": data or {}}


def namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


__all__ = [
    "DEPLOYMENT",
    "NAMESPACE",
    "POD",
    "SERVICE",
    "World",
    "config_map",
    "deployment",
    "namespace",
    "owned_by",
    "pod",
    "service",
]
