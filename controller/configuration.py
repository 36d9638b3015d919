"""Configuration → Revision: one for each generation, and which of them is the latest that is ready.

Source of the rules: contract, control-plane.md 4. Creating never blocks on readiness: the newest revision that is
ready serves until a newer one is, and never gives way to an older one that comes back.
"""

from typing import Any, Final

from controller.cluster import Cluster
from controller.revision_template import make_revision
from controller.status import StatusReconciler
from upwell.api.conditions import FALSE, READY, Conditions, find, status_of
from upwell.api.configuration import CONDITIONS
from upwell.api.names import LABEL_CONFIGURATION, LABEL_CONFIGURATION_GENERATION
from upwell.api.objects import Key, Object, is_controlled_by, is_deleting, labels_of, name_of, namespace_of
from upwell.api.resources import CONFIGURATION, REVISION
from upwell.api.template_names import explicit_name, template_of
from upwell.cluster.errors import ApiError, Conflict, Unavailable
from upwell.cluster.reconciler import Reconciler

__all__ = ["ConfigurationController", "generation_of", "named_revision_conflict"]

COMPONENT: Final = "configuration-controller"
INDEX: Final = "configuration"


class ConfigurationController:
    """See the module."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._events = cluster.events(COMPONENT)
        self._status = StatusReconciler(cluster.client, CONFIGURATION, CONDITIONS, self._events, cluster.clock)
        self.queue = Reconciler(COMPONENT, self.reconcile, workers=cluster.workers, clock=cluster.clock)
        revisions = cluster.informers[REVISION]
        revisions.add_index(INDEX, _configurations_of)
        cluster.informers[CONFIGURATION].add_handler(self.queue.enqueue_changed)
        revisions.add_handler(self.queue.enqueue_controller_of("Configuration"))

    async def reconcile(self, key: Key) -> float | None:
        configuration = self._cluster.cached(CONFIGURATION, *key)
        if configuration is None or is_deleting(configuration):
            return None
        return await self._status.run(configuration, self._cluster.settings.kinds, self._work)

    async def _work(self, configuration: Object, conditions: Conditions) -> None:
        revision = await self._latest_created(configuration, conditions)
        if revision is None:
            return
        status, name = configuration["status"], name_of(revision)
        status["latestCreatedRevisionName"] = name
        if status.get("latestReadyRevisionName") != name:
            conditions.mark_unknown(READY)
        self._judge(configuration, revision, conditions)
        self._choose_latest_ready(configuration, revision, conditions)

    async def _latest_created(self, configuration: Object, conditions: Conditions) -> Object | None:
        """The revision of this generation, made when there is none; None when it cannot be had."""
        revision = self._find(configuration)
        if revision is None:
            try:
                revision = await self._create(configuration)
            except Unavailable:
                raise
            except ApiError as error:
                self._events.warning(configuration, "CreationFailed", f"Failed to create Revision: {error.message}")
                _mark_creation_failed(conditions, error.message)
                raise
        conflict = named_revision_conflict(configuration, revision)
        if conflict:
            _mark_creation_failed(conditions, conflict)
            return None
        return revision

    def _find(self, configuration: Object) -> Object | None:
        namespace, name = namespace_of(configuration), explicit_name(configuration)
        if name:
            return self._cluster.cached(REVISION, namespace, name)
        wanted = str(configuration["metadata"].get("generation"))
        owned = self._cluster.informers[REVISION].by_index(INDEX, f"{namespace}/{name_of(configuration)}")
        for revision in owned:
            if labels_of(revision).get(LABEL_CONFIGURATION_GENERATION) == wanted:
                return revision
        return None

    async def _create(self, configuration: Object) -> Object:
        revision, created = await self._cluster.create(
            REVISION, make_revision(configuration, self._cluster.clock.now())
        )
        if created:
            self._events.normal(configuration, "Created", f'Created Revision "{name_of(revision)}"')
        elif not explicit_name(configuration) and not is_controlled_by(revision, configuration):
            raise Conflict(409, "AlreadyExists", f'revision "{name_of(revision)}" belongs to somebody else')
        return revision

    def _judge(self, configuration: Object, revision: Object, conditions: Conditions) -> None:
        """Carry the revision's failure over."""
        status, name = configuration["status"], name_of(revision)
        ready = find(revision.get("status"), READY)
        if ready.get("status") == "True" and not status.get("latestReadyRevisionName"):
            self._events.normal(configuration, "ConfigurationReady", "Configuration becomes ready")
        if ready.get("status") != FALSE:
            return
        before = dict(conditions.get(READY))
        message = f'Revision "{name}" failed with message: {ready.get("message", "")}.'
        conditions.mark_false(READY, "RevisionFailed", message)
        if before.get("message") != message:
            latest = status.get("latestReadyRevisionName") == name
            reason, which = ("LatestReadyFailed", "ready") if latest else ("LatestCreatedFailed", "created")
            self._events.warning(configuration, reason, f'Latest {which} revision "{name}" has failed')

    def _choose_latest_ready(self, configuration: Object, created: Object, conditions: Conditions) -> None:
        status = configuration["status"]
        for revision in self._candidates(configuration, created):
            if status_of(revision.get("status"), READY) != "True":
                continue
            name = name_of(revision)
            if status.get("latestReadyRevisionName") != name:
                message = f'LatestReadyRevisionName updated to "{name}"'
                self._events.normal(configuration, "LatestReadyUpdate", message)
                status["latestReadyRevisionName"] = name
            if name == status["latestCreatedRevisionName"]:
                conditions.mark_true(READY)
            return

    def _candidates(self, configuration: Object, created: Object) -> list[Object]:
        """Revisions of generations from the latest ready one's to the present, newest first."""
        namespace, name = namespace_of(configuration), name_of(configuration)
        known = {name_of(one): one for one in self._cluster.informers[REVISION].by_index(INDEX, f"{namespace}/{name}")}
        known[name_of(created)] = created
        latest_ready = known.get(str(configuration["status"].get("latestReadyRevisionName")))
        lowest = 0 if latest_ready is None else generation_of(latest_ready)
        highest = int(configuration["metadata"].get("generation") or 0)
        found = [one for one in known.values() if lowest <= generation_of(one) <= highest]
        found.sort(key=generation_of, reverse=True)
        if explicit_name(configuration):
            # A named revision may carry the number of the generation that first asked for it.
            found = [created, *(one for one in found if one is not created)]
        return found


