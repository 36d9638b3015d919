"""The config maps that the autoscaler follows live: a good value replaces the last one, a bad one is refused.

`ClusterSettings` always holds settings that can be worked with: the contract's defaults until a config map says
otherwise, then the last good version. A refusal is logged with its reason and counted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from upwell.api import podautoscaler
from upwell.api.objects import Object, annotations_of
from upwell.api.settings import Settings
from upwell.policy.autoscaler_config import AutoscalerConfig, parse_autoscaler_config
from upwell.policy.resolution import Settings as RevisionSettings
from upwell.policy.resolution import resolve
from upwell.ports import ConfigError
from upwell.telemetry import log

__all__ = ["CONFIG_AUTOSCALER", "CONFIG_DEPLOYMENT", "CONFIG_NETWORK", "ClusterSettings", "MeshConfig"]

LOG: Final = log.get("settings")
CONFIG_AUTOSCALER: Final = "config-autoscaler"
CONFIG_DEPLOYMENT: Final = "config-deployment"
CONFIG_NETWORK: Final = "config-network"
_MODES: Final = {"auto": "auto", "enabled": "enabled", "disabled": "disabled"}


@dataclass(frozen=True, slots=True)
class MeshConfig:
    """How to reach the statistics of pods that may be behind the sidecars of a service mesh."""

    mode: str = "auto"
    """`enabled`: a mesh is there, ask by the Service's name; `disabled`: ask the pods; `auto`: find out."""
    pods_addressable: bool = False
    """Whether a mesh lets requests through to a single pod, when they say which Service they mean."""


class ClusterSettings:
    """See the module."""

    def __init__(self, source: Callable[[str], Mapping[str, str]]) -> None:
        """`source` gives the settings in a config map by its name; empty when there is none."""
        self.autoscaler = AutoscalerConfig()
        self.progress_deadline = 600.0
        """Seconds that pods may take to become ready."""
        self.mesh = MeshConfig()
        self.refused = 0
        """Config map versions that could not be used."""
        self._source = source

    def refresh(self, name: str) -> bool:
        """Take over config map `name` as it is now; True when settings changed by it."""
        before = (self.autoscaler, self.progress_deadline, self.mesh)
        try:
            if name == CONFIG_AUTOSCALER:
                self.autoscaler = parse_autoscaler_config(self._source(name))
            elif name == CONFIG_DEPLOYMENT:
                self.progress_deadline = _progress_deadline(self._source(name))
            elif name == CONFIG_NETWORK:
                self.mesh = _mesh(self._source(name))
        except ConfigError as error:
            self.refused += 1
            LOG.error("config map refused, the last good one stays in force", config_map=name, error=str(error))
        return before != (self.autoscaler, self.progress_deadline, self.mesh)

    def of(self, autoscaler: Object) -> RevisionSettings:
        """The settings in force for the revision of a PodAutoscaler."""
        return resolve(
            self.autoscaler,
            annotations_of(autoscaler),
            container_concurrency=podautoscaler.container_concurrency(autoscaler),
            reachability=podautoscaler.reachability(autoscaler),
            progress_deadline=self.progress_deadline,
        )


def _progress_deadline(data: Mapping[str, str]) -> float:
    settings = Settings(CONFIG_DEPLOYMENT, data)
    return settings.duration("progress-deadline", 600.0, "progressDeadline", positive=True, whole=True)


def _mesh(data: Mapping[str, str]) -> MeshConfig:
    settings = Settings(CONFIG_NETWORK, data)
    return MeshConfig(
        mode=settings.choice("mesh-compatibility-mode", "auto", _MODES),
        pods_addressable=settings.flag("enable-mesh-pod-addressability", False),
    )
