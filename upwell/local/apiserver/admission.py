"""Knative's admission webhook, run in the server: the same code that the controller serves on a cluster.

Objects of Knative's kinds are defaulted and validated when they are created and updated, never on status. A denial
is worded as an API server words a webhook's.
"""

from collections.abc import Mapping

from upwell.api import admission
from upwell.api.names import SYSTEM_NAMESPACE
from upwell.api.objects import Object
from upwell.api.resources import CONFIG_MAP, Resource
from upwell.local.apiserver import errors
from upwell.local.apiserver.catalog import is_custom
from upwell.local.apiserver.store import Store

__all__ = ["Admission"]

_USER = "kubernetes-admin"
"""Who is said to have made and changed objects: there are no users here, and a cluster's first one has this name."""
_STRICT = "strict decoding error"
_WEBHOOK = "validation.webhook.serving.knative.dev"


class Admission:
    """Asks `upwell.api.admission`, with the config maps of the store."""

    def __init__(self, store: Store, system_namespace: str = SYSTEM_NAMESPACE) -> None:
        self._store = store
        self._system_namespace = system_namespace

    def review(self, resource: Resource, obj: Object, old: Object | None, strict: bool) -> Object:
        """The object with its defaults; raise StatusError (400) when it is denied. `obj` may be changed.

        `strict` refuses fields that nobody knows, which are dropped otherwise.
        """
        if not is_custom(resource):
            return obj
        try:
            return admission.admit(resource, obj, old, self._config, user=_USER, strict=strict)
        except admission.Denied as denied:
            if str(denied).startswith(_STRICT):
                raise errors.cannot_be_handled(resource, str(denied)) from denied
            message = f'admission webhook "{_WEBHOOK}" denied the request: validation failed: {denied}'
            raise errors.bad_request(message) from denied

    def _config(self, name: str) -> Mapping[str, str]:
        record = self._store.get(CONFIG_MAP, self._system_namespace, name)
        data = (record.obj.get("data") or {}) if record is not None else {}
        return {key: value for key, value in data.items() if key != "_example"}
