"""Admission: what happens to an object of ours between a user's request and the API server's store.

    read by its schema ─> wrong types: refused ─> defaults filled in ─> held against its CRD ─> validated ─> stored
           └─ fields that nobody knows: refused when strict, else dropped

`mutate` is the first half and `validate` the last, because the API server holds an object against its CRD in between.
On a cluster the webhook calls them, a laptop's API server calls the very same. Refusals are lines of the form
`message: path` in the contract's words (control-plane.md 2).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from upwell.api.certificate import validate_certificate
from upwell.api.config_maps import validate_config_map
from upwell.api.configs import ConfigSource, KindsConfig, read_kinds_config
from upwell.api.configuration import default_configuration, validate_configuration
from upwell.api.domain_mapping import default_domain_mapping, validate_domain_mapping
from upwell.api.field_errors import Denied, FieldErrors
from upwell.api.internal_kinds import (
    default_ingress,
    default_pod_autoscaler,
    validate_ingress,
    validate_metric,
    validate_pod_autoscaler,
    validate_serverless_service,
)
from upwell.api.kind_schemas import METADATA, SPECS
from upwell.api.names import CLUSTER_DOMAIN
from upwell.api.objects import Object, is_deleting, mutable
from upwell.api.resources import (
    CERTIFICATE,
    CONFIG_MAP,
    CONFIGURATION,
    DOMAIN_MAPPING,
    INGRESS,
    METRIC,
    POD_AUTOSCALER,
    REVISION,
    ROUTE,
    SERVERLESS_SERVICE,
    SERVICE,
    Resource,
)
from upwell.api.revision import default_revision, validate_revision
from upwell.api.route import default_route, validate_route
from upwell.api.schema import Reading
from upwell.api.service import default_service, validate_service
from upwell.ports import ConfigError

__all__ = ["Denied", "admit", "apply_defaults", "mutate", "read", "validate"]

Default = Callable[[Object, Object | None, KindsConfig, str], None]
Validate = Callable[[Object, Object | None, KindsConfig, FieldErrors], None]

_DEFAULTS: Final[Mapping[Resource, Default]] = {
    SERVICE: default_service,
    CONFIGURATION: default_configuration,
    REVISION: lambda obj, old, config, user: default_revision(obj, old, config),
    ROUTE: default_route,
    POD_AUTOSCALER: lambda obj, old, config, user: default_pod_autoscaler(obj, config),
    INGRESS: lambda obj, old, config, user: default_ingress(obj),
    DOMAIN_MAPPING: default_domain_mapping,
}
_VALIDATIONS: Final[Mapping[Resource, Validate]] = {
    SERVICE: validate_service,
    CONFIGURATION: validate_configuration,
    REVISION: validate_revision,
    ROUTE: validate_route,
    POD_AUTOSCALER: lambda obj, old, config, errors: validate_pod_autoscaler(obj, config, errors),
    METRIC: lambda obj, old, config, errors: validate_metric(obj, config, errors),
    SERVERLESS_SERVICE: lambda obj, old, config, errors: validate_serverless_service(obj, errors),
    INGRESS: lambda obj, old, config, errors: validate_ingress(obj, errors),
    DOMAIN_MAPPING: validate_domain_mapping,
    CERTIFICATE: lambda obj, old, config, errors: validate_certificate(obj, errors),
}
_TOP_FIELDS: Final = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})


def admit(
    resource: Resource,
    obj: Object,
    old: Object | None,
    config: ConfigSource,
    *,
    user: str = "",
    strict: bool = False,
    cluster_domain: str = CLUSTER_DOMAIN,
) -> Object:
    """The object as it is to be stored: `mutate` and `validate` in one. Raise Denied."""
    admitted = mutate(resource, obj, old, config, user=user, strict=strict, cluster_domain=cluster_domain)
    validate(resource, admitted, old, config, cluster_domain=cluster_domain)
    return admitted


def mutate(
    resource: Resource,
    obj: Object,
    old: Object | None,
    config: ConfigSource,
    *,
    user: str = "",
    strict: bool = False,
    cluster_domain: str = CLUSTER_DOMAIN,
) -> Object:
    """The object as it would be stored, with its defaults; raise Denied when its fields have wrong types.

    Objects of kinds that are not ours come back as they are. `old` is the stored object on an update, None on a
    creation; not to be called for changes of the status alone. `user` is noted as creator and last modifier when
    given. `strict` refuses unknown fields.
    """
    if resource not in SPECS:
        return obj
    admitted = _read(resource, obj, strict=strict)
    if resource is REVISION and old is not None and admitted["spec"] == _stored(resource, old):
        # Told apart by nothing but how empty fields are written: then it has not changed, and is not to be rewritten.
        admitted["spec"] = mutable(old)["spec"]
    if default := _DEFAULTS.get(resource):
        default(admitted, old, _settings(config, cluster_domain), user)
    return admitted


def validate(
    resource: Resource,
    obj: Object,
    old: Object | None,
    config: ConfigSource,
    *,
    cluster_domain: str = CLUSTER_DOMAIN,
) -> None:
    """Raise Denied with all that is wrong with an object that went through `mutate`, or with a config map of ours.

    What is on its way out is let go: settings may have become stricter than they were when it was stored, and taking
    its finalizer away must not be refused for that.
    """
    if old is not None and is_deleting(obj):
        return
    if resource is CONFIG_MAP:
        validate_config_map(obj)
    if check := _VALIDATIONS.get(resource):
        errors = FieldErrors()
        check(obj, old, _settings(config, cluster_domain), errors)
        errors.raise_if_any()


def read(resource: Resource, obj: Object) -> Object:
    """A copy in the form that `validate` takes, without any defaults; raise Denied when fields have wrong types."""
    return _read(resource, obj, strict=False) if resource in SPECS else obj


def _settings(config: ConfigSource, cluster_domain: str) -> KindsConfig:
    try:
        return read_kinds_config(config, cluster_domain)
    except ConfigError as error:
        raise Denied(str(error)) from error


def _stored(resource: Resource, old: Object) -> Any:
    return SPECS[resource].read(old.get("spec") or {}, "spec", Reading())


def apply_defaults(resource: Resource, obj: Object, config: KindsConfig) -> Object:
    """A copy with today's defaults filled in, as reconcilers see an object that was stored under yesterday's."""
    filled = mutable(obj)
    filled["spec"] = SPECS[resource].read(filled.get("spec") or {}, "spec", Reading())
    if default := _DEFAULTS.get(resource):
        default(filled, obj, config, "")
    return filled


def _read(resource: Resource, obj: Object, *, strict: bool) -> Object:
    reading = Reading()
    admitted = mutable(obj)
    admitted["metadata"] = METADATA.read(admitted["metadata"], "metadata", reading)
    reading.unknown += [name for name in obj if name not in _TOP_FIELDS]
    spec: Any = admitted.get("spec")
    admitted["spec"] = SPECS[resource].read({} if spec is None else spec, "spec", reading)
    if reading.mismatches:
        raise Denied("\n".join(map(str, reading.mismatches)))
    if strict and reading.unknown:
        raise Denied("strict decoding error: " + ", ".join(f'unknown field "{path}"' for path in reading.unknown))
    return {name: value for name, value in admitted.items() if name in _TOP_FIELDS}
