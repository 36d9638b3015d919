"""Defaults and validation of the kinds that controllers write: PodAutoscaler, Metric, ServerlessService, Ingress."""

from collections.abc import Mapping
from typing import Any, Final

from upwell.api.configs import KindsConfig
from upwell.api.field_errors import FieldErrors, at, at_index
from upwell.api.metadata import validate_name
from upwell.api.name_rules import identifier_problems, label_problems, qualified_name_problems
from upwell.api.names import ANNOTATION_CLASS, ANNOTATION_METRIC, CLASS_HPA, CLASS_KPA
from upwell.api.objects import Object
from upwell.api.revision_validation import validate_autoscaling, validate_concurrency, validate_networking

__all__ = [
    "default_ingress",
    "default_pod_autoscaler",
    "validate_ingress",
    "validate_metric",
    "validate_pod_autoscaler",
    "validate_serverless_service",
]

Spec = Mapping[str, Any]
_METRICS: Final = {CLASS_KPA: "concurrency", CLASS_HPA: "cpu"}
_REFERENCE: Final = {"apiVersion": qualified_name_problems, "kind": identifier_problems, "name": label_problems}
"""Of a reference to an object, by field, what is wrong with it."""


def default_pod_autoscaler(autoscaler: Object, config: KindsConfig) -> None:
    """Which class scales it, and by what: of a class that is not ours, by nothing that we know of."""
    annotations = autoscaler["metadata"].setdefault("annotations", {})
    kind = annotations.setdefault(ANNOTATION_CLASS, config.autoscaler.pod_autoscaler_class)
    annotations.setdefault(ANNOTATION_METRIC, _METRICS.get(kind, ""))


def validate_pod_autoscaler(autoscaler: Object, config: KindsConfig, errors: FieldErrors) -> None:
    _validate_metadata(autoscaler, config, errors)
    spec = autoscaler["spec"]
    if _is_empty(spec):
        errors.missing("spec")
        return
    _validate_reference(spec.get("scaleTargetRef") or {}, "spec.scaleTargetRef", errors)
    validate_concurrency(spec.get("containerConcurrency", 0), "spec", config, errors)
    _validate_protocol(spec, errors)


def validate_metric(metric: Object, config: KindsConfig, errors: FieldErrors) -> None:
    _validate_metadata(metric, config, errors)
    if _is_empty(metric["spec"]):
        errors.missing("spec")


def validate_serverless_service(service: Object, errors: FieldErrors) -> None:
    # The contract's words leave out that annotations are part of the metadata here.
    validate_networking(service["metadata"].get("annotations") or {}, "annotations", errors)
    spec = service["spec"]
    if _is_empty(spec):
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
    if _is_empty(spec):
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
        _validate_tls(tls, at_index("spec.tls", index), errors)


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
    """The first split that is wrong is told; the sum of all only when none is."""
    splits, where = path_spec.get("splits") or (), at(path, "splits")
    if _is_empty(path_spec):
        errors.missing(path)
        return
    if not splits:
        errors.missing(where)
        return
    for index, split in enumerate(splits):
        found = FieldErrors()
        _validate_split(split, at_index(where, index), namespace, found)
        if found:
            errors.extend(found)
            return
    total = sum(split.get("percent", 0) for split in splits)
    if total != 100:
        errors.add(f"traffic split percentage must total to 100, but was {total}", where)


def _validate_split(split: Spec, path: str, namespace: str, errors: FieldErrors) -> None:
    percent = split.get("percent", 0)
    if not 0 <= percent <= 100:
        errors.invalid(percent, at(path, "percent"))
    _validate_backend(split, path, errors)
    given = split.get("serviceNamespace")
    if given and namespace and given != namespace:
        errors.add("service namespace must match ingress namespace", at(path, "serviceNamespace"))


def _validate_metadata(obj: Object, config: KindsConfig, errors: FieldErrors) -> None:
    validate_name(obj["metadata"], "metadata", errors)
    validate_autoscaling(obj["metadata"].get("annotations") or {}, "metadata.annotations", config, errors)


def _validate_backend(split: Spec, path: str, errors: FieldErrors) -> None:
    """Where none of its fields is there, the whole is missing."""
    missing = [field for field in ("serviceNamespace", "serviceName") if not split.get(field)]
    if split.get("servicePort") in (None, 0):
        missing.append("servicePort")
    if len(missing) == 3:
        errors.missing(path)
    elif missing:
        errors.missing(*(at(path, field) for field in missing))


def _validate_tls(tls: Spec, path: str, errors: FieldErrors) -> None:
    if _is_empty(tls):
        errors.missing(path)
        return
    for field in ("secretName", "secretNamespace"):
        if not tls.get(field):
            errors.missing(at(path, field))


def _is_empty(value: Any) -> bool:
    """Whether it says nothing, at any depth."""
    if isinstance(value, dict):
        return all(map(_is_empty, value.values()))
    return value in ("", 0, [], None)


def _validate_reference(reference: Spec, path: str, errors: FieldErrors) -> None:
    for field, problems_of in _REFERENCE.items():
        if not reference.get(field):
            errors.missing(at(path, field))
        elif problems := problems_of(reference[field]):
            errors.invalid(", ".join(problems), at(path, field))


def _validate_protocol(spec: Spec, errors: FieldErrors) -> None:
    protocol = spec.get("protocolType", "")
    if not protocol:
        errors.missing("spec.protocolType")
    elif protocol not in ("http1", "h2c"):
        errors.invalid(protocol, "spec.protocolType")
