"""config-deployment: how a revision's Deployment and its sidecar are made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from upwell.api.config_defaults import RESOURCES
from upwell.api.name_rules import label_value_problems, qualified_name_problems, subdomain_problems
from upwell.api.settings import Settings

__all__ = ["DeploymentConfig", "parse_deployment"]

_PREFER_SPREAD: Final = "prefer-spread-revision-over-nodes"
_CAMEL: Final = {"cpu": "CPU", "memory": "Memory", "ephemeral-storage": "EphemeralStorage"}
TLS_KEYS: Final = ("min-version", "max-version", "cipher-suites", "curve-preferences")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentConfig:
    """Times are in seconds."""

    sidecar_image: str
    progress_deadline: int = 600
    digest_resolution_timeout: float = 10.0
    registries_skipping_tag_resolving: frozenset[str] = frozenset({"kind.local", "ko.local", "dev.local"})
    sidecar_requests: Mapping[str, str] = field(default_factory=lambda: {"cpu": "25m"})
    sidecar_limits: Mapping[str, str] = field(default_factory=dict)
    sidecar_token_audiences: tuple[str, ...] = ()
    sidecar_root_ca: str = ""
    sidecar_tls: Mapping[str, str] = field(default_factory=dict)
    """By the last part of its key (`min-version`), what the sidecar's TLS is limited to."""
    spread_over_nodes: bool = True
    """Whether pods of a revision prefer different nodes."""
    runtime_classes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By runtime class, the labels of the revisions that get it."""
    pods_are_always_schedulable: bool = False
    sidecar_first: bool = True
    """Ours: whether the sidecar is the first container, and so up by the time that the app's is made."""
    service_account_token: bool = True
    """Ours: whether pods that run as no service account of their own get the default one's token."""


def parse_deployment(data: Mapping[str, str]) -> DeploymentConfig:
    """Read config-deployment; raise SettingError."""
    settings = Settings("config-deployment", data)
    image = settings.text("queue-sidecar-image", "", "queueSidecarImage")
    if not image:
        raise settings.error("queue-sidecar-image", "must be set to the queue-proxy's image")
    registries = settings.text(
        "registries-skipping-tag-resolving", "kind.local,ko.local,dev.local", "registriesSkippingTagResolving"
    )
    audiences = settings.text("queue-sidecar-token-audiences").split(",")
    return DeploymentConfig(
        sidecar_image=image,
        progress_deadline=int(
            settings.duration("progress-deadline", 600, "progressDeadline", positive=True, whole=True)
        ),
        digest_resolution_timeout=settings.duration(
            "digest-resolution-timeout", 10.0, "digestResolutionTimeout", positive=True
        ),
        registries_skipping_tag_resolving=frozenset(part.strip() for part in registries.split(",")),
        sidecar_requests={"cpu": "25m", **_quantities(settings, "request")},
        sidecar_limits=_quantities(settings, "limit"),
        sidecar_token_audiences=tuple(sorted({name.strip() for name in audiences} - {""})),
        sidecar_root_ca=settings.text("queue-sidecar-rootca"),
        sidecar_tls={key: settings.text(f"queue-sidecar-tls-{key}") for key in TLS_KEYS},
        spread_over_nodes=_spread(settings),
        runtime_classes=_runtime_classes(settings),
        pods_are_always_schedulable=settings.flag("pod-is-always-schedulable", False),
        sidecar_first=settings.choice("queue-sidecar-position", "first", {"first": "first", "last": ""}) == "first",
        service_account_token=settings.flag("mount-default-service-account-token", True),
    )


def _quantities(settings: Settings, kind: str) -> Mapping[str, str]:
    found = {
        resource: settings.quantity(
            f"queue-sidecar-{resource}-{kind}", f"queueSidecar{_CAMEL[resource]}{kind.capitalize()}"
        )
        for resource in RESOURCES
    }
    return {resource: quantity for resource, quantity in found.items() if quantity is not None}


def _spread(settings: Settings) -> bool:
    choices = {_PREFER_SPREAD: _PREFER_SPREAD, "none": "none"}
    return settings.choice("default-affinity-type", _PREFER_SPREAD, choices, any_case=False) == _PREFER_SPREAD


def _runtime_classes(settings: Settings) -> Mapping[str, Mapping[str, str]]:
    right = "must be a YAML map from runtime class to {selector: {label: value}}"
    try:
        parsed: Any = yaml.safe_load(settings.text("runtime-class-name")) or {}
        classes = {str(name): dict((entry or {}).get("selector") or {}) for name, entry in parsed.items()}
        for name, selector in classes.items():
            if subdomain_problems(name) or not all(map(_is_label, selector.items())):
                raise ValueError(name)
        return classes
    except (yaml.YAMLError, AttributeError, ValueError, TypeError):
        raise settings.error("runtime-class-name", right) from None


def _is_label(item: tuple[Any, Any]) -> bool:
    key, value = item
    return isinstance(value, str) and not qualified_name_problems(str(key)) and not label_value_problems(value)
