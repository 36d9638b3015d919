"""The Ingress of a Route: for every host, which share of its requests goes to which revision's Service.

Each name gets a rule for the cluster's own clients; a public one also a rule for everybody. Requests are marked with
the revision that they go to, which is how the activator knows it. Source: contract, control-plane.md 6.4.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from controller.route.hosts import Host
from controller.route.rollout import Rollout
from controller.route.traffic import DEFAULT, Target, Traffic
from upwell.api.conditions import READY, TRUE, Conditions, find
from upwell.api.config_network import NetworkConfig
from upwell.api.names import (
    ANNOTATION_INGRESS_CLASS,
    ANNOTATION_LAST_APPLIED,
    HEADER_DEFAULT_ROUTE,
    HEADER_NAMESPACE,
    HEADER_REVISION,
    HEADER_TAG,
    LABEL_ROUTE,
    LABEL_ROUTE_NAMESPACE,
    child_name,
)
from upwell.api.objects import (
    Object,
    annotations_of,
    controller_reference,
    labels_of,
    name_of,
    namespace_of,
    new_object,
)
from upwell.api.resources import INGRESS

__all__ = [
    "ANNOTATION_ROLLOUT",
    "NOT_COPIED",
    "follow_ingress",
    "http_option",
    "http_option_problem",
    "ingress_class",
    "make_ingress",
    "same_ingress",
    "with_challenges",
]

ANNOTATION_ROLLOUT: Final = "networking.internal.knative.dev/rollout"
ANNOTATION_TAG_TO_HOST: Final = "networking.internal.knative.dev/tag-to-host"
_CLASS_KEYS: Final = (ANNOTATION_INGRESS_CLASS, "networking.knative.dev/ingress-class")
_HTTP_OPTION_KEYS: Final = ("networking.knative.dev/httpOption", "networking.knative.dev/http-protocol")
_HTTP_OPTIONS: Final = {"enabled": "Enabled", "redirected": "Redirected"}
NOT_COPIED: Final = frozenset(
    {ANNOTATION_LAST_APPLIED, "networking.knative.dev/certificate-class", "networking.knative.dev/ingress-class"}
)
_SPEC_FIELDS: Final = ("rules", "tls", "httpOption")
_PORTS: Final = {"http1": 80, "h2c": 81}


def make_ingress(
    route: Object,
    traffic: Traffic,
    hosts: Mapping[str, Host],
    rollout: Rollout,
    network: NetworkConfig,
    *,
    tag_header_routing: bool,
    system_internal_tls: bool = False,
    tls: Sequence[Mapping[str, Any]] = (),
    challenges: Sequence[Mapping[str, Any]] = (),
) -> Object:
    """`challenges` are those of the Certificates that are not ready, answered under the hosts that they are for."""
    rules = _rules(route, traffic, hosts, rollout, tag_header_routing, system_internal_tls)
    spec: dict[str, Any] = {
        "rules": with_challenges(rules, challenges),
        "tls": list(tls),
        "httpOption": http_option(route, network),
    }
    return new_object(
        INGRESS,
        namespace_of(route),
        child_name(name_of(route), ""),
        metadata={
            "labels": {
                **labels_of(route),
                LABEL_ROUTE: name_of(route),
                LABEL_ROUTE_NAMESPACE: namespace_of(route),
            },
            "annotations": _annotations(route, hosts, rollout, network),
            "ownerReferences": [controller_reference(route)],
        },
        spec={name: value for name, value in spec.items() if value},
    )


def http_option_problem(route: Object) -> str:
    """Why the annotation that says what becomes of plain HTTP cannot be used; empty when it can."""
    key, value = _first(annotations_of(route), _HTTP_OPTION_KEYS)
    if key and value.lower() not in _HTTP_OPTIONS:
        return f'annotation {key}="{value}" must be "enabled" or "redirected"'
    return ""


def ingress_class(owner: Object, network: NetworkConfig) -> str:
    """Who is to serve the Ingress of `owner`."""
    _, chosen = _first(annotations_of(owner), _CLASS_KEYS)
    return chosen or network.ingress_class


def same_ingress(existing: Object, wanted: Object) -> bool:
    """Whether it is as wanted, but for what the API server fills in by itself."""
    same_spec = all(existing["spec"].get(field) == wanted["spec"].get(field) for field in _SPEC_FIELDS)
    return same_spec and all(
        (existing["metadata"].get(field) or {}) == (wanted["metadata"].get(field) or {})
        for field in ("labels", "annotations")
    )


def follow_ingress(conditions: Conditions, condition: str, ingress: Object) -> None:
    """Carry over what the Ingress says of itself, once that is about its present generation."""
    status = ingress.get("status") or {}
    ready = find(status, READY)
    if ingress["metadata"].get("generation") != status.get("observedGeneration") or not ready:
        conditions.mark_unknown(condition, "IngressNotConfigured", "Ingress has not yet been reconciled.")
    elif ready["status"] == TRUE:
        conditions.mark_true(condition)
    else:
        conditions.mark(condition, ready["status"], ready.get("reason", ""), ready.get("message", ""))


def http_option(route: Object, network: NetworkConfig) -> str:
    """What becomes of plain HTTP: `Enabled`, `Redirected`, or empty."""
    _, value = _first(annotations_of(route), _HTTP_OPTION_KEYS)
    return _HTTP_OPTIONS.get(value.lower(), network.http_option)


def with_challenges(rules: Sequence[dict[str, Any]], challenges: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rules, each with the answers to challenges of its host first; and one for each host that has none."""
    paths: dict[str, list[dict[str, Any]]] = {}
    for challenge in challenges:
        url = urlsplit(str(challenge["url"]))
        split = {name: challenge[name] for name in ("serviceName", "serviceNamespace", "servicePort")}
        paths.setdefault(str(url.hostname), []).append({"path": url.path, "splits": [{**split, "percent": 100}]})
    result = []
    for rule in rules:
        answers = paths.pop(rule["hosts"][0], []) if rule["visibility"] == "ExternalIP" else []
        result.append({**rule, "http": {"paths": [*answers, *rule["http"]["paths"]]}})
    for host, answers in sorted(paths.items()):
        result.append({"hosts": [host], "http": {"paths": answers}, "visibility": "ExternalIP"})
    return result


