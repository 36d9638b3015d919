"""From an Ingress object to routes: which backends a request to one of its hosts may go to.

What the object says is checked and put into the form that the request path needs: bytes in lower case, paths in the
order in which they are tried, header fields ready to be sent. An object that breaks the contract
(control-plane.md 9.1) raises ObjectError with the path of the field. Nothing here does I/O or knows the engine.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol

from gateway.split import Deck
from gateway.sticky import Client, Stickiness, choose_part
from upwell.api.ingress import spec_hash
from upwell.api.names import ANNOTATION_STICKINESS
from upwell.api.objects import Key, Object, ObjectError, annotations_of, key_of, namespace_of

__all__ = ["Backend", "HostRoutes", "IngressRoutes", "RequestFields", "Route", "Target", "compile_ingress", "secret_of"]

Field = tuple[bytes, bytes]

OWN_NAMES: Final = frozenset({b"x-forwarded-proto", b"x-forwarded-host"})
"""What the gateway says about every request, and clients have no say in."""


class RequestFields(Protocol):
    """What a route asks of a request."""

    def get(self, name: bytes) -> bytes | None:
        """The first value of the field with this lower-case name."""
        ...


class Backend(NamedTuple):
    """A port of a Service; `port` is its number or its name."""

    namespace: str
    service: str
    port: int | str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service}:{self.port}"


@dataclass(frozen=True, slots=True)
class Target:
    """A backend, and what is changed in requests to it."""

    backend: Backend
    remove: frozenset[bytes]
    """Lower-case names of the fields that clients have no say in."""
    add: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """One path of a rule."""

    path: bytes
    """The prefix of the request's path that this is for; empty for all."""
    headers: tuple[Field, ...]
    """Lower-case names and exact values that the request has to have, every one."""
    rewrite_host: bytes
    """The host that the backend is asked for; empty to leave it as it is."""
    targets: tuple[Target, ...]
    deck: Deck | None
    """Chooses among several targets."""
    percents: tuple[int, ...] = (100,)
    """Of the targets, each above 0."""
    stickiness: Stickiness | None = None
    """What a client keeps to one of several targets by."""

    def matches(self, path: bytes, fields: RequestFields) -> bool:
        return path.startswith(self.path) and all(fields.get(name) == value for name, value in self.headers)

    def choose(self) -> Target:
        """The target for one more request of somebody who keeps to none."""
        return self.targets[0] if self.deck is None else self.targets[self.deck.deal()]

    def candidates(self, client: Client) -> tuple[tuple[Target, ...], Deck | None]:
        """The targets that a client's requests go to, and what deals them out, if there are several."""
        if self.stickiness is not None and (key := self.stickiness.key(client)) is not None:
            names = [target.backend.service for target in self.targets]
            return (self.targets[choose_part(key, list(zip(names, self.percents, strict=True)))],), None
        return self.targets, self.deck


@dataclass(frozen=True, slots=True)
class HostRoutes:
    """What one host leads to."""

    ingress: Key
    public: bool
    """Whether clients outside the cluster may use it (visibility ExternalIP)."""
    routes: tuple[Route, ...]
    """In the order in which they are tried: longest path first, then most header conditions."""
    only: Route | None
    """The route, when there is one only and it takes everything."""
    hash: bytes
    """Tells the version of the Ingress, for probes."""
    redirects: bool = False
    """Whether who comes without TLS is sent to come with it."""

    def match(self, target: bytes, fields: RequestFields) -> Route | None:
        """The route for a request target in origin form."""
        if self.only is not None:
            return self.only
        path = target.partition(b"?")[0]
        for route in self.routes:
            if route.matches(path, fields):
                return route
        return None


@dataclass(frozen=True, slots=True)
class IngressRoutes:
    """All that one Ingress object says."""

    key: Key
    generation: int
    created: str
    """Who comes first keeps a host that two objects claim."""
    hosts: Mapping[bytes, HostRoutes]
    backends: frozenset[Backend]
    secrets: Mapping[bytes, Key]
    """By host, which may begin with `*.`: where its certificate is."""

    def secret(self, host: bytes) -> Key | None:
        """Where the certificate of one of its hosts is."""
        return secret_of(self.secrets, host)


