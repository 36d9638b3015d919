"""The cluster's settings as the reconcilers use them: config maps, parsed once per change.

A config map that cannot be read any more keeps its last good settings, or has the contract's defaults when there are
none, and the log says so: a typing error must not stop a cluster. Only config-deployment has no defaults: without the
sidecar's image there is nothing to run, and whoever needs it gets the error.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TypeVar

from upwell.api.config_certmanager import CertManagerConfig, parse_certmanager
from upwell.api.config_defaults import DefaultsConfig, parse_defaults
from upwell.api.config_deployment import DeploymentConfig, parse_deployment
from upwell.api.config_domain import DomainConfig, parse_domain
from upwell.api.config_features import FeaturesConfig, parse_features
from upwell.api.config_gateway import GatewayConfig, parse_gateway
from upwell.api.config_gc import GcConfig, parse_gc
from upwell.api.config_istio import IstioConfig, parse_istio
from upwell.api.config_network import NetworkConfig, parse_network
from upwell.api.config_observability import ObservabilityConfig, parse_observability
from upwell.api.configs import KindsConfig
from upwell.policy.autoscaler_config import AutoscalerConfig, parse_autoscaler_config
from upwell.ports import ConfigError
from upwell.telemetry import log

__all__ = ["ConfigMapSource", "Settings"]

LOG: Final = log.get("settings")
Parsed = TypeVar("Parsed")
_PARSERS: Final[Mapping[str, Callable[[Mapping[str, str]], Any]]] = {
    "config-autoscaler": parse_autoscaler_config,
    "config-certmanager": parse_certmanager,
    "config-defaults": parse_defaults,
    "config-deployment": parse_deployment,
    "config-domain": parse_domain,
    "config-features": parse_features,
    "config-gateway": parse_gateway,
    "config-gc": parse_gc,
    "config-istio": parse_istio,
    "config-logging": dict,
    "config-network": parse_network,
    "config-observability": parse_observability,
}


class ConfigMapSource(Protocol):
    """Where config maps come from; `upwell.cluster.configmaps.ConfigMaps` is one."""

    def get(self, name: str) -> Mapping[str, str]: ...

    def on_change(self, callback: Callable[[str], None]) -> None: ...


class Settings:
    """See the module."""

    def __init__(self, source: ConfigMapSource) -> None:
        self._source = source
        self._parsed: dict[str, Any] = {}
        self._stale: set[str] = set(_PARSERS)
        self._callbacks: list[Callable[[str], None]] = []
        source.on_change(self._changed)

    def on_change(self, callback: Callable[[str], None]) -> None:
        """Call `callback` with the name of a config map that changed."""
        self._callbacks.append(callback)

    @property
    def autoscaler(self) -> AutoscalerConfig:
        return self._get("config-autoscaler", AutoscalerConfig)

    @property
    def certmanager(self) -> CertManagerConfig:
        return self._get("config-certmanager", CertManagerConfig)

    @property
    def defaults(self) -> DefaultsConfig:
        return self._get("config-defaults", DefaultsConfig)

    @property
    def deployment(self) -> DeploymentConfig:
        return self._get("config-deployment", DeploymentConfig)

    @property
    def domain(self) -> DomainConfig:
        return self._get("config-domain", DomainConfig)

    @property
    def features(self) -> FeaturesConfig:
        return self._get("config-features", FeaturesConfig)

    @property
    def gateway(self) -> GatewayConfig:
        return self._get("config-gateway", GatewayConfig)

    @property
    def gc(self) -> GcConfig:
        return self._get("config-gc", GcConfig)

    @property
    def istio(self) -> IstioConfig:
        return self._get("config-istio", IstioConfig)

    @property
    def network(self) -> NetworkConfig:
        return self._get("config-network", NetworkConfig)

    @property
    def observability(self) -> ObservabilityConfig:
        return self._get("config-observability", ObservabilityConfig)

    @property
    def logging(self) -> Mapping[str, str]:
        return self._get("config-logging", dict)

    @property
    def kinds(self) -> KindsConfig:
        """What defaulting needs."""
        return KindsConfig(self.defaults, self.features, self.autoscaler)

    def _changed(self, name: str) -> None:
        if name not in _PARSERS:
            return
        self._stale.add(name)
        for callback in self._callbacks:
            callback(name)

    def _get(self, name: str, kind: type[Parsed]) -> Parsed:
        if name in self._stale:
            self._parse(name)
        parsed = self._parsed[name]
        assert isinstance(parsed, kind)
        return parsed

    def _parse(self, name: str) -> None:
        try:
            self._parsed[name] = _PARSERS[name](self._source.get(name))
        except ConfigError as error:
            if name not in self._parsed:
                self._parsed[name] = _PARSERS[name]({})
            LOG.error("config map cannot be used, keeping the settings before it", config_map=name, error=str(error))
        self._stale.discard(name)
