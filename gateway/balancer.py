"""Which endpoint of a backend gets the next request.

A backend is a port of a Service. Its endpoints are the ready addresses in the Service's EndpointSlices, under the
name that the Service gives the port; where none is ready, those that terminate and still serve. Of two of them drawn
at random the one with fewer requests in flight is taken (the power of two choices), which needs no bookkeeping besides
those counts and no scan. What is spoken there the Service's port says: HTTP/2 where it is named `http2` or `h2c`, or
has that appProtocol, else HTTP/1; and TLS where it is named `https`. An endpoint that has just failed is passed over
for a moment while there are others: EndpointSlices follow a death, the next request is earlier.
"""

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, Protocol

from gateway.ingress import Backend
from gateway.metrics import BackendMetrics, GatewayMetrics
from upwell.api import names
from upwell.api.objects import Key, Object, key_of
from upwell.clock import Clock, SystemClock
from upwell.cluster.endpoints import Address, EndpointTracker
from upwell.cluster.informer import Informer
from upwell.http import Upstream
from upwell.http.dial import SecureDialer

__all__ = ["Balancer", "Pool", "UpstreamSource"]

HTTPS: Final = "https"
HTTP2_NAMES: Final = frozenset((names.PORT_NAME_H2C, "h2c"))
SUSPECT_SECONDS: Final = 1.0
"""How long an endpoint that failed is passed over; a restart takes about as long."""


class UpstreamSource(Protocol):
    """What the balancer needs of the engine."""

    def upstream(self, host: str, port: int, *, secure: SecureDialer | None = None) -> Upstream: ...

    def discard(self, upstream: Upstream) -> None: ...


class Pool:
    """The endpoints of one backend."""

    __slots__ = ("_clock", "_rng", "_suspects", "backend", "dropped", "http2", "metrics", "upstreams")

    def __init__(self, backend: Backend, metrics: BackendMetrics, clock: Clock, rng: random.Random) -> None:
        self.backend = backend
        self.metrics = metrics
        self.upstreams: list[Upstream] = []
        self.http2 = False
        """Whether HTTP/2 is spoken there."""
        self.dropped = False
        """Whether this is no longer the backend's pool: whoever waits has to look for its route again."""
        self._suspects: dict[Upstream, float] = {}
        self._clock = clock
        self._rng = rng

    def choose(self, tried: Collection[Upstream] = ()) -> Upstream | None:
        """An endpoint for one request, none of those `tried`; None when there is no other."""
        upstreams = self.upstreams
        if tried or self._suspects:
            upstreams = self._acceptable(tried)
        count = len(upstreams)
        if count < 2:
            return upstreams[0] if count else None
        first = int(self._rng.random() * count)
        second = int(self._rng.random() * (count - 1))
        if second >= first:
            second += 1
        one, other = upstreams[first], upstreams[second]
        return one if one.in_flight <= other.in_flight else other

    def suspect(self, upstream: Upstream) -> None:
        """`upstream` has just failed."""
        self._suspects[upstream] = self._clock.monotonic() + SUSPECT_SECONDS

    def forget(self, gone: Collection[Upstream]) -> None:
        """These are no endpoints any more."""
        for upstream in gone:
            self._suspects.pop(upstream, None)

    def _acceptable(self, tried: Collection[Upstream]) -> list[Upstream]:
        now = self._clock.monotonic()
        self._suspects = {upstream: until for upstream, until in self._suspects.items() if until > now}
        untried = [upstream for upstream in self.upstreams if upstream not in tried]
        return [upstream for upstream in untried if upstream not in self._suspects] or untried


