"""Under which hosts a Route and its tags are reached (contract: control-plane.md 6.3)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from controller.route.traffic import DEFAULT
from upwell.api.config_domain import DomainConfig
from upwell.api.config_network import NetworkConfig
from upwell.api.go_template import TemplateError
from upwell.api.names import LABEL_VISIBILITY
from upwell.api.objects import Object, annotations_of, labels_of, name_of, namespace_of

__all__ = ["CLUSTER_LOCAL", "Host", "HostError", "address_url", "make_hosts", "public_url"]

CLUSTER_LOCAL: Final = "cluster-local"
_FQDN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+")
_FQDN_LONGEST: Final = 253
_LABEL_LONGEST: Final = 63
_SCHEME_PORTS: Final = {"http": 80, "https": 443}


class HostError(ValueError):
    """No usable host comes out of the domain and the templates."""


@dataclass(frozen=True, slots=True)
class Host:
    """Where one tag of a route, or the route itself, is reached."""

    service: str
    """The name of its placeholder Service, and its first label inside the cluster."""
    domain: str
    """The fully qualified domain name."""
    cluster_local: bool
    url: str
    inside: tuple[str, ...]
    """The names by which the cluster's own clients know it, shortest first."""


def make_hosts(
    route: Object,
    tags: Iterable[str],
    services: Mapping[str, Object],
    domains: DomainConfig,
    network: NetworkConfig,
    cluster_domain: str,
) -> dict[str, Host]:
    """By tag, "" for the route itself; raise HostError.

    `services` are the placeholders that exist, by name: users label one to keep its tag inside the cluster.
    """
    local_domain = f"svc.{cluster_domain}"
    hosts = {}
    for tag in sorted({DEFAULT, *tags}):
        service = name_of(route) if tag == DEFAULT else _tagged_name(route, tag, network)
        labelled = service in services and labels_of(services[service]).get(LABEL_VISIBILITY)
        domain = local_domain if labelled else domains.lookup(labels_of(route), cluster_domain)
        fqdn = _domain_name(route, service, domain, local_domain, network)
        hosts[tag] = Host(
            service=service,
            domain=fqdn,
            cluster_local=domain == local_domain,
            url=f"http://{fqdn}" if domain == local_domain else public_url(fqdn, network),
            inside=_inside(service, namespace_of(route), cluster_domain),
        )
    return hosts


def address_url(route: Object, cluster_domain: str, scheme: str = "http") -> str:
    """Where the cluster's own clients reach the route."""
    return f"{scheme}://{_inside(name_of(route), namespace_of(route), cluster_domain)[-1]}"


def public_url(fqdn: str, network: NetworkConfig, scheme: str = "") -> str:
    """Where the world reaches a host, by the scheme that it is told by default or by `scheme`."""
    scheme = scheme or network.default_external_scheme
    port = network.external_https_port if scheme == "https" else network.external_port
    shown = f":{port}" if port and port != _SCHEME_PORTS.get(scheme) else ""
    return f"{scheme}://{fqdn}{shown}"


def _tagged_name(route: Object, tag: str, network: NetworkConfig) -> str:
    try:
        return network.tag_template.render({"Name": name_of(route), "Tag": tag})
    except TemplateError as error:
        raise HostError(f"tag-template: {error}") from error


def _domain_name(route: Object, service: str, domain: str, local_domain: str, network: NetworkConfig) -> str:
    if domain == local_domain:
        fqdn = f"{service}.{namespace_of(route)}.{domain}"
    else:
        values = {
            "Name": service,
            "Namespace": namespace_of(route),
            "Domain": domain,
            "Annotations": annotations_of(route),
            "Labels": labels_of(route),
        }
        try:
            fqdn = network.domain_template.render(values)
        except TemplateError as error:
            raise HostError(f"domain-template: {error}") from error
    too_long = len(fqdn) > _FQDN_LONGEST or any(len(label) > _LABEL_LONGEST for label in fqdn.split("."))
    if too_long or not _FQDN.fullmatch(fqdn):
        raise HostError(f'invalid domain name "{fqdn}": it must be lower case labels of at most 63 characters')
    return fqdn


def _inside(service: str, namespace: str, cluster_domain: str) -> tuple[str, ...]:
    return (
        f"{service}.{namespace}",
        f"{service}.{namespace}.svc",
        f"{service}.{namespace}.svc.{cluster_domain}",
    )
