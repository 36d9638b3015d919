"""What the autoscaler tells about its revisions: `GET /revisions` and `GET /revisions/NAMESPACE/NAME`, as JSON.

Beside the metrics, on the same port. A replica answers for the revisions that it owns; 404 means that another one
does, or none. `?namespace=NAME` narrows the list.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from aiohttp import web

from autoscaler.deciders import Decider, Deciders
from autoscaler.explanation import explain_decision, explain_next, explain_plan
from autoscaler.pods import Pods
from autoscaler.timeline import Timeline
from upwell.api.objects import Key
from upwell.policy.decider import Decision
from upwell.telemetry.server import answer_in_slices

__all__ = ["Inspection"]

SLICE: Final = 200
"""Revisions."""


class Inspection:
    """See the module."""

    def __init__(self, deciders: Deciders, pods: Pods, timeline: Timeline) -> None:
        self._deciders = deciders
        self._pods = pods
        self._timeline = timeline

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/revisions", self._list),
            web.get("/revisions/{namespace}/{name}", self._show),
        ]

    async def _list(self, request: web.Request) -> web.StreamResponse:
        wanted = request.query.get("namespace", "")
        found = sorted(self._deciders.all(), key=lambda decider: decider.key)
        chosen = [decider for decider in found if wanted in ("", decider.key.namespace)]
        return await answer_in_slices(request, self._listed(chosen), "application/json")

    def _listed(self, chosen: Sequence[Decider]) -> Iterator[bytes]:
        """The JSON list of their summaries, some milliseconds' worth of them at a time."""
        yield b"["
        for start in range(0, len(chosen), SLICE):
            part = json.dumps([self._summary(decider) for decider in chosen[start : start + SLICE]])
            yield (", " if start else "").encode() + part[1:-1].encode()
        yield b"]"

    async def _show(self, request: web.Request) -> web.Response:
        key = Key(request.match_info["namespace"], request.match_info["name"])
        decider = self._deciders.get(key)
        if decider is None:
            return web.json_response({"error": f"this replica does not decide on {key}"}, status=404)
        return web.json_response(self._explained(decider))

    def _summary(self, decider: Decider) -> dict[str, Any]:
        pods, latest = self._pods.counts(decider.key), decider.latest
        return {
            "namespace": decider.key.namespace,
            "name": decider.key.name,
            "service": decider.labels[0],
            "metric": decider.settings.decider.metric,
            "target": decider.settings.decider.target_value,
            "desired": decider.desired_scale,
            "requested": decider.step.scale if decider.step else None,
            "ready": pods.ready,
            "pending": pods.pending,
            "terminating": pods.terminating,
            "stable": latest.observation.stable if latest else None,
            "panic": latest.observation.panic if latest else None,
            "in_panic": latest.in_panic if latest else False,
            "excess_burst_capacity": decider.excess_burst_capacity,
        }

    def _explained(self, decider: Decider) -> dict[str, Any]:
        settings, latest, now = decider.settings, decider.latest, self._timeline.now()
        applied = list(explain_plan(settings, decider.desired_scale, decider.step, decider.active))
        return {
            **self._summary(decider),
            "bounds": {
                "min_scale": settings.min_scale,
                "max_scale": settings.max_scale,
                "initial_scale": settings.initial_scale,
            },
            "decisions": [
                _shown(decision, since, settings.collection.panic_window) for since, decision in decider.decisions
            ],
            "applied": applied,
            "next": [] if latest is None else list(explain_next(settings, latest, decider.state, now)),
        }


def _shown(decision: Decision, since: float, panic_window: float) -> dict[str, Any]:
    return {
        "since": since,
        "at": decision.at,
        "desired": decision.desired,
        "stable": decision.observation.stable,
        "panic": decision.observation.panic,
        "ready": decision.observation.ready_pods,
        "wanted_stable": decision.wanted_stable,
        "wanted_panic": decision.wanted_panic,
        "lowest": decision.lowest,
        "highest": decision.highest,
        "in_panic": decision.in_panic,
        "undelayed": decision.undelayed,
        "held": decision.held,
        "excess_burst_capacity": decision.excess_burst_capacity,
        "because": list(explain_decision(decision, panic_window)),
    }
