"""Whether volumes and their mounts fit together (contract: control-plane.md 5.3)."""

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from upwell.api.config_features import FeaturesConfig
from upwell.api.field_errors import FieldErrors, at, at_index
from upwell.api.name_rules import label_problems
from upwell.api.quantity import parse_quantity

__all__ = ["validate_mounts", "validate_volumes"]

Spec = Mapping[str, Any]
_PLAIN: Final = ("secret", "configMap", "projected")
_GATED: Final = {
    "emptyDir": ("volumes-emptydir", "EmptyDir volume"),
    "hostPath": ("volumes-hostpath", "HostPath volume"),
    "csi": ("volumes-csi", "CSI volume"),
    "ephemeral": ("volumes-ephemeral", "Ephemeral volume"),
    "image": ("volumes-image", "Image volume"),
}
_CLAIM: Final = "persistentVolumeClaim"
_CLAIM_FLAG: Final = "kubernetes.podspec-persistent-volume-claim"
_WRITE_FLAG: Final = "kubernetes.podspec-persistent-volume-write"
_SOURCES: Final = ("configMap", "downwardAPI", "secret", "serviceAccountToken")
_RESERVED_PATHS: Final = frozenset({"/", "/dev", "/dev/log"})
_WRITABLE: Final = ("emptyDir", _CLAIM, "ephemeral")


def validate_volumes(
    volumes: Sequence[Spec], containers: Iterable[Spec], path: str, features: FeaturesConfig, errors: FieldErrors
) -> None:
    """Each has a name of its own, one source that is allowed, and is mounted somewhere in `containers`."""
    mounted = {mount["name"] for container in containers for mount in container.get("volumeMounts") or ()}
    names: set[str] = set()
    for index, volume in enumerate(volumes):
        where, name = at_index(path, index), volume["name"]
        if name in names:
            errors.add(f'duplicate volume name "{name}"', at(where, "name"))
        names.add(name)
        if name not in mounted:
            errors.add(f'volume with name "{name}" not mounted', at(where, "name"))
        if not name:
            errors.missing(at(where, "name"))
        elif label_problems(name):
            errors.invalid(name, at(where, "name"))
        else:
            _validate_flags(volume, features, errors)
        _validate_source(volume, where, features, errors)


def _validate_flags(volume: Spec, features: FeaturesConfig, errors: FieldErrors) -> None:
    """That the kind of volume is not just permitted, but on; said without a path."""
    for field, (flag, words) in _GATED.items():
        if volume.get(field) is not None and not features.enabled(f"kubernetes.podspec-{flag}"):
            errors.add(f"{words} support is disabled, but found {words} {volume['name']}", "")
    claim = volume.get(_CLAIM)
    if claim is None:
        return
    found = f"but found persistent volume claim {claim['claimName']}"
    if not features.enabled(_CLAIM_FLAG):
        errors.add(f"Persistent volume claim support is disabled, {found}", "")
    if not claim.get("readOnly") and not features.enabled(_WRITE_FLAG):
        errors.add(f"Persistent volume write support is disabled, {found} that is not read-only", "")


def _validate_source(volume: Spec, path: str, features: FeaturesConfig, errors: FieldErrors) -> None:
    gates = {**{field: f"kubernetes.podspec-{flag}" for field, (flag, _) in _GATED.items()}, _CLAIM: _CLAIM_FLAG}
    given = [field for field in (*_PLAIN, *gates) if volume.get(field) is not None]
    for field in given:
        if field in gates and not features.permitted(gates[field]):
            errors.disallowed(at(path, field))
    if len(given) > 1:
        errors.multiple_one_of(*(at(path, field) for field in given))
    elif not given:
        possible = [*_PLAIN, *(field for field, flag in gates.items() if features.enabled(flag))]
        errors.missing_one_of(*(at(path, field) for field in possible))
    for field in ("secret", "configMap"):
        _validate_items((volume.get(field) or {}).get("items") or (), path, errors)
    _validate_projected(volume.get("projected"), path, errors)
    empty_dir = volume.get("emptyDir") or {}
    if empty_dir.get("medium", "") not in ("", "Memory"):
        errors.invalid(empty_dir["medium"], at(path, "emptyDir.medium"))
    limit = empty_dir.get("sizeLimit")
    if limit is not None and parse_quantity(limit) < 0:
        errors.invalid(limit, at(path, "emptyDir.sizeLimit"))


