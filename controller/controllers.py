"""All reconcilers, put together over one client and one set of caches.

controllers = Controllers(client, ConfigMaps(client, "knative-serving"), clock)
async with running(controllers.tasks()): ...
"""

from collections.abc import Coroutine, Mapping
from typing import Any, Final

from controller.cluster import Cluster, make_informers
from controller.configuration import COMPONENT as CONFIGURATION_COMPONENT
from controller.configuration import ConfigurationController
from controller.labeler import Labeler
from controller.revision.reconciler import COMPONENT as REVISION_COMPONENT
from controller.revision.reconciler import RevisionController
from controller.route.reconciler import COMPONENT as ROUTE_COMPONENT
from controller.route.reconciler import RouteController
from controller.service import COMPONENT as SERVICE_COMPONENT
from controller.service import ServiceController
from controller.settings import Settings
from upwell.api.names import CLUSTER_DOMAIN, SYSTEM_NAMESPACE
from upwell.api.resources import CONFIGURATION, REVISION, ROUTE, SERVICE
from upwell.clock import Clock, SystemClock
from upwell.cluster.client import Client
from upwell.cluster.configmaps import ConfigMaps
from upwell.cluster.events import EventRecorder
from upwell.cluster.reconciler import Reconciler

__all__ = ["Controllers"]

_COMPONENTS: Final = (SERVICE_COMPONENT, CONFIGURATION_COMPONENT, REVISION_COMPONENT, ROUTE_COMPONENT)


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
    ) -> None:
        clock = clock or SystemClock()
        self._config_maps = config_maps
        self._informers = make_informers(client, clock)
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
        self._queues: Mapping[str, Reconciler] = {
            "services": ServiceController(cluster).queue,
            "configurations": ConfigurationController(cluster).queue,
            "revisions": RevisionController(cluster).queue,
            "routes": RouteController(cluster).queue,
            "labels": Labeler(cluster).queue,
        }

    @property
    def synced(self) -> bool:
        """Whether every cache has been filled."""
        return all(informer.synced for informer in self._informers.values())

    async def wait_synced(self) -> None:
        await self._config_maps.wait_synced()
        for informer in self._informers.values():
            await informer.wait_synced()

    def following(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What keeps the caches current, in a leader and in those that wait to be one."""
        copies = {
            f"copy of {resource.base_path} {resource.plural}": informer.run()
            for resource, informer in self._informers.items()
        }
        return {**copies, "copy of config maps": self._config_maps.run()}

    def reconciling(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What acts, in the leader alone, and not before the caches are filled."""
        for resource, name in (
            (SERVICE, "services"),
            (CONFIGURATION, "configurations"),
            (REVISION, "revisions"),
            (ROUTE, "routes"),
            (ROUTE, "labels"),
        ):
            for obj in self._informers[resource].list():
                self._queues[name].enqueue_object(obj)
        work = {f"{name} reconciler": queue.run() for name, queue in self._queues.items()}
        return {**work, **{f"events of {name}": recorder.run() for name, recorder in self._recorders.items()}}
