"""Ingress of somebody else's class → what that somebody reads, and the Ingress's status from whether it is served.

    children written ──> nothing in their statuses is in the way ──> every gateway answers a probe with this version
    ──> LoadBalancerReady, with the Services by which the gateways are reached

Until then what was served before goes on being served, and Ready says what is being waited for. Once a version has been
seen to be served it is not asked for again.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from controller.cluster import Cluster
from controller.finalizers import Finalizer
from controller.ingress.gateway_api import GatewayApi
from controller.ingress.istio import Istio
from controller.ingress.kinds import CLASSES, LABEL_INGRESS
from controller.ingress.probing import Prober
from controller.ingress.translation import Gateways, Obstacle, Translation, with_probes
from controller.status import Refused, StatusReconciler
from upwell.api.conditions import READY, TRUE, Conditions, status_of
from upwell.api.ingress import CONDITIONS, LOAD_BALANCER_READY, NETWORK_CONFIGURED, class_of
from upwell.api.objects import (
    Key,
    Object,
    annotations_of,
    is_controlled_by,
    is_deleting,
    key_of,
    labels_of,
    mutable,
    name_of,
    namespace_of,
)
from upwell.api.resources import CERTIFICATE, CORE_SERVICE, INGRESS
from upwell.cluster.reconciler import Reconciler

__all__ = ["COMPONENT", "IngressController"]

COMPONENT: Final = "ingress-controller"
ANNOTATION_WRITTEN: Final = "networking.upwell.dev/written"
BY_INGRESS: Final = "ingress"
BY_SECRET: Final = "secret"
FINALIZER: Final = "ingresses.networking.internal.knative.dev"
LISTENER_SECONDS: Final = 1.0
"""Between looks at a Gateway that does not use a listener yet: Gateways are not watched."""
TRACES_SECONDS: Final = 600.0
"""Between looks at what is not watched once it is as it should be."""
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 10.0
_TRANSLATIONS: Final[Mapping[str, Callable[[Cluster], Translation]]] = {
    "gateway-api": lambda cluster: GatewayApi(cluster.settings, cluster.client),
    "istio": lambda cluster: Istio(
        cluster.settings,
        cluster.client,
        lambda service: cluster.cached(CORE_SERVICE, *service),
        cluster.cluster_domain,
    ),
}
_SHAPING: Final = frozenset({"config-gateway", "config-istio"})


class IngressController:
    """See the module."""

    def __init__(self, cluster: Cluster, names: Iterable[str]) -> None:
        """`names` are the keys of `CLASSES` that are ours to translate."""
        self._cluster = cluster
        self._events = cluster.events(COMPONENT)
        self._status = StatusReconciler(cluster.client, INGRESS, CONDITIONS, self._events, cluster.clock)
        self._finalizer = Finalizer(cluster.client, INGRESS, FINALIZER, self._events)
        self.queue = Reconciler(COMPONENT, self.reconcile, workers=cluster.workers, clock=cluster.clock)
        self._prober = Prober(cluster.client)
        self._asked: dict[Key, tuple[str, int]] = {}
        """The version that is being waited for, and how often its gateways were asked."""
        self._translations: Mapping[str, Translation] = {CLASSES[name]: _TRANSLATIONS[name](cluster) for name in names}
        cluster.informers[INGRESS].add_handler(self.queue.enqueue_changed)
        cluster.informers[INGRESS].add_index(BY_SECRET, _secrets_of)
        cluster.informers[CERTIFICATE].add_handler(self._certificate_changed)
        for translation in self._translations.values():
            for resource in translation.resources:
                cluster.informers[resource].add_index(BY_INGRESS, _ingress_of)
                cluster.informers[resource].add_handler(self.queue.enqueue_controller_of("Ingress"))
        cluster.settings.on_change(self._settings_changed)

    async def probe(self) -> None:
        """Keep what probes go over, until cancelled."""
        await self._prober.run()

    async def reconcile(self, key: Key) -> float | None:
        ingress = self._cluster.cached(INGRESS, *key)
        translation = None if ingress is None else self._translations.get(class_of(ingress))
        if ingress is None or translation is None or is_deleting(ingress):
            self._asked.pop(key, None)
            if ingress is not None and translation is not None:
                await self._clear_traces(translation, mutable(ingress))
            return None

        async def work(obj: Object, conditions: Conditions) -> float | None:
            return await self._bring_up_to_date(translation, ingress, obj, conditions)

        return await self._status.run(ingress, self._cluster.settings.kinds, work)

    async def _bring_up_to_date(
        self, translation: Translation, stored: Object, ingress: Object, conditions: Conditions
    ) -> float | None:
        obstacle = await self._leave_traces(translation, ingress)
        if obstacle is not None:
            conditions.mark_unknown(NETWORK_CONFIGURED, *obstacle)
            return LISTENER_SECONDS
        probed, version = with_probes(ingress)
        children = [
            await self._ensure(translation, ingress, wanted, conditions) for wanted in translation.children(probed)
        ]
        obstacle = translation.obstacle(children)
        if obstacle is not None:
            conditions.mark_unknown(NETWORK_CONFIGURED, *obstacle)
            conditions.mark_unknown(LOAD_BALANCER_READY, *_WAITING)
            return None
        conditions.mark_true(NETWORK_CONFIGURED)
        gateways = translation.gateways(ingress)
        if not _was_served(stored) and not translation.vouched(children):
            again = await self._ask(key_of(ingress), ingress, gateways, version, conditions)
            if again is not None:
                return again
        await self._delete_others(translation, ingress, {(child["kind"], name_of(child)) for child in children})
        conditions.mark_true(LOAD_BALANCER_READY)
        for field, services in (("publicLoadBalancer", gateways.external), ("privateLoadBalancer", gateways.local)):
            ingress["status"][field] = {"ingress": self._balancers(services)}
        return TRACES_SECONDS if translation.leaves_traces(ingress) else None

    async def _leave_traces(self, translation: Translation, ingress: Object) -> Obstacle | None:
        if not translation.leaves_traces(ingress):
            await self._clear_traces(translation, ingress)
            return None
        found = await self._finalizer.put_on(ingress)
        if found is None:
            return _WAITING
        ingress["metadata"] = found["metadata"]
        return await translation.prepare(ingress)

    async def _clear_traces(self, translation: Translation, ingress: Object) -> None:
        """Nothing of it is left when the finalizer goes, which is there only where there may be something."""
        if self._finalizer.is_on(ingress):
            await translation.prepare(ingress)
            found = await self._finalizer.take_off(ingress)
            ingress["metadata"] = ingress["metadata"] if found is None else found["metadata"]

    async def _ask(
        self, key: Key, ingress: Object, gateways: Gateways, version: str, conditions: Conditions
    ) -> float | None:
        """Seconds until the gateways are asked again; None when they serve this version."""
        obstacle = await self._prober.ask(ingress, gateways, version)
        if obstacle is None:
            self._asked.pop(key, None)
            return None
        conditions.mark_unknown(LOAD_BALANCER_READY, _WAITING.reason, f"{_WAITING.message}: {obstacle.message}")
        before, times = self._asked.get(key, (version, 0))
        times = times + 1 if before == version else 1
        self._asked[key] = version, times
        return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(times - 1, 10))

    async def _ensure(
        self, translation: Translation, ingress: Object, wanted: Object, conditions: Conditions
    ) -> Object:
        resource = next(one for one in translation.resources if one.kind == wanted["kind"])
        name = name_of(wanted)
        # By this, a field that we do not want any more is told from one that a server added.
        wanted["metadata"]["annotations"][ANNOTATION_WRITTEN] = _digest(wanted)
        known = self._cluster.cached(resource, namespace_of(wanted), name)
        if known is None:
            known, created = await self._cluster.create(resource, wanted)
            if created:
                self._events.normal(ingress, "Created", f'Created {resource.kind} "{name}"')
                return known
        if not is_controlled_by(known, ingress):
            message = f'There is an existing {resource.kind} "{name}" that we do not own.'
            conditions.mark_false(NETWORK_CONFIGURED, "NotOwned", message)
            raise Refused(f'ingress: "{name_of(ingress)}" does not own {resource.kind}: "{name}"')
        if all(_says(of(known), of(wanted)) for of in (lambda obj: obj["spec"], labels_of, annotations_of)):
            return known
        changed = mutable(known)
        changed["spec"] = wanted["spec"]
        for field in ("labels", "annotations"):
            changed["metadata"][field] = {**(known["metadata"].get(field) or {}), **wanted["metadata"][field]}
        return await self._cluster.client.update(resource, changed)

    async def _delete_others(self, translation: Translation, ingress: Object, needed: set[tuple[str, str]]) -> None:
        """What an earlier version needed; nobody is served by it any more. `needed` are kinds and names."""
        for resource in translation.resources:
            for child in self._cluster.informers[resource].by_index(BY_INGRESS, str(key_of(ingress))):
                if (resource.kind, name_of(child)) not in needed and is_controlled_by(child, ingress):
                    await self._cluster.delete(resource, child)

    def _balancers(self, services: Sequence[Key]) -> list[dict[str, Any]]:
        if not services:
            return [{"meshOnly": True}]
        domain = self._cluster.cluster_domain
        return [{"domainInternal": f"{service.name}.{service.namespace}.svc.{domain}"} for service in services]

    def _certificate_changed(self, old: Object | None, new: Object | None) -> None:
        """Its Secret may have been renewed, which nobody tells."""
        if new is not None:
            secret = f"{namespace_of(new)}/{new['spec'].get('secretName')}"
            for ingress in self._cluster.informers[INGRESS].by_index(BY_SECRET, secret):
                self.queue.enqueue_object(ingress)

    def _settings_changed(self, config_map: str) -> None:
        if config_map in _SHAPING:
            for ingress in self._cluster.informers[INGRESS].list():
                if class_of(ingress) in self._translations:
                    self.queue.enqueue_object(ingress)


_WAITING: Final = Obstacle("Uninitialized", "Waiting for load balancer to be ready")


def _digest(obj: Object) -> str:
    """Tells one wanted spec from another; opaque."""
    return hashlib.sha256(json.dumps(obj["spec"], sort_keys=True).encode()).hexdigest()[:16]


def _was_served(ingress: Object) -> bool:
    """Whether this generation was seen to be served before."""
    status = ingress.get("status") or {}
    observed = ingress["metadata"].get("generation") == status.get("observedGeneration")
    return observed and status_of(status, READY) == TRUE


def _says(there: Any, wanted: Any) -> bool:
    """Whether everything `wanted` is there; servers and others may add fields of their own."""
    if isinstance(wanted, dict):
        return isinstance(there, dict) and all(_says(there.get(name), value) for name, value in wanted.items())
    if isinstance(wanted, list):
        same = isinstance(there, list) and len(there) == len(wanted)
        return same and all(map(_says, there, wanted))
    return bool(there == wanted)


def _ingress_of(child: Object) -> tuple[str, ...]:
    name = labels_of(child).get(LABEL_INGRESS)
    return (f"{namespace_of(child)}/{name}",) if name else ()


def _secrets_of(ingress: Object) -> list[str]:
    return [f"{entry.get('secretNamespace')}/{entry.get('secretName')}" for entry in ingress["spec"].get("tls") or ()]
