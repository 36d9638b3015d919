"""What both classes of PodAutoscalers write: a status, and objects that the PodAutoscaler controls.

An object that has the right name and belongs to somebody else is left alone: the condition Active says so, and
NotOwned is raised.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from upwell.api import podautoscaler, serverlessservice
from upwell.api.conditions import READY, Conditions, keep_transition_times
from upwell.api.objects import Object, is_controlled_by, key_of, mutable, name_of, namespace_of
from upwell.api.resources import POD_AUTOSCALER, SERVERLESS_SERVICE, Resource
from upwell.clock import Clock
from upwell.cluster.client import Client
from upwell.cluster.errors import AlreadyExists, ApiError
from upwell.cluster.progress import Progress
from upwell.cluster.status import apply_status

__all__ = ["Children", "NotOwned", "StatusDraft"]


class NotOwned(Exception):  # noqa: N818  # it is what is wrong with the object
    """An object with the name that ours would have belongs to somebody else."""


@dataclass(slots=True)
class StatusDraft:
    """A status that is being completed."""

    status: dict[str, Any]
    conditions: Conditions
    held: float | None = None
    """Afterwards: seconds after which to look again, as it was not worth a write of its own yet."""


class Children:
    """See the module."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._progress = Progress(clock)

    @asynccontextmanager
    async def new_status(self, autoscaler: Object) -> AsyncIterator[StatusDraft]:
        """A status for the block to complete; written at the end, also when the block fails."""
        old: dict[str, Any] = autoscaler.get("status") or {}
        status = {"serviceName": "", "metricsServiceName": "", **mutable(old)}
        conditions = podautoscaler.CONDITIONS.manage(status, self._clock.now())
        conditions.init()
        if status.get("observedGeneration") != autoscaler["metadata"].get("generation"):
            # Until the end of this pass (contract: control-plane.md 1).
            conditions.mark_unknown(READY, "NewObservedGenFailure", "unsuccessfully observed a new generation")
        draft = StatusDraft(status, conditions)
        try:
            yield draft
        except Exception:
            # The status says what went wrong, and for which generation.
            _complete(autoscaler, status)
            await apply_status(self._client, POD_AUTOSCALER, autoscaler, status)
            raise
        _complete(autoscaler, status)
        draft.held = self._progress.hold(key_of(autoscaler), autoscaler.get("status"), status)
        if draft.held is None:
            await apply_status(self._client, POD_AUTOSCALER, autoscaler, status)

    async def apply_service(
        self, autoscaler: Object, known: Object | None, mode: str, activators: int, conditions: Conditions
    ) -> Object:
        """Have a ServerlessService with this mode and number of activators (0: all); return it as it is then."""
        spec = serverlessservice.serverless_service_spec(autoscaler, mode, activators)
        if known is None:
            wanted = serverlessservice.new_serverless_service(autoscaler, spec)
            return await self.create(SERVERLESS_SERVICE, wanted, autoscaler, conditions)
        return await self.update_spec(SERVERLESS_SERVICE, known, spec, autoscaler, conditions)

    async def update_spec(
        self, resource: Resource, known: Object, spec: dict[str, Any], autoscaler: Object, conditions: Conditions
    ) -> Object:
        """Have `spec` in an object that exists; raise NotOwned, or Conflict when it changed since it was read."""
        _check_owner(autoscaler, known, conditions)
        return known if known["spec"] == spec else await self._client.update(resource, {**known, "spec": spec})

    async def create(self, resource: Resource, wanted: Object, autoscaler: Object, conditions: Conditions) -> Object:
        """Make an object that our copy does not know; raise NotOwned, or ApiError when it cannot be made."""
        try:
            return await self._client.create(resource, wanted)
        except AlreadyExists:
            # Our copy is behind, or it is somebody else's; a difference to what is wanted shows when it catches up.
            found = await self._client.get(resource, name_of(wanted), namespace_of(wanted))
            _check_owner(autoscaler, found, conditions)
            return found
        except ApiError:
            podautoscaler.mark_failed_create(conditions, wanted["kind"], name_of(wanted))
            raise


def _complete(autoscaler: Object, status: dict[str, Any]) -> None:
    status["observedGeneration"] = autoscaler["metadata"].get("generation", 0)
    keep_transition_times((autoscaler.get("status") or {}).get("conditions") or (), status)


def _check_owner(autoscaler: Object, known: Object, conditions: Conditions) -> None:
    if not is_controlled_by(known, autoscaler):
        podautoscaler.mark_not_owned(conditions, known["kind"], name_of(known))
        raise NotOwned(f"{known['kind']} {key_of(known)} is not controlled by PodAutoscaler {name_of(autoscaler)}")
