"""Host to routes: the table that every request is looked up in.

Asking it is one look-up. A change touches the hosts of the objects that changed and nothing else, so it costs the
same among ten routes and among ten thousand. It is done in one piece, without giving way to the loop, so a request
sees either the old routes or the new ones, whole; and what a request has found (`HostRoutes`) never changes. Whoever
keeps what was found looks at `version`.
"""

from collections.abc import Iterable, Mapping

from gateway.ingress import Backend, HostRoutes, IngressRoutes
from upwell.api.objects import Key

__all__ = ["Table", "normal_host"]


class Table:
    """Begins empty; `change` fills it."""

    __slots__ = ("_claims", "_uses", "hosts", "ingresses", "version")

    def __init__(self) -> None:
        self.version = 0
        """Grows with every change."""
        self.hosts: dict[bytes, HostRoutes] = {}
        """By host, in lower case and without a port."""
        self.ingresses: dict[Key, IngressRoutes] = {}
        self._uses: dict[Backend, int] = {}
        self._claims: dict[bytes, tuple[IngressRoutes, ...]] = {}
        """Hosts that more than one Ingress asks for, the one that has it first."""

    def find(self, host: bytes) -> HostRoutes | None:
        """What `host`, as it stands in a request, leads to."""
        return self.hosts.get(normal_host(host))

    def change(self, changes: Mapping[Key, IngressRoutes | None]) -> set[Backend]:
        """From now on these objects are as given, or gone where there is None; the backends that none leads to now."""
        left: set[Backend] = set()
        for key, routes in changes.items():
            old = self.ingresses.pop(key, None)
            self._replace(old, routes)
            if routes is not None:
                self.ingresses[key] = routes
                for backend in routes.backends:
                    self._uses[backend] = self._uses.get(backend, 0) + 1
            if old is not None:
                left |= old.backends
                for backend in old.backends:
                    self._uses[backend] -= 1
        self.version += 1
        unused = {backend for backend in left if not self._uses[backend]}
        for backend in unused:
            del self._uses[backend]
        return unused

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
