"""One stored state of one object: its bytes, and what selectors and owners need to know of it.

A record never changes. Its decoded form is a convenience: it is kept for the state that is current, dropped when a
newer one takes its place (history keeps bytes only), and decoded again for whoever asks.
"""

from collections.abc import Mapping

from upwell.api.objects import Object
from upwell.api.resources import Resource
from upwell.local.apiserver.encoding import decode, encode
from upwell.local.apiserver.selectors import fields_of

__all__ = ["Record"]


class Record:
    """See the module; `revision` is the number behind the object's resourceVersion."""

    __slots__ = ("_obj", "fields", "labels", "name", "namespace", "owners", "raw", "resource", "revision", "uid")

    def __init__(self, resource: Resource, obj: Object, raw: bytes | None = None) -> None:
        """Raise KeyError, TypeError or ValueError when `obj` is not a stored object."""
        metadata = obj["metadata"]
        self.resource = resource
        self.namespace: str = metadata.get("namespace", "")
        self.name: str = metadata["name"]
        self.uid: str = metadata["uid"]
        self.revision = int(metadata["resourceVersion"])
        self.labels: Mapping[str, str] = metadata.get("labels") or {}
        self.owners: tuple[str, ...] = tuple(one["uid"] for one in metadata.get("ownerReferences") or ())
        self.fields = fields_of(resource, obj)
        self.raw = encode(obj) if raw is None else raw
        self._obj: Object | None = obj

    @property
    def obj(self) -> Object:
        """The decoded object; shared, so do not change it."""
        if self._obj is None:
            self._obj = decode(self.raw)
        return self._obj

    def forget(self) -> None:
        """Keep the bytes only."""
        self._obj = None
