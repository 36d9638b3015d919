"""What the shape of a revision's Deployment depends on, besides the revision itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.settings import Settings
from upwell.api.config_defaults import DefaultsConfig
from upwell.api.config_deployment import DeploymentConfig
from upwell.api.config_features import FeaturesConfig
from upwell.api.config_observability import ObservabilityConfig, parse_observability
from upwell.api.names import SYSTEM_NAMESPACE
from upwell.policy.autoscaler_config import AutoscalerConfig

__all__ = ["RevisionSettings", "revision_settings"]


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


def revision_settings(settings: Settings, system_namespace: str) -> RevisionSettings:
    """Those of the cluster; raise ConfigError where there is no telling what to run beside the app."""
    return RevisionSettings(
        deployment=settings.deployment,
        defaults=settings.defaults,
        features=settings.features,
        observability=settings.observability,
        autoscaler=settings.autoscaler,
        logging=settings.logging,
        system_internal_tls=settings.network.system_internal_tls,
        system_namespace=system_namespace,
    )
