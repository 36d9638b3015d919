"""Strategic merge patch: JSON merge patch that knows which lists are really maps.

`kubectl apply`, `edit` and `patch` send these for the built-in kinds. A list with a merge key (`containers` by
`name`) is merged item by item; `$patch: delete` drops an item, `$patch: replace` replaces a map or a list,
`$deleteFromPrimitiveList/X` drops plain values, `$setElementOrder/X` orders the result, `$retainKeys` drops the
other members of a union. Which lists have keys is fixed by the Kubernetes API types; below is the part that the
kinds served here use.
"""

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["PatchError", "strategic_merge"]

_PATCH: Final = "$patch"
_RETAIN: Final = "$retainKeys"
_DELETE_PRIMITIVE: Final = "$deleteFromPrimitiveList/"
_ORDER: Final = "$setElementOrder/"

_MERGE_KEYS: Final[Mapping[str, str]] = {
    "addresses": "type",
    "conditions": "type",
    "containers": "name",
    "env": "name",
    "ephemeralContainers": "name",
    "hostAliases": "ip",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "ownerReferences": "uid",
    "podIPs": "ip",
    "resourceClaims": "name",
    "schedulingGates": "name",
    "secrets": "name",
    "taints": "key",
    "topologySpreadConstraints": "topologyKey",
    "volumeDevices": "devicePath",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
_PORT_KEYS: Final = ("containerPort", "port")
"""`ports` is keyed by containerPort in a container and by port in a Service."""
_MERGED_PRIMITIVES: Final = frozenset({"finalizers"})


class PatchError(ValueError):
    """A patch that cannot be applied; the text says why."""


def strategic_merge(current: Any, patch: Any) -> Any:
    """The result of `patch` on `current`, which is left alone; raise PatchError."""
    if not isinstance(patch, dict):
        return patch
    return _merge_map(current if isinstance(current, dict) else {}, patch)


def _merge_map(current: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    directive = patch.get(_PATCH)
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != _PATCH}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise PatchError(f'{_PATCH}: "{directive}" is not one of merge, replace, delete')
    result = dict(current)
    if _RETAIN in patch:
        kept = patch[_RETAIN]
        result = {key: value for key, value in result.items() if key in kept}
    for key, value in patch.items():
        if key.startswith(_DELETE_PRIMITIVE):
            name = key.removeprefix(_DELETE_PRIMITIVE)
            result[name] = [item for item in result.get(name) or () if item not in value]
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merge_value(key, result.get(key), value)
    _reorder(result, patch)
    return result


def _merge_value(name: str, current: Any, patch: Any) -> Any:
    if isinstance(patch, dict):
        return _merge_map(current if isinstance(current, dict) else {}, patch)
    if not isinstance(patch, list):
        return patch
    items = current if isinstance(current, list) else []
    if name in _MERGED_PRIMITIVES:
        return [*items, *(item for item in patch if item not in items)]
    key = _merge_key(name, [*patch, *items])
    if key is None or not all(isinstance(item, dict) for item in (*patch, *items)):
        return [item for item in patch if not (isinstance(item, dict) and _PATCH in item)]
    return _merge_list(name, key, items, patch)


def _merge_key(name: str, items: list[Any]) -> str | None:
    if name != "ports":
        return _MERGE_KEYS.get(name)
    maps = [item for item in items if isinstance(item, dict)]
    return next((key for key in _PORT_KEYS if any(key in item for item in maps)), None)


def _merge_list(name: str, key: str, current: list[Any], patch: list[Any]) -> list[Any]:
    if any(item.get(_PATCH) == "replace" and key not in item for item in patch):
        return [item for item in patch if _PATCH not in item]
    result = list(current)
    for item in patch:
        if key not in item:
            raise PatchError(f"an item of {name} has no {key}, by which items are matched: {item}")
        place = next((index for index, one in enumerate(result) if one.get(key) == item[key]), None)
        if item.get(_PATCH) == "delete":
            result = [one for one in result if one.get(key) != item[key]]
        elif place is None:
            result.append(_merge_map({}, item))
        else:
            result[place] = _merge_map(result[place], item)
    return result


def _reorder(result: dict[str, Any], patch: Mapping[str, Any]) -> None:
    """Put lists into the order that the patch asks for; items that it does not name keep their neighbours."""
    for directive, order in patch.items():
        if not directive.startswith(_ORDER):
            continue
        name = directive.removeprefix(_ORDER)
        items = result.get(name)
        if not isinstance(items, list) or not isinstance(order, list):
            continue
        key = _merge_key(name, [*order, *items]) if any(isinstance(item, dict) for item in items) else None

        def identity(item: Any, key: str | None = key) -> Any:
            return item.get(key) if key is not None and isinstance(item, dict) else item

        result[name] = _ordered(items, [identity(item) for item in items], [identity(item) for item in order])


def _ordered(items: list[Any], identities: list[Any], order: list[Any]) -> list[Any]:
    """`items` with those in `order` in that order; each other one stays behind the item that it followed."""
    named = sorted((order.index(one), index) for index, one in enumerate(identities) if one in order)
    if not named:
        return items
    followers: dict[int, list[int]] = {}
    leader = -1
    for index, one in enumerate(identities):
        if one in order:
            leader = index
        else:
            followers.setdefault(leader, []).append(index)
    result = list(followers.get(-1, []))
    for _, index in named:
        result.extend([index, *followers.get(index, [])])
    return [items[index] for index in result]
