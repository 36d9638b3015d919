"""The canary guard: watches rollouts that ask for it, and takes back those that go wrong.

    serving.upwell.dev/canary-guard: enabled      on a Service or Route, beside a rollout duration

While a rollout is under way, the gateways' own counts for both revisions are read every two seconds. When the new one
does worse (`canary.judge`), that is written down on the new revision, and from then on the route sends its
configuration's share to the revision before, at once. A newer revision is tried afresh; removing the annotation from
the revision tries that one again. What is remembered here is only where counting began, so that another replica that
takes over merely begins to count again.
"""

import asyncio
import json
from collections.abc import Iterable
from typing import Any, Final

import aiohttp

from controller.cluster import Cluster
from controller.route.canary import Counts, counts_by_service, judge
from controller.route.rollout import Rollout
from upwell.api.names import LABEL_SLICE_SERVICE
from upwell.api.objects import Key, Object, annotations_of, key_of, namespace_of
from upwell.api.resources import ENDPOINT_SLICE, REVISION
from upwell.telemetry import log

__all__ = [
    "ANNOTATION_FAILED",
    "ANNOTATION_GUARD",
    "LOOK_SECONDS",
    "CanaryGuard",
    "back_to",
    "failure_of",
    "is_guarded",
]

LOG: Final = log.get("canary")
ANNOTATION_GUARD: Final = "serving.upwell.dev/canary-guard"
ANNOTATION_FAILED: Final = "serving.upwell.dev/canary-failed"
LOOK_SECONDS: Final = 2.0
SCRAPE_SECONDS: Final = 1.0
GATEWAY_SERVICE: Final = "gateway"
METRICS_PORT: Final = "http-metrics"

Baseline = dict[str, Counts]


def is_guarded(route: Object) -> bool:
    return annotations_of(route).get(ANNOTATION_GUARD, "").lower() == "enabled"


def back_to(revision: Object) -> str:
    """The revision to send requests to instead of one that failed; empty when it did not."""
    return _noted(revision).get("backTo", "")


def failure_of(revision: Object) -> str:
    """Why it failed."""
    return _noted(revision).get("why", "")


class CanaryGuard:
    """See the module."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._baselines: dict[tuple[Key, str], Baseline] = {}
        """By route and new revision, what had been counted when we began to watch."""

    def forget(self, key: Key) -> None:
        """Nothing of the route is being rolled out any more."""
        for known in [one for one in self._baselines if one[0] == key]:
            del self._baselines[known]

    async def look(self, route: Object, rollout: Rollout) -> tuple[str, str, str] | None:
        """The revision that has to be taken back, the one to go back to, and why; None when there is none."""
        pending = [one.revisions for one in rollout.configurations if not one.done]
        if not pending:
            self.forget(key_of(route))
            return None
        counts = await self._count(namespace_of(route))
        for revisions in pending:
            new, previous = revisions[-1][0], revisions[-2][0]
            start = self._baselines.setdefault((key_of(route), new), counts)
            since = {name: counts.get(name, Counts()) - start.get(name, Counts()) for name, _ in revisions}
            if any(one.requests < 0 for one in since.values()):
                self._baselines[key_of(route), new] = counts  # a gateway went, or began to count anew
                continue
            why = judge(sum((since[name] for name, _ in revisions[:-1]), Counts()), since[new])
            if why:
                return new, previous, why
        return None

    async def condemn(self, namespace: str, revision: str, previous: str, why: str) -> None:
        """Write down on the revision that it failed, so that no replica tries it again."""
        note = json.dumps({"backTo": previous, "why": why})
        patch = {"metadata": {"annotations": {ANNOTATION_FAILED: note}}}
        await self._cluster.client.patch(REVISION, revision, namespace, patch)

    async def _count(self, namespace: str) -> Baseline:
        """What all gateways together have counted for the namespace's revisions."""
        slices, _ = await self._cluster.client.list(
            ENDPOINT_SLICE, self._cluster.system_namespace, labels=f"{LABEL_SLICE_SERVICE}={GATEWAY_SERVICE}"
        )
        timeout = aiohttp.ClientTimeout(total=SCRAPE_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            texts = await asyncio.gather(*(_scrape(session, address) for address in _addresses(slices)))
        total: Baseline = {}
        for text in texts:
            for name, counts in counts_by_service(text, namespace).items():
                total[name] = total.get(name, Counts()) + counts
        return total


async def _scrape(session: aiohttp.ClientSession, address: str) -> str:
    try:
        async with session.get(f"http://{address}/metrics") as answer:
            return await answer.text() if answer.status == 200 else ""
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        LOG.warning("a gateway's counts cannot be read", address=address, error=str(error) or type(error).__name__)
        return ""


def _addresses(slices: Iterable[Object]) -> list[str]:
    """`HOST:PORT` of every ready gateway's metrics."""
    found = []
    for piece in slices:
        ports = [port["port"] for port in piece.get("ports") or () if port.get("name") == METRICS_PORT]
        for endpoint in piece.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready") is not False:
                found += [f"{_host(address)}:{port}" for address in endpoint["addresses"][:1] for port in ports]
    return sorted(set(found))


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _noted(revision: Object) -> dict[str, str]:
    try:
        content: Any = json.loads(annotations_of(revision).get(ANNOTATION_FAILED, "{}"))
    except ValueError:
        return {}
    return {str(name): str(value) for name, value in content.items()} if isinstance(content, dict) else {}
