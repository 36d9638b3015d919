"""Revision → Deployment + PodAutoscaler, and the revision's status from theirs (contract: control-plane.md 5).

The order is: what the images are, the Deployment, the PodAutoscaler, the objects for caching images. ServerlessService
and its Services follow from the PodAutoscaler, by the autoscaler and the activator.
"""

from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from controller.cluster import Cluster
from controller.images.questions import Asked
from controller.images.registry import Registry
from controller.images.resolver import DigestResolver, Unresolved
from controller.revision.conditions import DEPLOYING, follow_autoscaler, follow_deployment
from controller.revision.deployment import is_current, make_deployment, updated_deployment
from controller.revision.diagnosis import diagnose
from controller.revision.image_caches import images_are_known, known_digests, make_images, note_digests
from controller.revision.metadata import deployment_name
from controller.revision.pod_autoscaler import make_pod_autoscaler, updated_pod_autoscaler
from controller.revision.settings import RevisionSettings, revision_settings
from controller.status import Refused, StatusReconciler
from upwell.api.conditions import READY, TRUE, Conditions, status_of
from upwell.api.names import LABEL_REVISION
from upwell.api.objects import (
    Key,
    Object,
    is_controlled_by,
    is_deleting,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from upwell.api.resources import DEPLOYMENT, IMAGE, POD, POD_AUTOSCALER, REVISION
from upwell.api.revision import CONDITIONS, CONTAINER_HEALTHY, RESOURCES_AVAILABLE
from upwell.cluster.errors import Forbidden, Invalid, NotFound
from upwell.cluster.reconciler import Reconciler
from upwell.ports import ConfigError
from upwell.telemetry import log

__all__ = ["RevisionController"]

LOG: Final = log.get("revisions")
COMPONENT: Final = "revision-controller"
POD_INDEX: Final = "revision"
_SHAPING: Final = frozenset(
    {"config-defaults", "config-deployment", "config-features", "config-logging", "config-network"}
    | {"config-observability"}
)
"""Config maps that the Deployments depend on."""


class RevisionController:
    """See the module."""

    def __init__(self, cluster: Cluster, registry: AbstractAsyncContextManager[Asked] | None = None) -> None:
        """`registry` is asked for digests; by default registries themselves are."""
        self._cluster = cluster
        self._events = cluster.events(COMPONENT)
        self._status = StatusReconciler(
            cluster.client, REVISION, CONDITIONS, self._events, cluster.clock, lasting=known_digests
        )
        self.queue = Reconciler(COMPONENT, self.reconcile, workers=cluster.workers, clock=cluster.clock)
        self._digests = DigestResolver(registry or Registry(), cluster.client.get, self.queue.enqueue, cluster.clock)
        cluster.informers[POD].add_index(POD_INDEX, _revisions_of)
        cluster.informers[REVISION].add_handler(self.queue.enqueue_changed)
        for child in (DEPLOYMENT, POD_AUTOSCALER):
            cluster.informers[child].add_handler(self.queue.enqueue_controller_of("Revision"))
        cluster.informers[POD].add_handler(self._pod_changed)
        cluster.settings.on_change(self._settings_changed)

    async def resolve_digests(self) -> None:
        """Ask registries what tags stand for, until cancelled."""
        await self._digests.run()

    async def reconcile(self, key: Key) -> float | None:
        revision = self._cluster.cached(REVISION, *key)
        if revision is None or is_deleting(revision):
            self._digests.forget(key)
            return None
        return await self._status.run(revision, self._cluster.settings.kinds, self._work)

    async def _work(self, revision: Object, conditions: Conditions) -> None:
        was_ready = status_of(revision["status"], READY) == TRUE
        settings = self._revision_settings(revision, conditions)
        url = settings.observability.log_url(uid_of(revision))
        if url:
            revision["status"]["logUrl"] = url
        if not self._resolve_images(revision, settings, conditions):
            return
        deployment = await self._reconcile_deployment(revision, settings, conditions)
        autoscaler = await self._reconcile_autoscaler(revision, deployment, conditions)
        await self._reconcile_image_caches(revision)
        follow_autoscaler(revision, conditions, autoscaler)
        if conditions.is_true(READY) and not was_ready:
            message = "Revision becomes ready upon all resources being ready"
            self._events.normal(revision, "RevisionReady", message)

    def _revision_settings(self, revision: Object, conditions: Conditions) -> RevisionSettings:
        try:
            return revision_settings(self._cluster.settings, self._cluster.system_namespace)
        except ConfigError as error:
            conditions.mark_false(RESOURCES_AVAILABLE, "ErrorConfig", str(error))
            raise Refused(f'revision "{name_of(revision)}" cannot be run: {error}') from error

    def _resolve_images(self, revision: Object, settings: RevisionSettings, conditions: Conditions) -> bool:
        """Note what each image is by its content, once; whether that is known."""
        if images_are_known(revision):
            self._digests.forget(key_of(revision))
            return True
        deployment = settings.deployment
        found = self._digests.ask(
            revision, deployment.registries_skipping_tag_resolving, deployment.digest_resolution_timeout
        )
        if not isinstance(found, Unresolved):
            note_digests(revision, found)
            return True
        if found.error:
            message = f'Unable to fetch image "{found.image}": failed to resolve image to digest: {found.error}'
            conditions.mark_false(CONTAINER_HEALTHY, "ContainerMissing", message)
        else:
            conditions.mark_unknown(RESOURCES_AVAILABLE, "ResolvingDigests")
        return False

    async def _reconcile_image_caches(self, revision: Object) -> None:
        """Best effort: a revision runs without them, also where nobody has heard of the kind."""
        for image in make_images(revision):
            if self._cluster.cached(IMAGE, namespace_of(image), name_of(image)) is None:
                try:
                    await self._cluster.create(IMAGE, image)
                except (Forbidden, Invalid, NotFound) as error:
                    LOG.warning("no image is cached", revision=name_of(revision), error=str(error))

    async def _reconcile_deployment(
        self, revision: Object, settings: RevisionSettings, conditions: Conditions
    ) -> Object:
        namespace, name = namespace_of(revision), deployment_name(revision)
        wanted = make_deployment(revision, settings)
        existing = self._cluster.cached(DEPLOYMENT, namespace, name)
        created = False
        if existing is None:
            existing, created = await self._cluster.create(DEPLOYMENT, wanted)
        if created:
            conditions.mark_unknown(RESOURCES_AVAILABLE, DEPLOYING)
            conditions.mark_unknown(CONTAINER_HEALTHY, DEPLOYING)
            return existing
        self._require_control(revision, existing, "Deployment", conditions)
        if not is_current(existing, wanted):
            existing = await self._cluster.client.update(DEPLOYMENT, updated_deployment(existing, wanted))
        pods = self._cluster.informers[POD].by_index(POD_INDEX, f"{namespace}/{name_of(revision)}")
        failures = diagnose(
            existing,
            pods,
            ever_ready=self._was_initialized(revision),
            room_comes=settings.deployment.pods_are_always_schedulable,
        )
        follow_deployment(conditions, existing, failures, self._cluster.clock.now())
        return existing

    def _was_initialized(self, revision: Object) -> bool:
        autoscaler = self._cluster.cached(POD_AUTOSCALER, namespace_of(revision), name_of(revision))
        return autoscaler is not None and status_of(autoscaler.get("status"), "ScaleTargetInitialized") == TRUE

    async def _reconcile_autoscaler(self, revision: Object, deployment: Object, conditions: Conditions) -> Object:
        wanted = make_pod_autoscaler(revision, deployment)
        existing = self._cluster.cached(POD_AUTOSCALER, namespace_of(revision), name_of(revision))
        if existing is None:
            existing, created = await self._cluster.create(POD_AUTOSCALER, wanted)
            if created:
                return existing
        self._require_control(revision, existing, "PodAutoscaler", conditions)
        changed = updated_pod_autoscaler(existing, wanted)
        return existing if changed is None else await self._cluster.client.update(POD_AUTOSCALER, changed)

    def _require_control(self, revision: Object, child: Object, kind: str, conditions: Conditions) -> None:
        if not is_controlled_by(child, revision):
            message = f'There is an existing {kind} "{name_of(child)}" that we do not own.'
            conditions.mark_false(RESOURCES_AVAILABLE, "NotOwned", message)
            raise Refused(f'revision: "{name_of(revision)}" does not own {kind}: "{name_of(child)}"')

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        """A pod that starts, fails or recovers says so to its revision; what else changes in it does not matter."""
        if new is not None and (old is None or _standing(old) != _standing(new)):
            name = labels_of(new).get(LABEL_REVISION)
            if name:
                self.queue.enqueue(Key(namespace_of(new), name))

    def _settings_changed(self, config_map: str) -> None:
        if config_map in _SHAPING:
            for revision in self._cluster.informers[REVISION].list():
                self.queue.enqueue_object(revision)


def _revisions_of(pod: Object) -> tuple[str, ...]:
    name = labels_of(pod).get(LABEL_REVISION)
    return (f"{namespace_of(pod)}/{name}",) if name else ()


def _standing(pod: Object) -> list[Any]:
    """What of a pod's status can be a reason for its revision's."""
    status = pod.get("status") or {}
    scheduled = [found for found in status.get("conditions") or () if found["type"] == "PodScheduled"]
    containers = status.get("containerStatuses") or ()
    return [scheduled, [[item["name"], item.get("state"), item.get("lastState")] for item in containers]]
