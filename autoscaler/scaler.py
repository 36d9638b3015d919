"""Carrying out what the policy plans for a workload's scale.

The scale is written as a JSON patch to the workload's `scale` subresource, and only when it differs. The number
compared with is the one in the informer's copy, or the one just written while the copy is behind, so that two
decisions in quick succession are both carried out. Source: contract, autoscaler.md 9.
"""

from typing import Final

from autoscaler.activator_probe import ActivatorProbe
from autoscaler.metrics import AutoscalerMetrics
from upwell.api import podautoscaler, serverlessservice
from upwell.api.names import PORT_NAME_H2C, PORT_NAME_HTTP
from upwell.api.objects import Key, Object, key_of, namespace_of
from upwell.api.resources import DEPLOYMENT
from upwell.clock import Clock
from upwell.cluster.client import Client, PatchType
from upwell.cluster.errors import ApiError
from upwell.cluster.informer import Informer
from upwell.policy.resolution import Settings
from upwell.policy.scale_to_zero import Activity, Plan, Situation, proven_plan
from upwell.telemetry import log

__all__ = ["Scaler", "UnknownTarget"]

LOG: Final = log.get("scaler")


class UnknownTarget(Exception):  # noqa: N818  # it is what is wrong with the object
    """The workload cannot be scaled: it is not there, or of a kind that we do not know."""


class Scaler:
    """Plans and writes scales."""

    def __init__(
        self,
        client: Client,
        deployments: Informer,
        probe: ActivatorProbe,
        metrics: AutoscalerMetrics,
        clock: Clock,
    ) -> None:
        self._client = client
        self._deployments = deployments
        self._probe = probe
        self._metrics = metrics
        self._clock = clock
        self._written: dict[Key, tuple[str, int]] = {}
        """By workload, the resourceVersion of its copy at our last write, and what we wrote."""

    async def scale(
        self, autoscaler: Object, service: Object, settings: Settings, activity: Activity, desired: int
    ) -> Plan:
        """Do what is to be done about `desired` pods; raise UnknownTarget or ApiError."""
        target = self._target(autoscaler)
        situation = self._situation(autoscaler, service, activity, target)
        asked = False

        def proof() -> bool:
            nonlocal asked
            asked = True
            return self._proof(autoscaler, service, situation)

        step = proven_plan(settings, situation, desired, proof)
        if not asked:
            self._probe.forget(key_of(autoscaler))
        if step.replicas is not None:
            await self._write(autoscaler, target, situation.replicas, step.replicas)
        return step

    def replicas(self, autoscaler: Object) -> int:
        """What the workload is set to; 0 when it is not there."""
        try:
            return self._replicas(self._target(autoscaler))
        except UnknownTarget:
            return 0

    def forget(self, autoscaler: Key) -> None:
        """The PodAutoscaler is gone."""
        self._probe.forget(autoscaler)

    def forget_workload(self, old: Object | None, new: Object | None) -> None:
        """An informer's handler: what was written to a workload that is gone no longer matters."""
        if new is None and old is not None:
            self._written.pop(key_of(old), None)

    def _target(self, autoscaler: Object) -> Object:
        reference = podautoscaler.scale_target(autoscaler)
        if (reference.api_version, reference.kind) != (DEPLOYMENT.api_version, DEPLOYMENT.kind):
            raise UnknownTarget(
                f"spec.scaleTargetRef names a {reference.api_version} {reference.kind}, "
                f"only a {DEPLOYMENT.api_version} {DEPLOYMENT.kind} can be scaled"
            )
        found = self._deployments.get(namespace_of(autoscaler), reference.name)
        if found is None:
            raise UnknownTarget(f"there is no Deployment {reference.name} to scale (yet)")
        return found

    def _situation(self, autoscaler: Object, service: Object, activity: Activity, target: Object) -> Situation:
        now = self._clock.now()
        status = autoscaler.get("status") or {}
        proxying_since = serverlessservice.proxying_since(service)
        return Situation(
            activity=activity,
            in_activity_for=max(0.0, now - podautoscaler.active_since(status, now)),
            initialized=podautoscaler.is_initialized(status),
            wants_proxy=serverlessservice.mode_of(service) == serverlessservice.PROXY,
            proxying_for=None if proxying_since is None else max(0.0, now - proxying_since),
            replicas=self._replicas(target),
        )

    def _replicas(self, target: Object) -> int:
        version, written = self._written.get(key_of(target), ("", 0))
        if version and version == target["metadata"].get("resourceVersion"):
            return written
        replicas = (target.get("spec") or {}).get("replicas")
        return 1 if replicas is None else int(replicas)

    def _proof(self, autoscaler: Object, service: Object, situation: Situation) -> bool:
        """Whether the activator is in the path; if that is not known, it is asked, and the autoscaler queued again."""
        if situation.replicas == 0:
            return True  # there is no pod left that could be taken from under a request
        key = key_of(autoscaler)
        name = serverlessservice.public_service_name(service)
        if self._probe.is_proven(key) or not name:
            return bool(name)
        port_name = PORT_NAME_H2C if podautoscaler.protocol(autoscaler) == "h2c" else PORT_NAME_HTTP
        self._probe.ask(key, Key(key.namespace, name), port_name)
        return False

    async def _write(self, autoscaler: Object, target: Object, before: int, replicas: int) -> None:
        key, revision = key_of(target), str(key_of(autoscaler))
        patch = [{"op": "add", "path": "/spec/replicas", "value": replicas}]
        try:
            await self._client.patch(
                DEPLOYMENT, key.name, key.namespace, patch, kind=PatchType.JSON, subresource="scale"
            )
        except ApiError as error:
            LOG.warning("scale not written", revision=revision, pods_to=replicas, error=str(error))
            raise
        self._written[key] = (str(target["metadata"].get("resourceVersion") or ""), replicas)
        self._metrics.scale_writes.inc()
        LOG.info("revision scaled", revision=revision, pods_from=before, pods_to=replicas)
