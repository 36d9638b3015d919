"""A PodAutoscaler's life, pass by pass, against an API server in memory."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from autoscaler.activator_probe import ActivatorProbe
from autoscaler.children import Children, NotOwned
from autoscaler.cluster_settings import ClusterSettings
from autoscaler.deciders import Deciders
from autoscaler.metrics import AutoscalerMetrics
from autoscaler.podautoscalers import PodAutoscalers
from autoscaler.pods import Pods
from autoscaler.scaler import Scaler, UnknownTarget
from autoscaler.timeline import Timeline
from tests.unit.autoscaler.conftest import FakeFetcher, pod
from tests.unit.cluster.fake_api import FakeApi
from upwell.api import names
from upwell.api.objects import Key, Object, mutable, new_object, timestamp
from upwell.api.resources import DEPLOYMENT, METRIC, POD_AUTOSCALER, SERVERLESS_SERVICE, Resource
from upwell.api.stat import Stat
from upwell.clock import FakeClock
from upwell.cluster.client import PatchType
from upwell.cluster.endpoints import Address
from upwell.cluster.errors import Conflict
from upwell.cluster.informer import Informer
from upwell.http import FetchResult
from upwell.policy.collector import CollectionSpec, Collector

HELLO = Key("default", "hello")
QUEUED = "Unknown Queued"
NO_TRAFFIC = "False NoTraffic"


class Api(FakeApi):
    """Knows JSON patches of the scale, too."""

    def __init__(self) -> None:
        super().__init__()
        self.scales: list[int] = []

    async def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str,
        patch: Any,
        kind: PatchType = PatchType.MERGE,
        subresource: str = "",
    ) -> Object:
        assert (kind, subresource, patch[0]["op"], patch[0]["path"]) == (
            PatchType.JSON,
            "scale",
            "add",
            "/spec/replicas",
        )
        self.scales.append(patch[0]["value"])
        return await super().patch(resource, name, namespace, {"spec": {"replicas": patch[0]["value"]}})


class Scene:
    """Revision `hello`, of which a pod bears 10 and 7 is aimed for."""

    def __init__(self, clock: FakeClock, fetcher: FakeFetcher, metrics: AutoscalerMetrics) -> None:
        self.clock = clock
        self.api = Api()
        self.timeline = Timeline(clock)
        self.collector: Collector[Key] = Collector()
        self.config: dict[str, str] = {}
        self.settings = ClusterSettings(lambda name: self.config)
        self.informers = {
            kind: Informer(self.api, kind, clock=clock)
            for kind in (POD_AUTOSCALER, SERVERLESS_SERVICE, METRIC, DEPLOYMENT)
        }
        self.pods = Pods(lambda key: None, lambda gone: None)
        self.proofs: list[Key] = []
        address = Address("10.0.0.9", 8012)
        fetcher.answers[address] = FetchResult(200, [], b"activator")
        self.probe = ActivatorProbe(fetcher, lambda *_: [address], clock, self.proofs.append)
        self.deciders = Deciders(self.collector, self.pods, metrics, clock, self.timeline, lambda key: None)
        self.subject = PodAutoscalers(
            Children(self.api, clock),
            self.informers[POD_AUTOSCALER],
            self.informers[SERVERLESS_SERVICE],
            self.informers[METRIC],
            settings=self.settings,
            deciders=self.deciders,
            pods=self.pods,
            scaler=Scaler(self.api, self.informers[DEPLOYMENT], self.probe, metrics, clock),
            metrics=metrics,
            clock=clock,
        )

    def create(self, *, replicas: int = 1, kind: str = names.CLASS_KPA, **annotations: str) -> None:
        self.api.put(DEPLOYMENT, new_object(DEPLOYMENT, "default", "hello-deployment", spec={"replicas": replicas}))
        metadata = {
            "generation": 1,
            "labels": {names.LABEL_REVISION: "hello", names.LABEL_CONFIGURATION: "c"},
            "annotations": {
                names.ANNOTATION_CLASS: kind,
                names.ANNOTATION_METRIC: "concurrency",
                **{names.AUTOSCALING + name.replace("_", "-"): value for name, value in annotations.items()},
            },
        }
        spec = {
            "containerConcurrency": 10,
            "protocolType": "http1",
            "reachability": "Reachable",
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "hello-deployment"},
        }
        self.api.put(POD_AUTOSCALER, new_object(POD_AUTOSCALER, "default", "hello", metadata=metadata, spec=spec))

    def get(self, resource: Resource) -> Object:
        return self.api.objects[resource, HELLO]

    async def reconcile(self) -> float | None:
        await self.clock.advance(0)
        again = await self.subject.reconcile(HELLO)
        await self.clock.advance(0)
        return again

    def service_is(self, *, ready: bool, proxying_since: float | None = None) -> None:
        """The activator has dealt with the ServerlessService."""
        service = mutable(self.get(SERVERLESS_SERVICE))
        service["metadata"]["generation"] = service["metadata"].get("generation", 0) + 1
        conditions = [
            {"type": "Ready", "status": "True"}
            if ready
            else {"type": "Ready", "status": "Unknown", "message": "K8s Service is not ready"}
        ]
        if proxying_since is not None:
            since = timestamp(proxying_since)
            conditions.append({"type": "ActivatorEndpointsPopulated", "status": "True", "lastTransitionTime": since})
        service["status"] = {
            "observedGeneration": service["metadata"]["generation"],
            "serviceName": "hello",
            "privateServiceName": "hello-private",
            "conditions": conditions,
        }
        self.api.put(SERVERLESS_SERVICE, service)

    def pods_are(self, count: int) -> None:
        for number in range(20):
            name = f"p{number}"
            self.pods.changed(None if number < count else pod(name), pod(name) if number < count else None)

    def load_is(self, concurrency: float) -> None:
        """What the windows say from now on; and a decision on it."""
        self.collector.delete(HELLO)
        self.collector.update(HELLO, CollectionSpec(60, 6), self.timeline.now())
        self.collector.record(HELLO, self.timeline.now(), Stat("pod", concurrency))
        self.deciders.tick(HELLO)

    def status(self, name: str) -> Any:
        return self.get(POD_AUTOSCALER)["status"].get(name)

    def condition(self, kind: str) -> str:
        found = next(one for one in self.status("conditions") if one["type"] == kind)
        return f"{found['status']} {found.get('reason', '')}".strip()

    def spec(self, name: str) -> Any:
        return self.get(SERVERLESS_SERVICE)["spec"][name]

    async def bring_up(self, *, load: float = 5, **annotations: str) -> None:
        """A revision with one ready pod and some load."""
        self.create(replicas=1, kind=names.CLASS_KPA, **annotations)
        await self.reconcile()
        self.service_is(ready=True)
        self.pods_are(1)
        await self.reconcile()
        self.load_is(load)
        await self.reconcile()
        self.service_is(ready=True)
        await self.reconcile()


@pytest_asyncio.fixture
async def scene(clock: FakeClock, fetcher: FakeFetcher, metrics: AutoscalerMetrics) -> AsyncIterator[Scene]:
    scene = Scene(clock, fetcher, metrics)
    tasks = [asyncio.create_task(informer.run()) for informer in scene.informers.values()]
    tasks.append(asyncio.create_task(scene.probe.run()))
    await clock.advance(0)
    yield scene
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_first_of_all_the_revision_gets_an_address_that_leads_to_activators(scene: Scene) -> None:
    scene.create()

    await scene.reconcile()

    assert (scene.spec("mode"), scene.spec("numActivators")) == ("Proxy", 3)
    assert scene.get(SERVERLESS_SERVICE)["metadata"]["annotations"] == {names.ANNOTATION_CLASS: names.CLASS_KPA}
    assert (scene.status("desiredScale"), scene.status("actualScale")) == (-1, 0)
    assert (scene.status("serviceName"), scene.status("metricsServiceName")) == ("", "")
    assert scene.condition("Active") == QUEUED
    assert scene.condition("SKSReady") == "Unknown NotReady"
    assert scene.condition("ScaleTargetInitialized") == "Unknown"
    assert scene.status("observedGeneration") == 1


async def test_then_its_load_is_collected(scene: Scene) -> None:
    scene.create()
    await scene.reconcile()
    scene.service_is(ready=False)

    await scene.reconcile()

    assert scene.get(METRIC)["spec"] == {
        "stableWindow": 60_000_000_000,
        "panicWindow": 6_000_000_000,
        "scrapeTarget": "hello-private",
    }
    assert scene.status("metricsServiceName") == "hello-private"
    assert scene.spec("numActivators") == 3


async def test_a_ready_pod_and_a_ready_address_make_it_ready(scene: Scene) -> None:
    await scene.bring_up()

    kinds = ("Active", "ScaleTargetInitialized", "SKSReady", "Ready")
    assert [scene.condition(kind) for kind in kinds] == ["True"] * 4
    assert (scene.status("desiredScale"), scene.status("actualScale")) == (1, 1)
    assert scene.api.scales == []


async def test_more_load_means_more_pods_and_activators_while_a_burst_would_not_fit(scene: Scene) -> None:
    await scene.bring_up(target_burst_capacity="15")

    scene.load_is(20)
    await scene.reconcile()
    scene.pods_are(3)
    scene.load_is(20)
    await scene.reconcile()
    assert (scene.api.scales, scene.spec("mode"), scene.status("desiredScale")) == ([3], "Proxy", 3)

    scene.load_is(15)
    await scene.reconcile()
    assert scene.spec("mode") == "Serve"


async def test_a_scale_just_written_is_not_written_again_while_the_copy_is_behind(scene: Scene) -> None:
    await scene.bring_up()
    scene.load_is(20)

    await scene.clock.advance(0)
    await scene.subject.reconcile(HELLO)
    with pytest.raises(Conflict):
        await scene.subject.reconcile(HELLO)

    assert scene.api.scales == [3]


async def test_the_last_pod_goes_after_window_proof_and_grace(scene: Scene) -> None:
    await scene.bring_up()
    scene.load_is(0)
    assert await scene.reconcile() == pytest.approx(60, abs=1)
    await scene.clock.advance(61)
    scene.load_is(0)

    await scene.reconcile()
    assert scene.condition("Active") == NO_TRAFFIC
    assert scene.condition("Ready") == NO_TRAFFIC
    assert scene.spec("mode") == "Proxy"
    scene.service_is(ready=True, proxying_since=scene.clock.now())
    assert await scene.reconcile() is None, "the proof is being sought"
    assert scene.proofs == [HELLO]
    assert await scene.reconcile() == pytest.approx(30, abs=1)
    assert scene.api.scales == []

    await scene.clock.advance(31)
    await scene.reconcile()
    await scene.reconcile()
    assert scene.api.scales == [0]
    assert scene.status("desiredScale") == 0


async def test_a_restarted_autoscaler_leaves_an_active_revision_as_it_is(scene: Scene) -> None:
    await scene.bring_up(target_burst_capacity="0")
    assert scene.spec("mode") == "Serve"
    scene.deciders.delete(Key("default", "hello"))

    await scene.reconcile()

    assert scene.spec("mode") == "Serve"
    assert scene.api.scales == []
    assert scene.status("desiredScale") == 1


async def test_without_a_workload_the_status_is_written_and_the_pass_fails(scene: Scene) -> None:
    scene.create()
    scene.api.remove(DEPLOYMENT, "default", "hello-deployment")
    await scene.reconcile()
    scene.service_is(ready=True)

    with pytest.raises(UnknownTarget, match="hello-deployment"):
        await scene.reconcile()
    assert scene.status("metricsServiceName") == "hello-private"


async def test_an_address_of_somebody_else_is_said_and_left_alone(scene: Scene) -> None:
    scene.api.put(SERVERLESS_SERVICE, new_object(SERVERLESS_SERVICE, "default", "hello", spec={"mode": "Serve"}))
    scene.create()
    scene.api.objects[POD_AUTOSCALER, HELLO]["metadata"]["uid"] = "ours"

    with pytest.raises(NotOwned):
        await scene.reconcile()
    assert scene.condition("Active") == "False NotOwned"
    assert scene.spec("mode") == "Serve"


async def test_another_class_is_left_alone(scene: Scene) -> None:
    scene.create(kind="mine.example.com")

    assert await scene.reconcile() is None
    assert scene.api.writes == []


async def test_the_minimum_and_a_changed_cluster_default_are_followed(scene: Scene) -> None:
    await scene.bring_up(min_scale="2")
    assert scene.api.scales == [2]

    scene.config["max-scale"] = "4"
    scene.settings.refresh("config-autoscaler")
    scene.load_is(1000)
    await scene.reconcile()
    assert scene.api.scales == [2, 4]


async def test_an_initial_scale_of_zero_is_inactive_from_the_start(scene: Scene) -> None:
    scene.config["allow-zero-initial-scale"] = "true"
    scene.settings.refresh("config-autoscaler")
    scene.create(replicas=0, initial_scale="0")
    await scene.reconcile()
    scene.service_is(ready=False)
    await scene.reconcile()

    assert scene.condition("Active") == NO_TRAFFIC
    assert scene.condition("ScaleTargetInitialized") == "True"
    assert scene.status("desiredScale") == -1
