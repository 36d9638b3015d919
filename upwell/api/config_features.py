"""config-features: which of Kubernetes' fields and of our own extensions a cluster's users may use."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["FeaturesConfig", "parse_features"]

ENABLED: Final = "Enabled"
ALLOWED: Final = "Allowed"
DISABLED: Final = "Disabled"

_VALUES: Final = {"enabled": ENABLED, "allowed": ALLOWED, "disabled": DISABLED}
_SECURE_VALUES: Final = {"enabled": ENABLED, "disabled": DISABLED, "allowrootbounded": "AllowRootBounded"}
_ON_BY_DEFAULT: Final = frozenset({"multi-container", "kubernetes.podspec-volumes-emptydir"})
SECURE_POD_DEFAULTS: Final = "secure-pod-defaults"


@dataclass(frozen=True, slots=True)
class FeaturesConfig:
    """The flags by their keys; what is not set, or set to something unknown, has its default."""

    flags: Mapping[str, str]

    def value(self, flag: str) -> str:
        """`Enabled`, `Allowed` or `Disabled`."""
        return self.flags.get(flag) or (ENABLED if flag in _ON_BY_DEFAULT else DISABLED)

    def enabled(self, flag: str) -> bool:
        return self.value(flag) == ENABLED

    def permitted(self, flag: str) -> bool:
        """Whether users may ask for it: it is Enabled or Allowed."""
        return self.value(flag) != DISABLED

    def active(self, flag: str, annotation: str) -> bool:
        """Whether it is on for an object: Enabled, or Allowed and the object's annotation says `enabled`."""
        return self.enabled(flag) or (self.value(flag) == ALLOWED and annotation.lower() == "enabled")


def parse_features(data: Mapping[str, str]) -> FeaturesConfig:
    """Read config-features; a value that is none is ignored (contract: control-plane.md 11.3)."""
    known = {key: _known(key).get(value.lower(), "") for key, value in data.items()}
    return FeaturesConfig({key: value for key, value in known.items() if value})


def _known(key: str) -> Mapping[str, str]:
    return _SECURE_VALUES if key == SECURE_POD_DEFAULTS else _VALUES
