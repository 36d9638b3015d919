"""What a URL means, and who may ask."""

import pytest

from upwell.api.resources import DEPLOYMENT, NAMESPACE, POD, SERVICE
from upwell.local.apiserver.bodies import Shape, shape_of
from upwell.local.apiserver.catalog import CATALOG
from upwell.local.apiserver.errors import StatusError
from upwell.local.apiserver.routes import Target, parse_target
from upwell.local.apiserver.server import is_loopback


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/api/v1/pods", Target(POD, "", "", "")),
        ("/api/v1/namespaces/default/pods", Target(POD, "default", "", "")),
        ("/api/v1/namespaces/default/pods/p", Target(POD, "default", "p", "")),
        ("/api/v1/namespaces/default/pods/p/log", Target(POD, "default", "p", "log")),
        ("/api/v1/namespaces", Target(NAMESPACE, "", "", "")),
        ("/api/v1/namespaces/team", Target(NAMESPACE, "", "team", "")),
        ("/api/v1/namespaces/team/status", Target(NAMESPACE, "", "team", "status")),
        ("/apis/apps/v1/namespaces/n/deployments/d/scale", Target(DEPLOYMENT, "n", "d", "scale")),
        ("/apis/serving.knative.dev/v1/services", Target(SERVICE, "", "", "")),
        ("/apis/serving.knative.dev/v1/namespaces/n/services/a%2Eb/status", Target(SERVICE, "n", "a.b", "status")),
    ],
)
def test_a_path_names_a_collection_an_object_or_a_subresource(path: str, target: Target) -> None:
    assert parse_target(CATALOG, path) == target


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/nothings",
        "/api/v2/pods",
        "/apis/apps/v1",
        "/apis/apps/v2/deployments",
        "/apis/example.com/v1/things",
        "/api/v1/pods/p",
        "/api/v1/namespaces/default/namespaces/x",
        "/api/v1/namespaces/default/configmaps/c/status",
        "/apis/serving.knative.dev/v1/namespaces/n/services/s/scale",
        "/api/v1/namespaces/default/pods/p/log/more",
        "/api/v1/namespaces//pods",
    ],
)
def test_a_path_that_names_nothing_is_not_found(path: str) -> None:
    with pytest.raises(StatusError) as refused:
        parse_target(CATALOG, path)

    assert refused.value.code == 404
    assert refused.value.message == "the server could not find the requested resource"


@pytest.mark.parametrize("subresource", ["attach", "exec", "portforward"])
def test_what_needs_a_way_into_a_pod_is_refused_with_the_reason(subresource: str) -> None:
    with pytest.raises(StatusError, match=f"there is no {subresource} here: pods are processes on this machine") as no:
        parse_target(CATALOG, f"/api/v1/namespaces/default/pods/p/{subresource}")

    assert no.value.code == 400


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8080", "127.0.0.1", "127.0.0.1:80", "127.8.9.1", "[::1]:80", "::1", "a.localhost:1"],
)
def test_loopback_hosts_may_ask(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["", "example.com", "localhost.example.com", "127.0.0.1.example.com:80", "10.0.0.1", "[fe80::1]:80", "0.0.0.0"],
)
def test_other_hosts_may_not(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("accept", "shape"),
    [
        ("", Shape()),
        ("application/json", Shape()),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Shape("Table", "meta.k8s.io/v1")),
        ("application/json;as=Table;g=meta.k8s.io;v=v1beta1", Shape("Table", "meta.k8s.io/v1beta1")),
        ("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json", Shape()),
        (
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
            Shape("PartialObjectMetadata", "meta.k8s.io/v1"),
        ),
        ("application/json;q=0.5", Shape()),
    ],
)
def test_the_accept_header_chooses_the_shape(accept: str, shape: Shape) -> None:
    assert shape_of(accept) == shape