class Balancer:
    """All backends that requests have asked for."""

    def __init__(
        self,
        services: Informer,
        endpoints: EndpointTracker,
        engine: UpstreamSource,
        metrics: GatewayMetrics,
        *,
        secure: Callable[[str], SecureDialer] | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """`services` is an informer on core Services, run by the caller.

        `secure` gives what dials the backends of a namespace where TLS is spoken.
        """
        self._services = services
        self._endpoints = endpoints
        self._engine = engine
        self._metrics = metrics
        self._secure = secure
        self._clock = clock or SystemClock()
        self._rng = rng or random.Random()
        self._pools: dict[Backend, Pool] = {}
        self._by_service: dict[Key, set[Backend]] = {}
        self._uses: dict[Upstream, int] = {}
        self._callbacks: list[Callable[[Pool], None]] = []
        endpoints.on_change(self._refresh_service)
        services.add_handler(self._service_changed)

    def pool(self, backend: Backend) -> Pool:
        """The endpoints of `backend`, kept current."""
        found = self._pools.get(backend)
        if found is None:
            found = Pool(backend, self._metrics.backend(backend), self._clock, self._rng)
            self._pools[backend] = found
            self._by_service.setdefault(Key(backend.namespace, backend.service), set()).add(backend)
            self._refresh(found)
        return found

    def on_change(self, callback: Callable[[Pool], None]) -> None:
        """Call `callback` when a pool's endpoints changed, or when it was dropped."""
        self._callbacks.append(callback)

    def drop(self, backend: Backend) -> None:
        """No object leads to `backend` any more; should one again, its next request makes a new pool."""
        pool = self._pools.pop(backend, None)
        if pool is None:
            return
        service = Key(backend.namespace, backend.service)
        self._by_service[service].discard(backend)
        if not self._by_service[service]:
            del self._by_service[service]
        self._set(pool, [])
        self._metrics.drop(backend)
        pool.dropped = True
        for callback in self._callbacks:
            callback(pool)

    def _service_changed(self, old: Object | None, new: Object | None) -> None:
        changed = new if new is not None else old
        if changed is not None:
            self._refresh_service(key_of(changed))

    def _refresh_service(self, service: Key) -> None:
        for backend in self._by_service.get(service, ()):
            self._refresh(self._pools[backend])

    def _refresh(self, pool: Pool) -> None:
        port = self._port(pool.backend)
        secure = None
        if port is not None:
            # Behind TLS there is what is spoken without it at the port beside.
            if port.get("name") == HTTPS and self._secure is not None:
                secure = self._secure(pool.backend.namespace)
            pool.http2 = any(map(_speaks_http2, [port] if secure is None else self._ports(pool.backend)))
        wanted = [(*address, secure) for address in self._addresses(pool.backend, port)]
        if [(upstream.host, upstream.port, upstream.secure) for upstream in pool.upstreams] != wanted:
            self._set(pool, [self._engine.upstream(host, number, secure=dialer) for host, number, dialer in wanted])
            for callback in self._callbacks:
                callback(pool)

    def _port(self, backend: Backend) -> Mapping[str, Any] | None:
        for port in self._ports(backend):
            if backend.port in (port.get("port"), port.get("name")):
                return port
        return None

    def _ports(self, backend: Backend) -> Sequence[Mapping[str, Any]]:
        service = self._services.get(backend.namespace, backend.service)
        found: Sequence[Mapping[str, Any]] = ((service or {}).get("spec") or {}).get("ports") or ()
        return found

    def _addresses(self, backend: Backend, port: Mapping[str, Any] | None) -> list[Address]:
        if port is None:
            return []
        which = (backend.namespace, backend.service, port.get("name") or "")
        return self._endpoints.addresses(*which)[0] or self._endpoints.leaving(*which)

    def _set(self, pool: Pool, upstreams: list[Upstream]) -> None:
        # Taken before given up, so that one that stays keeps its connections.
        old, pool.upstreams = pool.upstreams, upstreams
        for upstream in upstreams:
            self._uses[upstream] = self._uses.get(upstream, 0) + 1
        for upstream in old:
            self._uses[upstream] -= 1
            if not self._uses[upstream]:
                del self._uses[upstream]
                self._engine.discard(upstream)
        pool.forget(set(old) - set(upstreams))


def _speaks_http2(port: Mapping[str, Any]) -> bool:
    return port.get("name") in HTTP2_NAMES or port.get("appProtocol") == names.APP_PROTOCOL_H2C
