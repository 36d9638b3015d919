"""What a request's head comes to: found out once for each head, and kept with it.

    head ──> host's routes ──> route ──> its targets ──> one Passage for each: where to, and which fields change

Clients send the same head again and again on a kept connection, and the engine gives them one `RequestHead`; what was
found out for it (`RequestHead.note`) holds until the table changes. So the path of most requests is a comparison of
two numbers, the card of a split, and an endpoint. A head that is new finds the plan of its host, where nothing but the
host decides. Passages are shared by requests and never change.
"""

from typing import Final, Protocol

from gateway.balancer import Pool
from gateway.ingress import OWN_NAMES, Backend, HostRoutes, Route, Target
from gateway.split import Deck
from gateway.table import Table
from upwell.http import RequestHead

__all__ = ["Passage", "Plan", "Planner", "PoolFinder"]

Fields = tuple[tuple[bytes, bytes], ...]
_HOSTS_MAX: Final = 16_384
"""Hosts whose plan is kept at a time, half a KiB each."""


class PoolFinder(Protocol):
    """Who knows the endpoints of backends."""

    def pool(self, backend: Backend) -> Pool: ...


class Passage:
    """Where a request goes, and how it is changed on the way."""

    __slots__ = ("add", "host", "pool", "remove")

    def __init__(self, pool: Pool, host: bytes | None, remove: frozenset[bytes], add: Fields) -> None:
        """`host` replaces the Host field; fields named in `remove` (lower case) are dropped, `add` is appended."""
        self.pool = pool
        self.host = host
        self.remove = remove
        self.add = add


class Plan:
    """What requests with one head have in common, as long as the table is of this version."""

    __slots__ = ("deck", "passages", "version")

    def __init__(self, version: int, passages: tuple[Passage, ...], deck: Deck | None) -> None:
        """`deck` deals the number of a passage; without one there is one passage."""
        self.version = version
        self.passages = passages
        self.deck = deck

    def choose(self) -> Passage:
        """The passage of one more request."""
        return self.passages[0] if self.deck is None else self.passages[self.deck.deal()]


class Planner:
    """Makes plans."""

    def __init__(self, pools: PoolFinder, scheme: bytes = b"http") -> None:
        """`scheme` is what the clients speak: http or https."""
        self._pools = pools
        self._plain = scheme == b"http"
        self._proto = (b"X-Forwarded-Proto", scheme)
        self._by_host: dict[bytes, Plan] = {}
        """By Host as clients write it. What the table has outgrown is replaced when it is asked for."""

    def known(self, table: Table, request: RequestHead) -> Plan | None:
        """The plan for `request`, if another with its host had the same."""
        plan = self._by_host.get(request.host)
        if plan is None or plan.version != table.version:
            return None
        request.note = plan
        return plan

    def plan(self, table: Table, entry: HostRoutes, route: Route, request: RequestHead) -> Plan:
        """The plan for `request`, which `route` of its host's is for; kept where the next one may have the same."""
        if route.rewrite_host:
            return self._rewritten(table, route, request)
        targets, deck = route.candidates(request)
        own = self._own(request)
        passages = tuple(
            Passage(self._pools.pool(target.backend), None, target.remove, (*target.add, *own)) for target in targets
        )
        plan = request.note = Plan(table.version, passages, deck)
        # Where requests are mostly redirected, a plan is for the exception (`OPTIONS *`) and not for its host.
        if entry.only is not None and route.stickiness is None and not (entry.redirects and self._plain):
            self._keep(request.host, plan)
        return plan

    def _keep(self, host: bytes, plan: Plan) -> None:
        if len(self._by_host) >= _HOSTS_MAX:
            self._by_host.clear()
        self._by_host[host] = plan

    def _rewritten(self, table: Table, route: Route, request: RequestHead) -> Plan:
        """A host that stands for another one, as a DomainMapping's does for a Service's.

        Where that other host is one of ours, its routes are followed here: its backend would be this gateway again.
        """
        targets, deck = route.candidates(request)
        target = targets[0 if deck is None else deck.deal()]
        entry: HostRoutes | None = table.find(route.rewrite_host)
        further = entry.match(request.target, request) if entry is not None else None
        if further is None or further.rewrite_host:
            plan = Plan(table.version, (self._passage(route, target, target.remove, target.add, request),), None)
        else:
            targets, deck = further.candidates(request)
            passages = tuple(self._joined(route, target, behind, request) for behind in targets)
            plan = Plan(table.version, passages, deck)
        if deck is None:  # A route that both splits and rewrites, which no DomainMapping does, is planned anew.
            request.note = plan
        return plan

    def _joined(self, route: Route, target: Target, behind: Target, request: RequestHead) -> Passage:
        kept = tuple(field for field in target.add if field[0].lower() not in behind.remove)
        return self._passage(route, behind, target.remove | behind.remove, (*behind.add, *kept), request)

    def _passage(
        self, route: Route, target: Target, remove: frozenset[bytes], add: Fields, request: RequestHead
    ) -> Passage:
        add = (*add, *self._own(request))
        return Passage(self._pools.pool(target.backend), route.rewrite_host, remove | OWN_NAMES, add)

    def _own(self, request: RequestHead) -> Fields:
        """What the gateway says about every request."""
        return self._proto, (b"X-Forwarded-Host", request.host)
