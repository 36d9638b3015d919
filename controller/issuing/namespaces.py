"""Certificates that belong to a namespace rather than to a Route (contract: control-plane.md 9.2).

    serving-certs          what sidecars show, in each namespace with revisions     ┐ while system-internal-tls is on
    routing-serving-certs  what activators show, in the system namespace            ┘
    <ns>.<domain>          for `*.<ns>.<domain>`, in namespaces that namespace-wildcard-cert-selector selects

The namespace owns them. Certificates of the first two kinds stay when the switch is turned off, since pods still have
their Secrets mounted; wildcards that nobody wants any more are deleted.
"""

from typing import Final

from controller.certificates import EXTERNAL, LABEL_TYPE, SYSTEM_INTERNAL, certificate_for
from controller.cluster import Cluster
from upwell.api.config_network import NetworkConfig
from upwell.api.go_template import TemplateError
from upwell.api.objects import (
    Key,
    Object,
    is_controlled_by,
    is_deleting,
    labels_of,
    mutable,
    name_of,
    namespace_of,
)
from upwell.api.resources import CERTIFICATE, NAMESPACE, REVISION
from upwell.cluster.reconciler import Reconciler
from upwell.telemetry import log
from upwell.tls.bundles import DATA_PLANE

__all__ = ["LABEL_WILDCARD", "NamespaceCertificates"]

LOG: Final = log.get("certificates")
NAME: Final = "namespace-certificates"
LABEL_WILDCARD: Final = "networking.knative.dev/wildcardDomain"
SIDECARS: Final = "serving-certs"
ACTIVATORS: Final = "routing-serving-certs"
"""The name by which activators and sidecars know each other, whatever pod they are."""
ROUTING: Final = "kn-routing"
USER_PREFIX: Final = "kn-user-"
_SHAPING: Final = frozenset({"config-network", "config-domain"})


class NamespaceCertificates:
    """See the module."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.queue = Reconciler(NAME, self.reconcile, workers=cluster.workers, clock=cluster.clock)
        informers = cluster.informers
        informers[NAMESPACE].add_handler(self.queue.enqueue_changed)
        informers[CERTIFICATE].add_handler(self._certificate_changed)
        informers[REVISION].add_handler(self._revision_changed)
        cluster.settings.on_change(self._settings_changed)

    async def reconcile(self, key: Key) -> None:
        namespace = self._cluster.cached(NAMESPACE, "", key.name)
        if namespace is None or is_deleting(namespace):
            return
        # Objects in a namespace name it in their metadata; the namespace itself is in none.
        owner = {**namespace, "metadata": {**namespace["metadata"], "namespace": key.name, "annotations": {}}}
        wildcards = self._wildcards(owner)
        for wanted in [*self._internal(owner), *wildcards]:
            await self._ensure(namespace, wanted)
        kept = {name_of(one) for one in wildcards}
        for found in self._cluster.informers[CERTIFICATE].list(key.name):
            unused = LABEL_WILDCARD in labels_of(found) and name_of(found) not in kept
            if unused and is_controlled_by(found, namespace):
                await self._cluster.delete(CERTIFICATE, found)

    def _internal(self, owner: Object) -> list[Object]:
        network, name = self._cluster.settings.network, name_of(owner)
        if not network.system_internal_tls:
            return []
        result = []
        if self._cluster.informers[REVISION].list(name):
            hosts = [USER_PREFIX + name.lower(), DATA_PLANE]
            result.append(certificate_for(owner, SIDECARS, hosts, SYSTEM_INTERNAL, network, {}))
        if name == self._cluster.system_namespace:
            result.append(certificate_for(owner, ACTIVATORS, [ROUTING, DATA_PLANE], SYSTEM_INTERNAL, network, {}))
        return result

    def _wildcards(self, owner: Object) -> list[Object]:
        network, result = self._cluster.settings.network, []
        selector = network.wildcard_selector
        if selector is None or not selector.matches(labels_of(owner)):
            return []
        for domain in sorted(self._cluster.settings.domain.wildcards):
            host = _wildcard_host(name_of(owner), domain, network)
            if host:
                name = host.removeprefix("*.")
                result.append(certificate_for(owner, name, [host], EXTERNAL, network, {LABEL_WILDCARD: domain}, domain))
        return result

    async def _ensure(self, namespace: Object, wanted: Object) -> None:
        found = self._cluster.cached(CERTIFICATE, namespace_of(wanted), name_of(wanted))
        if found is None:
            found, created = await self._cluster.create(CERTIFICATE, wanted)
            if created:
                return
        if not is_controlled_by(found, namespace):
            LOG.warning(
                "a certificate is not the namespace's", certificate=name_of(found), namespace=name_of(namespace)
            )
            return
        annotations = found["metadata"].get("annotations") or {}
        if found["spec"] != wanted["spec"] or not wanted["metadata"]["annotations"].items() <= annotations.items():
            changed = mutable(found)
            changed["spec"] = wanted["spec"]
            changed["metadata"]["annotations"] = {**annotations, **wanted["metadata"]["annotations"]}
            await self._cluster.client.update(CERTIFICATE, changed)

    def _certificate_changed(self, old: Object | None, new: Object | None) -> None:
        """One that went or was changed by somebody is put right."""
        for certificate in filter(None, (old, new)):
            labels = labels_of(certificate)
            if LABEL_WILDCARD in labels or labels.get(LABEL_TYPE) == SYSTEM_INTERNAL:
                self.queue.enqueue(Key("", namespace_of(certificate)))

    def _revision_changed(self, old: Object | None, new: Object | None) -> None:
        if old is None and new is not None:
            self.queue.enqueue(Key("", namespace_of(new)))

    def _settings_changed(self, config_map: str) -> None:
        if config_map in _SHAPING:
            for namespace in self._cluster.informers[NAMESPACE].list():
                self.queue.enqueue_object(namespace)


def _wildcard_host(namespace: str, domain: str, network: NetworkConfig) -> str:
    """For every Route of the namespace; empty where the template leaves no room for that."""
    values = {"Name": "*", "Namespace": namespace, "Domain": domain, "Annotations": {}, "Labels": {}}
    try:
        host = network.domain_template.render(values)
    except TemplateError as error:
        LOG.warning("no wildcard certificate", namespace=namespace, error=str(error))
        return ""
    if not host.startswith("*.") or "*" in host[1:]:
        LOG.warning("no wildcard certificate: the name is not a label of its own", namespace=namespace, host=host)
        return ""
    return host
