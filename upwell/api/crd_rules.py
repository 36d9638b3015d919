"""What the API server itself checks besides types: bounds, and rules in CEL, by kind and path.

A path leads through a schema: `[]` is a list's elements, `{}` a map's values. What hangs there is merged into the
schema of that place (`upwell.api.crds`). Everything here is refused by admission too, mostly in the same words, and
nothing here refuses what admission accepts: the rules are for the time without a webhook, and for those who read a
schema before they write. They run after defaulting where there is a webhook, and without it where there is none.

Bounds on sizes (`maxItems`, `maxProperties`, `maxLength`) keep the estimated cost of the rules within what a cluster
allows: 10 million units for each, 100 million for a definition. Names in annotations are in `annotation_rules`.
"""

from collections.abc import Mapping
from typing import Any, Final

from upwell.api.annotation_rules import ANNOTATION_MARKS
from upwell.api.resources import (
    CERTIFICATE,
    CONFIGURATION,
    DOMAIN_CLAIM,
    DOMAIN_MAPPING,
    IMAGE,
    INGRESS,
    POD_AUTOSCALER,
    REVISION,
    ROUTE,
    SERVERLESS_SERVICE,
    SERVICE,
    Resource,
)

__all__ = ["MARKS", "RULES", "Marks"]

Marks = Mapping[str, Mapping[str, Any]]
"""By path, keys of OpenAPI schemas."""

RULES: Final = "x-kubernetes-validations"
_LABEL: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"
_OPTIONAL_LABEL: Final = f"^({_LABEL})?$"
_CONTAINERS_MAX: Final = 100
_TARGETS_MAX: Final = 500


def _rule(rule: str, message: str = "", expression: str = "", field: str = "") -> dict[str, str]:
    found = {"rule": rule, "message": message}
    if expression:
        found["messageExpression"] = expression
    if field:
        found["fieldPath"] = field
    return {name: value for name, value in found.items() if value}


def _set(field: str) -> str:
    """That a text is there and says something."""
    return f"has(self.{field}) && self.{field} != ''"


_NAME: Final = _rule(
    f"self.metadata.name.matches('^{_LABEL}$') && size(self.metadata.name) <= 63",
    "metadata.name: not a DNS 1035 label: lower case letters, digits and '-', beginning with a letter, at most 63",
)
_TEMPLATE_NAME: Final = _rule(
    "!has(self.spec.template) || !has(self.spec.template.metadata) || !has(self.spec.template.metadata.name)"
    " || self.spec.template.metadata.name == ''"
    " || self.spec.template.metadata.name.startsWith(self.metadata.name + '-')",
    "spec.template.metadata.name: must have the object's own name and '-' as its prefix",
)
_SUM: Final = "self.map(t, has(t.percent) ? t.percent : 0).sum()"
_TARGETS: Final = {
    "maxItems": _TARGETS_MAX,
    RULES: [
        _rule(
            f"{_SUM} == 100",
            "Traffic targets must sum to 100",
            f"'Traffic targets sum to ' + string({_SUM}) + ', want 100'",
        ),
        _rule(
            "self.all(a, !has(a.tag) || a.tag == '' || self.exists_one(b, has(b.tag) && b.tag == a.tag))",
            "a tag may be given to one target only",
        ),
    ],
}
_LATEST_OR_NAMED: Final = _rule(
    f"!has(self.latestRevision) || self.latestRevision != ({_set('revisionName')})",
    "set either latestRevision: true or a revisionName",
    "self.latestRevision ? 'may not set revisionName when latestRevision is true'"
    " : 'must set revisionName when latestRevision is false'",
    ".latestRevision",
)
_NO_URL: Final = _rule(
    "!has(self.url) || self.url == ''", "must not set the field: it is reported in status", "", ".url"
)
_NO_CONFIGURATION: Final = _rule(
    "!has(self.configurationName) || self.configurationName == ''",
    "must not set the field: a Service's configuration is its own",
    "",
    ".configurationName",
)
_ONE_TARGET: Final = _rule(
    f"({_set('revisionName')}) != ({_set('configurationName')})",
    "expected exactly one of revisionName and configurationName",
)


def _target(*rules: Mapping[str, str]) -> Marks:
    return {
        "[]": {RULES: list(rules)},
        "[].percent": {"minimum": 0, "maximum": 100},
        "[].tag": {"maxLength": 63, "pattern": _OPTIONAL_LABEL},
    }


def _under(prefix: str, marks: Marks) -> dict[str, Mapping[str, Any]]:
    return {
        (prefix + path if path.startswith(("[", "{")) else f"{prefix}.{path}" if path else prefix): mark
        for path, mark in marks.items()
    }


