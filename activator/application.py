"""The activator's decision for each request: a probe's answer, an unknown revision, or the revision's traffic.

A revision's `Traffic` is made when the first request for it comes and kept until the revision is deleted, so
thousands of revisions that nobody asks for cost next to nothing. From then on it follows the revision's private
endpoints (its pods) and its public ones (the activators in front of it).

Until the revisions are known, requests wait: an activator that was killed and comes back under load does not tell
clients that revisions it has not read yet do not exist. That wait is bounded: where the API server stays away, they
are answered 503, those that wait and those that come.
"""

from collections.abc import Callable
from typing import Final

from activator.probe_answers import Health, answer_probe, text
from activator.revisions import key_from_host, read_revision
from activator.traffic import QUEUE_FULL, Passage, Shared, Traffic
from upwell.api import names
from upwell.api.objects import Key, Object, key_of
from upwell.cluster.endpoints import Address, EndpointTracker
from upwell.cluster.informer import Informer
from upwell.http import Exchange, UpstreamFailure
from upwell.policy.waiting_room import Share

__all__ = ["Activator"]

_NOT_FOUND: Final = 'Error getting active endpoint: revision.serving.knative.dev "{}" not found'
_UNKNOWN_YET: Final = text(
    503,
    b"the revisions are not known yet",
    (b"Retry-After", b"1"),
    (names.HEADER_ERROR.encode(), b"activator; reason=not-started; unsent"),
)

SelfAddress = Callable[[str], Address]
"""This activator's own address, by the name of the port."""