def generation_of(revision: Object) -> int:
    """The generation of its configuration that the revision was made for; 0 when that is not known."""
    text = labels_of(revision).get(LABEL_CONFIGURATION_GENERATION, "")
    return int(text) if text.isdecimal() else 0


def named_revision_conflict(configuration: Object, revision: Object | None) -> str:
    """Why a revision that has the name the template asks for is not the one it asks for; empty when it is."""
    if revision is None or not explicit_name(configuration):
        return ""
    if not is_controlled_by(revision, configuration):
        return _conflict(revision)
    same = str(configuration["metadata"].get("generation")) == labels_of(revision).get(LABEL_CONFIGURATION_GENERATION)
    spec: Any = template_of(configuration).get("spec")
    return "" if same or revision.get("spec") == spec else _conflict(revision)


def _conflict(revision: Object) -> str:
    return f'revisions.serving.knative.dev "{name_of(revision)}" already exists'


def _mark_creation_failed(conditions: Conditions, message: str) -> None:
    conditions.mark_false(READY, "RevisionFailed", f"Revision creation failed with message: {message}.")


def _configurations_of(revision: Object) -> tuple[str, ...]:
    name = labels_of(revision).get(LABEL_CONFIGURATION)
    return (f"{namespace_of(revision)}/{name}",) if name else ()
