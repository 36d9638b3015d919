"""The config maps that the autoscaler follows live: a good value replaces the last one, a bad one is refused.

`ClusterSettings` always holds settings that can be worked with: the contract's defaults until a config map says
otherwise, then the last good version. A refusal is logged with its reason and counted.
"""

from collections.abc import Callable, Mapping
from typing import Final

from upwell.api.settings import Settings
from upwell.policy.autoscaler_config import AutoscalerConfig, parse_autoscaler_config
from upwell.ports import ConfigError
from upwell.telemetry import log

__all__ = ["CONFIG_AUTOSCALER", "CONFIG_DEPLOYMENT", "ClusterSettings"]

LOG: Final = log.get("settings")
CONFIG_AUTOSCALER: Final = "config-autoscaler"
CONFIG_DEPLOYMENT: Final = "config-deployment"


class ClusterSettings:
    """See the module."""

    def __init__(self, source: Callable[[str], Mapping[str, str]]) -> None:
        """`source` gives the settings in a config map by its name; empty when there is none."""
        self.autoscaler = AutoscalerConfig()
        self.progress_deadline = 600.0
        """Seconds that pods may take to become ready."""
        self.refused = 0
        """Config map versions that could not be used."""
        self._source = source

    def refresh(self, name: str) -> bool:
        """Take over config map `name` as it is now; True when settings changed by it."""
        before = (self.autoscaler, self.progress_deadline)
        try:
            if name == CONFIG_AUTOSCALER:
                self.autoscaler = parse_autoscaler_config(self._source(name))
            elif name == CONFIG_DEPLOYMENT:
                self.progress_deadline = _progress_deadline(self._source(name))
        except ConfigError as error:
            self.refused += 1
            LOG.error("config map refused, the last good one stays in force", config_map=name, error=str(error))
        return before != (self.autoscaler, self.progress_deadline)


def _progress_deadline(data: Mapping[str, str]) -> float:
    settings = Settings(CONFIG_DEPLOYMENT, data)
    return settings.duration("progress-deadline", 600.0, "progressDeadline", positive=True, whole=True)
