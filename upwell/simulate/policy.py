"""What is tried: a Service's scaling policy, and a model of how its pods behave.

A policy is what a Service's template says (annotations, containerConcurrency, timeoutSeconds) under a cluster's
config-autoscaler; nothing else of the Service matters here. The pod model is what no YAML knows: how long a pod
takes to become ready. How long the app works on a request comes with the trace, or from here if the trace has only
counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from upwell.api.objects import Object
from upwell.policy import annotations as keys
from upwell.policy.annotations import validate_annotations
from upwell.policy.autoscaler_config import AutoscalerConfig
from upwell.policy.resolution import Settings, resolve
from upwell.simulate.distributions import Distribution
from upwell.simulate.errors import InputError

__all__ = ["PodModel", "Policy", "policy_of"]

DEFAULT_TIMEOUT: Final = 300.0
"""Seconds; what the API server's defaulting writes into a revision."""
CONCURRENCY_MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class PodModel:
    """How pods behave."""

    cold_start: Distribution
    """From the moment a pod is asked for to the moment it is ready."""
    service_time: Distribution
    """How long the app works on a request, for traces that do not say."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a Service says about its scaling."""

    name: str
    config: AutoscalerConfig
    annotations: Mapping[str, str]
    container_concurrency: int = 0
    """Requests that a pod takes at once; 0 means no limit."""
    timeout: float = DEFAULT_TIMEOUT
    """Seconds that a request may take, waiting included."""
    just_deployed: bool = False
    """Whether the start is the revision's deployment, at its initial scale; else it has been at rest for long."""

    @property
    def settings(self) -> Settings:
        return resolve(self.config, self.annotations, container_concurrency=self.container_concurrency)

    def with_setting(self, name: str, value: str) -> "Policy":
        """The policy with another value of an annotation (`target`, `window`, …) or of `container-concurrency`."""
        if name == "container-concurrency":
            if not value.isdecimal() or int(value) > CONCURRENCY_MOST:
                raise InputError(
                    f'container-concurrency: "{value}" is not a limit', f"a whole number from 0 to {CONCURRENCY_MOST}"
                )
            return replace(self, container_concurrency=int(value))
        changed = {**self.annotations, keys.PREFIX + name: value}
        problems = validate_annotations(changed, self.config)
        if problems:
            raise InputError(f"{name}={value}: {problems[0].message}: {', '.join(problems[0].keys)}")
        return replace(self, annotations=changed)

    def described(self) -> dict[str, str]:
        """The settings that differ from the cluster's, by their short names."""
        own = {
            key.removeprefix(keys.PREFIX): value
            for key, value in self.annotations.items()
            if key.startswith(keys.PREFIX)
        }
        if self.container_concurrency:
            own["container-concurrency"] = str(self.container_concurrency)
        return own


def policy_of(service: Object, config: AutoscalerConfig) -> Policy:
    """Read an admitted Service; raise InputError for one that does not scale on requests."""
    name = str(service["metadata"]["name"])
    template = service["spec"].get("template") or {}
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    scaling_class = annotations.get(keys.CLASS[0]) or config.pod_autoscaler_class
    if scaling_class != keys.CLASS_KPA:
        raise InputError(
            f'{name}: its class is "{scaling_class}", which does not scale on requests',
            f"the lab tries policies of class {keys.CLASS_KPA}",
        )
    spec = template.get("spec") or {}
    return Policy(
        name,
        config,
        dict(annotations),
        int(spec.get("containerConcurrency") or 0),
        float(spec.get("timeoutSeconds") or DEFAULT_TIMEOUT),
    )