_BY_NAME: Final = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
_REVISION: Final[Marks] = {
    "": {"required": ["containers"]},
    "containerConcurrency": {"minimum": 0},
    "timeoutSeconds": {"minimum": 0},
    "containers": {
        "minItems": 1,
        "maxItems": _CONTAINERS_MAX,
        RULES: [
            _rule(
                "self.map(c, has(c.ports) ? size(c.ports) : 0).sum() <= 1",
                "more than one container port is set: one port of one container gets the requests",
            ),
            _rule(
                "self.all(c, !has(c.name) || c.name != 'queue-proxy')",
                '"queue-proxy" is a reserved container name',
            ),
        ],
    },
    "containers[]": {"required": ["image"]},
    "initContainers": {"maxItems": _CONTAINERS_MAX},
    "volumes": _BY_NAME,
    "volumes[]": {"required": ["name"]},
    "containers[].env": _BY_NAME,
    "containers[].env[]": {"required": ["name"]},
    "initContainers[].env": _BY_NAME,
    "initContainers[].env[]": {"required": ["name"]},
}
_TEMPLATE: Final[Marks] = {
    **_under("spec.template.spec", _REVISION),
    **_under("spec.template.metadata.annotations", ANNOTATION_MARKS),
    "spec.template.metadata.name": {"maxLength": 63, "pattern": _OPTIONAL_LABEL},
}
_REFERENCE: Final = {"required": ["apiVersion", "kind", "name"]}
_PROTOCOL: Final = {"enum": ["http1", "h2c"]}

MARKS: Final[Mapping[Resource, Marks]] = {
    SERVICE: {
        "": {RULES: [_NAME, _TEMPLATE_NAME]},
        **_TEMPLATE,
        **_under("spec.traffic", {"": _TARGETS, **_target(_LATEST_OR_NAMED, _NO_CONFIGURATION, _NO_URL)}),
    },
    CONFIGURATION: {"": {RULES: [_NAME, _TEMPLATE_NAME]}, **_TEMPLATE},
    REVISION: {
        "": {RULES: [_NAME]},
        **_under("spec", _REVISION),
        "spec": {
            "required": ["containers"],
            RULES: [
                _rule(
                    "self == oldSelf",
                    "Immutable fields changed: a Revision's spec never changes; change the template of its Service or "
                    "Configuration, which makes another Revision",
                )
            ],
        },
    },
    ROUTE: {
        "": {RULES: [_NAME]},
        "spec": {"required": ["traffic"]},
        **_under("spec.traffic", {"": _TARGETS, **_target(_LATEST_OR_NAMED, _ONE_TARGET, _NO_URL)}),
    },
    DOMAIN_MAPPING: {
        "": {
            RULES: [
                _rule(
                    "self.metadata.name.contains('.')",
                    "metadata.name: should be a domain with at least two segments separated by dots",
                )
            ]
        },
        "spec": {"required": ["ref"]},
        "spec.ref": {
            **_REFERENCE,
            RULES: [
                _rule(
                    "!has(self.group) || self.group == ''",
                    "must not set the field: apiVersion says the group",
                    "",
                    ".group",
                )
            ],
        },
        "spec.tls": {"required": ["secretName"]},
    },
    POD_AUTOSCALER: {
        "": {RULES: [_NAME]},
        "spec": {"required": ["scaleTargetRef", "protocolType"]},
        "spec.containerConcurrency": {"minimum": 0},
        "spec.protocolType": _PROTOCOL,
        "spec.scaleTargetRef": _REFERENCE,
    },
    SERVERLESS_SERVICE: {
        "spec": {"required": ["mode", "objectRef", "protocolType"]},
        "spec.mode": {"enum": ["Proxy", "Serve"]},
        "spec.numActivators": {"minimum": 0},
        "spec.objectRef": _REFERENCE,
        "spec.protocolType": _PROTOCOL,
    },
    INGRESS: {
        "spec": {"required": ["rules"]},
        "spec.httpOption": {"enum": ["", "Enabled", "Redirected"]},
        "spec.rules": {"minItems": 1},
        "spec.rules[]": {"required": ["http"]},
        "spec.rules[].http": {"required": ["paths"]},
        "spec.rules[].http.paths": {"minItems": 1},
        "spec.rules[].http.paths[]": {"required": ["splits"]},
        "spec.rules[].http.paths[].splits": {"minItems": 1},
        "spec.rules[].http.paths[].splits[]": {"required": ["serviceName", "serviceNamespace", "servicePort"]},
        "spec.tls[]": {"required": ["secretName", "secretNamespace"]},
    },
    CERTIFICATE: {
        "spec": {"required": ["dnsNames", "secretName"]},
        "spec.dnsNames": {"minItems": 1},
    },
    DOMAIN_CLAIM: {"spec": {"required": ["namespace"]}, "spec.namespace": {"minLength": 1}},
    IMAGE: {"spec": {"required": ["image"]}},
}
"""By resource, what is merged into its schema."""
