"""A finalizer of ours on objects of one kind: on before something of theirs is left elsewhere, off when it is gone."""

from upwell.api.objects import Object, name_of, namespace_of
from upwell.api.resources import Resource
from upwell.cluster.client import Client
from upwell.cluster.errors import NotFound
from upwell.cluster.events import EventRecorder

__all__ = ["Finalizer"]


class Finalizer:
    """Written only where it is not as it should be, and never over somebody else's change (Conflict)."""

    def __init__(self, client: Client, resource: Resource, name: str, events: EventRecorder) -> None:
        self._client = client
        self._resource = resource
        self._name = name
        self._events = events

    def is_on(self, obj: Object) -> bool:
        return self._name in _finalizers(obj)

    async def put_on(self, obj: Object) -> Object | None:
        """The object as it is with the finalizer; None when it is gone."""
        return obj if self.is_on(obj) else await self._write(obj, [*_finalizers(obj), self._name])

    async def take_off(self, obj: Object) -> Object | None:
        """The object as it is without the finalizer; None when it is gone."""
        left = [one for one in _finalizers(obj) if one != self._name]
        return await self._write(obj, left) if self.is_on(obj) else obj

    async def _write(self, obj: Object, finalizers: list[str]) -> Object | None:
        metadata = {"finalizers": finalizers, "resourceVersion": obj["metadata"]["resourceVersion"]}
        name = name_of(obj)
        try:
            changed = await self._client.patch(self._resource, name, namespace_of(obj), {"metadata": metadata})
        except NotFound:
            return None
        self._events.normal(obj, "FinalizerUpdate", f'Updated "{name}" finalizers')
        return changed


def _finalizers(obj: Object) -> list[str]:
    return list(obj["metadata"].get("finalizers") or ())
