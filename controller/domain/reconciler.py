"""DomainMapping → ClusterDomainClaim, Certificate, Ingress, in this order (contract: control-plane.md 8).

    is the domain ours? ─> its certificate ─> what is referred to ─> Ingress ─> the mapping's status

A domain belongs to the namespace that its claim names. Administrators make claims, or let mappings make them by
`autocreate-cluster-domain-claims`; then a claim goes with its mapping, for which the mapping holds a finalizer.
"""

from typing import Any, Final

from controller.certificates import (
    EXTERNAL,
    certificate_for,
    ensure_certificate,
    ingress_tls,
    is_fulfilled,
    tls_is_disabled,
)
from controller.cluster import Cluster
from controller.domain.ingress import LABEL_UID, make_mapped_ingress
from controller.domain.reference import Unresolved, host_of, resource_of
from controller.finalizers import Finalizer
from controller.route.ingress import follow_ingress, same_ingress
from controller.status import Refused, StatusReconciler
from upwell.api.conditions import Conditions
from upwell.api.domain_mapping import (
    CERTIFICATE_PROVISIONED,
    CONDITIONS,
    DOMAIN_CLAIMED,
    INGRESS_READY,
    REFERENCE_RESOLVED,
)
from upwell.api.names import child_name
from upwell.api.objects import Key, Object, is_controlled_by, is_deleting, mutable, name_of, namespace_of, new_object
from upwell.api.resources import (
    CERTIFICATE,
    CORE_SERVICE,
    DOMAIN_CLAIM,
    DOMAIN_MAPPING,
    INGRESS,
    ROUTE,
    SERVICE,
    Resource,
)
from upwell.cluster.errors import NotFound
from upwell.cluster.informer import Handler
from upwell.cluster.reconciler import Reconciler

__all__ = ["COMPONENT", "FINALIZER", "DomainMappingController"]

COMPONENT: Final = "domainmapping-controller"
FINALIZER: Final = "domainmappings.serving.knative.dev"
BY_REFERENCE: Final = "referred-to"
Entries = list[dict[str, Any]]
_TARGETS: Final = (SERVICE, ROUTE, CORE_SERVICE)


