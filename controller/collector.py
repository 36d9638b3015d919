"""Garbage collection of revisions: deletes what `garbage.doomed` picks, and comes back when more grows stale.

The reference looks only when a Configuration or a Revision changes, so that a quiet one keeps its old revisions for
ever; this one also looks by the clock. A revision is deleted only in the very version that was judged, and not while a
route's traffic names it: the label that says so is written behind the route, and may not be there yet.
"""

from typing import Final

from controller.cluster import Cluster
from controller.configuration import INDEX as BY_CONFIGURATION
from controller.garbage import doomed, next_look
from controller.labeler import BY_REFERENCE
from upwell.api.objects import Key, Object, is_deleting, name_of, namespace_of
from upwell.api.resources import CONFIGURATION, REVISION, ROUTE
from upwell.cluster.errors import ApiError
from upwell.cluster.reconciler import Reconciler
from upwell.telemetry import log

__all__ = ["RevisionCollector"]

LOG: Final = log.get("collector")
COMPONENT: Final = "revision-gc-controller"


class RevisionCollector:
    """See the module. It writes no status."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._events = cluster.events(COMPONENT)
        self.queue = Reconciler(COMPONENT, self.reconcile, workers=cluster.workers, clock=cluster.clock)
        cluster.informers[CONFIGURATION].add_handler(self.queue.enqueue_changed)
        cluster.informers[REVISION].add_handler(self.queue.enqueue_controller_of("Configuration"))
        cluster.settings.on_change(self._settings_changed)

    async def reconcile(self, key: Key) -> float | None:
        configuration = self._cluster.cached(CONFIGURATION, *key)
        if configuration is None or is_deleting(configuration):
            return None
        revisions = self._cluster.informers[REVISION].by_index(BY_CONFIGURATION, str(key))
        latest = (configuration.get("status") or {}).get("latestReadyRevisionName") or ""
        config, now = self._cluster.settings.gc, self._cluster.clock.now()
        in_use = [name_of(revision) for revision in revisions if self._is_named(revision)]
        going = doomed(revisions, latest, config, now, in_use)
        for revision in going:
            await self._delete(configuration, revision)
        gone = {name_of(revision) for revision in going}
        left = [revision for revision in revisions if name_of(revision) not in gone]
        return next_look(left, latest, config, now, in_use)

    def _is_named(self, revision: Object) -> bool:
        """Whether a route's traffic, asked for or served, names the revision."""
        key = f"{namespace_of(revision)}/{name_of(revision)}"
        return bool(self._cluster.informers[ROUTE].by_index(BY_REFERENCE, key))

    async def _delete(self, configuration: Object, revision: Object) -> None:
        name = name_of(revision)
        try:
            await self._cluster.delete(REVISION, revision, unchanged=True)
        except ApiError as error:
            self._events.warning(
                configuration, "DeletionFailed", f'Failed to delete Revision "{name}": {error.message}'
            )
            raise
        LOG.info("deleted a revision out of use", namespace=namespace_of(revision), revision=name)

    def _settings_changed(self, config_map: str) -> None:
        if config_map == "config-gc":
            for configuration in self._cluster.informers[CONFIGURATION].list():
                self.queue.enqueue_object(configuration)
