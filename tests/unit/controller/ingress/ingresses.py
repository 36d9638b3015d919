"""An Ingress as a Route with a split and a tag makes it, and settings for who serves it."""

from collections.abc import Callable, Mapping
from typing import Any

from controller.settings import Settings
from upwell.api.names import ANNOTATION_LAST_APPLIED, LABEL_ROUTE
from upwell.api.objects import Object, new_object
from upwell.api.resources import INGRESS

PUBLIC = "app.shop.example.com"
INSIDE = "app.shop.svc.cluster.local"


class Maps:
    """Config maps that do not change."""

    def __init__(self, **data: Mapping[str, str]) -> None:
        self._data = {f"config-{name}": values for name, values in data.items()}

    def get(self, name: str) -> Mapping[str, str]:
        return self._data.get(name, {})

    def on_change(self, callback: Callable[[str], None]) -> None:
        """They do not."""


def settings(**data: Mapping[str, str]) -> Settings:
    return Settings(Maps(**data))


def split(service: str, percent: int = 100) -> dict[str, Any]:
    return {
        "serviceNamespace": "shop",
        "serviceName": service,
        "servicePort": 80,
        "percent": percent,
        "appendHeaders": {"Knative-Serving-Revision": service, "Knative-Serving-Namespace": "shop"},
    }


def rule(visibility: str, *hosts: str, paths: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    main = {"splits": [split("app-00001", 80), split("app-00002", 20)], "appendHeaders": {"X-Main": "1"}}
    tagged = {"headers": {"Knative-Serving-Tag": {"exact": "next"}}, "splits": [split("app-00002")]}
    return {"hosts": list(hosts), "visibility": visibility, "http": {"paths": paths or [tagged, main]}}


def ingress(*rules: dict[str, Any], labels: Mapping[str, str] | None = None) -> Object:
    metadata = {
        "uid": "uid-ingress",
        "generation": 1,
        "labels": {LABEL_ROUTE: "app", **(labels or {})},
        "annotations": {"note": "kept", ANNOTATION_LAST_APPLIED: "{}"},
    }
    wanted = list(rules) or [rule("ClusterLocal", "app.shop", INSIDE), rule("ExternalIP", PUBLIC)]
    return new_object(INGRESS, "shop", "app", metadata=metadata, spec={"rules": wanted})
