"""What every translation of an Ingress has in common.

Ingress ── Translation.children ──> objects for somebody else's gateways, with a path for probes beside each path
        ── Translation.obstacle ──> why they are not served yet, as far as their statuses tell
        ── Translation.vouched ──> whether their statuses can be believed that they are
        ── Translation.gateways ──> the Services behind which the gateways are, to be asked and to be told of
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from controller.ingress.kinds import LABEL_INGRESS
from upwell.api.ingress import spec_hash
from upwell.api.names import ANNOTATION_LAST_APPLIED, HEADER_HASH
from upwell.api.objects import Key, Object, annotations_of, controller_reference, mutable, name_of
from upwell.api.resources import Resource

__all__ = ["PROBED", "Gateways", "Obstacle", "Translation", "child_metadata", "is_local", "with_probes"]

PROBED: Final = "override"
"""What the hash field of a probe's request says; the gateway puts the hash of what it serves in its place."""


class Obstacle(NamedTuple):
    """Why something is not served yet."""

    reason: str
    message: str


class Gateways(NamedTuple):
    """The Services in front of the gateways that serve clients outside and inside the cluster."""

    external: tuple[Key, ...]
    local: tuple[Key, ...]


class Translation(Protocol):
    """One class of Ingresses."""

    resources: tuple[Resource, ...]
    """The kinds of what it makes; all of that is in the Ingress's namespace."""

    def leaves_traces(self, ingress: Object) -> bool:
        """Whether something of it is written where it does not vanish with its owner."""
        ...

    async def prepare(self, ingress: Object) -> Obstacle | None:
        """Bring these traces up to date, whether there are to be any or not; what is in the way of their being used."""
        ...

    def children(self, ingress: Object) -> list[Object]:
        """What the gateways need; `ingress` has paths for probes. Raise ConfigError when settings cannot be used."""
        ...

    def obstacle(self, children: Sequence[Object]) -> Obstacle | None:
        """What is in the way of the children, as they are, being served."""
        ...

    def vouched(self, children: Sequence[Object]) -> bool:
        """Whether the children's statuses say that they are served, so that no gateway needs to be asked."""
        ...

    def gateways(self, ingress: Object) -> Gateways:
        """By which Services the gateways of an Ingress are reached."""
        ...


def child_metadata(ingress: Object, labels: Mapping[str, str]) -> dict[str, Any]:
    """Labels, annotations and owner of what is made for an Ingress; `labels` are its own."""
    annotations = {name: value for name, value in annotations_of(ingress).items() if name != ANNOTATION_LAST_APPLIED}
    return {
        "labels": {**labels, LABEL_INGRESS: name_of(ingress)},
        "annotations": annotations,
        "ownerReferences": [controller_reference(ingress)],
    }


def is_local(rule: Mapping[str, Any]) -> bool:
    """Whether only clients inside the cluster are served."""
    return rule.get("visibility") == "ClusterLocal"


def with_probes(ingress: Object) -> tuple[Object, str]:
    """The Ingress with a path for probes before each path, and the hash that these answer with.

    A probe is a request like any other to the same host and path, but for one field. So who sees it answered with the
    hash knows that requests are served by this version.
    """
    result, version = mutable(ingress), spec_hash(ingress)
    for rule in result["spec"].get("rules") or ():
        http = rule.get("http") or {}
        paths = http.get("paths") or []
        http["paths"] = [one for path in paths for one in (_probe(path, version), path)]
    return result, version


def _probe(path: Mapping[str, Any], version: str) -> dict[str, Any]:
    return {
        **path,
        "headers": {**(path.get("headers") or {}), HEADER_HASH: {"exact": PROBED}},
        "appendHeaders": {**(path.get("appendHeaders") or {}), HEADER_HASH: version},
    }
