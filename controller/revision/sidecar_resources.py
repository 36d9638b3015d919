"""How much the sidecar asks for (contract: control-plane.md 5.6).

From weakest to strongest: the cluster's settings (25m CPU, if nothing else), a share of what the app's container
asks for, within bounds, and quantities that the revision names itself.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final

from upwell.api.config_defaults import RESOURCES
from upwell.api.config_deployment import DeploymentConfig
from upwell.api.quantity import format_quantity, parse_quantity
from upwell.api.revision_validation import PERCENTAGE_KEYS, SIDECAR

__all__ = ["sidecar_resources"]

Bounds = tuple[Fraction, Fraction]
_SHARE_BOUNDS: Final[Mapping[tuple[str, str], Bounds]] = {
    ("requests", "cpu"): (parse_quantity("25m"), parse_quantity("100m")),
    ("limits", "cpu"): (parse_quantity("40m"), parse_quantity("500m")),
    ("requests", "memory"): (parse_quantity("50Mi"), parse_quantity("200Mi")),
    ("limits", "memory"): (parse_quantity("200Mi"), parse_quantity("500Mi")),
}
_DEFAULTS: Final[Mapping[str, Mapping[str, str]]] = {
    "requests": {"cpu": "25m", "memory": "400Mi"},
    "limits": {"cpu": "1", "memory": "800Mi"},
}


def sidecar_resources(
    config: DeploymentConfig,
    annotations: Mapping[str, str],
    app_resources: Mapping[str, Mapping[str, str]],
    *,
    use_defaults: bool,
) -> dict[str, Any]:
    """`annotations` are the revision's, `app_resources` those of its serving container."""
    fallback = _DEFAULTS if use_defaults else {}
    result: dict[str, dict[str, str]] = {
        "requests": {**fallback.get("requests", {}), **config.sidecar_requests},
        "limits": {**fallback.get("limits", {}), **config.sidecar_limits},
    }
    share = next((annotations[key] for key in PERCENTAGE_KEYS if key in annotations), None)
    if share is not None:
        for (kind, resource), bounds in _SHARE_BOUNDS.items():
            quantity = parse_quantity(app_resources.get(kind, {}).get(resource, "0"))
            if quantity:
                result[kind][resource] = _share(quantity, share, bounds, binary=resource == "memory")
    for kind, word in (("requests", "request"), ("limits", "limit")):
        for resource in RESOURCES:
            named = annotations.get(f"{SIDECAR}{resource}-resource-{word}")
            if named is not None:
                result[kind][resource] = named
    return {kind: quantities for kind, quantities in result.items() if quantities}


def _share(quantity: Fraction, percentage: str, bounds: Bounds, *, binary: bool) -> str:
    low, high = bounds
    share = quantity * Fraction(percentage) / 100
    if low < share < high:
        # In thousandths, rounded down.
        return format_quantity(Fraction(int(share * 1000), 1000), binary=binary)
    return format_quantity(low if share <= low else high, binary=binary)
