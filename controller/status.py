"""One pass over one object, the same for every kind whose status is ours (contract: control-plane.md 1).

    copy, fill in today's defaults ─> missing conditions Unknown ─> new generation: Ready Unknown ─> the kind's own work
    ─> observedGeneration = generation, even after an error ─> written only when something changed, and at once
       unless it is one of many that only tell their progress

A pass that fails has not looked at everything, and what it did not come to still says what held for an earlier
generation. So it may take Ready away, and never gives it.

A conflict on writing the status is settled here while the spec is still the one that was judged: labels and
annotations change under our hands all the time, and do not make the judgement wrong.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from upwell.api.admission import apply_defaults
from upwell.api.conditions import READY, TRUE, Conditions, ConditionSet, keep_transition_times
from upwell.api.configs import KindsConfig
from upwell.api.objects import Object, key_of, mutable, name_of, namespace_of
from upwell.api.resources import Resource
from upwell.clock import Clock
from upwell.cluster.client import Client
from upwell.cluster.errors import ApiError, Conflict
from upwell.cluster.events import EventRecorder
from upwell.cluster.progress import Progress, earliest
from upwell.cluster.status import apply_status

__all__ = ["Refused", "StatusReconciler", "Work"]

Work = Callable[[Object, Conditions], Awaitable[float | None]]
"""Does a kind's work on a copy that it may change: object, conditions → seconds until it wants to look again."""

_ATTEMPTS: Final = 3
LOOK_AGAIN_SECONDS: Final = 10.0
"""After what is in the way may have gone: it is not ours, and not watched."""


class Refused(Exception):  # noqa: N818  # it is an outcome that the conditions tell already
    """The object cannot be brought to its wanted state while something foreign is in its way; its conditions say so."""


class StatusReconciler:
    """Runs a kind's work and keeps its status."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        conditions: ConditionSet,
        events: EventRecorder,
        clock: Clock,
        *,
        lasting: Callable[[Mapping[str, Any]], object] = lambda status: None,
    ) -> None:
        """`lasting` is what of a status is written whenever it changes (`upwell.cluster.progress`)."""
        self._client = client
        self._resource = resource
        self._conditions = conditions
        self._events = events
        self._clock = clock
        self._progress = Progress(clock, lasting)

    async def run(self, stored: Object, config: KindsConfig, work: Work) -> float | None:
        """Do `work` for the object as it is stored; seconds until another look, if one is wanted."""
        obj = apply_defaults(self._resource, stored, config)
        status: dict[str, Any] = obj.setdefault("status", {})
        before = mutable({"conditions": status.get("conditions") or []})["conditions"]
        conditions = self._conditions.manage(status, self._clock.now())
        conditions.init()
        generation = int(obj["metadata"].get("generation") or 0)
        if generation != status.get("observedGeneration"):
            conditions.mark_unknown(READY, "NewObservedGenFailure", "unsuccessfully observed a new generation")
        ready = dict(conditions.get(READY))
        went_well = False
        try:
            again = await work(obj, conditions)
            went_well = True
        except Refused as refused:
            self._events.warning(stored, "InternalError", str(refused))
            again = LOOK_AGAIN_SECONDS
        except ApiError as error:
            if not isinstance(error, Conflict):
                self._events.warning(stored, "InternalError", str(error))
            raise
        finally:
            if not went_well and ready["status"] != TRUE and conditions.is_true(READY):
                conditions.restore(ready)
            status["observedGeneration"] = generation
            keep_transition_times(before, status)
            held = self._progress.hold(key_of(stored), stored.get("status"), status) if went_well else None
            if held is None:
                await self._write(stored, status)
        return earliest(again, held)

    async def _write(self, stored: Object, status: Object) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                await apply_status(self._client, self._resource, stored, status)
            except Conflict:
                latest = await self._client.get(self._resource, name_of(stored), namespace_of(stored))
                if attempt == _ATTEMPTS - 1 or _spec_version(latest) != _spec_version(stored):
                    raise
                stored = latest
            else:
                return


def _spec_version(obj: Object) -> tuple[Any, Any]:
    return obj["metadata"].get("uid"), obj["metadata"].get("generation")
