"""Where a Service's pods listen: the union of its EndpointSlices, by port name.

A Service may have any number of slices, each with ports of its own, so that pods of one Service may listen on
different ports. An endpoint without a `ready` condition is ready, one that terminates is neither ready nor coming up,
and one that is ready in any slice is ready (EndpointSlice v1). One that terminates and still serves is leaving: better
than nothing where there is nobody else, as kube-proxy has it.

A Service's addresses are read from its slices when somebody asks for the first time, and from then on follow each
changed slice alone: a Service with ten thousand pods costs no more per change than one with a hundred, which is what
a slice of Kubernetes' holds at most. Asking per request costs a dictionary look-up.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from upwell.api.names import LABEL_SLICE_SERVICE
from upwell.api.objects import Key, Object, key_of, labels_of, namespace_of
from upwell.cluster.informer import Informer

__all__ = ["Address", "EndpointTracker"]

_INDEX = "service"


class Address(NamedTuple):
    """A pod's IP address and the port to dial."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


Addresses = tuple[list[Address], list[Address]]
_Entry = tuple[Address, bool | None]
"""An address and whether it is ready; None: it is leaving."""


class EndpointTracker:
    """The endpoints of every Service whose slices some informers know."""

    def __init__(self, *informers: Informer) -> None:
        """`informers` are on EndpointSlices, run by the caller; together they show a slice once."""
        self._informers = informers
        self._listings: dict[Key, dict[str, _Listing]] = {}
        self._callbacks: list[Callable[[Key], None]] = []
        for informer in informers:
            informer.add_index(_INDEX, _services_of)
            informer.add_handler(self._changed)

    def addresses(self, namespace: str, service: str, port_name: str) -> Addresses:
        """(ready, not ready) addresses of the port named so; shared lists, not to be changed.

        Not ready are those that may become so: terminating endpoints are in neither list.
        """
        return self._listing(Key(namespace, service), port_name).addresses()

    def leaving(self, namespace: str, service: str, port_name: str) -> list[Address]:
        """Addresses of the port named so that terminate, and still serve; none of them is ready in another slice."""
        return self._listing(Key(namespace, service), port_name).leaving()

    def _listing(self, key: Key, port_name: str) -> "_Listing":
        listings = self._listings.get(key)
        if listings is None:
            listings = self._listings[key] = {}
        listing = listings.get(port_name)
        if listing is None:
            listing = listings[port_name] = _Listing(port_name)
            for endpoint_slice in self.slices(key):
                listing.put(key_of(endpoint_slice), endpoint_slice)
        return listing

    def slices(self, service: Key) -> list[Object]:
        """The slices themselves."""
        text = f"{service.namespace}/{service.name}"
        return [found for informer in self._informers for found in informer.by_index(_INDEX, text)]

    def on_change(self, callback: Callable[[Key], None]) -> None:
        """Call `callback` with a Service's key when its endpoints may have changed."""
        self._callbacks.append(callback)

    async def wait_synced(self) -> None:
        """Return when every slice has been seen once."""
        for informer in self._informers:
            await informer.wait_synced()

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if old is not None and new is not None and _says_the_same(old, new):
            return
        services = {service for obj in (old, new) if obj is not None for service in _keys_of(obj)}
        for service in sorted(services):
            self._follow(service, old, new)
            for callback in self._callbacks:
                callback(service)

    def _follow(self, service: Key, old: Object | None, new: Object | None) -> None:
        changed = new if new is not None else old
        assert changed is not None
        there = new if new is not None and service in _keys_of(new) else None
        for listing in self._listings.get(service, {}).values():
            listing.put(key_of(changed), there)
        if there is None and not self.slices(service):
            self._listings.pop(service, None)


class _Listing:
    """The addresses of one Service's port: in how many slices each is listed, and in how many of them as ready."""

    __slots__ = ("_by_slice", "_counts", "_known", "_leaving", "_port_name")

    def __init__(self, port_name: str) -> None:
        self._port_name = port_name
        self._by_slice: dict[Key, list[_Entry]] = {}
        self._counts: dict[Address, tuple[int, int]] = {}
        self._leaving: dict[Address, int] = {}
        self._known: Addresses | None = None

    def addresses(self) -> Addresses:
        if self._known is None:
            self._known = (
                [address for address, (_, ready) in self._counts.items() if ready],
                [address for address, (_, ready) in self._counts.items() if not ready],
            )
        return self._known

    def leaving(self) -> list[Address]:
        return [address for address in self._leaving if address not in self._counts]

    def put(self, name: Key, endpoint_slice: Object | None) -> None:
        """The slice of that name is this now; None: there is none."""
        self._known = None
        before = self._by_slice.pop(name, [])
        if endpoint_slice is not None:
            entries = self._by_slice[name] = list(_entries(endpoint_slice, self._port_name))
            self._count(entries, 1)
        self._count(before, -1)

    def _count(self, entries: list[_Entry], step: int) -> None:
        counts = self._counts
        for address, is_ready in entries:
            if is_ready is None:
                self._leaving[address] = self._leaving.get(address, 0) + step
                if not self._leaving[address]:
                    del self._leaving[address]
                continue
            listed, ready = counts.get(address, (0, 0))
            if listed + step:
                counts[address] = (listed + step, ready + step if is_ready else ready)
            else:
                del counts[address]


def _services_of(endpoint_slice: Object) -> Iterable[str]:
    return (f"{key.namespace}/{key.name}" for key in _keys_of(endpoint_slice))


def _keys_of(endpoint_slice: Object) -> tuple[Key, ...]:
    service = labels_of(endpoint_slice).get(LABEL_SLICE_SERVICE)
    return (Key(namespace_of(endpoint_slice), service),) if service else ()


def _says_the_same(old: Object, new: Object) -> bool:
    return (
        old.get("endpoints") == new.get("endpoints")
        and old.get("ports") == new.get("ports")
        and labels_of(old).get(LABEL_SLICE_SERVICE) == labels_of(new).get(LABEL_SLICE_SERVICE)
    )


def _entries(endpoint_slice: Object, port_name: str) -> Iterator[_Entry]:
    ports = [port["port"] for port in endpoint_slice.get("ports") or () if (port.get("name") or "") == port_name]
    for endpoint in endpoint_slice.get("endpoints") or () if ports else ():
        conditions = endpoint.get("conditions") or {}
        if conditions.get("terminating") and not _serves(conditions):
            continue
        ready = None if conditions.get("terminating") else conditions.get("ready") is not False
        for host in endpoint.get("addresses") or ():
            for port in filter(None, ports):
                yield Address(str(host), int(port)), ready


def _serves(conditions: dict[str, Any]) -> bool:
    # Whoever does not say defers to `ready`, which is not given for those that terminate.
    return bool(conditions.get("serving", conditions.get("ready")))
