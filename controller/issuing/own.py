"""Certificates by an authority of the cluster's own: the authority in one Secret, and a Secret for each Certificate.

The authority's Secret is `upwell-certificate-authority` in the system namespace. Whom to trust is published besides in
a config map that is labelled as a trust bundle, for clients and for activators. All replicas of the controller share
both: who writes second gets a conflict, and reads what the first wrote.
"""

import asyncio
import base64
import binascii
from typing import Any, Final

from controller.cluster import Cluster
from controller.issuing.authority import AUTHORITIES, AuthorityKeys, Data, ends_at, next_authorities, next_leaf
from controller.status import Refused
from upwell.api.conditions import READY, Conditions
from upwell.api.names import TRUST_BUNDLE
from upwell.api.objects import (
    Object,
    controller_reference,
    is_controlled_by,
    labels_of,
    name_of,
    namespace_of,
    new_object,
    timestamp,
    uid_of,
)
from upwell.api.resources import CONFIG_MAP, SECRET, Resource
from upwell.cluster.errors import AlreadyExists, NotFound
from upwell.tls.bundles import TRUST_BUNDLES

__all__ = ["AUTHORITY_SECRET", "LOOK_SECONDS", "OwnIssuer"]

AUTHORITY_SECRET: Final = "upwell-certificate-authority"
LABEL_CERTIFICATE_UID: Final = "networking.internal.knative.dev/certificate-uid"
LOOK_SECONDS: Final = 600.0
"""Between two looks at a Secret, which nobody tells us of when it is deleted or grows old."""
_AUTHORITY_SECONDS: Final = 300.0


class OwnIssuer:
    """See the module."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._authorities: AuthorityKeys = ()
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def fulfil(self, certificate: Object, conditions: Conditions) -> float:
        """Bring the Secret of `certificate` to what it should be; seconds until another look. Raise Refused."""
        secret = await self._secret(certificate, conditions)
        names = certificate["spec"]["dnsNames"]
        data = _decoded(secret)
        step = next_leaf(data, names, await self._authority(), self._cluster.clock.now())
        if step is not None:
            secret["data"] = _encoded({**data, **step})
            if "resourceVersion" in secret["metadata"]:
                await self._cluster.client.update(SECRET, secret)
            else:
                await self._cluster.client.create(SECRET, secret)
            data = step
        until = ends_at(data)
        if until is not None:
            certificate["status"]["notAfter"] = timestamp(until)
        conditions.mark_true(READY)
        return LOOK_SECONDS

    async def _secret(self, certificate: Object, conditions: Conditions) -> Object:
        """The Secret as it is, or a new one; one that is somebody else's is not touched, unless it is empty."""
        name, namespace = certificate["spec"]["secretName"], namespace_of(certificate)
        owner = controller_reference(certificate)
        metadata: dict[str, Any] = {
            "labels": {LABEL_CERTIFICATE_UID: uid_of(certificate)},
            "ownerReferences": [owner],
        }
        try:
            found = await self._cluster.client.get(SECRET, name, namespace)
        except NotFound:
            return new_object(SECRET, namespace, name, type="kubernetes.io/tls", data={}, metadata=metadata)
        if not is_controlled_by(found, certificate):
            if found.get("data"):
                message = f"There is an existing secret {name} that we don't own."
                conditions.mark_false(READY, "SecretNotOwned", message)
                raise Refused(f'certificate: "{name_of(certificate)}" does not own secret: "{name}"')
            owners = [*(found["metadata"].get("ownerReferences") or ()), owner]
            labels = {**labels_of(found), LABEL_CERTIFICATE_UID: uid_of(certificate)}
            found["metadata"].update(ownerReferences=owners, labels=labels)
        return found

    async def _authority(self) -> AuthorityKeys:
        """As it is in the Secret, made or succeeded where that is due; read again every few minutes."""
        async with self._reading:
            now = self._cluster.clock.monotonic()
            if now - self._read_at >= _AUTHORITY_SECONDS:
                self._authorities = await self._read_authority()
                self._read_at = now
            return self._authorities

    async def _read_authority(self) -> AuthorityKeys:
        secret = await self._get_or_create(SECRET, AUTHORITY_SECRET, {})
        authorities, step = next_authorities(_decoded(secret), self._cluster.clock.now())
        if step is not None:
            secret = await self._cluster.client.update(SECRET, {**secret, "data": _encoded(step)})
        text = _decoded(secret)[AUTHORITIES].decode()
        bundle = await self._get_or_create(CONFIG_MAP, TRUST_BUNDLE, {TRUST_BUNDLES: "true"})
        if (bundle.get("data") or {}).get(AUTHORITIES) != text:
            await self._cluster.client.update(CONFIG_MAP, {**bundle, "data": {AUTHORITIES: text}})
        return authorities

    async def _get_or_create(self, resource: Resource, name: str, labels: dict[str, str]) -> Object:
        namespace, client = self._cluster.system_namespace, self._cluster.client
        try:
            return await client.get(resource, name, namespace)
        except NotFound:
            pass
        try:
            return await client.create(
                resource, new_object(resource, namespace, name, metadata={"labels": labels}, data={})
            )
        except AlreadyExists:
            return await client.get(resource, name, namespace)


def _decoded(secret: Object) -> dict[str, bytes]:
    found = {}
    for name, text in (secret.get("data") or {}).items():
        try:
            found[name] = base64.b64decode(text, validate=True)
        except (binascii.Error, TypeError, ValueError):
            continue  # written anew
    return found


def _encoded(data: Data) -> dict[str, str]:
    return {name: base64.b64encode(content).decode() for name, content in data.items()}
