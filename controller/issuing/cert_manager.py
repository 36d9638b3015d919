"""Certificates by cert-manager: one of its own for each of ours, and what becomes of that carried back.

The issuer follows from the kind of certificate, by config-certmanager. While the world's side of an ACME challenge is
awaited, its answers are in the status, so that the Ingress leads there. Source: contract, control-plane.md 9.2.
"""

from collections.abc import Iterable
from typing import Any, Final

from controller.certificates import CLUSTER_LOCAL, LABEL_TYPE, SYSTEM_INTERNAL
from controller.cluster import Cluster
from controller.issuing.classes import CHALLENGE, CM_CERTIFICATE
from controller.status import Refused
from upwell.api.conditions import READY, TRUE, Conditions, find
from upwell.api.config_certmanager import CertManagerConfig
from upwell.api.objects import (
    Object,
    annotations_of,
    controller_reference,
    is_controlled_by,
    labels_of,
    mutable,
    name_of,
    namespace_of,
    new_object,
    uid_of,
)
from upwell.api.resources import CORE_SERVICE
from upwell.cluster.errors import NotFound

__all__ = ["CertManager", "make_cm_certificate"]

LABEL_CERTIFICATE_UID: Final = "networking.internal.knative.dev/certificate-uid"
COMMON_NAME_LONGEST: Final = 63
MISSING_SECONDS: Final = 60.0
RENEWING: Final = "Renewing"
_UNDER_WAY: Final = frozenset({"InProgress", "Pending", "TemporaryCertificate"})


class CertManager:
    """See the module."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def fulfil(self, certificate: Object, conditions: Conditions) -> float | None:
        """Ask cert-manager and tell what it says; seconds until another look, if one is wanted. Raise Refused."""
        wanted = make_cm_certificate(certificate, self._cluster.settings.certmanager, conditions)
        try:
            found = await self._ensure(certificate, wanted, conditions)
        except NotFound:
            message = "cert-manager is not installed in this cluster"
            conditions.mark_unknown(READY, "CertManagerMissing", message)
            return MISSING_SECONDS
        self._follow(certificate, found, conditions)
        return None

    async def _ensure(self, certificate: Object, wanted: Object, conditions: Conditions) -> Object:
        found = self._cluster.cached(CM_CERTIFICATE, namespace_of(wanted), name_of(wanted))
        if found is None:
            found, created = await self._cluster.create(CM_CERTIFICATE, wanted)
            if created:
                return found
        if not is_controlled_by(found, certificate):
            name = name_of(found)
            conditions.mark_false(READY, "NotOwned", f'There is an existing Certificate "{name}" that we do not own.')
            raise Refused(f'certificate: "{name_of(certificate)}" does not own cert-manager\'s Certificate: "{name}"')
        if wanted["spec"].items() <= found["spec"].items():
            return found
        changed = mutable(found)
        changed["spec"].update(wanted["spec"])
        return await self._cluster.client.update(CM_CERTIFICATE, changed)

    def _follow(self, certificate: Object, found: Object, conditions: Conditions) -> None:
        status = found.get("status") or {}
        ready, issuing = find(status, READY), find(status, "Issuing")
        if status.get("notAfter"):
            certificate["status"]["notAfter"] = status["notAfter"]
        reason, message = ready.get("reason", ""), ready.get("message", "")
        if not ready:
            conditions.mark_unknown(READY, "NoCertManagerCertCondition", "cert-manager has not said anything yet")
        elif ready["status"] == TRUE:
            conditions.mark_true(READY, reason, message)
        elif ready["status"] == "Unknown" or reason in _UNDER_WAY:
            conditions.mark_unknown(READY, reason, message)
        else:
            conditions.mark_false(READY, reason, message)
        renewed = issuing.get("status") == TRUE and issuing.get("reason") == RENEWING
        if renewed:
            conditions.mark_true(RENEWING, RENEWING, issuing.get("message", ""))
        else:
            conditions.clear(RENEWING)
        challenges = [] if conditions.is_true(READY) and not renewed else self._challenges(certificate)
        if challenges:
            certificate["status"]["http01Challenges"] = challenges
        else:
            certificate["status"].pop("http01Challenges", None)

    def _challenges(self, certificate: Object) -> list[dict[str, Any]]:
        """Where each challenge is answered: by the Service that cert-manager made for it."""
        namespace, names = namespace_of(certificate), set(certificate["spec"]["dnsNames"])
        services = self._cluster.informers[CORE_SERVICE].list(namespace)
        found = []
        for challenge in self._cluster.informers[CHALLENGE].list(namespace):
            spec = challenge["spec"]
            if spec.get("type") == "HTTP-01" and spec.get("dnsName") in names:
                found += [_challenge(spec, one) for one in _solvers(challenge, services)]
        return sorted(found, key=lambda one: str(one["url"]))


def make_cm_certificate(certificate: Object, config: CertManagerConfig, conditions: Conditions) -> Object:
    """cert-manager's Certificate for ours; raise Refused when there is no name short enough for its subject."""
    spec, names = certificate["spec"], list(certificate["spec"]["dnsNames"])
    common = names[0]
    if len(common) > COMMON_NAME_LONGEST:
        common = f"k.{spec.get('domain') or ''}"
        if not spec.get("domain") or len(common) > COMMON_NAME_LONGEST:
            message = f'CommonName "{common}" is longer than {COMMON_NAME_LONGEST} characters'
            conditions.mark_false(READY, "CommonName Too Long", message)
            raise Refused(f'certificate: "{name_of(certificate)}": {message}')
        names.insert(0, common)
    kind = labels_of(certificate).get(LABEL_TYPE)
    by_kind = {CLUSTER_LOCAL: config.cluster_local_issuer, SYSTEM_INTERNAL: config.system_internal_issuer}
    return new_object(
        CM_CERTIFICATE,
        namespace_of(certificate),
        name_of(certificate),
        metadata={
            "labels": dict(labels_of(certificate)),
            "annotations": dict(annotations_of(certificate)),
            "ownerReferences": [controller_reference(certificate)],
        },
        spec={
            "commonName": common,
            "secretName": spec["secretName"],
            "dnsNames": names,
            "issuerRef": dict(by_kind.get(str(kind), config.issuer)),
            "secretTemplate": {"labels": {LABEL_CERTIFICATE_UID: uid_of(certificate)}},
        },
    )


def _solvers(challenge: Object, services: Iterable[Object]) -> list[Object]:
    return [service for service in services if is_controlled_by(service, challenge)]


def _challenge(spec: Object, service: Object) -> dict[str, Any]:
    return {
        "url": f"http://{spec['dnsName']}/.well-known/acme-challenge/{spec['token']}",
        "serviceName": name_of(service),
        "serviceNamespace": namespace_of(service),
        "servicePort": service["spec"]["ports"][0]["port"],
    }
