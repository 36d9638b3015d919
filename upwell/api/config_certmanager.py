"""config-certmanager: who issues what cert-manager is asked for (contract: control-plane.md 9.2).

issuerRef: |
  kind: ClusterIssuer
  name: letsencrypt
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from upwell.api.settings import Settings

__all__ = ["CertManagerConfig", "parse_certmanager"]

_DEFAULT: Final = {"kind": "ClusterIssuer", "name": "knative-selfsigned-issuer"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CertManagerConfig:
    """Each is the `issuerRef` of cert-manager's own Certificates: name, kind, group."""

    issuer: Mapping[str, str] = field(default_factory=lambda: dict(_DEFAULT))
    """For hosts by which the world reaches routes."""
    cluster_local_issuer: Mapping[str, str] = field(default_factory=lambda: dict(_DEFAULT))
    system_internal_issuer: Mapping[str, str] = field(default_factory=lambda: dict(_DEFAULT))


def parse_certmanager(data: Mapping[str, str]) -> CertManagerConfig:
    """Read config-certmanager; raise SettingError."""
    settings = Settings("config-certmanager", data)
    return CertManagerConfig(
        issuer=_reference(settings, "issuerRef"),
        cluster_local_issuer=_reference(settings, "clusterLocalIssuerRef"),
        system_internal_issuer=_reference(settings, "systemInternalIssuerRef"),
    )


def _reference(settings: Settings, key: str) -> Mapping[str, str]:
    right = "must be YAML with the kind and the name of an issuer"
    parsed = settings.document(key, right)
    if parsed is None:
        return dict(_DEFAULT)
    if not isinstance(parsed, dict) or not parsed.get("name"):
        raise settings.error(key, right)
    return {str(name): str(value) for name, value in parsed.items()}
