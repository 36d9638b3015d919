"""The autoscaler, from its settings to its end.

    activators ──websocket──> StatServer ─┐                        ┌──> scale of the Deployment
    pods <───────── scrape ── Scraper ────┴> Collector ─> Deciders ┴──> PodAutoscaler ─> ServerlessService, Metric

It follows what it needs to know of the cluster from the start, and takes part in leader election; the leader
collects, decides and writes. A follower only keeps its copies current, so that it can take over at once.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from autoscaler.activator_probe import ActivatorProbe
from autoscaler.cluster_settings import ClusterSettings
from autoscaler.collecting import Collecting
from autoscaler.config import VARIABLES, ProcessConfig
from autoscaler.deciders import Deciders
from autoscaler.metrics import AutoscalerMetrics
from autoscaler.podautoscalers import PodAutoscalers
from autoscaler.pods import Pods
from autoscaler.scaler import Scaler
from autoscaler.scraper import Scraper
from autoscaler.stat_server import StatServer
from autoscaler.timeline import Timeline
from upwell.api.names import (
    LABEL_REVISION,
    LABEL_REVISION_UID,
    LABEL_SERVICE_TYPE,
    PORT_METRICS,
    PORT_STAT_SERVER,
    SERVICE_TYPE_PUBLIC,
)
from upwell.api.objects import Key, Object, labels_of, namespace_of
from upwell.api.resources import (
    DEPLOYMENT,
    ENDPOINT_SLICE,
    METRIC,
    POD,
    POD_AUTOSCALER,
    SERVERLESS_SERVICE,
    Resource,
)
from upwell.api.stat import Stat
from upwell.clock import Clock, SystemClock
from upwell.cluster.client import Client
from upwell.cluster.configmaps import ConfigMaps
from upwell.cluster.election import CONFIG_MAP, candidate, free_lease_of_gone_pod
from upwell.cluster.endpoints import EndpointTracker
from upwell.cluster.informer import Informer
from upwell.cluster.reconciler import Reconciler
from upwell.cluster.runtime import run_component, running
from upwell.http import Engine
from upwell.policy.collector import Collector
from upwell.telemetry import log
from upwell.telemetry.metrics import Registry
from upwell.telemetry.server import serve_metrics

__all__ = ["main", "serve"]

LOG: Final = log.get()
BUCKET: Final = "autoscaler-bucket-00-of-01"
"""The lease; its holder acts on all revisions."""
WORKERS: Final = 16
"""Reconciles under way at once; each waits for the API server most of its time."""


def main() -> None:
    run_component(
        "autoscaler",
        serve,
        about="Decides how many pods each revision has, and whether its traffic goes through the activator.",
        variables=VARIABLES,
    )


async def serve(env: Mapping[str, str], stop: asyncio.Event) -> None:
    """Run until `stop`; raise ConfigError or OSError when it cannot start."""
    config = ProcessConfig.from_env(env)
    client = await Client.connect(env.get("KUBECONFIG") or None)
    try:
        await Autoscaler(config, client, SystemClock()).run(stop)
    finally:
        await client.close()


class Autoscaler:
    """All parts, put together."""

    def __init__(self, config: ProcessConfig, client: Client, clock: Clock) -> None:
        self._config = config
        self._client = client
        self._clock = clock
        self._timeline = Timeline(clock)
        self._registry = Registry()
        self._metrics = AutoscalerMetrics(self._registry)
        self._is_leader = False
        self._follow_cluster()
        self._measure()
        self._reconcile()
        self._listen_to_changes()

    def _follow_cluster(self) -> None:
        """Copies of what matters, kept by leader and follower alike."""

        def follow(resource: Resource, labels: str = "") -> Informer:
            return Informer(self._client, resource, labels=labels, clock=self._clock)

        self._config_maps = ConfigMaps(self._client, self._config.system_namespace, clock=self._clock)
        self._settings = ClusterSettings(self._config_maps.get)
        self._registry.gauge_from(
            "upwell_autoscaler_config_maps_refused",
            "Versions of config maps that could not be used since the start.",
            lambda: self._settings.refused,
        )
        self._autoscalers = follow(POD_AUTOSCALER)
        self._services = follow(SERVERLESS_SERVICE)
        self._collected = follow(METRIC)
        self._deployments = follow(DEPLOYMENT, LABEL_REVISION)
        self._pod_copies = follow(POD, LABEL_REVISION_UID)
        self._slices = follow(ENDPOINT_SLICE, f"{LABEL_SERVICE_TYPE}={SERVICE_TYPE_PUBLIC}")
        self._endpoints = EndpointTracker(self._slices)

    def _measure(self) -> None:
        """From statistics to decisions."""
        self._engine = Engine(clock=self._clock, component=b"autoscaler")
        self._collector: Collector[Key] = Collector()
        self._pods = Pods(
            on_change=lambda revision: self._work.enqueue(revision),
            on_gone=lambda pod: self._engine.discard(self._engine.upstream(pod.host, pod.port)),
        )
        self._scraper = Scraper(
            self._engine,
            self._collector,
            self._pods,
            self._metrics,
            self._clock,
            self._timeline,
            on_error_change=lambda key: self._metric_work.enqueue(key),
        )
        self._deciders = Deciders(
            self._collector,
            self._pods,
            self._metrics,
            self._clock,
            self._timeline,
            on_change=lambda key: self._work.enqueue(key),
        )
        self._stat_server = StatServer(self._accept, lambda bucket: self._is_leader and bucket == BUCKET, self._metrics)

    def _reconcile(self) -> None:
        """From decisions to what the cluster is told."""
        self._probe = ActivatorProbe(
            self._engine,
            lambda service, port_name: self._endpoints.addresses(*service, port_name)[0],
            self._clock,
            on_proof=lambda revision: self._work.enqueue(revision),
        )
        self._scaler = Scaler(self._client, self._deployments, self._probe, self._metrics, self._clock)
        self._pod_autoscalers = PodAutoscalers(
            self._client,
            self._autoscalers,
            self._services,
            self._collected,
            settings=self._settings,
            deciders=self._deciders,
            pods=self._pods,
            scaler=self._scaler,
            metrics=self._metrics,
            clock=self._clock,
        )
        self._collecting = Collecting(
            self._client, self._collected, self._collector, self._scraper, self._clock, self._timeline
        )
        self._work = Reconciler("podautoscaler", self._pod_autoscalers.reconcile, workers=WORKERS, clock=self._clock)
        self._metric_work = Reconciler("metric", self._collecting.reconcile, workers=WORKERS, clock=self._clock)

    def _listen_to_changes(self) -> None:
        """Which change means work on what."""
        self._config_maps.on_change(self._config_changed)
        self._autoscalers.add_handler(self._work.enqueue_changed)
        self._services.add_handler(self._work.enqueue_controller_of(POD_AUTOSCALER.kind))
        self._collected.add_handler(self._work.enqueue_controller_of(POD_AUTOSCALER.kind))
        self._collected.add_handler(self._metric_work.enqueue_changed)
        self._deployments.add_handler(self._deployment_changed)
        self._deployments.add_handler(self._scaler.forget_workload)
        self._pod_copies.add_handler(self._pods.changed)

    def _config_changed(self, name: str) -> None:
        if self._settings.refresh(name):
            for autoscaler in self._autoscalers.list():
                self._work.enqueue_object(autoscaler)

    def _deployment_changed(self, old: Object | None, new: Object | None) -> None:
        """Somebody else may have scaled it; its status is of no interest."""
        replicas = [(deployment or {}).get("spec", {}).get("replicas") for deployment in (old, new)]
        if new is not None and (old is None or replicas[0] != replicas[1]):
            self._work.enqueue(Key(namespace_of(new), labels_of(new)[LABEL_REVISION]))

    def _accept(self, revision: Key, stat: Stat) -> None:
        """Take in what an activator reports."""
        if self._collector.record(revision, self._timeline.moment_of(stat.timestamp), stat):
            self._deciders.poke(revision, stat.average_concurrent_requests)

    async def run(self, stop: asyncio.Event) -> None:
        ports = self._config.ports
        await self._stat_server.start(ports.bind_host, ports.actual(PORT_STAT_SERVER))
        metrics_server = await serve_metrics(self._registry, ports.bind_host, ports.actual(PORT_METRICS))
        try:
            async with running(
                {f"copy of {informer.resource.plural}": informer.run() for informer in self._informers()}
                | {"copy of config maps": self._config_maps.run(), "election": self._stand_for_election()}
            ):
                LOG.info("started", identity=self._config.identity)
                await stop.wait()
                await self._stat_server.stop()
        finally:
            await metrics_server.cleanup()
            await self._engine.drain(1.0)

    def _informers(self) -> list[Informer]:
        return [
            self._autoscalers,
            self._services,
            self._collected,
            self._deployments,
            self._pod_copies,
            self._slices,
        ]

    async def _stand_for_election(self) -> None:
        await self._config_maps.wait_synced()
        namespace, identity = self._config.system_namespace, self._config.identity
        data = self._config_maps.get(CONFIG_MAP)
        elector = candidate(self._client, BUCKET, namespace, identity, data, self._clock)
        await free_lease_of_gone_pod(self._client, BUCKET, namespace)
        await elector.run(self._lead)

    async def _lead(self) -> None:
        """Collect, decide and write, until cancelled."""
        for informer in self._informers():
            await informer.wait_synced()
        for autoscaler in self._autoscalers.list():
            self._work.enqueue_object(autoscaler)
        for collected in self._collected.list():
            self._metric_work.enqueue_object(collected)
        self._is_leader = True
        try:
            async with asyncio.TaskGroup() as group:
                for name, work in (
                    ("podautoscaler reconciler", self._work.run()),
                    ("metric reconciler", self._metric_work.run()),
                    ("decisions", self._deciders.run()),
                    ("scraper", self._scraper.run()),
                    ("activator probe", self._probe.run()),
                ):
                    group.create_task(work, name=name)
        finally:
            self._is_leader = False
            self._deciders.clear()
            self._collecting.clear()