class Activator:
    """The engine's application."""

    def __init__(
        self,
        shared: Shared,
        revisions: Informer,
        autoscalers: Informer,
        services: Informer,
        endpoints: EndpointTracker,
        health: Health,
        *,
        cluster_domain: str,
        self_address: SelfAddress,
    ) -> None:
        """`autoscalers` is on PodAutoscalers, and only for knowing when a cold start was decided; `services` is on the
        private Services."""
        self._shared = shared
        self._revisions = revisions
        self._endpoints = endpoints
        self._health = health
        self._cluster_domain = cluster_domain
        self._self_address = self_address
        self.arrivals = 0
        """Requests so far, probes not among them."""
        self._traffics: dict[tuple[str, str], Traffic] = {}
        self._private: dict[Key, Traffic] = {}
        self._early: dict[Exchange, None] = {}
        """Requests that came before the revisions were known, in order."""
        self._early_share = Share(shared.room)
        self._patient = True
        """Whether requests may wait for the revisions."""
        revisions.add_handler(self._revision_changed)
        autoscalers.add_handler(self._autoscaler_changed)
        services.add_handler(self._service_changed)
        endpoints.on_change(self._endpoints_changed)
        shared.network.on_change(self._network_changed)

    # What the engine reports.

    def request_received(self, exchange: Exchange) -> None:
        answer = answer_probe(exchange.request, self._health)
        if answer is not None:
            exchange.respond(*answer)
        elif self._health.started:
            self.arrivals += 1
            self._route(exchange)
        elif not self._patient:
            exchange.respond(*_UNKNOWN_YET)
        elif len(self._early) < self._shared.queue_limit and self._early_share.enter():
            self._early[exchange] = None
            if not exchange.request_complete:
                exchange.hold_body()
        else:
            exchange.respond(*QUEUE_FULL)

    def upstream_failed(self, exchange: Exchange, failure: UpstreamFailure) -> None:
        passage: Passage = exchange.context
        passage.traffic.failed(exchange, passage, failure)

    def exchange_ended(self, exchange: Exchange) -> None:
        passage: Passage | None = exchange.context
        if passage is not None:
            passage.traffic.ended(exchange, passage)
        elif exchange in self._early:
            del self._early[exchange]
            self._early_share.leave()

    # What the process decides.

    def start(self) -> None:
        """The revisions are known: serve."""
        self._health.started = True
        early, self._early = self._early, {}
        for exchange in early:
            self._early_share.leave()
            self._route(exchange)

    def lose_patience(self) -> None:
        """The revisions are not known after all this time: nobody waits for them any more."""
        self._patient = False
        for exchange in list(self._early):
            exchange.respond(*_UNKNOWN_YET)

    def close(self) -> None:
        """Stop following pods."""
        for traffic in self._traffics.values():
            traffic.backends.close()

    def _route(self, exchange: Exchange) -> None:
        request = exchange.request
        namespace = request.fields.get(b"knative-serving-namespace")
        name = request.fields.get(b"knative-serving-revision")
        if namespace and name:
            wanted: tuple[str, str] = (namespace.decode("latin-1"), name.decode("latin-1"))
        else:
            named = b"" if name is None else name
            wanted = key_from_host(request.host, self._cluster_domain) or ("", named.decode("latin-1"))
        traffic = self._traffics.get(wanted) or self._traffic_for(Key(*wanted))
        if traffic is None:
            trace = self._shared.observers.began(exchange)
            exchange.respond(*_not_found(wanted[1]))
            self._shared.observers.unknown(exchange, trace)
        else:
            traffic.arrive(exchange)

    # What the cluster says.

    def _traffic_for(self, key: Key) -> Traffic | None:
        found = self._revisions.get(*key)
        if found is None:
            return None
        revision = read_revision(found)
        traffic = self._traffics[key] = Traffic(revision, self._shared)
        self._private[revision.private_service] = traffic
        self._follow_activators(traffic)
        self._follow_pods(traffic)
        return traffic

    def _revision_changed(self, old: Object | None, new: Object | None) -> None:
        changed = new if new is not None else old
        if changed is None or (traffic := self._traffics.get(key_of(changed))) is None:
            return
        if new is not None:
            traffic.revision = read_revision(new)
            return
        key = traffic.revision.key
        del self._traffics[key]
        del self._private[traffic.revision.private_service]
        traffic.close(*_not_found(key.name))

    def _autoscaler_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and _desired_scale(new) > 0 and (old is None or _desired_scale(old) <= 0):
            traffic = self._traffics.get(key_of(new))
            if traffic is not None:
                traffic.cold_start.mark("decided", self._shared.clock.monotonic())

    def _endpoints_changed(self, service: Key) -> None:
        traffic = self._private.get(service)
        if traffic is not None:
            self._follow_pods(traffic)
        traffic = self._traffics.get(service)
        if traffic is not None:
            self._follow_activators(traffic)

    def _service_changed(self, old: Object | None, new: Object | None) -> None:
        """A private Service has, or has lost, an address."""
        changed = new if new is not None else old
        traffic = None if changed is None else self._private.get(key_of(changed))
        if traffic is not None:
            self._follow_pods(traffic)

    def _network_changed(self) -> None:
        for traffic in self._traffics.values():
            traffic.reroute()
            self._follow_pods(traffic)

    def _follow_pods(self, traffic: Traffic) -> None:
        revision = traffic.revision
        traffic.set_endpoints(*self._endpoints.addresses(*revision.private_service, revision.port_name))

    def _follow_activators(self, traffic: Traffic) -> None:
        """Learn how many activators share this revision; while it points at its pods, what was known stays."""
        revision = traffic.revision
        ready, _ = self._endpoints.addresses(*revision.key, revision.port_name)
        ordered = sorted(ready)
        own = self._self_address(revision.port_name)
        if own in ordered:
            traffic.set_activators(len(ordered), ordered.index(own))


def _desired_scale(autoscaler: Object) -> int:
    return int((autoscaler.get("status") or {}).get("desiredScale") or 0)


def _not_found(name: str) -> tuple[int, tuple[tuple[bytes, bytes], ...], bytes]:
    return text(404, _NOT_FOUND.format(name).encode("latin-1", "replace"))
