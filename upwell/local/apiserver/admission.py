"""Knative's admission webhook, run in the server: the same code that the controller serves on a cluster.

Objects of Knative's kinds are defaulted and validated when they are created and updated, never on status. A denial
is worded as an API server words a webhook's.
"""

import importlib
from collections.abc import Mapping
from types import ModuleType

from upwell.api.names import SYSTEM_NAMESPACE
from upwell.api.objects import Object
from upwell.api.resources import CONFIG_MAP, Resource
from upwell.local.apiserver import errors
from upwell.local.apiserver.catalog import is_custom
from upwell.local.apiserver.store import Store

__all__ = ["Admission"]

_WEBHOOK = "validation.webhook.serving.knative.dev"


class Admission:
    """Asks `upwell.api.admission`, with the config maps of the store."""

    def __init__(self, store: Store, system_namespace: str = SYSTEM_NAMESPACE) -> None:
        self._store = store
        self._system_namespace = system_namespace
        self._rules = _rules()

    def review(self, resource: Resource, obj: Object, old: Object | None) -> Object:
        """The object with its defaults; raise StatusError (400) when it is denied. `obj` may be changed."""
        admission = self._rules
        if admission is None or not is_custom(resource):
            return obj
        try:
            admitted: Object = admission.admit(resource, obj, old, self._config)
        except admission.Denied as denied:
            message = f'admission webhook "{_WEBHOOK}" denied the request: validation failed: {denied}'
            raise errors.bad_request(message) from denied
        return admitted

    def _config(self, name: str) -> Mapping[str, str]:
        record = self._store.get(CONFIG_MAP, self._system_namespace, name)
        data = (record.obj.get("data") or {}) if record is not None else {}
        return {key: value for key, value in data.items() if key != "_example"}


def _rules() -> ModuleType | None:
    try:
        return importlib.import_module("upwell.api.admission")
    except ModuleNotFoundError:
        return None