def _annotations(route: Object, hosts: Mapping[str, Host], rollout: Rollout, network: NetworkConfig) -> dict[str, str]:
    tagged = {
        tag: [host.inside[-1], *([] if host.cluster_local else [host.domain])]
        for tag, host in sorted(hosts.items())
        if tag != DEFAULT
    }
    result = {
        ANNOTATION_INGRESS_CLASS: ingress_class(route, network),
        ANNOTATION_ROLLOUT: rollout.to_json(),
        **{key: value for key, value in annotations_of(route).items() if key not in NOT_COPIED},
    }
    if tagged:
        result[ANNOTATION_TAG_TO_HOST] = json.dumps(tagged, separators=(",", ":"))
    return result


def _rules(
    route: Object,
    traffic: Traffic,
    hosts: Mapping[str, Host],
    rollout: Rollout,
    tag_header_routing: bool,
    system_internal_tls: bool,
) -> list[dict[str, Any]]:
    def splits_of(tag: str) -> list[dict[str, Any]]:
        return _splits(traffic.groups[tag], tag, namespace_of(route), rollout, system_internal_tls)

    rules = []
    for tag, host in sorted(hosts.items()):
        paths: list[dict[str, Any]] = [{"splits": splits_of(tag)}]
        if tag_header_routing and tag == DEFAULT:
            by_header = [
                {"headers": {HEADER_TAG: {"exact": other}}, "splits": splits_of(other)}
                for other in sorted(hosts)
                if other != DEFAULT
            ]
            paths = [*by_header, {**paths[0], "appendHeaders": {HEADER_DEFAULT_ROUTE: "true"}}]
        elif tag_header_routing:
            paths[0]["appendHeaders"] = {HEADER_TAG: tag}
        rules.append({"hosts": list(host.inside), "http": {"paths": paths}, "visibility": "ClusterLocal"})
        if not host.cluster_local:
            rules.append({"hosts": [host.domain], "http": {"paths": paths}, "visibility": "ExternalIP"})
    return rules


def _splits(
    targets: Sequence[Target], tag: str, namespace: str, rollout: Rollout, system_internal_tls: bool
) -> list[dict[str, Any]]:
    splits = []
    for target in targets:
        if not target.percent:
            continue
        shares = rollout.shares(tag, target.configuration) if target.latest else ()
        for revision, percent in shares or ((target.revision, target.percent),):
            splits.append(
                {
                    "serviceName": revision,
                    "serviceNamespace": namespace,
                    "servicePort": 443 if system_internal_tls else _PORTS[target.protocol],
                    "percent": percent,
                    "appendHeaders": {HEADER_REVISION: revision, HEADER_NAMESPACE: namespace},
                }
            )
    return splits


def _first(values: Mapping[str, str], keys: Sequence[str]) -> tuple[str, str]:
    return next(((key, values[key]) for key in keys if key in values), ("", ""))
