"""Documents of 2018 and 2019, made today's (contract: control-plane.md 12).

    serving.knative.dev/v1alpha1, v1beta1      Service, Configuration, Revision, Route
    serving.knative.dev/v1alpha1               DomainMapping

`modernise` answers with the object in today's version and a line for each thing that it changed. The old versions
took today's fields too, so the way back is the version alone, which is all that a cluster's conversion needs.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from upwell.api.names import LABEL_VISIBILITY
from upwell.api.objects import Object, mutable
from upwell.api.resources import CONFIGURATION, DOMAIN_MAPPING, REVISION, ROUTE, SERVICE, Resource

__all__ = ["LEGACY", "LegacyError", "convert", "is_legacy", "modernise"]

_GROUP: Final = "serving.knative.dev/"
LEGACY: Final[Mapping[tuple[str, str], Resource]] = {
    **{
        (f"{_GROUP}{version}", resource.kind): resource
        for version in ("v1alpha1", "v1beta1")
        for resource in (SERVICE, CONFIGURATION, REVISION, ROUTE)
    },
    (f"{_GROUP}v1alpha1", "DomainMapping"): DOMAIN_MAPPING,
}
"""By old apiVersion and kind, what it is today."""
_OLD_VISIBILITY: Final = "serving.knative.dev/visibility"
_MODELS: Final = {"Single": 1, "Multi": 0, "": 0}
_LATEST: Final = "@latest"


class LegacyError(ValueError):
    """An old document says what cannot be said any more; the text says what to do instead."""


def is_legacy(obj: Object) -> bool:
    return (str(obj.get("apiVersion")), str(obj.get("kind"))) in LEGACY


def convert(obj: Object, api_version: str) -> Object:
    """The object in that version; raise LegacyError."""
    kind = str(obj.get("kind"))
    if (api_version, kind) in LEGACY:
        return {**obj, "apiVersion": api_version}
    changed, _ = modernise(obj)
    if changed.get("apiVersion") != api_version:
        raise LegacyError(f"{obj.get('apiVersion')} {kind} cannot be made {api_version}")
    return changed


def modernise(obj: Object) -> tuple[Object, list[str]]:
    """A copy in today's version, and what was changed; raise LegacyError. Today's objects come back as they are."""
    resource = LEGACY.get((str(obj.get("apiVersion")), str(obj.get("kind"))))
    if resource is None:
        return obj, []
    changed = mutable(obj)
    changed["apiVersion"] = resource.api_version
    notes = [f"apiVersion {obj['apiVersion']} is {resource.api_version} today"]
    try:
        _rename_visibility(changed, notes)
        if (spec := changed.get("spec")) is not None:
            _SPECS.get(resource, _leave)(spec, notes)
    except LegacyError:
        raise
    except (AttributeError, TypeError, ValueError) as error:
        raise LegacyError(f"a field has a value of a wrong type ({error})") from error
    return changed, notes


def _leave(spec: Object, notes: list[str]) -> None:
    """Nothing in it has changed its shape."""


def _service(spec: Object, notes: list[str]) -> None:
    if "manual" in spec:
        raise LegacyError("spec.manual: there is no such Service any more; write a Configuration and a Route instead")
    for mode, traffic in (("runLatest", _run_latest), ("pinned", _pinned), ("release", _release)):
        old = spec.pop(mode, None)
        if old is None:
            continue
        spec["traffic"] = traffic(old)
        configuration = dict(old.get("configuration") or {})
        _configuration(configuration, notes)
        spec["template"] = configuration.get("template") or {}
        notes.append(f"spec.{mode} is spec.template and spec.traffic today")
    _configuration(spec, notes)
    _tags(spec, notes)


def _run_latest(_: Mapping[str, Any]) -> list[Object]:
    return [{"latestRevision": True, "percent": 100}]


def _pinned(old: Mapping[str, Any]) -> list[Object]:
    return [{"revisionName": old.get("revisionName", ""), "latestRevision": False, "percent": 100}]


def _release(old: Mapping[str, Any]) -> list[Object]:
    revisions, percent = list(old.get("revisions") or ()), int(old.get("rolloutPercent") or 0)
    if not 1 <= len(revisions) <= 2:
        raise LegacyError("spec.release.revisions: name one revision, or two: the current one and its candidate")
    if len(revisions) == 1:
        targets = [_target(revisions[0], 100, "current")]
    else:
        targets = [_target(revisions[0], 100 - percent, "current"), _target(revisions[1], percent, "candidate")]
    return [*targets, _target(_LATEST, 0, "latest")]


def _target(revision: str, percent: int, tag: str) -> Object:
    chosen: Object = {"latestRevision": True} if revision == _LATEST else {"revisionName": revision}
    return {**chosen, "percent": percent, "tag": tag}


def _configuration(spec: Object, notes: list[str]) -> None:
    if spec.pop("build", None) is not None:
        raise LegacyError("spec.build: Knative builds no images any more; build the image first, and name it")
    if spec.pop("generation", None) is not None:
        notes.append("spec.generation is metadata.generation today, which the API server counts")
    if (template := spec.pop("revisionTemplate", None)) is not None:
        spec["template"] = template
        notes.append("spec.revisionTemplate is spec.template today")
    template = spec.get("template")
    if isinstance(template, dict):
        _rename_visibility(template, notes)
        if isinstance(template.get("spec"), dict):
            _revision(template["spec"], notes)


def _revision(spec: Object, notes: list[str]) -> None:
    if (container := spec.pop("container", None)) is not None:
        spec["containers"] = [container]
        notes.append("container is a list today: containers")
    if (model := spec.pop("concurrencyModel", None)) is not None:
        spec.setdefault("containerConcurrency", _MODELS.get(str(model), 0))
        notes.append(f"concurrencyModel: {model} is containerConcurrency: {_MODELS.get(str(model), 0)} today")
    gone = [
        name for name in ("servingState", "buildName", "buildRef", "generation") if spec.pop(name, None) is not None
    ]
    notes += [f"{name} means nothing any more" for name in gone]


def _tags(spec: Object, notes: list[str]) -> None:
    for target in spec.get("traffic") or ():
        if isinstance(target, dict) and (name := target.pop("name", None)) is not None:
            target.setdefault("tag", name)
            notes.append("name of a traffic target is its tag today")


def _rename_visibility(obj: Object, notes: list[str]) -> None:
    labels = (obj.get("metadata") or {}).get("labels") or {}
    if _OLD_VISIBILITY in labels:
        value = labels.pop(_OLD_VISIBILITY)
        labels.setdefault(LABEL_VISIBILITY, value)
        notes.append(f"label {_OLD_VISIBILITY} is {LABEL_VISIBILITY} today")


_SPECS: Final[Mapping[Resource, Callable[[Object, list[str]], None]]] = {
    SERVICE: _service,
    CONFIGURATION: _configuration,
    REVISION: _revision,
    ROUTE: _tags,
}
