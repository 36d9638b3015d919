"""Writes the status of the Ingress objects that the table serves, when it differs and at no other time.

Every gateway writes the same words about the same generation, so several of them need no leader: whoever comes first
writes, the others find it written. Two that would write different ones (an upgrade that changes an address) must not
answer each other for ever, so each says its word about a generation once, and again only where there is none left.
"""

from typing import Any

from gateway.kept import whole_ingress
from gateway.routes import Routes
from gateway.status import LoadBalancers, is_whole, rejected_status, served_status
from upwell.api.objects import Key, Object, key_of
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
        self,
        client: Client,
        ingresses: Informer,
        routes: Routes,
        load_balancers: LoadBalancers,
        *,
        clock: Clock | None = None,
    ) -> None:
        """`load_balancers` are the names under which the gateway is reached."""
        self._client = client
        self._ingresses = ingresses
        self._routes = routes
        self._load_balancers = load_balancers
        self._clock = clock or SystemClock()
        self._said: dict[Key, tuple[int, str]] = {}
        """What was written last: about which generation, and what is wrong with it."""
        self._reconciler = Reconciler("ingress-status", self._reconcile, clock=self._clock)
        routes.on_served(self._reconciler.enqueue)
        ingresses.add_handler(self._forget)

    async def run(self) -> None:
        """Write until cancelled; what was served before is written first."""
        await self._reconciler.run()

    def _forget(self, old: Object | None, new: Object | None) -> None:
        if old is not None and new is None:
            self._said.pop(key_of(old), None)

    async def _reconcile(self, key: Key) -> None:
        obj = self._ingresses.get(key.namespace, key.name)
        if obj is None or not self._routes.is_ours(obj):
            return
        generation = int(obj["metadata"].get("generation") or 0)
        served = self._routes.table.ingresses.get(key)
        rejected = self._routes.rejected.get(key)
        if rejected is not None and rejected[0] == generation:
            await self._say(key, obj, rejected_status(obj, rejected[1], self._clock.now()), str(rejected[1]))
        elif served is not None and served.generation == generation:
            await self._say(key, obj, served_status(obj, self._load_balancers, self._clock.now()), "")
        # Else the table is about to have it, and says so.

    async def _say(self, key: Key, obj: Object, status: dict[str, Any], problem: str) -> None:
        word = (status["observedGeneration"], problem)
        if self._said.get(key) == word and is_whole(obj):
            return
        try:
            await apply_status(self._client, INGRESS, whole_ingress(obj), status)
        except NotFound:
            return  # deleted meanwhile
        self._said[key] = word
