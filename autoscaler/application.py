"""The autoscaler, put together.

    activators ──websocket──> StatServer ─┐                        ┌──> scale of the Deployment
    pods <───────── scrape ── Scraper ────┴> Collector ─> Deciders ┴──> PodAutoscaler ─> ServerlessService, Metric

It follows what it needs to know of the cluster from the start, and takes part in the election for each bucket of
revisions; the holder of a bucket collects, decides and writes for its revisions. For all others it keeps its copies
current, so that it can take over at once, and hands on statistics that only it was told.
"""

import asyncio
from collections import deque
from typing import Final

from autoscaler.activator_probe import ActivatorProbe
from autoscaler.buckets import Buckets
from autoscaler.children import Children
from autoscaler.cluster_settings import ClusterSettings
from autoscaler.collecting import Collecting
from autoscaler.config import ProcessConfig
from autoscaler.deciders import Deciders
from autoscaler.forwarder import Forwarder, advertised_holder, stamped
from autoscaler.horizontal import HorizontalAutoscalers
from autoscaler.inspection import Inspection
from autoscaler.leading import Leading
from autoscaler.memory import Memory
from autoscaler.metrics import AutoscalerMetrics
from autoscaler.ownership import Ownership, bucket_count, lead_as_member, stand_for_election
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
    LABEL_SLICE_SERVICE,
    PORT_METRICS,
    PORT_STAT_SERVER,
    SERVICE_TYPE_PUBLIC,
)
from upwell.api.objects import Key, Object, controller_of, key_of, labels_of, namespace_of
from upwell.api.resources import (
    DEPLOYMENT,
    ENDPOINT_SLICE,
    HPA,
    METRIC,
    POD,
    POD_AUTOSCALER,
    SERVERLESS_SERVICE,
    Resource,
)
from upwell.api.stat import Stat, WireStatMessage
from upwell.clock import Clock
from upwell.cluster.client import Client
from upwell.cluster.configmaps import ConfigMaps
from upwell.cluster.election import CONFIG_MAP
from upwell.cluster.endpoints import Address, EndpointTracker
from upwell.cluster.informer import Informer
from upwell.cluster.runtime import running
from upwell.http import Engine
from upwell.policy.collector import Collector
from upwell.policy.memory import RevisionMemory
from upwell.telemetry import log
from upwell.telemetry.metrics import Registry
from upwell.telemetry.server import serve_metrics

__all__ = ["Autoscaler"]

LOG: Final = log.get()
EARLY_MOST: Final = 10_000
"""Statistics; more than arrive until the first list of config maps."""


