"""All reconcilers, put together over one client and one set of caches.

controllers = Controllers(client, ConfigMaps(client, "knative-serving"), clock)
async with running(controllers.running()): ...

They run in every replica; which objects each may act on is settled by `duties`.
"""

from collections.abc import Coroutine, Sequence
from typing import Any, Final

from controller.cluster import Cluster, make_informers
from controller.collector import COMPONENT as COLLECTOR_COMPONENT
from controller.collector import RevisionCollector
from controller.configuration import COMPONENT as CONFIGURATION_COMPONENT
from controller.configuration import ConfigurationController
from controller.domain.reconciler import COMPONENT as DOMAIN_COMPONENT
from controller.domain.reconciler import DomainMappingController
from controller.duties import Duty
from controller.ingress.kinds import kinds_of
from controller.ingress.reconciler import COMPONENT as INGRESS_COMPONENT
from controller.ingress.reconciler import IngressController
from controller.issuing.namespaces import NamespaceCertificates
from controller.issuing.reconciler import COMPONENT as CERTIFICATE_COMPONENT
from controller.issuing.reconciler import CertificateController
from controller.labeler import Labeler
from controller.revision.reconciler import COMPONENT as REVISION_COMPONENT
from controller.revision.reconciler import RevisionController
from controller.route.reconciler import COMPONENT as ROUTE_COMPONENT
from controller.route.reconciler import RouteController
from controller.service import COMPONENT as SERVICE_COMPONENT
from controller.service import ServiceController
from controller.settings import Settings
from upwell.api.names import CLUSTER_DOMAIN, SYSTEM_NAMESPACE
from upwell.api.resources import (
    CERTIFICATE,
    CONFIGURATION,
    DOMAIN_MAPPING,
    INGRESS,
    NAMESPACE,
    REVISION,
    ROUTE,
    SERVICE,
    Resource,
)
from upwell.clock import Clock, SystemClock
from upwell.cluster.client import Client
from upwell.cluster.configmaps import ConfigMaps
from upwell.cluster.events import EventRecorder
from upwell.cluster.informer import unfilled
from upwell.cluster.reconciler import Reconciler

__all__ = ["Controllers"]

_COMPONENTS: Final = (
    SERVICE_COMPONENT,
    CONFIGURATION_COMPONENT,
    REVISION_COMPONENT,
    ROUTE_COMPONENT,
    DOMAIN_COMPONENT,
    CERTIFICATE_COMPONENT,
    INGRESS_COMPONENT,
    COLLECTOR_COMPONENT,
)


class Controllers:
    """See the module."""

    def __init__(
        self,
        client: Client,
        config_maps: ConfigMaps,
        clock: Clock | None = None,
        *,
        system_namespace: str = SYSTEM_NAMESPACE,
        cluster_domain: str = CLUSTER_DOMAIN,
        workers: int = 8,
        ingresses: Sequence[str] = (),
    ) -> None:
        """`ingresses` is for whose gateways Ingresses are translated, by the names in `CLASSES`."""
        clock = clock or SystemClock()
        self._config_maps = config_maps
        self._informers = make_informers(client, clock, kinds_of(ingresses))
        self._recorders = {name: EventRecorder(client, name, clock=clock) for name in _COMPONENTS}
        cluster = Cluster(
            client=client,
            informers=self._informers,
            settings=Settings(config_maps),
            clock=clock,
            recorders=self._recorders,
            cluster_domain=cluster_domain,
            system_namespace=system_namespace,
            workers=workers,
        )
        revisions = RevisionController(cluster)
        self._resolve_digests = revisions.resolve_digests
        queues: tuple[tuple[str, Resource, Reconciler], ...] = (
            ("service", SERVICE, ServiceController(cluster).queue),
            ("configuration", CONFIGURATION, ConfigurationController(cluster).queue),
            ("revision", REVISION, revisions.queue),
            ("route", ROUTE, RouteController(cluster).queue),
            ("labeler", ROUTE, Labeler(cluster).queue),
            ("domainmapping", DOMAIN_MAPPING, DomainMappingController(cluster).queue),
            ("certificate", CERTIFICATE, CertificateController(cluster).queue),
            ("nscert", NAMESPACE, NamespaceCertificates(cluster).queue),
            ("gc", CONFIGURATION, RevisionCollector(cluster).queue),
        )
        self._translating = IngressController(cluster, ingresses) if ingresses else None
        if self._translating is not None:
            queues += (("ingress", INGRESS, self._translating.queue),)
        self.duties = tuple(Duty(name, queue, self._informers[resource]) for name, resource, queue in queues)
        """What there is to do, each for those who hold its Leases."""

    @property
    def synced(self) -> bool:
        """Whether every cache has been filled."""
        return not self.unfilled()

    def unfilled(self) -> str:
        """The resources whose caches have not been filled, each with why, where that is known."""
        return unfilled(self._config_maps.copy, *self._informers.values())

    async def wait_synced(self) -> None:
        await self._config_maps.wait_synced()
        for informer in self._informers.values():
            await informer.wait_synced()

    def running(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What keeps the caches current, and the workers, which wait until they hold something to work on."""
        copies = {
            f"copy of {resource.base_path} {resource.plural}": informer.run()
            for resource, informer in self._informers.items()
        }
        work = {f"{duty.name} reconciler": duty.queue.run() for duty in self.duties}
        events = {f"events of {name}": recorder.run() for name, recorder in self._recorders.items()}
        probes = {"probes of gateways": self._translating.probe()} if self._translating is not None else {}
        return {
            **copies,
            **probes,
            **work,
            **events,
            "copy of config maps": self._config_maps.run(),
            "digests": self._resolve_digests(),
        }

    def acting(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Everything there is to do, without asking who else does it; not before the caches are filled."""
        return {f"{duty.name} alone": duty.lead(duty.divide(1)[0]) for duty in self.duties}
