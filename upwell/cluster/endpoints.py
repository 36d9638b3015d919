"""Where a Service's pods listen: the union of its EndpointSlices, by port name.

A Service may have any number of slices, each with ports of its own, so that pods of one Service may listen on
different ports. The answer for a (service, port) is kept until one of that Service's slices changes; asking for it
per request costs a dictionary look-up. An endpoint without a `ready` condition is ready, one that terminates is
neither ready nor coming up, and one that is ready in any slice is ready (EndpointSlice v1).
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from upwell.api.names import LABEL_SLICE_SERVICE
from upwell.api.objects import Key, Object, labels_of, namespace_of
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


class EndpointTracker:
    """The endpoints of every Service whose slices an informer knows."""

    def __init__(self, slices: Informer) -> None:
        """`slices` is an informer on EndpointSlices, run by the caller."""
        self._slices = slices
        self._known: dict[tuple[str, str, str], Addresses] = {}
        self._ports: dict[Key, set[str]] = {}
        self._callbacks: list[Callable[[Key], None]] = []
        slices.add_index(_INDEX, _services_of)
        slices.add_handler(self._changed)

    def addresses(self, namespace: str, service: str, port_name: str) -> Addresses:
        """(ready, not ready) addresses of the port named so; shared lists, not to be changed.

        Not ready are those that may become so: terminating endpoints are in neither list.
        """
        known = self._known.get((namespace, service, port_name))
        if known is None:
            known = _addresses(self._slices.by_index(_INDEX, f"{namespace}/{service}"), port_name)
            self._known[namespace, service, port_name] = known
            self._ports.setdefault(Key(namespace, service), set()).add(port_name)
        return known

    def on_change(self, callback: Callable[[Key], None]) -> None:
        """Call `callback` with a Service's key when its endpoints may have changed."""
        self._callbacks.append(callback)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if old is not None and new is not None and _says_the_same(old, new):
            return
        services = {service for obj in (old, new) if obj is not None for service in _keys_of(obj)}
        for service in sorted(services):
            for port_name in self._ports.pop(service, ()):
                self._known.pop((service.namespace, service.name, port_name), None)
            for callback in self._callbacks:
                callback(service)


def _services_of(endpoint_slice: Object) -> Iterable[str]:
    return (f"{key.namespace}/{key.name}" for key in _keys_of(endpoint_slice))


def _keys_of(endpoint_slice: Object) -> Iterable[Key]:
    service = labels_of(endpoint_slice).get(LABEL_SLICE_SERVICE)
    return (Key(namespace_of(endpoint_slice), service),) if service else ()


def _says_the_same(old: Object, new: Object) -> bool:
    return (
        old.get("endpoints") == new.get("endpoints")
        and old.get("ports") == new.get("ports")
        and labels_of(old).get(LABEL_SLICE_SERVICE) == labels_of(new).get(LABEL_SLICE_SERVICE)
    )


def _addresses(slices: Iterable[Object], port_name: str) -> Addresses:
    found: dict[Address, bool] = {}
    for endpoint_slice in slices:
        ports = [port["port"] for port in endpoint_slice.get("ports") or () if (port.get("name") or "") == port_name]
        for endpoint in endpoint_slice.get("endpoints") or ():
            ready = _readiness(endpoint)
            if ready is None:
                continue
            for host in endpoint.get("addresses") or ():
                for port in filter(None, ports):
                    address = Address(str(host), int(port))
                    found[address] = found.get(address, False) or ready
    ready_ones = [address for address, ready in found.items() if ready]
    return ready_ones, [address for address, ready in found.items() if not ready]


def _readiness(endpoint: dict[str, Any]) -> bool | None:
    conditions = endpoint.get("conditions") or {}
    if conditions.get("terminating"):
        return None
    return conditions.get("ready") is not False
