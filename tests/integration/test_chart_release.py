"""Helm itself installs, upgrades and uninstalls the chart, and what users made outlives all of it.

The API server is the embedded one with the kinds that only clusters have added to it, and with server-side apply, which
Helm 4 uses, in its plainest form: what is sent is created or merged. So it shows what Helm does, not what a cluster
does with fields that two managers own.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import yaml
from aiohttp import web

from tests.unit.chart.rendering import CHART, NAMESPACE, helm
from upwell.api.objects import new_object
from upwell.api.resources import CONFIG_MAP, DEPLOYMENT, RESOURCES, SECRET, SERVICE, Resource
from upwell.cluster.client import Client
from upwell.cluster.errors import NotFound
from upwell.local.apiserver.__main__ import _assemble
from upwell.local.apiserver.catalog import Catalog
from upwell.local.apiserver.journal import MEMORY, Journal

RBAC = "rbac.authorization.k8s.io"
REGISTRATION = "admissionregistration.k8s.io"
DEFINITION = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False)
MUTATING = Resource(REGISTRATION, "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", False)
ONLY_ON_CLUSTERS = (
    DEFINITION,
    MUTATING,
    Resource(REGISTRATION, "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", False),
    Resource(RBAC, "v1", "clusterroles", "ClusterRole", False),
    Resource(RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", False),
    Resource(RBAC, "v1", "roles", "Role"),
    Resource(RBAC, "v1", "rolebindings", "RoleBinding"),
    Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget"),
    Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy"),
)


class Cluster:
    """An API server for Helm, and a client of one's own."""

    def __init__(self, client: Client, config: Any) -> None:
        self.client = client
        self._helm = config

    async def install(self, **values: Any) -> None:
        await asyncio.to_thread(self._helm.install, str(CHART), "upwell", values, namespace=NAMESPACE)

    async def upgrade(self, **values: Any) -> None:
        await asyncio.to_thread(self._helm.upgrade, str(CHART), "upwell", values, namespace=NAMESPACE)

    async def uninstall(self) -> None:
        await asyncio.to_thread(self._helm.uninstall, "upwell")

    async def names(self, resource: Resource, namespace: str = "") -> set[str]:
        return {one["metadata"]["name"] for one in (await self.client.list(resource, namespace))[0]}


