"""Whether a config map of ours can be read, asked before it is stored (contract: control-plane.md 2, 11)."""

import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from upwell.api.config_certmanager import parse_certmanager
from upwell.api.config_defaults import parse_defaults
from upwell.api.config_deployment import parse_deployment
from upwell.api.config_domain import parse_domain
from upwell.api.config_features import parse_features
from upwell.api.config_gateway import parse_gateway
from upwell.api.config_gc import parse_gc
from upwell.api.config_istio import parse_istio
from upwell.api.config_leader_election import parse_leader_election
from upwell.api.config_network import parse_network
from upwell.api.config_observability import parse_observability
from upwell.api.field_errors import Denied
from upwell.api.names import LABEL_PART_OF, PART_OF
from upwell.api.objects import Object, annotations_of, labels_of, name_of
from upwell.api.settings import Settings
from upwell.policy.autoscaler_config import parse_autoscaler_config
from upwell.ports import ConfigError

__all__ = ["validate_config_map"]

ANNOTATION_CHECKSUM: Final = "knative.dev/example-checksum"
EXAMPLE: Final = "_example"
_LOG_LEVELS: Final = ("debug", "info", "warn", "error", "dpanic", "panic", "fatal")


def _parse_logging(data: Mapping[str, str]) -> None:
    settings = Settings("config-logging", data)
    for key in data:
        if key.startswith("loglevel.") and data[key]:
            settings.choice(key, "info", {level: level for level in _LOG_LEVELS})


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
    "config-leader-election": parse_leader_election,
    "config-logging": _parse_logging,
    "config-network": parse_network,
    "config-observability": parse_observability,
}


def validate_config_map(config_map: Object) -> None:
    """Raise Denied when it is one of ours, by its label, and cannot be used."""
    parse = _PARSERS.get(name_of(config_map))
    if parse is None or labels_of(config_map).get(LABEL_PART_OF) != PART_OF:
        return
    data: Mapping[str, str] = config_map.get("data") or {}
    checksum = annotations_of(config_map).get(ANNOTATION_CHECKSUM)
    if checksum is not None and EXAMPLE in data and checksum != _checksum(data[EXAMPLE]):
        raise Denied(
            'the update modifies a key in "_example" which is probably not what you want. Instead, copy the respective '
            'setting to the top-level of the ConfigMap, directly below "data"'
        )
    try:
        parse({key: value for key, value in data.items() if key != EXAMPLE})
    except ConfigError as error:
        raise Denied(str(error)) from error


def _checksum(example: str) -> str:
    """Of the example without what editors change by themselves: blank lines and space at the ends."""
    return f"{zlib.crc32(re.sub(chr(10) + '+', chr(10), example.strip()).encode()):08x}"
