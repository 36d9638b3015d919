"""config-defaults: what a revision gets where its author said nothing, and how far authors may go."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from upwell.api.go_template import Template, TemplateError
from upwell.api.settings import SMALLEST, Settings

__all__ = ["RESOURCES", "DefaultsConfig", "parse_defaults"]

RESOURCES: Final = ("cpu", "memory", "ephemeral-storage")


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultsConfig:
    """Times are in seconds."""

    timeout: int = 300
    timeout_max: int = 600
    response_start_timeout: int = 300
    idle_timeout: int = 0
    """0 sets none."""
    requests: Mapping[str, str] = field(default_factory=dict)
    """By resource name, the quantity that a container asks for when it asks for none."""
    limits: Mapping[str, str] = field(default_factory=dict)
    container_name: Template = field(default_factory=lambda: Template("user-container"))
    init_container_name: Template = field(default_factory=lambda: Template("init-container"))
    container_concurrency: int = 0
    container_concurrency_max: int = 1000
    allow_unlimited_concurrency: bool = True
    enable_service_links: bool | None = False
    """None leaves it to Kubernetes."""


def parse_defaults(data: Mapping[str, str]) -> DefaultsConfig:
    """Read config-defaults; raise SettingError."""
    settings = Settings("config-defaults", data)
    timeout_max = settings.integer("max-revision-timeout-seconds", 600, low=SMALLEST)
    timeout = settings.integer("revision-timeout-seconds", 300, low=SMALLEST, high=timeout_max)
    concurrency_max = settings.integer("container-concurrency-max-limit", 1000, low=1)
    return DefaultsConfig(
        timeout=timeout,
        timeout_max=timeout_max,
        response_start_timeout=_part(settings, "revision-response-start-timeout-seconds", timeout, timeout),
        idle_timeout=_part(settings, "revision-idle-timeout-seconds", 0, timeout),
        requests=_quantities(settings, "request"),
        limits=_quantities(settings, "limit"),
        container_name=_name_template(settings, "container-name-template", "user-container"),
        init_container_name=_name_template(settings, "init-container-name-template", "init-container"),
        container_concurrency=settings.integer("container-concurrency", 0, high=concurrency_max),
        container_concurrency_max=concurrency_max,
        allow_unlimited_concurrency=settings.flag("allow-container-concurrency-zero", True),
        enable_service_links={"true": True, "false": False}.get(settings.text("enable-service-links", "false").lower()),
    )


def _part(settings: Settings, key: str, default: int, timeout: int) -> int:
    """Of the whole timeout; what is not above zero is no part of it, and not compared."""
    return settings.integer(key, default, low=SMALLEST, high=max(timeout, 0))


def _quantities(settings: Settings, kind: str) -> Mapping[str, str]:
    found = {resource: settings.quantity(f"revision-{resource}-{kind}") for resource in RESOURCES}
    return {resource: quantity for resource, quantity in found.items() if quantity is not None}


def _name_template(settings: Settings, key: str, default: str) -> Template:
    """A template over the parent's metadata; tried once here, so that what cannot be rendered is refused."""
    try:
        template = Template(settings.text(key, default))
        template.render({"Name": "", "Namespace": "", "GenerateName": "", "Labels": {}, "Annotations": {}})
    except TemplateError as error:
        raise settings.error(key, f"must be a template over the parent's metadata: {error}") from error
    return template
