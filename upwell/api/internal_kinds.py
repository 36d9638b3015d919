"""Defaults and validation of the kinds that controllers write: PodAutoscaler, Metric, ServerlessService, Ingress."""

from collections.abc import Mapping
from typing import Any

from upwell.api.configs import KindsConfig
from upwell.api.field_errors import FieldErrors, at, at_index
from upwell.api.metadata import validate_name
from upwell.api.names import ANNOTATION_CLASS, ANNOTATION_METRIC, CLASS_HPA, CLASS_KPA
from upwell.api.objects import Object
from upwell.api.revision_validation import validate_revision_annotations

__all__ = [
    "default_ingress",
    "default_pod_autoscaler",
    "validate_ingress",
    "validate_metric",
    "validate_pod_autoscaler",
    "validate_serverless_service",
]

Spec = Mapping[str, Any]


def default_pod_autoscaler(autoscaler: Object, config: KindsConfig) -> None:
    """Which class scales it, and by what."""
    annotations = autoscaler["metadata"].setdefault("annotations", {})
    kind = annotations.setdefault(ANNOTATION_CLASS, config.autoscaler.pod_autoscaler_class)
    if kind == CLASS_KPA:
        annotations.setdefault(ANNOTATION_METRIC, "concurrency")
    elif kind == CLASS_HPA:
        annotations.setdefault(ANNOTATION_METRIC, "cpu")


def validate_pod_autoscaler(autoscaler: Object, config: KindsConfig, errors: FieldErrors) -> None:
    validate_name(autoscaler["metadata"], "metadata", errors)
    annotations = autoscaler["metadata"].get("annotations") or {}
    validate_revision_annotations(annotations, "metadata.annotations", config, errors)
    spec = autoscaler["spec"]
    if not spec:
        errors.missing("spec")
        return
    _validate_reference(spec.get("scaleTargetRef") or {}, "spec.scaleTargetRef", errors)
    concurrency, most = spec.get("containerConcurrency", 0), config.defaults.container_concurrency_max
    if not 0 <= concurrency <= most:
        errors.out_of_bounds(concurrency, 0, most, "spec.containerConcurrency")
    _validate_protocol(spec, errors)


def validate_metric(metric: Object, errors: FieldErrors) -> None:
    if not metric["spec"]:
        errors.missing("spec")


def validate_serverless_service(service: Object, errors: FieldErrors) -> None:
    spec = service["spec"]
    if not spec:
        errors.missing("spec")
        return
    mode, activators = spec.get("mode", ""), spec.get("numActivators", 0)
    if mode not in ("Proxy", "Serve"):
        errors.missing("spec.mode") if not mode else errors.invalid(mode, "spec.mode")
    if activators < 0:
        errors.invalid(activators, "spec.numActivators")
    _validate_reference(spec.get("objectRef") or {}, "spec.objectRef", errors)
    _validate_protocol(spec, errors)


def default_ingress(ingress: Object) -> None:
    """Rules are public unless they say otherwise, and a lone split gets everything."""
    for rule in ingress["spec"].get("rules") or ():
        rule.setdefault("visibility", "ExternalIP")
        for path in (rule.get("http") or {}).get("paths") or ():
            splits: list[dict[str, Any]] = path.get("splits") or []
            if len(splits) == 1:
                splits[0].setdefault("percent", 100)


def validate_ingress(ingress: Object, errors: FieldErrors) -> None:
    spec = ingress["spec"]
    if not spec.get("rules") and not spec.get("tls"):
        errors.missing("spec")
        return
    if not spec.get("rules"):
        errors.missing("spec.rules")
    option = spec.get("httpOption", "")
    if option not in ("", "Enabled", "Redirected"):
        errors.invalid(option, "spec.httpOption")
    namespace = ingress["metadata"].get("namespace", "")
    for index, rule in enumerate(spec.get("rules") or ()):
        _validate_rule(rule, at_index("spec.rules", index), namespace, errors)
    for index, tls in enumerate(spec.get("tls") or ()):
        for field in ("secretName", "secretNamespace"):
            if not tls.get(field):
                errors.missing(at(at_index("spec.tls", index), field))


def _validate_rule(rule: Spec, path: str, namespace: str, errors: FieldErrors) -> None:
    http = rule.get("http")
    if http is None:
        errors.missing(at(path, "http"))
        return
    where = at(path, "http.paths")
    if not http.get("paths"):
        errors.missing(where)
    for index, item in enumerate(http.get("paths") or ()):
        _validate_path(item, at_index(where, index), namespace, errors)


def _validate_path(path_spec: Spec, path: str, namespace: str, errors: FieldErrors) -> None:
    splits, where = path_spec.get("splits") or (), at(path, "splits")
    if not splits:
        errors.missing(where)
        return
    total = sum(split.get("percent", 0) for split in splits)
    if total != 100:
        errors.add(f"traffic split percentage must total to 100, but was {total}", where)
    for index, split in enumerate(splits):
        _validate_split(split, at_index(where, index), namespace, errors)


def _validate_split(split: Spec, path: str, namespace: str, errors: FieldErrors) -> None:
    for field in ("serviceNamespace", "serviceName", "servicePort"):
        if not split.get(field):
            errors.missing(at(path, field))
    given = split.get("serviceNamespace")
    if given and namespace and given != namespace:
        errors.add("service namespace must match ingress namespace", at(path, "serviceNamespace"))


def _validate_reference(reference: Spec, path: str, errors: FieldErrors) -> None:
    for field in ("apiVersion", "kind", "name"):
        if not reference.get(field):
            errors.missing(at(path, field))


def _validate_protocol(spec: Spec, errors: FieldErrors) -> None:
    protocol = spec.get("protocolType", "")
    if not protocol:
        errors.missing("spec.protocolType")
    elif protocol not in ("http1", "h2c"):
        errors.invalid(protocol, "spec.protocolType")
