"""Certificates and redirects at Istio's gateways: Gateways of the Ingress's own, and copies of its Secrets.

    <ingress>-<number>   beside the Ingress, for each Service in front of gateways that serve hosts with a certificate:
                         a server on port 443 for each certificate, and one on port 80 for hosts that are redirected

Istio's gateways read Secrets from their own namespace only. So what is elsewhere is copied there, under a name that is
the Ingress's alone, and labelled with its uid, by which the copies are found when they are not needed any more.
"""

import hashlib
import re
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from controller.ingress.kinds import ISTIO_GATEWAY
from controller.ingress.translation import Obstacle, child_metadata, is_local
from upwell.api.names import child_name
from upwell.api.objects import Key, Object, key_of, name_of, namespace_of, new_object, uid_of
from upwell.api.resources import SECRET
from upwell.cluster.client import Client
from upwell.cluster.errors import AlreadyExists, NotFound

__all__ = ["SecretCopies", "copies_of", "gateway_key", "is_redirected", "own_gateway", "secured", "servers_of"]

LABEL_COPY_OF: Final = "networking.internal.knative.dev/originSecretName"
LABEL_COPY_FROM: Final = "networking.internal.knative.dev/originSecretNamespace"
LABEL_COPY_FOR: Final = "networking.upwell.dev/ingress-uid"
_LABEL: Final = re.compile(r"[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?")


def secured(ingress: Object, local: bool) -> dict[str, Key]:
    """By host that is served to clients inside the cluster, or outside, the Secret with its certificate."""
    hosts = {host for rule in ingress["spec"].get("rules") or () if is_local(rule) is local for host in rule["hosts"]}
    return {
        host: Key(str(entry["secretNamespace"]), str(entry["secretName"]))
        for entry in ingress["spec"].get("tls") or ()
        for host in entry.get("hosts") or ()
        if host in hosts
    }


def is_redirected(ingress: Object, rule: Mapping[str, Any]) -> bool:
    """Whether plain HTTP is answered with a redirect, which needs certificates to lead anywhere."""
    asked = ingress["spec"].get("httpOption") == "Redirected" and not is_local(rule)
    return asked and set(rule["hosts"]) <= set(secured(ingress, local=False))


def gateway_key(ingress: Object, service: Key) -> Key:
    """What the Ingress's own Gateway for the pods behind a Service is called."""
    return Key(namespace_of(ingress), child_name(_label(name_of(ingress)), f"-{_number(str(service))}"))


def own_gateway(ingress: Object, service: Object, servers: Iterable[Mapping[str, Any]]) -> Object:
    """The Gateway for the pods behind `service`."""
    namespace, name = gateway_key(ingress, key_of(service))
    spec = {"selector": dict(service["spec"]["selector"]), "servers": list(servers)}
    return new_object(ISTIO_GATEWAY, namespace, name, metadata=child_metadata(ingress, {}), spec=spec)


def servers_of(ingress: Object, external: Iterable[Key], local: Iterable[Key]) -> dict[Key, list[dict[str, Any]]]:
    """What the Ingress's own Gateways serve, by the Service in front of each; none where nothing has a certificate."""
    result: dict[Key, list[dict[str, Any]]] = {}
    for inside, services in ((False, external), (True, local)):
        by_secret: dict[Key, list[str]] = {}
        for host, secret in sorted(secured(ingress, inside).items()):
            by_secret.setdefault(secret, []).append(host)
        redirected = {
            host
            for rule in ingress["spec"].get("rules") or ()
            if not inside and is_redirected(ingress, rule)
            for host in rule["hosts"]
        }
        for service in services if by_secret else ():
            servers = result.setdefault(service, [])
            for secret, hosts in sorted(by_secret.items()):
                servers.append(_https(ingress, len(servers), hosts, _credential(ingress, secret, service.namespace)))
            if redirected:
                servers.append(_redirect(sorted(redirected)))
    return result


def copies_of(ingress: Object, external: Iterable[Key], local: Iterable[Key]) -> dict[Key, Key]:
    """By the copy that is needed, the Secret that it is a copy of."""
    return {
        Key(service.namespace, _credential(ingress, secret, service.namespace)): secret
        for inside, services in ((False, external), (True, local))
        for secret in secured(ingress, inside).values()
        for service in services
        if service.namespace != secret.namespace
    }


class SecretCopies:
    """Brings the copies of an Ingress's Secrets up to date."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def apply(self, ingress: Object, wanted: Mapping[Key, Key]) -> Obstacle | None:
        """Have exactly the copies in `wanted`, by their originals; what is in the way of that."""
        found, _ = await self._client.list(SECRET, labels=f"{LABEL_COPY_FOR}={uid_of(ingress)}")
        there = {key_of(one): one for one in found}
        for copy, original in sorted(wanted.items()):
            try:
                secret = await self._client.get(SECRET, original.name, original.namespace)
            except NotFound:
                return Obstacle("SecretDoesNotExist", f"could not find Secret {original}")
            obstacle = await self._write(ingress, copy, secret, there.get(copy))
            if obstacle is not None:
                return obstacle
        for key in sorted(there.keys() - wanted.keys()):
            try:
                await self._client.delete(SECRET, key.name, key.namespace, uid=uid_of(there[key]))
            except NotFound:
                continue
        return None

    async def _write(self, ingress: Object, key: Key, secret: Object, there: Object | None) -> Obstacle | None:
        data = secret.get("data") or {}
        if there is not None:
            if there.get("data") != data:
                await self._client.update(SECRET, {**there, "data": data})
            return None
        labels = {
            LABEL_COPY_FOR: uid_of(ingress),
            LABEL_COPY_OF: child_name(name_of(secret), ""),
            LABEL_COPY_FROM: namespace_of(secret),
        }
        copy = new_object(SECRET, *key, metadata={"labels": labels}, type=secret.get("type") or "Opaque", data=data)
        try:
            await self._client.create(SECRET, copy)
        except AlreadyExists:
            return Obstacle("NotOwned", f"There is an existing Secret {key} that we do not own.")
        return None


def _credential(ingress: Object, secret: Key, namespace: str) -> str:
    """What the Secret is called in the namespace of a gateway."""
    if secret.namespace == namespace:
        return secret.name
    # Not by the Secret's uid, as a copy must be found when the Secret has been made anew, or is gone.
    digest = hashlib.sha256(f"{namespace_of(ingress)}/{name_of(ingress)}/{secret}".encode()).hexdigest()[:20]
    return child_name(name_of(ingress), f"-{digest}")


def _https(ingress: Object, number: int, hosts: list[str], credential: str) -> dict[str, Any]:
    return {
        "hosts": hosts,
        "port": {
            "name": f"{namespace_of(ingress)}/{_label(name_of(ingress))}:{number}",
            "number": 443,
            "protocol": "HTTPS",
        },
        "tls": {"mode": "SIMPLE", "credentialName": credential, "minProtocolVersion": "TLSV1_2"},
    }


def _redirect(hosts: list[str]) -> dict[str, Any]:
    port = {"name": "http-server", "number": 80, "protocol": "HTTP"}
    return {"hosts": hosts, "port": port, "tls": {"httpsRedirect": True}}


def _label(name: str) -> str:
    """Names of Gateways and of their ports have no dots, unlike those of Ingresses for domains."""
    return name if _LABEL.fullmatch(name) else _number(name)


def _number(text: str) -> str:
    return str(zlib.adler32(text.encode()))
