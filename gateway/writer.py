"""Writes the status of the Ingress objects that the table serves, when it differs and at no other time.

Every gateway writes the same words about the same generation, so several of them need no leader: whoever comes first
writes, the others find it written.
"""

from gateway.kept import whole_ingress
from gateway.routes import Routes
from gateway.status import rejected_status, served_status
from upwell.api.objects import Key
from upwell.api.resources import INGRESS
from upwell.clock import Clock, SystemClock
from upwell.cluster.client import Client
from upwell.cluster.errors import NotFound
from upwell.cluster.informer import Informer
from upwell.cluster.reconciler import Reconciler
from upwell.cluster.status import apply_status

__all__ = ["StatusWriter"]


class StatusWriter:
    """A reconciler from the table to the objects' statuses."""

    def __init__(
        self, client: Client, ingresses: Informer, routes: Routes, domain: str, *, clock: Clock | None = None
    ) -> None:
        """`domain` is the name under which the cluster reaches the gateway."""
        self._client = client
        self._ingresses = ingresses
        self._routes = routes
        self._domain = domain
        self._clock = clock or SystemClock()
        self._reconciler = Reconciler("ingress-status", self._reconcile, clock=self._clock)
        routes.on_served(self._reconciler.enqueue)

    async def run(self) -> None:
        """Write until cancelled; what was served before is written first."""
        await self._reconciler.run()

    async def _reconcile(self, key: Key) -> None:
        obj = self._ingresses.get(key.namespace, key.name)
        if obj is None or not self._routes.is_ours(obj):
            return
        generation = int(obj["metadata"].get("generation") or 0)
        served = self._routes.table.ingresses.get(key)
        rejected = self._routes.rejected.get(key)
        if rejected is not None and rejected[0] == generation:
            status = rejected_status(obj, rejected[1], self._clock.now())
        elif served is not None and served.generation == generation:
            status = served_status(obj, self._domain, self._clock.now())
        else:
            return  # the table is about to have it, and says so
        try:
            await apply_status(self._client, INGRESS, whole_ingress(obj), status)
        except NotFound:
            return  # deleted meanwhile