class Autoscaler:
    """All parts; `run` lets them work."""

    def __init__(self, config: ProcessConfig, client: Client, clock: Clock) -> None:
        self._config = config
        self._client = client
        self._clock = clock
        self._timeline = Timeline(clock)
        self.registry = Registry()
        client.count_in(self.registry)
        self.metrics = AutoscalerMetrics(self.registry)
        self._ownership = Ownership()
        self._forwarder: Forwarder | None = None
        self._early: deque[WireStatMessage] = deque(maxlen=EARLY_MOST)
        """What came before it is known which buckets there are."""
        self._memory = Memory(client, config.system_namespace, self._timeline.now, clock)
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
        self.registry.gauge_from(
            "upwell_autoscaler_config_maps_refused",
            "Versions of config maps that could not be used since the start.",
            lambda: self._settings.refused,
        )
        for name, about, source in (
            ("clock_jumps", "Times that this machine's clock was set.", lambda: self._timeline.jumps),
            (
                "stats_restamped",
                "Statistics with a time that cannot be, counted as of now.",
                lambda: self._timeline.restamped,
            ),
        ):
            self.registry.gauge_from(f"upwell_autoscaler_{name}", about, source)
        self._autoscalers = follow(POD_AUTOSCALER)
        self._services = follow(SERVERLESS_SERVICE)
        self._collected = follow(METRIC)
        self._horizontal = follow(HPA, LABEL_REVISION)
        self._deployments = follow(DEPLOYMENT, LABEL_REVISION)
        self._pod_copies = follow(POD, LABEL_REVISION_UID)
        self._slices = follow(ENDPOINT_SLICE, f"{LABEL_SERVICE_TYPE}={SERVICE_TYPE_PUBLIC}")
        self._endpoints = EndpointTracker(self._slices)

    def _measure(self) -> None:
        """From statistics to decisions."""
        self._engine = Engine(clock=self._clock, component=b"autoscaler")
        self._collector: Collector[Key] = Collector()
        self._pods = Pods(
            on_change=self._ownership.enqueue,
            on_gone=lambda pod: self._engine.discard(self._engine.upstream(pod.host, pod.port)),
        )
        self._scraper = Scraper(
            self._engine,
            self._collector,
            self._pods,
            self.metrics,
            self._clock,
            self._timeline,
            on_error_change=self._ownership.enqueue_metric,
            mesh=lambda: self._settings.mesh,
        )
        self._deciders = Deciders(
            self._collector,
            self._pods,
            self.metrics,
            self._clock,
            self._timeline,
            on_change=self._ownership.enqueue,
            recall=self._recall,
        )
        self._stat_server = StatServer(self._accept, self._ownership.owns, self.metrics)

    def _reconcile(self) -> None:
        """From decisions to what the cluster is told."""
        self._probe = ActivatorProbe(
            self._engine,
            lambda service, port_name: self._endpoints.addresses(*service, port_name)[0],
            self._clock,
            on_proof=self._ownership.enqueue,
        )
        self._scaler = Scaler(self._client, self._deployments, self._probe, self.metrics, self._clock)
        children = Children(self._client, self._clock)
        self._pod_autoscalers = PodAutoscalers(
            children,
            self._autoscalers,
            self._services,
            self._collected,
            settings=self._settings,
            deciders=self._deciders,
            pods=self._pods,
            scaler=self._scaler,
            metrics=self.metrics,
            clock=self._clock,
        )
        self._horizontals = HorizontalAutoscalers(
            children, self._autoscalers, self._services, self._horizontal, self._settings
        )
        self._collecting = Collecting(
            self._client, self._collected, self._collector, self._scraper, self._clock, self._timeline, self._recall
        )
        self._leading = Leading(
            self._client,
            self._config.system_namespace,
            Address(self._config.pod_ip, self._config.ports.actual(PORT_STAT_SERVER)),
            ownership=self._ownership,
            copies=self._copies(),
            autoscalers=self._autoscalers,
            collected=self._collected,
            reconcile=self._reconcile_autoscaler,
            collecting=self._collecting,
            deciders=self._deciders,
            memory=self._memory,
            clock=self._clock,
        )

    def _copies(self) -> list[Informer]:
        return [
            self._autoscalers,
            self._services,
            self._collected,
            self._horizontal,
            self._deployments,
            self._pod_copies,
            self._slices,
        ]

    async def _reconcile_autoscaler(self, key: Key) -> float | None:
        """Each class leaves alone what is not its own; the first one forgets what was and is not any more."""
        again = await self._pod_autoscalers.reconcile(key)
        await self._horizontals.reconcile(key)
        return again

    def _listen_to_changes(self) -> None:
        """Which change means work on what."""
        self._config_maps.on_change(self._config_changed)
        self._autoscalers.add_handler(self._object_changed)
        for controlled in (self._services, self._collected, self._horizontal):
            controlled.add_handler(self._controlled_changed)
        self._collected.add_handler(self._metric_changed)
        self._deployments.add_handler(self._deployment_changed)
        self._deployments.add_handler(self._scaler.forget_workload)
        self._pod_copies.add_handler(self._pods.changed)

    def _object_changed(self, old: Object | None, new: Object | None) -> None:
        changed = new if new is not None else old
        if changed is not None:
            self._ownership.enqueue(key_of(changed))

    def _controlled_changed(self, old: Object | None, new: Object | None) -> None:
        for obj in (old, new):
            owner = controller_of(obj) if obj is not None else None
            if obj is not None and owner is not None and owner.get("kind") == POD_AUTOSCALER.kind:
                self._ownership.enqueue(Key(namespace_of(obj), str(owner["name"])))

    def _metric_changed(self, old: Object | None, new: Object | None) -> None:
        changed = new if new is not None else old
        if changed is not None:
            self._ownership.enqueue_metric(key_of(changed))

    def _deployment_changed(self, old: Object | None, new: Object | None) -> None:
        """Somebody else may have scaled it; its status is of no interest."""
        replicas = [(deployment or {}).get("spec", {}).get("replicas") for deployment in (old, new)]
        if new is not None and (old is None or replicas[0] != replicas[1]):
            self._ownership.enqueue(Key(namespace_of(new), labels_of(new)[LABEL_REVISION]))

    def _config_changed(self, name: str) -> None:
        if self._settings.refresh(name):
            for autoscaler in self._autoscalers.list():
                self._ownership.enqueue(key_of(autoscaler))

    def _recall(self, key: Key) -> tuple[RevisionMemory | None, bool]:
        return self._memory.of(self._ownership.buckets.of(key), key)

    def _accept(self, revision: Key, stat: Stat, alone: bool) -> None:
        """Take in what an activator reports, or hand it on if it is another replica's and nobody else was told."""
        bucket = self._ownership.buckets.of(revision)
        if self._ownership.owns(bucket):
            if self._collector.record(revision, self._timeline.moment_of(stat.timestamp), stat):
                self._deciders.poke(revision, stat.average_concurrent_requests)
        elif alone:
            message = stamped(*revision, stat, int(self._timeline.now()))
            if self._forwarder is None:
                self._early.append(message)
            else:
                self._forwarder.send(bucket, message)

    def _deliver(self, message: WireStatMessage) -> None:
        """What was to be handed on, and has become ours meanwhile."""
        if message.stat is not None:
            self._accept(Key(message.namespace, message.name), message.stat, False)

    async def run(self, stop: asyncio.Event) -> None:
        ports = self._config.ports
        inspection = Inspection(self._deciders, self._pods, self._timeline)
        metrics_server = await serve_metrics(
            self.registry, ports.bind_host, ports.actual(PORT_METRICS), inspection.routes()
        )
        try:
            # Last, as it is what tells the kubelet that all the rest can be reached.
            await self._stat_server.start(ports.bind_host, ports.actual(PORT_STAT_SERVER))
            async with running(
                {f"copy of {informer.resource.plural}": informer.run() for informer in self._copies()}
                | {
                    "copy of config maps": self._config_maps.run(),
                    "ownership": self._take_part(),
                    "decisions": self._deciders.run(),
                    "scraper": self._scraper.run(),
                    "clock": self._timeline.watch(),
                    "activator probe": self._probe.run(),
                }
            ):
                LOG.info("started", identity=self._config.identity)
                await stop.wait()
                self._leading.leaving = True
                await self._stat_server.stop()
        finally:
            await metrics_server.cleanup()
            await self._engine.drain(1.0)

    async def _take_part(self) -> None:
        """Own buckets, and hand on what belongs to others, until cancelled."""
        await self._config_maps.wait_synced()
        data = self._config_maps.get(CONFIG_MAP)
        place, namespace, count = self._config.stateful_set, self._config.system_namespace, bucket_count(data)
        self._ownership.buckets = place.buckets(count) if place else Buckets.leased(count)
        names = self._ownership.buckets.names
        holders = Informer(
            self._client,
            ENDPOINT_SLICE,
            namespace=namespace,
            labels=f"{LABEL_SLICE_SERVICE} in ({', '.join(names)})",
            clock=self._clock,
        )
        tracker = EndpointTracker(holders)
        self._forwarder = Forwarder(
            names,
            lambda bucket: advertised_holder(tracker, namespace, bucket),
            self._ownership.owns,
            self._deliver,
            self.metrics,
            self._clock,
        )
        for message in self._early:
            self._forwarder.send(self._ownership.buckets.of(Key(message.namespace, message.name)), message)
        self._early.clear()
        lead = self._leading.lead
        async with asyncio.TaskGroup() as group:
            group.create_task(self._forwarder.run(), name="forwarder")
            if place is not None:
                group.create_task(lead_as_member(self._ownership, place, lead), name="membership")
                return
            group.create_task(holders.run(), name="copy of bucket holders")
            elections = stand_for_election(
                self._client, namespace, self._config.identity, data, self._ownership, lead, self._clock
            )
            group.create_task(elections, name="elections")
