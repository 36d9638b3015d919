"""Certificate → the Secret that it names, by whoever its class says (contract: control-plane.md 9.2).

A class that is not ours is left to its own controller.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from controller.cluster import Cluster
from controller.issuing.cert_manager import CertManager
from controller.issuing.classes import CERT_MANAGER, CHALLENGE, CM_CERTIFICATE, OWN, class_of
from controller.issuing.own import OwnIssuer
from controller.status import StatusReconciler
from upwell.api.certificate import CONDITIONS
from upwell.api.conditions import Conditions
from upwell.api.objects import Key, Object, controller_of, is_deleting, namespace_of
from upwell.api.resources import CERTIFICATE, CORE_SERVICE
from upwell.cluster.reconciler import Reconciler

__all__ = ["COMPONENT", "CertificateController"]

COMPONENT: Final = "certificate-controller"
BY_NAME: Final = "dns-name"

Fulfil = Callable[[Object, Conditions], Awaitable[float | None]]


class CertificateController:
    """See the module."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._status = StatusReconciler(
            cluster.client, CERTIFICATE, CONDITIONS, cluster.events(COMPONENT), cluster.clock
        )
        self.queue = Reconciler(COMPONENT, self.reconcile, workers=cluster.workers, clock=cluster.clock)
        self._issuers: dict[str, Fulfil] = {
            OWN: OwnIssuer(cluster).fulfil,
            CERT_MANAGER: CertManager(cluster).fulfil,
        }
        informers = cluster.informers
        informers[CERTIFICATE].add_index(BY_NAME, _names_of)
        informers[CERTIFICATE].add_handler(self.queue.enqueue_changed)
        informers[CM_CERTIFICATE].add_handler(self.queue.enqueue_controller_of("Certificate"))
        informers[CHALLENGE].add_handler(self._challenge_changed)
        informers[CORE_SERVICE].add_handler(self._service_changed)
        cluster.settings.on_change(self._settings_changed)

    async def reconcile(self, key: Key) -> float | None:
        certificate = self._cluster.cached(CERTIFICATE, *key)
        if certificate is None or is_deleting(certificate):
            return None
        fulfil = self._issuers.get(class_of(certificate))
        if fulfil is None:
            return None
        return await self._status.run(certificate, self._cluster.settings.kinds, fulfil)

    def _challenge_changed(self, old: Object | None, new: Object | None) -> None:
        for challenge in filter(None, (old, new)):
            name = f"{namespace_of(challenge)}/{challenge['spec'].get('dnsName')}"
            for certificate in self._cluster.informers[CERTIFICATE].by_index(BY_NAME, name):
                self.queue.enqueue_object(certificate)

    def _service_changed(self, old: Object | None, new: Object | None) -> None:
        """What answers a challenge may come after it."""
        for service in filter(None, (old, new)):
            owner = controller_of(service)
            if owner is not None and owner.get("kind") == CHALLENGE.kind:
                challenge = self._cluster.cached(CHALLENGE, namespace_of(service), str(owner["name"]))
                self._challenge_changed(None, challenge)

    def _settings_changed(self, config_map: str) -> None:
        if config_map == "config-certmanager":
            for certificate in self._cluster.informers[CERTIFICATE].list():
                self.queue.enqueue_object(certificate)


def _names_of(certificate: Object) -> list[str]:
    return [f"{namespace_of(certificate)}/{name}" for name in certificate["spec"].get("dnsNames") or ()]
