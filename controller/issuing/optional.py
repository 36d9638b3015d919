"""Following kinds that a cluster may not have, such as cert-manager's, without waiting for them.

Where a kind is not served, or must not be read, the copy of it counts as filled, and empty; one line in the log says
so. It is looked for again now and then, and from when it is there it is followed as any other.
"""

import random
from collections.abc import AsyncIterator
from typing import Final

from upwell.api.objects import Object
from upwell.api.resources import Resource
from upwell.clock import Clock
from upwell.cluster.client import Client
from upwell.cluster.errors import Forbidden, Gone, NotFound
from upwell.cluster.informer import Informer, Trim
from upwell.telemetry import log

__all__ = ["OptionalSource", "optional_informer"]

LOG: Final = log.get("optional")
LOOK_SECONDS: Final = 30.0
_ABSENT: Final = "absent"
"""The position from which nothing can be watched; of a list of what is not there."""


def optional_informer(client: Client, resource: Resource, clock: Clock) -> Informer:
    """An informer whose kind may be missing."""
    return Informer(OptionalSource(client, clock), resource, clock=clock)


class OptionalSource:
    """Reads through `client`; a kind that is missing is an empty list, and a watch that ends when it appears."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._missing = False

    async def list(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = "", trim: Trim | None = None
    ) -> tuple[list[Object], str]:
        try:
            found = await self._client.list(resource, namespace, labels=labels, fields=fields, trim=trim)
        except (NotFound, Forbidden) as error:
            self._note_missing(resource, error)
            return [], _ABSENT
        if self._missing:
            self._missing = False
            LOG.info("a kind has appeared", kind=resource.kind, group=resource.group)
        return found

    async def watch(
        self, resource: Resource, namespace: str = "", *, resource_version: str, labels: str = "", fields: str = ""
    ) -> AsyncIterator[tuple[str, Object]]:
        if resource_version == _ABSENT:
            await self._wait_for(resource, namespace, labels, fields)
            raise Gone(410, "Expired", f"{resource.plural} have appeared")
        watching = self._client.watch(
            resource, namespace, resource_version=resource_version, labels=labels, fields=fields
        )
        async for event in watching:
            yield event

    async def _wait_for(self, resource: Resource, namespace: str, labels: str, fields: str) -> None:
        while self._missing:
            await self._clock.sleep(LOOK_SECONDS * random.uniform(0.8, 1.2))
            await self.list(resource, namespace, labels=labels, fields=fields)

    def _note_missing(self, resource: Resource, error: Exception) -> None:
        if not self._missing:
            self._missing = True
            LOG.warning("a kind is not there, going on without it", kind=resource.kind, why=str(error))
