"""What a cluster does with objects of Knative's kinds before it stores them, run in the server.

    defaulting (webhook) ─> unknown fields ─> validation (webhook) ─> types, bounds and CEL rules (CRD)

The code of the webhook is what the controller serves on a cluster, and the CRDs are those that the chart installs; it
has its say before they do, as with the chart, for its words are those that Knative's users know. Of a status, which no
webhook sees, the CRD drops what it does not know. A denial is worded as an API server words it.
"""

from collections.abc import Mapping
from functools import cache
from typing import Final

from upwell.api import admission
from upwell.api.cautions import WARNED, warnings_of
from upwell.api.config_features import parse_features
from upwell.api.names import SYSTEM_NAMESPACE
from upwell.api.objects import Object, name_of
from upwell.api.resources import CONFIG_MAP, Resource
from upwell.local.apiserver import errors
from upwell.local.apiserver.catalog import is_custom
from upwell.local.apiserver.errors import Cause
from upwell.local.apiserver.store import Store
from upwell.local.apiserver.structural import Node

__all__ = ["Admission"]

_USER = "kubernetes-admin"
"""Who is said to have made and changed objects: there are no users here, and a cluster's first one has this name."""
_STRICT = "strict decoding error"
_DEFAULTING: Final = "webhook.serving.knative.dev"
_VALIDATING: Final = "validation.webhook.serving.knative.dev"
_CONFIG: Final = "config.webhook.serving.knative.dev"


class Admission:
    """Asks `upwell.api.admission`, with the config maps of the store, and the CRDs."""

    def __init__(self, store: Store, system_namespace: str = SYSTEM_NAMESPACE) -> None:
        self._store = store
        self._system_namespace = system_namespace

    def review(self, resource: Resource, obj: Object, old: Object | None, strict: bool) -> Object:
        """The object with its defaults; raise StatusError (400, 422) when it is denied. `obj` may be changed.

        `strict` refuses fields that nobody knows, which are dropped otherwise.
        """
        if resource is CONFIG_MAP:
            self._validate(resource, obj, old, _CONFIG)
            return obj
        if not is_custom(resource):
            return obj
        try:
            admitted = admission.mutate(resource, obj, old, self._config, user=_USER, strict=strict)
        except admission.Denied as denied:
            if str(denied).startswith(_STRICT):
                raise errors.cannot_be_handled(resource, str(denied)) from denied
            raise errors.bad_request(_denied(_DEFAULTING, f"mutation failed: {denied}")) from denied
        self._validate(resource, admitted, old, _VALIDATING)
        _hold_against_definition(resource, admitted, old)
        return admitted

    def review_status(self, resource: Resource, obj: Object) -> Object:
        """An object whose status was set, with what its definition knows; raise StatusError (422)."""
        if not is_custom(resource) or "status" not in obj:
            return obj
        node = _definition(resource).field("status")
        if node is None:
            return obj
        obj["status"] = node.prune(obj["status"])
        causes: list[Cause] = []
        node.check(obj["status"], "status", causes)
        if causes:
            raise errors.invalid(resource, name_of(obj), causes)
        return obj

    def warnings(self, resource: Resource, obj: Object) -> list[str]:
        """What is accepted, and said all the same."""
        return warnings_of(resource, obj, parse_features(self._config("config-features"))) if resource in WARNED else []

    def _validate(self, resource: Resource, obj: Object, old: Object | None, webhook: str) -> None:
        try:
            admission.validate(resource, obj, old, self._config)
        except admission.Denied as denied:
            raise errors.bad_request(_denied(webhook, f"validation failed: {denied}")) from denied

    def _config(self, name: str) -> Mapping[str, str]:
        record = self._store.get(CONFIG_MAP, self._system_namespace, name)
        data = (record.obj.get("data") or {}) if record is not None else {}
        return {key: value for key, value in data.items() if key != "_example"}


def _denied(webhook: str, why: str) -> str:
    return f'admission webhook "{webhook}" denied the request: {why}'


def _hold_against_definition(resource: Resource, obj: Object, old: Object | None) -> None:
    node, causes = _definition(resource), list[Cause]()
    node.check(obj, "", causes)
    if not causes:
        node.apply_rules(obj, old, "", causes)
    if causes:
        raise errors.invalid(resource, name_of(obj), causes)


@cache
def _definition(resource: Resource) -> Node:
    from upwell.api.crds import open_schema  # made when the first object comes: it costs a start some milliseconds

    return Node(open_schema(resource))
