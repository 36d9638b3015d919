"""Certificates of Ingresses at a Gateway of the Gateway API: a listener of ours for each host that has one.

The Gateway is the platform team's; what is ours in it are the listeners `kni-<uid of the Ingress>-…`, and nothing else
is touched. A finalizer on the Ingress sees to it that they go with it. Where the Secret is in another namespace than
the Gateway, a ReferenceGrant lets the Gateway read it.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from controller.ingress.kinds import GATEWAY, REFERENCE_GRANT
from controller.ingress.translation import Obstacle, child_metadata
from upwell.api.conditions import TRUE, find
from upwell.api.config_gateway import ParentGateway
from upwell.api.names import child_name
from upwell.api.objects import Key, Object, mutable, namespace_of, new_object, uid_of
from upwell.cluster.client import Client
from upwell.cluster.errors import AlreadyExists, NotFound

__all__ = ["Listeners", "listener_name", "secured_hosts"]

_READY: Final = ("Accepted", "Programmed", "ResolvedRefs")


def secured_hosts(ingress: Object) -> dict[str, Key]:
    """By host that clients outside use, the Secret with its certificate."""
    outside = {
        host
        for rule in ingress["spec"].get("rules") or ()
        if rule.get("visibility") != "ClusterLocal"
        for host in rule["hosts"]
    }
    return {
        host: Key(str(entry["secretNamespace"]), str(entry["secretName"]))
        for entry in ingress["spec"].get("tls") or ()
        for host in entry.get("hosts") or ()
        if host in outside
    }


def listener_name(ingress: Object, host: str) -> str:
    """Of its own for each host, and the same for as long as the Ingress lives."""
    return f"{_prefix(ingress)}{zlib.crc32(host.encode()):08x}"


class Listeners:
    """Puts them into a Gateway, and takes them out."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def apply(self, ingress: Object, gateway: ParentGateway) -> Obstacle | None:
        """Have exactly the Ingress's listeners in the Gateway; what is in the way of their being used."""
        secrets, key = secured_hosts(ingress), gateway.key
        wanted = [_listener(ingress, host, secret, key) for host, secret in sorted(secrets.items())]
        try:
            found = await self._client.get(GATEWAY, key.name, key.namespace)
        except NotFound:
            return Obstacle("GatewayDoesNotExist", f"could not find Gateway {key}") if wanted else None
        ours = [one for one in found["spec"].get("listeners") or () if _is_ours(one, ingress)]
        if [_told(one) for one in ours] != wanted:
            for secret in set(secrets.values()):
                await self._grant(ingress, secret, key)
            changed = mutable(found)
            others = [one for one in changed["spec"].get("listeners") or () if not _is_ours(one, ingress)]
            changed["spec"]["listeners"] = [*others, *wanted]
            found = await self._client.update(GATEWAY, changed)
        waiting = list(_not_ready(found, [one["name"] for one in wanted]))
        if waiting:
            return Obstacle("ListenerNotReady", f"Waiting for Gateway {key} to use listener {', '.join(waiting)}.")
        return None

    async def _grant(self, ingress: Object, secret: Key, gateway: Key) -> None:
        if secret.namespace == gateway.namespace:
            return
        metadata = child_metadata(ingress, {})
        if secret.namespace != namespace_of(ingress):
            # An owner must be in the same namespace.
            del metadata["ownerReferences"]
        spec = {
            "from": [{"group": GATEWAY.group, "kind": GATEWAY.kind, "namespace": gateway.namespace}],
            "to": [{"group": "", "kind": "Secret", "name": secret.name}],
        }
        name = child_name(secret.name, f"-{gateway.namespace}")
        grant = new_object(REFERENCE_GRANT, secret.namespace, name, metadata=metadata, spec=spec)
        try:
            await self._client.create(REFERENCE_GRANT, grant)
        except AlreadyExists:
            return


def _prefix(ingress: Object) -> str:
    return f"kni-{uid_of(ingress)}-"


def _is_ours(listener: Mapping[str, Any], ingress: Object) -> bool:
    return str(listener["name"]).startswith(_prefix(ingress))


def _listener(ingress: Object, host: str, secret: Key, gateway: Key) -> dict[str, Any]:
    certificate = {"group": "", "kind": "Secret", "namespace": secret.namespace, "name": secret.name}
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace_of(ingress)}}
    return {
        "name": listener_name(ingress, host),
        "hostname": host,
        "port": 443,
        "protocol": "HTTPS",
        "tls": {"mode": "Terminate", "certificateRefs": [certificate]},
        "allowedRoutes": {"namespaces": {"from": "Selector", "selector": selector}},
    }


def _told(listener: Mapping[str, Any]) -> dict[str, Any]:
    """What we say of a listener, without what the server adds."""
    tls, allowed = listener.get("tls") or {}, listener.get("allowedRoutes") or {}
    return {
        **{name: listener.get(name) for name in ("name", "hostname", "port", "protocol")},
        "tls": {name: tls.get(name) for name in ("mode", "certificateRefs")},
        "allowedRoutes": {"namespaces": allowed.get("namespaces")},
    }


def _not_ready(gateway: Object, names: Iterable[str]) -> Iterator[str]:
    generation = gateway["metadata"].get("generation")
    told = {one.get("name"): one for one in (gateway.get("status") or {}).get("listeners") or ()}
    for name in names:
        conditions = [find(told.get(name), kind) for kind in _READY]
        if any(one.get("status") != TRUE or one.get("observedGeneration") != generation for one in conditions):
            yield name
