"""The chart as Helm itself renders it, in the combinations of values that users have."""

import copy
import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "upwell"
NAMESPACE = "knative-serving"
COMPONENTS = ("controller", "autoscaler", "activator", "gateway")
KNATIVE_NAMES = ("activator-service", "autoscaler", "controller", "webhook")
"""Services that an installed Knative has already."""

EVERYTHING: dict[str, Any] = {
    "image": {"digest": f"sha256:{'0' * 64}"},
    "imagePullSecrets": [{"name": "registry"}],
    "bindHost": "::",
    "config": {
        "autoscaler": {"stable-window": "30s", "enable-scale-to-zero": True},
        "domain": {"example.com": "", "internal.example.com": {"selector": {"visibility": "internal"}}},
        "logging": {"loglevel.activator": "debug"},
        "network": {"rollout-duration": 60},
    },
    "activator": {"autoscaling": {"enabled": True}, "workers": 2, "flips": False},
    "gateway": {
        "tls": {"enabled": True},
        "service": {"externalTrafficPolicy": "Local", "loadBalancerSourceRanges": ["10.0.0.0/8"]},
    },
    "networkPolicy": {"metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]},
    "monitoring": {name: {"enabled": True} for name in ("podMonitor", "serviceMonitor", "revisions")},
    **{
        name: {
            "podAnnotations": {"a": "b"},
            "podLabels": {"team": "platform"},
            "extraEnv": [{"name": "TZ", "value": "UTC"}],
            "nodeSelector": {"pool": "system"},
            "tolerations": [{"key": "system", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "priorityClassName": "system-cluster-critical",
            "serviceAccount": {"annotations": {"role": "x"}},
        }
        for name in ("controller", "autoscaler")
    },
}
COMBINATIONS: Mapping[str, dict[str, Any]] = {
    "defaults": {},
    "everything": EVERYTHING,
    "nothing optional": {
        "crds": {"install": False},
        "rbac": {"create": False},
        "webhook": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
        "topologySpread": {"enabled": False},
        "networkPolicy": {"enabled": False},
        "gateway": {"service": {"type": "ClusterIP"}},
    },
    "for gateways of the Gateway API": {
        "ingress": {"translateFor": "gateway-api"},
        "gateway": {"enabled": False},
        "config": {"gateway": {"local-gateways": [{"gateway": "gateways/inside", "service": "gateways/inside"}]}},
    },
    "for gateways of Istio": {"ingress": {"translateFor": "istio"}, "gateway": {"enabled": False}},
    **{f"without {name}": {name: {"enabled": False}} for name in COMPONENTS},
    **{f"{name} beside Knative": {"knative": {"replace": [name]}} for name in ("queue-proxy", *COMPONENTS)},
    "all beside Knative": {"knative": {"replace": ["queue-proxy", *COMPONENTS]}},
}

combinations = pytest.mark.parametrize("values", COMBINATIONS.values(), ids=COMBINATIONS.keys())


def helm() -> Any:
    """Helm's own engine as a library; without it the tests of the chart are skipped."""
    module = pytest.importorskip("helm_python", reason="no Helm engine: pip install helm-python-sdk")
    module.disable_logging()
    return module


@functools.cache
def _rendered(values: str, upgrade: bool) -> Mapping[str, str]:
    with helm().Chart.load(CHART) as chart:
        files: Mapping[str, str] = chart.render(
            json.loads(values), name="upwell", namespace=NAMESPACE, is_install=not upgrade, is_upgrade=upgrade
        )
    return files


def rendered(values: Mapping[str, Any], *, upgrade: bool = False) -> Mapping[str, str]:
    """File names, without the chart's folders, and texts."""
    files = _rendered(json.dumps(values), upgrade)
    return {name.removeprefix("upwell/templates/"): text for name, text in files.items()}


def objects(values: Mapping[str, Any], *, upgrade: bool = False) -> list[dict[str, Any]]:
    """All objects of the release, the caller's to change."""
    return copy.deepcopy(_parsed(json.dumps(values), upgrade))


@functools.cache
def _parsed(values: str, upgrade: bool) -> list[dict[str, Any]]:
    return list(_objects(_rendered(values, upgrade)))


def _objects(files: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for name, text in files.items():
        if name.endswith(".yaml"):
            yield from filter(None, yaml.load_all(text, Loader=yaml.CSafeLoader))


def of_kind(values: Mapping[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """The objects of a kind by name."""
    return {one["metadata"]["name"]: one for one in objects(values) if one["kind"] == kind}


def rules_of(component: str, values: Mapping[str, Any] | None = None) -> list[tuple[str, dict[str, Any]]]:
    """What a component may do: (namespace, or nothing for all of them; rule)."""
    found = []
    for one in objects(values or {}):
        if one["kind"] in ("ClusterRole", "Role") and one["metadata"]["name"] == f"upwell-{component}":
            found += [(one["metadata"].get("namespace", ""), rule) for rule in one["rules"]]
    assert found, f"no role for {component}"
    return found
