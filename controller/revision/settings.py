"""What the shape of a revision's Deployment depends on, besides the revision itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from upwell.api.config_defaults import DefaultsConfig
from upwell.api.config_deployment import DeploymentConfig
from upwell.api.config_features import FeaturesConfig
from upwell.api.config_observability import ObservabilityConfig, parse_observability
from upwell.api.names import SYSTEM_NAMESPACE
from upwell.policy.autoscaler_config import AutoscalerConfig

__all__ = ["RevisionSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionSettings:
    """See the module."""

    deployment: DeploymentConfig
    defaults: DefaultsConfig = field(default_factory=DefaultsConfig)
    features: FeaturesConfig = field(default_factory=lambda: FeaturesConfig({}))
    observability: ObservabilityConfig = field(default_factory=lambda: parse_observability({}))
    autoscaler: AutoscalerConfig = field(default_factory=AutoscalerConfig)
    logging: Mapping[str, str] = field(default_factory=dict)
    """config-logging as it is, handed to the sidecar."""
    system_internal_tls: bool = False
    system_namespace: str = SYSTEM_NAMESPACE
