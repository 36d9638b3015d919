"""The settings that defaulting and validation depend on, read from their config maps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from upwell.api.config_defaults import DefaultsConfig, parse_defaults
from upwell.api.config_features import FeaturesConfig, parse_features
from upwell.api.names import CLUSTER_DOMAIN
from upwell.policy.autoscaler_config import AutoscalerConfig, parse_autoscaler_config

__all__ = ["ConfigSource", "KindsConfig", "read_kinds_config"]

ConfigSource = Callable[[str], Mapping[str, str]]
"""The settings of a config map by its name; empty when there is none."""


@dataclass(frozen=True, slots=True)
class KindsConfig:
    """See the module."""

    defaults: DefaultsConfig
    features: FeaturesConfig
    autoscaler: AutoscalerConfig
    cluster_domain: str = CLUSTER_DOMAIN


def read_kinds_config(source: ConfigSource, cluster_domain: str = CLUSTER_DOMAIN) -> KindsConfig:
    """Raise ConfigError when a setting cannot be used."""
    return KindsConfig(
        parse_defaults(source("config-defaults")),
        parse_features(source("config-features")),
        parse_autoscaler_config(source("config-autoscaler")),
        cluster_domain,
    )