def compile_ingress(obj: Object) -> IngressRoutes:
    """Read an Ingress; raise ObjectError when it cannot be served."""
    spec = obj.get("spec") or {}
    namespace = namespace_of(obj)
    digest = spec_hash(obj).encode()
    stickiness = _stickiness(obj)
    secrets = _secrets(spec)
    redirected = spec.get("httpOption") == "Redirected"
    hosts: dict[bytes, HostRoutes] = {}
    for number, rule in enumerate(_required(spec, "rules", "spec")):
        where = f"spec.rules[{number}]"
        paths = _required(_required(rule, "http", where), "paths", f"{where}.http")
        routes = [_route(path, f"{where}.http.paths[{i}]", namespace, stickiness) for i, path in enumerate(paths)]
        routes.sort(key=lambda route: (-len(route.path), -len(route.headers)))
        takes_all = len(routes) == 1 and not routes[0].path and not routes[0].headers
        entry = HostRoutes(
            key_of(obj),
            rule.get("visibility") != "ClusterLocal",
            tuple(routes),
            routes[0] if takes_all else None,
            digest,
        )
        for name in rule.get("hosts") or ():
            host = name.lower().encode()
            # Whom nobody gave a certificate would only be sent from one refusal to the next.
            redirects = redirected and entry.public and secret_of(secrets, host) is not None
            hosts.setdefault(host, replace(entry, redirects=True) if redirects else entry)
    metadata = obj["metadata"]
    return IngressRoutes(
        key_of(obj),
        int(metadata.get("generation") or 0),
        str(metadata.get("creationTimestamp") or ""),
        hosts,
        frozenset(target.backend for entry in hosts.values() for route in entry.routes for target in route.targets),
        secrets,
    )


def secret_of(secrets: Mapping[bytes, Key], host: bytes) -> Key | None:
    """The Secret for `host`: by its name, or by the wildcard that stands for its first label."""
    return secrets.get(host) or secrets.get(b"*." + host.partition(b".")[2])


def _secrets(spec: Mapping[str, Any]) -> dict[bytes, Key]:
    secrets: dict[bytes, Key] = {}
    for number, entry in enumerate(spec.get("tls") or ()):
        where = f"spec.tls[{number}]"
        key = Key(str(_required(entry, "secretNamespace", where)), str(_required(entry, "secretName", where)))
        for host in entry.get("hosts") or ():
            secrets.setdefault(host.lower().encode(), key)
    return secrets


def _stickiness(obj: Object) -> Stickiness | None:
    text = annotations_of(obj).get(ANNOTATION_STICKINESS)
    if not text:
        return None
    try:
        return Stickiness.parse(text)
    except ValueError as error:
        raise ObjectError(f"metadata.annotations[{ANNOTATION_STICKINESS}]", str(error)) from error


def _route(path: Mapping[str, Any], where: str, namespace: str, stickiness: Stickiness | None) -> Route:
    splits = list(enumerate(_required(path, "splits", where)))
    percents = [int(split.get("percent") or 0) for _, split in splits]
    if percents == [0]:
        percents = [100]
    if sum(percents) != 100:
        raise ObjectError(f"{where}.splits", f"traffic split percentage must total to 100, but was {sum(percents)}")
    common = path.get("appendHeaders") or {}
    targets = [_target(split, common, f"{where}.splits[{number}]", namespace) for number, split in splits]
    used = [(target, percent) for target, percent in zip(targets, percents, strict=True) if percent > 0]
    text = str(path.get("path") or "")
    return Route(
        b"" if text == "/" else text.encode(),
        tuple((name.lower().encode(), str(match["exact"]).encode()) for name, match in _header_matches(path)),
        str(path.get("rewriteHost") or "").encode(),
        tuple(target for target, _ in used),
        Deck([percent for _, percent in used]) if len(used) > 1 else None,
        tuple(percent for _, percent in used),
        stickiness if len(used) > 1 else None,
    )


def _header_matches(path: Mapping[str, Any]) -> Iterable[tuple[str, Mapping[str, str]]]:
    return sorted((path.get("headers") or {}).items())


def _target(split: Mapping[str, Any], common: Mapping[str, str], where: str, namespace: str) -> Target:
    backend = Backend(
        str(_required(split, "serviceNamespace", where)),
        str(_required(split, "serviceName", where)),
        _required(split, "servicePort", where),
    )
    if backend.namespace != namespace:
        raise ObjectError(f"{where}.serviceNamespace", "service namespace must match ingress namespace")
    headers = {**common, **(split.get("appendHeaders") or {})}
    return Target(
        backend,
        _names_of(frozenset(headers)),
        tuple((name.encode(), str(value).encode()) for name, value in sorted(headers.items())),
    )


@lru_cache(maxsize=1024)
def _names_of(headers: frozenset[str]) -> frozenset[bytes]:
    """One set for all targets that set the same fields: thousands do, and the engine knows sets by their identity."""
    return OWN_NAMES | {name.lower().encode() for name in headers}


def _required(parent: Mapping[str, Any], name: str, where: str) -> Any:
    value = parent.get(name)
    if not value:
        raise ObjectError(f"{where}.{name}", "missing field(s)")
    return value
