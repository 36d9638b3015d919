"""What this process keeps copies of, and which of it has to be known before requests can be served."""

from collections.abc import Coroutine
from typing import Any, Final

from activator import kept
from activator.config import ActivatorConfig
from activator.sks_reconciler import ACTIVATOR_SERVICE
from activator.stat_sender import SERVICE as AUTOSCALER_SERVICE
from upwell.api import names
from upwell.api.resources import CORE_SERVICE, ENDPOINT_SLICE, POD_AUTOSCALER, REVISION, SERVERLESS_SERVICE
from upwell.clock import Clock
from upwell.cluster.client import Client
from upwell.cluster.configmaps import ConfigMaps
from upwell.cluster.endpoints import EndpointTracker
from upwell.cluster.informer import Informer, unfilled

__all__ = ["Watched"]

_SYSTEM_SERVICES: Final = f"{names.LABEL_SLICE_SERVICE} in ({ACTIVATOR_SERVICE},{AUTOSCALER_SERVICE})"


class Watched:
    """Copies of the cluster's objects, kept current by `tasks`."""

    def __init__(self, client: Client, config: ActivatorConfig, clock: Clock) -> None:
        self._flips = config.flips and config.worker == 0
        self.settings = ConfigMaps(client, config.system_namespace, clock=clock)
        self.revisions = Informer(client, REVISION, trim=kept.revision, clock=clock)
        self.autoscalers = Informer(client, POD_AUTOSCALER, trim=kept.autoscaler, clock=clock)
        # Of a big cluster's slices only those of revisions, and of the two Services that are looked up by name.
        self._slices = Informer(client, ENDPOINT_SLICE, labels=names.LABEL_SKS, trim=kept.endpoint_slice, clock=clock)
        self._system_slices = Informer(
            client, ENDPOINT_SLICE, namespace=config.system_namespace, labels=_SYSTEM_SERVICES, clock=clock
        )
        self.serverless_services = Informer(client, SERVERLESS_SERVICE, clock=clock)
        """Only followed where this process may write public addresses."""
        self.services = Informer(client, CORE_SERVICE, labels=names.LABEL_SKS, trim=kept.service, clock=clock)
        self.endpoints = EndpointTracker(self._slices, self._system_slices)

    def tasks(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What has to run, by name."""
        tasks = {
            "config maps": self.settings.run(),
            "revisions": self.revisions.run(),
            "pod autoscalers": self.autoscalers.run(),
            "slices of revisions": self._slices.run(),
            "slices of the system": self._system_slices.run(),
            "services": self.services.run(),
        }
        if self._flips:
            tasks["serverless services"] = self.serverless_services.run()
        return tasks

    async def wait_synced(self) -> None:
        """Return when requests can be served: it is known which revisions there are, and how to get to their pods."""
        for informer in self._needed():
            await informer.wait_synced()

    def unfilled(self) -> str:
        """What of it is not known yet, and why, where that is known."""
        return unfilled(*self._needed())

    def _needed(self) -> tuple[Informer, ...]:
        return self.revisions, self._slices, self.services, self.settings.copy
