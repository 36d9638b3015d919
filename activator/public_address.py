"""What stands behind a revision's public Service: EndpointSlices, and Endpoints for those who read the older kind.

An address stays in the slice that it is in. So a pod that comes or goes is an update of one slice of a hundred, however
many pods there are, and a flip to activators on the same ports is one update, after which nobody needs the rest.
Slices are told apart by the ports that their endpoints share, and named after those and a number.

The Endpoints object says `skip-mirror`: without it Kubernetes would make slices of its own from it, and every address
would be there twice. It holds a thousand addresses, as many as those of Kubernetes' own.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from activator.sks import Backends, address_of, group_of
from upwell.api import names
from upwell.api.objects import (
    Object,
    annotations_of,
    controller_reference,
    labels_of,
    name_of,
    namespace_of,
    new_object,
)
from upwell.api.resources import ENDPOINT_SLICE, ENDPOINTS

__all__ = ["MANAGER", "SLICE_MOST", "plan_slices", "public_endpoints"]

MANAGER: Final = "upwell-activator"
SLICE_MOST: Final = 100
"""Endpoints in one slice, as in those that Kubernetes makes."""
ENDPOINTS_MOST: Final = 1000
_SKIP_MIRROR: Final = "endpointslice.kubernetes.io/skip-mirror"
_OVER_CAPACITY: Final = "endpoints.kubernetes.io/over-capacity"
_FQDN: Final = "FQDN"

_Group = tuple[str, str]


def plan_slices(sks: Object, service: Object, backends: Backends, present: Iterable[Object]) -> list[Object]:
    """The slices behind the public `service` from now on, none of them empty; `present` are those there are.

    Those of `present` that are not among them are to be deleted, after all of these have been written.
    """
    by_group: dict[_Group, list[Object]] = {}
    for found in sorted(present, key=name_of):
        by_group.setdefault(group_of(found), []).append(found)
    taken = {name_of(found) for group in by_group.values() for found in group}
    planned = []
    for group, endpoints in sorted(backends.items()):
        wanted = {address_of(endpoint): endpoint for endpoint in endpoints}
        for name, addresses in _place(by_group.get(group, []), wanted):
            name = name or _new_name(sks, group, taken)
            planned.append(_slice(sks, service, name, group, [_copy(wanted[address]) for address in addresses]))
    return planned


def public_endpoints(sks: Object, backends: Backends) -> Object:
    """The same as an Endpoints object, for Knative's own activators and ingresses."""
    left = ENDPOINTS_MOST
    subsets = []
    for (address_type, ports_text), endpoints in sorted(backends.items()):
        part = [] if address_type == _FQDN else sorted(endpoints, key=address_of)[:left]
        left -= len(part)
        if part:
            subsets.append({"addresses": [_older(one) for one in part], "ports": json.loads(ports_text)})
    annotations = dict(annotations_of(sks))
    if sum(len(endpoints) for endpoints in backends.values()) > ENDPOINTS_MOST:
        annotations[_OVER_CAPACITY] = "truncated"
    labels = {
        **labels_of(sks),
        names.LABEL_SKS: name_of(sks),
        names.LABEL_SERVICE_TYPE: names.SERVICE_TYPE_PUBLIC,
        _SKIP_MIRROR: "true",
    }
    metadata = {"labels": labels, "annotations": annotations, "ownerReferences": [controller_reference(sks)]}
    return new_object(ENDPOINTS, namespace_of(sks), name_of(sks), metadata=metadata, subsets=subsets)


def _place(present: list[Object], wanted: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """For each slice its name, empty for a new one, and the wanted addresses in it."""
    homeless = dict.fromkeys(sorted(wanted))
    kept: dict[str, list[str]] = {}
    losing: set[str] = set()
    for found in present:
        before = [address_of(endpoint) for endpoint in found.get("endpoints") or ()]
        mine = kept[name_of(found)] = [address for address in before if address in homeless]
        for address in mine:
            del homeless[address]
        if len(mine) < len(before):
            losing.add(name_of(found))
    for name in _superfluous(kept, len(wanted)):
        homeless.update(dict.fromkeys(kept.pop(name)))
    rest = sorted(homeless)
    # What is new goes into slices that change anyway, then into the fullest.
    for name in sorted(kept, key=lambda name: (name not in losing, -len(kept[name]), name)):
        room = SLICE_MOST - len(kept[name])
        kept[name], rest = kept[name] + rest[:room], rest[room:]
    placed = [(name, addresses) for name, addresses in kept.items() if addresses]
    return placed + [("", rest[start : start + SLICE_MOST]) for start in range(0, len(rest), SLICE_MOST)]


def _superfluous(kept: Mapping[str, list[str]], wanted: int) -> list[str]:
    """The emptiest slices, as many as there are beyond twice what `wanted` addresses fill; one is never too many."""
    used = sorted((name for name in kept if kept[name]), key=lambda name: (len(kept[name]), name))
    needed = -(-wanted // SLICE_MOST)
    return used[: max(0, len(used) - max(1, 2 * needed))]


def _new_name(sks: Object, group: _Group, taken: set[str]) -> str:
    number = 0
    while True:
        digest = hashlib.sha256(f"{group[0]} {group[1]} {number}".encode()).hexdigest()[:10]
        name = names.child_name(name_of(sks), f"-{digest}")
        if name not in taken:
            taken.add(name)
            return name
        number += 1


def _slice(sks: Object, service: Object, name: str, group: _Group, endpoints: list[dict[str, Any]]) -> Object:
    labels = {
        **labels_of(service),
        names.LABEL_SLICE_SERVICE: name_of(sks),
        names.LABEL_SLICE_MANAGER: MANAGER,
    }
    return new_object(
        ENDPOINT_SLICE,
        namespace_of(sks),
        name,
        metadata={"labels": labels, "ownerReferences": [controller_reference(service)]},
        addressType=group[0],
        ports=json.loads(group[1]),
        endpoints=endpoints,
    )


def _copy(endpoint: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: endpoint[name] for name in ("addresses", "targetRef", "nodeName", "zone") if endpoint.get(name)}
    return {**kept, "conditions": {"ready": True, "serving": True, "terminating": False}}


def _older(endpoint: Mapping[str, Any]) -> dict[str, Any]:
    """An endpoint as an address of an Endpoints object."""
    kept = {name: endpoint[name] for name in ("targetRef", "nodeName") if endpoint.get(name)}
    return {"ip": address_of(endpoint), **kept}