class DomainMappingController:
    """See the module."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._events = cluster.events(COMPONENT)
        self._status = StatusReconciler(cluster.client, DOMAIN_MAPPING, CONDITIONS, self._events, cluster.clock)
        self._finalizer = Finalizer(cluster.client, DOMAIN_MAPPING, FINALIZER, self._events)
        self.queue = Reconciler(COMPONENT, self.reconcile, workers=cluster.workers, clock=cluster.clock)
        informers = cluster.informers
        informers[DOMAIN_MAPPING].add_index(BY_REFERENCE, _reference_of)
        informers[DOMAIN_MAPPING].add_handler(self.queue.enqueue_changed)
        for child in (INGRESS, CERTIFICATE):
            informers[child].add_handler(self.queue.enqueue_controller_of("DomainMapping"))
        for target in _TARGETS:
            informers[target].add_handler(self._target_changed(target))
        informers[DOMAIN_CLAIM].add_handler(self._claim_changed)
        cluster.settings.on_change(self._settings_changed)

    async def reconcile(self, key: Key) -> float | None:
        mapping = self._cluster.cached(DOMAIN_MAPPING, *key)
        if mapping is None:
            return None
        if is_deleting(mapping):
            await self._release(mapping)
            return None
        mapping = await self._finalizer.put_on(mapping)
        return None if mapping is None else await self._status.run(mapping, self._cluster.settings.kinds, self._work)

    async def _work(self, mapping: Object, conditions: Conditions) -> None:
        status, network = mapping["status"], self._cluster.settings.network
        if mapping["metadata"].get("generation") != status.get("observedGeneration"):
            conditions.mark_unknown(INGRESS_READY, "IngressNotConfigured", "Ingress has not yet been reconciled.")
        self._tell_url(mapping, network.default_external_scheme)
        await self._claim(mapping, conditions)
        tls, challenges = await self._secure(mapping, conditions)
        host = await self._resolve(mapping, conditions)
        wanted = make_mapped_ingress(mapping, host, tls, network, challenges)
        ingress = await self._reconcile_ingress(mapping, wanted, conditions)
        follow_ingress(conditions, INGRESS_READY, ingress)

    def _tell_url(self, mapping: Object, scheme: str) -> None:
        url = f"{scheme}://{name_of(mapping)}"
        mapping["status"].update(url=url, address={"url": url})

    async def _claim(self, mapping: Object, conditions: Conditions) -> None:
        """Make sure that the domain is this namespace's; raise Refused when it is not."""
        domain, namespace = name_of(mapping), namespace_of(mapping)
        claim = self._cluster.cached(DOMAIN_CLAIM, "", domain)
        if claim is None and self._cluster.settings.network.autocreate_domain_claims:
            claim, _ = await self._cluster.create(
                DOMAIN_CLAIM, new_object(DOMAIN_CLAIM, "", domain, spec={"namespace": namespace})
            )
        if claim is not None and claim["spec"].get("namespace") == namespace:
            conditions.mark_true(DOMAIN_CLAIMED)
            return
        message = "The domain name is already in use by another DomainMapping"
        conditions.mark_false(DOMAIN_CLAIMED, "DomainAlreadyClaimed", message)
        if claim is not None:
            raise Refused(f'namespace "{namespace}" does not own ClusterDomainClaim for "{domain}"')
        why = "(and autocreate-cluster-domain-claims property is not true)"
        raise Refused(f'no ClusterDomainClaim found for domain "{domain}" {why}')

    async def _secure(self, mapping: Object, conditions: Conditions) -> tuple[Entries, Entries]:
        """The Ingress' entry for TLS: the user's own Secret, or a Certificate's, or none; and open challenges."""
        domain, network = name_of(mapping), self._cluster.settings.network
        own = (mapping["spec"].get("tls") or {}).get("secretName")
        if own:
            message = "TLS certificate was provided externally"
            conditions.mark_true(CERTIFICATE_PROVISIONED, "CertificateExternallyProvided", message)
            self._tell_url(mapping, "https")
            return [{"hosts": [domain], "secretName": own, "secretNamespace": namespace_of(mapping)}], []
        if not network.external_domain_tls or tls_is_disabled(mapping):
            message = "external-domain-tls is not enabled"
            conditions.mark_true(CERTIFICATE_PROVISIONED, "TLSNotEnabled", message)
            return [], []
        # The label holds the name, not the uid: so has the reference's.
        wanted = certificate_for(mapping, child_name(domain, ""), [domain], EXTERNAL, network, {LABEL_UID: domain})
        found = await ensure_certificate(self._cluster, mapping, wanted, CERTIFICATE_PROVISIONED, conditions)
        plain = network.http_option == "Enabled"
        if is_fulfilled(found, CERTIFICATE_PROVISIONED, conditions, plain_http=plain):
            self._tell_url(mapping, "https")
            return [ingress_tls(found)], []
        self._tell_url(mapping, "http" if plain else "https")
        return [], list((found.get("status") or {}).get("http01Challenges") or ())

    async def _resolve(self, mapping: Object, conditions: Conditions) -> str:
        """The target's host inside the cluster; raise Refused when there is none."""
        reference, namespace = mapping["spec"].get("ref") or {}, namespace_of(mapping)
        name = str(reference.get("name") or "")
        try:
            target = await self._target(resource_of(reference), namespace, name)
            host = host_of(reference, target, namespace, self._cluster.cluster_domain)
        except Unresolved as problem:
            conditions.mark_false(REFERENCE_RESOLVED, "ResolveFailed", str(problem))
            raise Refused(f"resolving reference: {problem}") from problem
        conditions.mark_true(REFERENCE_RESOLVED)
        return host

    async def _target(self, resource: Resource, namespace: str, name: str) -> Object:
        if resource in _TARGETS:
            found = self._cluster.cached(resource, namespace, name)
            if found is not None:
                return found
        else:
            try:
                return await self._cluster.client.get(resource, name, namespace)
            except NotFound:
                pass
        kind = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
        raise Unresolved(f'failed to get object {namespace}/{name}: {kind} "{name}" not found')

    async def _reconcile_ingress(self, mapping: Object, wanted: Object, conditions: Conditions) -> Object:
        found = self._cluster.cached(INGRESS, namespace_of(mapping), name_of(wanted))
        if found is None:
            found, created = await self._cluster.create(INGRESS, wanted)
            if created:
                self._events.normal(mapping, "Created", f'Created Ingress "{name_of(found)}"')
                return found
        if not is_controlled_by(found, mapping):
            message = f'There is an existing Ingress "{name_of(found)}" that we do not own.'
            conditions.mark_false(INGRESS_READY, "NotOwned", message)
            raise Refused(f'domain mapping: "{name_of(mapping)}" does not own Ingress: "{name_of(found)}"')
        if same_ingress(found, wanted):
            return found
        changed = mutable(found)
        changed["spec"] = wanted["spec"]
        changed["metadata"].update(labels=wanted["metadata"]["labels"], annotations=wanted["metadata"]["annotations"])
        return await self._cluster.client.update(INGRESS, changed)

    async def _release(self, mapping: Object) -> None:
        """Give the domain back, where mappings make claims, and let the mapping go."""
        if not self._finalizer.is_on(mapping):
            return
        claim = self._cluster.cached(DOMAIN_CLAIM, "", name_of(mapping))
        ours = claim is not None and claim["spec"].get("namespace") == namespace_of(mapping)
        if claim is not None and ours and self._cluster.settings.network.autocreate_domain_claims:
            await self._cluster.delete(DOMAIN_CLAIM, claim)
        await self._finalizer.take_off(mapping)

    def _target_changed(self, resource: Resource) -> Handler:
        def handle(old: Object | None, new: Object | None) -> None:
            obj = new if new is not None else old
            if obj is None:
                return
            key = f"{namespace_of(obj)}/{resource.api_version}/{resource.kind}/{name_of(obj)}"
            for mapping in self._cluster.informers[DOMAIN_MAPPING].by_index(BY_REFERENCE, key):
                self.queue.enqueue_object(mapping)

        return handle

    def _claim_changed(self, old: Object | None, new: Object | None) -> None:
        for claim in (old, new):
            if claim is not None:
                self.queue.enqueue(Key(str(claim["spec"].get("namespace") or ""), name_of(claim)))

    def _settings_changed(self, config_map: str) -> None:
        if config_map == "config-network":
            for mapping in self._cluster.informers[DOMAIN_MAPPING].list():
                self.queue.enqueue_object(mapping)


def _reference_of(mapping: Object) -> tuple[str, ...]:
    reference = mapping["spec"].get("ref") or {}
    return (f"{namespace_of(mapping)}/{reference.get('apiVersion')}/{reference.get('kind')}/{reference.get('name')}",)
