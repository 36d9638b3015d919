"""config-network: hosts, schemes and the ingress that serves routes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import yaml

from upwell.api.go_template import Template, TemplateError
from upwell.api.label_selector import LabelSelector, parse_selector
from upwell.api.settings import Settings

__all__ = ["NetworkConfig", "parse_network"]

_ISTIO: Final = "istio.ingress.networking.knative.dev"
_CERT_MANAGER: Final = "cert-manager.certificate.networking.knative.dev"
_DOMAIN_TEMPLATE: Final = "{{.Name}}.{{.Namespace}}.{{.Domain}}"
_TAG_TEMPLATE: Final = "{{.Tag}}-{{.Name}}"
_HTTP_OPTIONS: Final = {"": "Enabled", "enabled": "Enabled", "redirected": "Redirected", "disabled": ""}
_SWITCH: Final = {"": "", "enabled": "enabled", "disabled": ""}
_MESH_MODES: Final = ("auto", "enabled", "disabled")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """Times are in seconds."""

    ingress_class: str = _ISTIO
    domain_template: Template = field(default_factory=lambda: Template(_DOMAIN_TEMPLATE))
    tag_template: Template = field(default_factory=lambda: Template(_TAG_TEMPLATE))
    http_option: str = "Enabled"
    """The Ingress' httpOption: `Enabled`, `Redirected` or empty."""
    rollout_duration: int = 0
    default_external_scheme: str = "http"
    external_port: int = 0
    """Ours: the port that a public URL needs besides its host; 0 when it is the scheme's own."""
    external_https_port: int = 0
    """Ours: the same for URLs by HTTPS; without it, what `external-port` says where HTTPS is the default scheme."""
    system_internal_tls: bool = False
    mesh_mode: str = "auto"
    """Whether a mesh keeps pods from being addressed one by one: `enabled`, `disabled`, or to be found out: `auto`."""
    mesh_pod_addressability: bool = False
    """Whether the mesh passes on what is sent to one pod, if it is told so."""
    external_domain_tls: bool = False
    """Whether routes get certificates for the hosts by which the world reaches them."""
    cluster_local_domain_tls: bool = False
    """Whether they get them for the names by which the cluster's own clients do."""
    certificate_class: str = _CERT_MANAGER
    wildcard_selector: LabelSelector | None = None
    """Namespaces that get certificates for all of their hosts at once."""
    autocreate_domain_claims: bool = False
    """Whether a DomainMapping makes the claim on its domain itself."""


def parse_network(data: Mapping[str, str]) -> NetworkConfig:
    """Read config-network; raise SettingError."""
    settings = Settings("config-network", data)
    domain_template = _template(settings, "domain-template", _DOMAIN_TEMPLATE, "domainTemplate")
    return NetworkConfig(
        ingress_class=settings.text("ingress-class", _ISTIO, "ingress.class"),
        domain_template=domain_template,
        tag_template=_template(settings, "tag-template", _TAG_TEMPLATE, "tagTemplate"),
        http_option=settings.choice("http-protocol", "Enabled", _HTTP_OPTIONS, "httpProtocol"),
        rollout_duration=settings.integer("rollout-duration", 0, "rolloutDuration"),
        default_external_scheme=settings.text("default-external-scheme", "http", "defaultExternalScheme"),
        external_port=settings.integer("external-port", 0, high=65535),
        external_https_port=_https_port(settings),
        system_internal_tls=_internal_tls(settings),
        # Whatever else is said there means no, as the contract has it.
        external_domain_tls=settings.text("external-domain-tls", "", "auto-tls", "autoTLS").lower() == "enabled",
        cluster_local_domain_tls=bool(settings.choice("cluster-local-domain-tls", "", _SWITCH)),
        certificate_class=settings.text("certificate-class", _CERT_MANAGER, "certificate.class"),
        wildcard_selector=_selector(settings),
        mesh_mode=_mesh_mode(settings),
        mesh_pod_addressability=settings.flag("enable-mesh-pod-addressability", False),
        autocreate_domain_claims=settings.flag(
            "autocreate-cluster-domain-claims", False, "autocreateClusterDomainClaims"
        ),
    )


def _template(settings: Settings, key: str, default: str, alias: str) -> Template:
    """A template for hosts; tried once here, so that what cannot be rendered is refused."""
    sample = {"Name": "foo", "Namespace": "bar", "Domain": "baz.com", "Labels": {}, "Annotations": {}}
    if key == "tag-template":
        sample = {"Name": "foo", "Tag": "v2"}
    try:
        template = Template(settings.text(key, default, alias))
        host = template.render(sample)
    except TemplateError as error:
        raise settings.error(key, f"cannot be used: {error}") from error
    # The contract asks the same of no other template.
    if key == "domain-template" and (not host or re.search("[/?\\s]", host)):
        raise settings.error(key, f'must make a host name without a path, not "{host}"')
    return template


def _https_port(settings: Settings) -> int:
    is_default = settings.text("default-external-scheme", "http", "defaultExternalScheme") == "https"
    fallback = settings.integer("external-port", 0, high=65535) if is_default else 0
    return settings.integer("external-https-port", fallback, high=65535)


def _selector(settings: Settings) -> LabelSelector | None:
    key = "namespace-wildcard-cert-selector"
    try:
        parsed = yaml.safe_load(settings.text(key))
        return None if parsed is None else parse_selector(parsed)
    except (yaml.YAMLError, ValueError) as error:
        raise settings.error(key, f"must be a label selector in YAML: {error}") from None


def _mesh_mode(settings: Settings) -> str:
    """What is no mode means the default, as the contract has it."""
    mode = settings.text("mesh-compatibility-mode").lower()
    return mode if mode in _MESH_MODES else "auto"


def _internal_tls(settings: Settings) -> bool:
    legacy = "enabled" if settings.flag("internal-encryption", False) else ""
    return bool(settings.choice("system-internal-tls", legacy, _SWITCH))
