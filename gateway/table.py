"""Host to routes: the table that every request is looked up in.

A table never changes. A new one is made from the old one and the Ingress objects that changed, and put in its place
in one assignment, so a request sees either the old routes or the new ones, whole. Making it copies two dictionaries,
whatever number of routes they hold (10,000: under a millisecond); asking it is one look-up.
"""

from collections.abc import Iterable, Mapping

from gateway.ingress import HostRoutes, IngressRoutes
from upwell.api.objects import Key

__all__ = ["Table", "normal_host"]


class Table:
    """Immutable; start with an empty one and call `updated`."""

    __slots__ = ("_claims", "hosts", "ingresses")

    def __init__(self) -> None:
        self.hosts: dict[bytes, HostRoutes] = {}
        """By host, in lower case and without a port."""
        self.ingresses: dict[Key, IngressRoutes] = {}
        self._claims: dict[bytes, tuple[IngressRoutes, ...]] = {}
        """Hosts that more than one Ingress asks for, the one that has it first."""

    def find(self, host: bytes) -> HostRoutes | None:
        """What `host`, as it stands in a request, leads to."""
        return self.hosts.get(normal_host(host))

    def updated(self, changes: Mapping[Key, IngressRoutes | None]) -> "Table":
        """A table in which these objects are as given, or gone where there is None."""
        table = Table()
        table.ingresses = dict(self.ingresses)
        table.hosts = dict(self.hosts)
        table._claims = dict(self._claims)
        for key, routes in changes.items():
            table._replace(table.ingresses.pop(key, None), routes)
            if routes is not None:
                table.ingresses[key] = routes
        return table

    def _replace(self, old: IngressRoutes | None, new: IngressRoutes | None) -> None:
        hosts = dict.fromkeys([*(old.hosts if old else ()), *(new.hosts if new else ())])
        for host in hosts:
            claimants = [routes for routes in self._claimants(host) if routes is not old]
            if new is not None and host in new.hosts:
                claimants.append(new)
            self._settle(host, claimants)

    def _claimants(self, host: bytes) -> Iterable[IngressRoutes]:
        several = self._claims.get(host)
        if several is not None:
            return several
        held = self.hosts.get(host)
        owner = self.ingresses.get(held.ingress) if held is not None else None
        return (owner,) if owner is not None else ()

    def _settle(self, host: bytes, claimants: list[IngressRoutes]) -> None:
        self._claims.pop(host, None)
        if not claimants:
            self.hosts.pop(host, None)
            return
        claimants.sort(key=lambda routes: (routes.created, routes.key))
        self.hosts[host] = claimants[0].hosts[host]
        if len(claimants) > 1:
            self._claims[host] = tuple(claimants)


def normal_host(host: bytes) -> bytes:
    """`host` as it stands in the table: lower case, without the port and a dot at the end."""
    host = host.lower()
    colon = host.rfind(b":")
    if colon >= 0 and host.rfind(b"]") < colon:
        host = host[:colon]
    return host[:-1] if host.endswith(b".") else host
