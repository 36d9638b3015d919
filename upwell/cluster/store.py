"""The objects that an informer knows: by key, and by whatever indexes its users asked for."""

from collections.abc import Callable, Iterable, Mapping

from upwell.api.objects import Key, Object, key_of, matches_labels, uid_of

__all__ = ["Change", "IndexFunction", "Store"]

IndexFunction = Callable[[Object], Iterable[str]]
Change = tuple[Object | None, Object | None]
"""(old, new): no old means added, no new means deleted."""


class Store:
    """Objects of one resource; what it returns is shared and must not be changed."""

    def __init__(self) -> None:
        self._objects: dict[Key, Object] = {}
        self._functions: dict[str, IndexFunction] = {}
        self._indexes: dict[str, dict[str, dict[Key, Object]]] = {}

    def get(self, key: Key) -> Object | None:
        return self._objects.get(key)

    def select(self, namespace: str, labels: Mapping[str, str]) -> list[Object]:
        return [
            obj
            for key, obj in self._objects.items()
            if (not namespace or key.namespace == namespace) and matches_labels(obj, labels)
        ]

    def add_index(self, name: str, function: IndexFunction) -> None:
        self._functions[name] = function
        self._indexes[name] = {}
        for key, obj in self._objects.items():
            self._enter(name, key, obj)

    def by_index(self, name: str, value: str) -> list[Object]:
        return list(self._indexes[name].get(value, {}).values())

    def put(self, obj: Object) -> list[Change]:
        """Keep `obj`; what changed by that, in order: nothing when it is the very version that is kept.

        An object of the same name with another uid is another object, so the old one is reported as deleted.
        """
        key = key_of(obj)
        old = self._objects.get(key)
        if old is not None and _same_version(old, obj):
            return []
        if old is not None:
            self._leave(key, old)
        self._objects[key] = obj
        for name in self._functions:
            self._enter(name, key, obj)
        if old is not None and uid_of(old) != uid_of(obj):
            return [(old, None), (None, obj)]
        return [(old, obj)]

    def remove(self, obj: Object) -> list[Change]:
        """Forget the object named like `obj`, whose last state `obj` is."""
        key = key_of(obj)
        old = self._objects.pop(key, None)
        if old is None:
            return []
        self._leave(key, old)
        return [(obj, None)]

    def replace(self, objects: Iterable[Object]) -> list[Change]:
        """Keep exactly `objects`; what changed by that."""
        listed = {key_of(obj): obj for obj in objects}
        gone = [obj for key, obj in self._objects.items() if key not in listed]
        changes = [change for obj in gone for change in self.remove(obj)]
        for obj in listed.values():
            changes += self.put(obj)
        return changes

    def _enter(self, name: str, key: Key, obj: Object) -> None:
        for value in self._functions[name](obj):
            self._indexes[name].setdefault(value, {})[key] = obj

    def _leave(self, key: Key, obj: Object) -> None:
        for name, function in self._functions.items():
            index = self._indexes[name]
            for value in function(obj):
                entry = index.get(value)
                if entry is not None:
                    entry.pop(key, None)
                    if not entry:
                        del index[value]


def _same_version(one: Object, other: Object) -> bool:
    version = one["metadata"].get("resourceVersion")
    return version is not None and version == other["metadata"].get("resourceVersion")