def _validate_projected(projected: Spec | None, path: str, errors: FieldErrors) -> None:
    if projected is not None and "sources" not in projected:
        errors.missing(at(path, "projected.sources"))
    for index, source in enumerate((projected or {}).get("sources") or ()):
        _validate_projection(source, at_index(at(path, "projected"), index), errors)


def _validate_projection(source: Spec, path: str, errors: FieldErrors) -> None:
    given = [field for field in _SOURCES if source.get(field) is not None]
    if not given:
        errors.missing_one_of(*(at(path, field) for field in _SOURCES))
    elif len(given) > 1:
        errors.multiple_one_of(*(at(path, field) for field in given))
    for field in given:
        where, content = at(path, field), source[field]
        if field == "serviceAccountToken":
            if not content["path"]:
                errors.missing(at(where, "path"))
        elif field == "downwardAPI":
            _validate_downward(content.get("items") or (), where, errors)
        else:
            if not content["name"]:
                errors.missing(at(where, "name"))
            _validate_items(content.get("items") or (), where, errors)


def _validate_items(items: Sequence[Spec], path: str, errors: FieldErrors) -> None:
    """Keys of a Secret or a ConfigMap, each with the file that it becomes."""
    for index, item in enumerate(items):
        for field in ("key", "path"):
            if not item[field]:
                errors.missing(at(at_index(at(path, "items"), index), field))


def _validate_downward(items: Sequence[Spec], path: str, errors: FieldErrors) -> None:
    """Fields of the pod, each with the file that it becomes."""
    for index, item in enumerate(items):
        where = at_index(at(path, "items"), index)
        fields = [at(where, field) for field in ("fieldRef", "resourceFieldRef")]
        count = sum(item.get(field) is not None for field in ("fieldRef", "resourceFieldRef"))
        if count == 0:
            errors.missing_one_of(*fields)
        elif count == 2:
            errors.add("Within a single item, cannot set both", *fields)
        if not item["path"]:
            errors.missing(at(where, "path"))


def validate_mounts(
    mounts: Sequence[Spec], volumes: Mapping[str, Spec], path: str, features: FeaturesConfig, errors: FieldErrors
) -> None:
    """The mounts of one container."""
    seen: set[str] = set()
    for index, mount in enumerate(mounts):
        where = at_index(path, index)
        volume = volumes.get(mount["name"])
        if volume is None:
            errors.add("volumeMount has no matching volume", at(where, "name"))
        if not mount.get("readOnly"):
            _validate_writable(volume or {}, at(where, "readOnly"), errors)
        _validate_mount_path(mount["mountPath"], at(where, "mountPath"), seen, errors)
        _validate_propagation(mount, where, features, errors)


def _validate_writable(volume: Spec, path: str, errors: FieldErrors) -> None:
    if not any(volume.get(field) is not None for field in _WRITABLE):
        errors.add("volume mount should be readOnly for this type of volume", path)
    elif (volume.get(_CLAIM) or {}).get("readOnly"):
        errors.add("volume is readOnly but volume mount is not", path)


def _validate_mount_path(mount_path: str, path: str, seen: set[str], errors: FieldErrors) -> None:
    if not mount_path:
        errors.missing(path)
        return
    clean = posixpath.normpath(re.sub("^/+", "/", mount_path))
    if clean in _RESERVED_PATHS:
        errors.add(f'mountPath "{clean}" is a reserved path', path)
    elif not clean.startswith("/"):
        errors.invalid(mount_path, path)
    elif clean in seen:
        errors.invalid(f'"{mount_path}" must be unique', path)
    seen.add(clean)


def _validate_propagation(mount: Spec, path: str, features: FeaturesConfig, errors: FieldErrors) -> None:
    wanted = mount.get("mountPropagation")
    if wanted is None:
        return
    flag, where = "kubernetes.podspec-volumes-mount-propagation", at(path, "mountPropagation")
    if not features.enabled(flag):
        name = mount["name"]
        errors.add(
            f"Volume Mount Propagation support is disabled, but found volume mount {name} with mount propagation", ""
        )
        if not features.permitted(flag):
            errors.disallowed(where)
    if wanted not in ("None", "HostToContainer"):
        errors.add("mount propagation should be set to None or HostToContainer", where)