@pytest_asyncio.fixture(name="cluster")
async def cluster_fixture(tmp_path: Path) -> AsyncIterator[Cluster]:
    engine = helm()
    known = {(one.group, one.plural) for one in RESOURCES}
    added = [one for one in ONLY_ON_CLUSTERS if (one.group, one.plural) not in known]
    journal = Journal(MEMORY, lambda error: pytest.fail(str(error)))
    api, *_ = _assemble(Catalog((*RESOURCES, *added)), journal, tmp_path)
    runner = web.ServerRunner(api.server(), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    upstream = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        front = web.ServerRunner(web.Server(_front(session, upstream)), shutdown_timeout=0.1)
        await front.setup()
        await web.TCPSite(front, "127.0.0.1", 0).start()
        kubeconfig = _kubeconfig(tmp_path, f"http://127.0.0.1:{front.addresses[0][1]}")
        client = await Client.connect(str(kubeconfig))
        yield Cluster(client, engine.Config(kubeconfig_path=str(kubeconfig), namespace=NAMESPACE))
        await client.close()
        await front.cleanup()
    await runner.cleanup()
    journal.close()


def _front(session: aiohttp.ClientSession, upstream: str) -> Any:
    """Pass requests on; what is applied on the server's side becomes a creation or a merge."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        method, path, body = request.method, request.path_qs, await request.read()
        headers = {name: value for name, value in request.headers.items() if name not in ("Host", "Content-Length")}
        if headers.get("Content-Type") == "application/apply-patch+yaml":
            method, path, body = await _applied(session, upstream, request.path, body)
            kind = "application/json" if method == "POST" else "application/merge-patch+json"
            headers["Content-Type"] = kind
        elif method == "DELETE" and "protobuf" in headers.get("Content-Type", ""):
            del headers["Content-Type"]
            body = b""  # options of Helm's own client, of which it sets none
        async with session.request(method, upstream + path, headers=headers, data=body or None) as answer:
            kept = {name: answer.headers[name] for name in ("Content-Type",) if name in answer.headers}
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response

    return handle


async def _applied(session: aiohttp.ClientSession, upstream: str, path: str, body: bytes) -> tuple[str, str, bytes]:
    obj = json.dumps(yaml.safe_load(body)).encode()
    async with session.get(upstream + path) as found:
        return ("PATCH", path, obj) if found.status == 200 else ("POST", path.rpartition("/")[0], obj)


def _kubeconfig(folder: Path, server: str) -> Path:
    path = folder / "kubeconfig"
    cluster, context = (
        {"name": "c", "cluster": {"server": server}},
        {"name": "c", "context": {"cluster": "c", "user": "u"}},
    )
    config = {"apiVersion": "v1", "kind": "Config", "clusters": [cluster], "contexts": [context]}
    path.write_text(yaml.safe_dump({**config, "users": [{"name": "u", "user": {}}], "current-context": "c"}))
    return path


async def test_what_users_made_outlives_upgrade_uninstall_and_install_again(cluster: Cluster) -> None:
    await cluster.install()
    definitions = await cluster.names(DEFINITION)
    assert {"services.serving.knative.dev", "ingresses.networking.internal.knative.dev"} <= definitions
    container = {"image": "example.com/app"}
    service = new_object(SERVICE, "default", "app", spec={"template": {"spec": {"containers": [container]}}})
    made = await cluster.client.create(SERVICE, service)
    await cluster.client.patch(CONFIG_MAP, "config-gc", NAMESPACE, {"data": {"min-non-active-revisions": "3"}})
    await cluster.client.patch(SECRET, "webhook-certs", NAMESPACE, {"data": {"ca-cert.pem": "eA=="}})

    await cluster.upgrade(image={"tag": "2"}, config={"gc": {"max-non-active-revisions": 5}})

    deployment = await cluster.client.get(DEPLOYMENT, "activator", NAMESPACE)
    (pod,) = deployment["spec"]["template"]["spec"]["containers"]
    assert pod["image"].endswith(":2")
    changed = await cluster.client.get(CONFIG_MAP, "config-gc", NAMESPACE)
    assert changed["data"] == {"min-non-active-revisions": "3", "max-non-active-revisions": "5"}
    secret = await cluster.client.get(SECRET, "webhook-certs", NAMESPACE)
    assert secret["data"] == {"ca-cert.pem": "eA=="}, "certificates are the controller's"

    await cluster.uninstall()

    assert await cluster.names(DEPLOYMENT, NAMESPACE) == set()
    assert await cluster.names(MUTATING) == set(), "a webhook without a controller would refuse every write"
    assert await cluster.names(DEFINITION) == definitions
    assert (await cluster.client.get(SERVICE, "app", "default"))["metadata"]["uid"] == made["metadata"]["uid"]

    await cluster.install()

    assert await cluster.names(DEPLOYMENT, NAMESPACE) == {"controller", "autoscaler", "activator", "gateway"}
    assert (await cluster.client.get(SERVICE, "app", "default"))["metadata"]["uid"] == made["metadata"]["uid"]


async def test_beside_knative_nothing_of_knatives_is_touched(cluster: Cluster) -> None:
    theirs = new_object(CONFIG_MAP, NAMESPACE, "config-network", data={"ingress-class": "kourier"})
    before = await cluster.client.create(CONFIG_MAP, theirs)
    labels = {"app": "activator"}
    spec = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "a"}]}},
    }
    await cluster.client.create(DEPLOYMENT, new_object(DEPLOYMENT, NAMESPACE, "activator", spec=spec))

    await cluster.install(knative={"replace": ["activator"]})
    assert await cluster.names(DEPLOYMENT, NAMESPACE) == {"activator", "upwell-activator"}
    await cluster.uninstall()

    assert await cluster.names(DEPLOYMENT, NAMESPACE) == {"activator"}
    assert await cluster.client.get(CONFIG_MAP, "config-network", NAMESPACE) == before


async def test_a_whole_install_over_knative_is_refused_and_changes_nothing(cluster: Cluster) -> None:
    theirs = new_object(CONFIG_MAP, NAMESPACE, "config-network", data={"ingress-class": "kourier"})
    before = await cluster.client.create(CONFIG_MAP, theirs)

    with pytest.raises(helm().HelmReleaseError, match="config-network"):
        await cluster.install()

    assert await cluster.client.get(CONFIG_MAP, "config-network", NAMESPACE) == before
    with pytest.raises(NotFound):
        await cluster.client.get(DEPLOYMENT, "activator", NAMESPACE)
