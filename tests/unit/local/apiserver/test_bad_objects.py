"""Whatever is sent, the answer is an object or a Status, never a crash."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.local.apiserver.world import World, deployment, pod, service
from upwell.api.resources import RESOURCES, Resource
from upwell.local.apiserver.encoding import encode
from upwell.local.apiserver.errors import StatusError
from upwell.local.apiserver.tables import table

SAMPLES = {
    "Pod": pod("p", labels={"a": "b"}),
    "Deployment": deployment("p"),
    "Service": {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "p"},
        "spec": {"type": "NodePort", "selector": {"a": "b"}, "ports": [{"port": 80, "nodePort": 30000}]},
    },
    "Secret": {"metadata": {"name": "p"}, "stringData": {"a": "b"}, "data": {"c": "ZA=="}},
    "Event": {"metadata": {"name": "p"}, "involvedObject": {"kind": "Pod"}, "series": {"count": 3}, "count": 2},
    "EndpointSlice": {"metadata": {"name": "p"}, "ports": [{"port": 80}], "endpoints": [{"addresses": ["127.0.0.1"]}]},
    "Endpoints": {"metadata": {"name": "p"}, "subsets": [{"ports": [{"port": 1}], "addresses": [{"ip": "1.2.3.4"}]}]},
    "HorizontalPodAutoscaler": {"metadata": {"name": "p"}, "spec": {"scaleTargetRef": {"kind": "Deployment"}}},
    "KnativeService": service("p"),
}
JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 1.5, "", "x", [], [None], ["x"], [{}], {}, {"": ""}, {"x": None}, {"x": {}}]
)


def sample(resource: Resource) -> dict[str, Any]:
    name = "KnativeService" if resource.group and resource.kind == "Service" else resource.kind
    base = SAMPLES.get(name, {"metadata": {"name": "p"}, "spec": {}})
    return {**base, "apiVersion": resource.api_version, "kind": resource.kind}


def spoiled(value: Any, draw: Any) -> Any:
    """A copy of `value` with some of it replaced by junk."""
    if draw(st.integers(0, 9)) == 0:
        return draw(JUNK)
    if isinstance(value, dict):
        return {key: spoiled(item, draw) for key, item in value.items()}
    if isinstance(value, list):
        return [spoiled(item, draw) for item in value]
    return value


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda one: f"{one.plural}.{one.group}")
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_spoiled_object_is_stored_or_refused(resource: Resource, data: st.DataObject) -> None:
    world = World()
    obj = spoiled(sample(resource), data.draw)

    try:
        stored = world.create(resource, obj)
    except StatusError:
        return

    encode(table(resource, [stored], "meta.k8s.io/v1"))
    for subresource in ("", "status"):
        patch = data.draw(JUNK) if subresource else spoiled(sample(resource), data.draw)
        try:
            world.merge(resource, stored["metadata"]["name"], {"status": patch} if subresource else patch, subresource)
        except StatusError:
            continue
    found = world.find(resource, stored["metadata"]["name"])
    assert found is not None
    encode(table(resource, [found], "meta.k8s.io/v1"))
    world.delete(resource, stored["metadata"]["name"])
    world.collect_garbage()
