"""HTTPS for a Route: its Certificates, what of them the Ingress can serve, and what its URLs say (contract: 6.2, 9.2).

    external-domain-tls        one for each public host, unless a wildcard of the namespace covers it
    cluster-local-domain-tls   one for the names of each host inside the cluster

Until a Certificate is ready its host is served over plain HTTP where the settings allow that. Challenges of an ACME
issuer are answered under the host meanwhile. Certificates that no host needs any more are deleted.
"""

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from controller.certificates import (
    CLUSTER_LOCAL,
    EXTERNAL,
    LABEL_TYPE,
    certificate_for,
    ensure_certificate,
    ingress_tls,
    is_fulfilled,
    tls_is_disabled,
)
from controller.cluster import Cluster
from controller.issuing.namespaces import LABEL_WILDCARD
from controller.route.hosts import Host, public_url
from controller.route.traffic import DEFAULT
from upwell.api.conditions import FALSE, READY, TRUE, Conditions, status_of
from upwell.api.names import LABEL_ROUTE
from upwell.api.objects import Object, is_controlled_by, labels_of, name_of, namespace_of, uid_of
from upwell.api.resources import CERTIFICATE
from upwell.api.route import CERTIFICATE_PROVISIONED

__all__ = ["Secured", "secure_route"]

_NOT_EXTERNAL: Final = "external-domain-tls is not enabled"
_NOT_LOCAL: Final = "TLS is not enabled for cluster-local"


@dataclass(slots=True)
class Secured:
    """What came of it."""

    tls: list[dict[str, Any]] = field(default_factory=list)
    """Of the Ingress."""
    challenges: list[Mapping[str, Any]] = field(default_factory=list)
    hosts: dict[str, Host] = field(default_factory=dict)
    """By tag, with the scheme by which each is to be reached."""
    address_is_secure: bool = False
    """Whether the cluster's own clients reach the Route by HTTPS."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    tag: str
    host: Host
    kind: str
    certificate: Object


async def secure_route(cluster: Cluster, route: Object, hosts: Mapping[str, Host], conditions: Conditions) -> Secured:
    """Make, follow and clean up the Certificates of `route`; raise Refused when one is somebody else's."""
    wanted = _wanted(cluster, route, hosts)
    result = Secured(hosts=dict(hosts))
    found = [(one, await _found(cluster, route, one, conditions)) for one in wanted]
    if not wanted:
        conditions.mark_true(CERTIFICATE_PROVISIONED, "TLSNotEnabled", _why_not(cluster, route, hosts))
    # What is said last stays: the worst.
    for one, certificate in sorted(found, key=lambda pair: _badness(pair[1])):
        _take(cluster, one, certificate, result, conditions)
    result.tls.sort(key=lambda entry: str(entry["hosts"]))
    result.challenges.sort(key=lambda entry: str(entry["url"]))
    await _clean_up(cluster, route, {name_of(certificate) for _, certificate in found})
    return result


def _wanted(cluster: Cluster, route: Object, hosts: Mapping[str, Host]) -> list[_Wanted]:
    network, result = cluster.settings.network, []
    external = network.external_domain_tls and not tls_is_disabled(route)
    domain = cluster.settings.domain.lookup(labels_of(route), cluster.cluster_domain)
    labels = {LABEL_ROUTE: name_of(route)}
    for tag, host in sorted(hosts.items()):
        name = _name(route, tag)
        if external and not host.cluster_local:
            made = certificate_for(route, name, [host.domain], EXTERNAL, network, labels, domain)
            result.append(_Wanted(tag, host, EXTERNAL, made))
        if network.cluster_local_domain_tls:
            local = f"svc.{cluster.cluster_domain}"
            made = certificate_for(route, f"{name}-local", list(host.inside), CLUSTER_LOCAL, network, labels, local)
            result.append(_Wanted(tag, host, CLUSTER_LOCAL, made))
    return result


def _name(route: Object, tag: str) -> str:
    name = f"route-{uid_of(route)}"
    return name if tag == DEFAULT else f"{name}-{zlib.adler32(tag.encode())}"


def _why_not(cluster: Cluster, route: Object, hosts: Mapping[str, Host]) -> str:
    external = cluster.settings.network.external_domain_tls and not tls_is_disabled(route)
    return _NOT_LOCAL if external and all(host.cluster_local for host in hosts.values()) else _NOT_EXTERNAL


async def _found(cluster: Cluster, route: Object, wanted: _Wanted, conditions: Conditions) -> Object:
    if wanted.kind == EXTERNAL:
        for known in cluster.informers[CERTIFICATE].list(namespace_of(route)):
            if LABEL_WILDCARD in labels_of(known) and _covers(known, wanted.host.domain):
                return known
    return await ensure_certificate(cluster, route, wanted.certificate, CERTIFICATE_PROVISIONED, conditions)


def _covers(certificate: Object, host: str) -> bool:
    """A wildcard stands for exactly one label."""
    _, _, parent = host.partition(".")
    return f"*.{parent}" in (certificate["spec"].get("dnsNames") or ())


def _badness(certificate: Object) -> int:
    return {TRUE: 0, FALSE: 2}.get(status_of(certificate.get("status"), READY), 1)


def _take(cluster: Cluster, wanted: _Wanted, certificate: Object, result: Secured, conditions: Conditions) -> None:
    plain = cluster.settings.network.http_option == "Enabled"
    ready = is_fulfilled(certificate, CERTIFICATE_PROVISIONED, conditions, plain_http=plain)
    if ready:
        result.tls.append({**ingress_tls(certificate), "hosts": list(wanted.certificate["spec"]["dnsNames"])})
    else:
        result.challenges += (certificate.get("status") or {}).get("http01Challenges") or ()
    shown = result.hosts[wanted.tag]
    scheme = "https" if ready or not plain else "http"
    if wanted.kind == EXTERNAL:
        result.hosts[wanted.tag] = replace(shown, url=public_url(shown.domain, cluster.settings.network, scheme))
        return
    if shown.cluster_local:
        result.hosts[wanted.tag] = replace(shown, url=f"{scheme}://{shown.domain}")
    if wanted.tag == DEFAULT:
        result.address_is_secure = scheme == "https"


async def _clean_up(cluster: Cluster, route: Object, used: Iterable[str]) -> None:
    for known in cluster.informers[CERTIFICATE].list(namespace_of(route), {LABEL_ROUTE: name_of(route)}):
        ours = labels_of(known).get(LABEL_TYPE) in (EXTERNAL, CLUSTER_LOCAL) and is_controlled_by(known, route)
        if ours and name_of(known) not in used:
            await cluster.delete(CERTIFICATE, known)
