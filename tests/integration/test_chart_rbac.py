"""A Service's whole life under the chart's roles: nothing is refused, and no rule is there in vain."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.integration.rbac_proxy import Access, RbacProxy
from tests.integration.runtime_world import SERVER
from tests.unit.chart.rendering import COMPONENTS, rules_of
from tests.waiting import eventually
from upwell.api.names import ANNOTATION_CLASS, CLASS_HPA
from upwell.api.objects import Object, name_of, new_object
from upwell.api.resources import (
    CONFIG_MAP,
    CORE_SERVICE,
    DEPLOYMENT,
    DOMAIN_MAPPING,
    EVENT,
    HPA,
    INGRESS,
    POD,
    REVISION,
    SERVICE,
    Resource,
)
from upwell.cluster.client import Client
from upwell.cluster.errors import NotFound
from upwell.local import manifests
from upwell.local.platform import Platform

SYSTEM = "knative-serving"
NETWORKING = "networking.internal.knative.dev"
ADMISSION = "admissionregistration.k8s.io"
NOT_ON_A_LAPTOP = {
    "controller": {
        Access("get", "", "serviceaccounts"): "credentials of registries",
        Access("create", "", "pods"): "tried on dry runs",
        **{Access(verb, NETWORKING, "certificates"): "HTTPS" for verb in ("get", "create", "update", "delete")},
        **{Access("update", NETWORKING, f"certificates/{part}"): "HTTPS" for part in ("status", "finalizers")},
        **{
            Access(verb, "cert-manager.io", "certificates"): "cert-manager"
            for verb in ("get", "watch", "create", "update")
        },
        Access("watch", "acme.cert-manager.io", "challenges"): "cert-manager",
        Access("update", "", "namespaces/finalizers"): "certificates of a namespace",
        **{Access(verb, "", "secrets"): "HTTPS" for verb in ("create", "update")},
        **{Access(verb, "", "configmaps"): "whom to trust" for verb in ("get", "create", "update")},
        **{
            Access(verb, ADMISSION, f"{kind}webhookconfigurations"): "the webhook's certificate"
            for kind in ("mutating", "validating")
            for verb in ("update",)
        },
    },
    "activator": {
        Access("create", "", "endpoints/restricted"): "OpenShift asks for it",
        Access("create", "discovery.k8s.io", "endpointslices/restricted"): "OpenShift asks for it",
        Access("list", "", "secrets"): "encryption between activators and sidecars",
        Access("watch", "", "secrets"): "encryption between activators and sidecars",
    },
    "gateway": {},
    "autoscaler": {},
}
AFTER_A_CONFLICT = {
    "get": "what somebody else made or changed meanwhile is read again",
    "delete": "what outlived its use: leases of what is remembered, slices of another address family",
    "update": "what changed hands, or is not as wanted",
    "patch": "what is said again: events",
}
"""Verbs that a calm run may do without."""


@asynccontextmanager
async def platform_under_rbac(root: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Platform, RbacProxy]]:
    """A platform whose components reach the API server only through the proxy."""
    proxy = RbacProxy({name: rules_of(name) for name in COMPONENTS})
    await proxy.start()
    ordinary = manifests.deployments

    def deployments(kubeconfig: Path, *more: Any) -> list[Object]:
        known = yaml.safe_load(kubeconfig.read_text())
        proxy.upstream = known["clusters"][0]["cluster"]["server"]
        made = ordinary(kubeconfig, *more)
        for one in made:
            own = root / f"{name_of(one)}.kubeconfig"
            known["clusters"][0]["cluster"]["server"] = f"http://127.0.0.1:{proxy.port}"
            known["users"][0]["user"] = {"token": name_of(one)}
            own.write_text(yaml.safe_dump(known))
            (container,) = one["spec"]["template"]["spec"]["containers"]
            if name_of(one) == "controller":
                container["ports"].append({"name": "https-webhook", "containerPort": 8443})  # as on a cluster
            next(entry for entry in container["env"] if entry["name"] == "KUBECONFIG")["value"] = str(own)
        return made

    monkeypatch.setattr(manifests, "deployments", deployments)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    platform = Platform(root, gateway_port=0)
    supervising = None
    try:
        await platform.start()
        supervising = asyncio.create_task(platform.run())
        yield platform, proxy
    finally:
        if supervising is not None:
            supervising.cancel()
            await asyncio.gather(supervising, return_exceptions=True)
        await platform.stop()
        await proxy.stop()
        # First, and also when something else failed because of it.
        assert sorted(set(proxy.refused)) == []


class Life:
    """A Service of one's own, from its user's side."""

    def __init__(self, platform: Platform) -> None:
        self.client: Client = platform.client
        self._url = f"http://127.0.0.1:{platform.gateway_port}/"

    async def apply(self, name: str, answer: str, traffic: list[Object] | None = None, **annotations: str) -> None:
        """Create the Service or change it, and wait until that is Ready."""
        container = {
            "image": "test.local/app",
            "command": [sys.executable, "-c", SERVER],
            "env": [{"name": "ANSWER", "value": answer}],
        }
        metadata = {"annotations": {"autoscaling.knative.dev/window": "6s", **annotations}}
        spec: Object = {"template": {"metadata": metadata, "spec": {"containers": [container]}}}
        if traffic:
            spec["traffic"] = traffic
        try:
            await self.client.patch(SERVICE, name, "default", {"spec": spec})
        except NotFound:
            await self.client.create(SERVICE, new_object(SERVICE, "default", name, spec=spec))
        await eventually(lambda: self._is_ready(name), seconds=40)

    async def _is_ready(self, name: str, resource: Resource = SERVICE) -> bool:
        found = await self.client.get(resource, name, "default")
        status = found.get("status") or {}
        ready = [one for one in status.get("conditions") or () if one["type"] == "Ready"]
        current = status.get("observedGeneration") == found["metadata"]["generation"]
        return current and bool(ready) and ready[0]["status"] == "True"

    async def map_domain(self, domain: str, service: str) -> None:
        """Give the Service a domain of its own, ask there, and take the domain away."""
        claims = {"autocreate-cluster-domain-claims": "true"}
        await self.client.patch(CONFIG_MAP, "config-network", SYSTEM, {"data": claims})
        reference = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": service}
        await self.client.create(DOMAIN_MAPPING, new_object(DOMAIN_MAPPING, "default", domain, spec={"ref": reference}))

        async def is_mapped() -> bool:
            return await self._is_ready(domain, DOMAIN_MAPPING)

        await eventually(is_mapped)
        await self.client.delete(DOMAIN_MAPPING, domain, "default")

        async def is_free() -> bool:
            return not await self._names(DOMAIN_MAPPING)

        await eventually(is_free)

    async def ask(self, name: str) -> str:
        timeout = aiohttp.ClientTimeout(total=40)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            answer = await session.get(self._url, headers={"Host": f"{name}.default.localhost"})
            return await answer.text()

    async def is_at_zero(self) -> bool:
        return not await self._names(POD)

    async def revisions(self) -> list[str]:
        return await self._names(REVISION)

    async def nothing_left(self) -> bool:
        return not any([await self._names(one) for one in (SERVICE, REVISION, DEPLOYMENT, INGRESS, CORE_SERVICE, POD)])

    async def has_scaler(self) -> bool:
        return bool(await self._names(HPA))

    async def _names(self, resource: Resource) -> list[str]:
        return [name_of(one) for one in (await self.client.list(resource, "default"))[0]]


async def _live(platform: Platform) -> None:
    """Everything that happens to a Service: 0, 1 and several pods, revisions, tags, old ones collected, its end."""
    life = Life(platform)
    keep_none = {"min-non-active-revisions": "0", "max-non-active-revisions": "0"}
    await life.client.patch(CONFIG_MAP, "config-gc", SYSTEM, {"data": keep_none})
    await life.apply("app", "one")
    assert await life.ask("app") == "one"
    await life.map_domain("www.example.org", "app")
    by_cpu: dict[str, Any] = {ANNOTATION_CLASS: CLASS_HPA, "autoscaling.knative.dev/metric": "cpu"}
    await life.apply("cpu", "x", **by_cpu)
    await eventually(life.has_scaler)
    await life.client.delete(SERVICE, "cpu", "default")

    tagged = [
        {"revisionName": "app-00001", "percent": 50, "tag": "old"},
        {"latestRevision": True, "percent": 50, "tag": "new"},
    ]
    await life.apply("app", "two", tagged)
    assert await life.ask("old-app") == "one"
    await life.apply("app", "three", [{"latestRevision": True, "percent": 100}])

    async def only_latest() -> bool:
        return await life.revisions() == ["app-00003"]

    await eventually(only_latest, seconds=40)
    await eventually(life.is_at_zero, seconds=60)
    assert await asyncio.gather(*(life.ask("app") for _ in range(20))) == ["three"] * 20

    await life.client.delete(SERVICE, "app", "default")
    await eventually(life.nothing_left, seconds=30)


async def test_nothing_is_refused_and_no_rule_is_there_in_vain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with platform_under_rbac(tmp_path, monkeypatch) as (platform, proxy):
        await _live(platform)
        events, _ = await platform.client.list(EVENT)

    assert {"Created", "RevisionReady"} <= {event["reason"] for event in events}, "what was allowed has worked"
    for component in COMPONENTS:
        unused = {access for access, _ in proxy.allowed(component) - proxy.used[component]}
        expected = NOT_ON_A_LAPTOP[component]
        in_vain = {str(access) for access in unused - expected.keys() if access.verb not in AFTER_A_CONFLICT}
        assert in_vain == set(), f"nobody needs these rules of the {component}"
        assert expected.keys() <= {access for access, _ in proxy.allowed(component)}, "excused, but no longer there"


async def test_the_proxy_refuses_what_no_rule_allows() -> None:
    rules = [("own", {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["mine"], "verbs": ["get"]})]
    proxy = RbacProxy({"someone": rules})
    await proxy.start()
    try:
        async with aiohttp.ClientSession(headers={"Authorization": "Bearer someone"}) as session:
            for path in ("own/secrets/other", "other/secrets/mine", "own/secrets", "own/configmaps/mine"):
                answer = await session.get(f"http://127.0.0.1:{proxy.port}/api/v1/namespaces/{path}")
                assert (answer.status, (await answer.json())["reason"]) == (403, "Forbidden"), path
    finally:
        await proxy.stop()
    assert len(proxy.refused) == 4
