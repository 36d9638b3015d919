"""YAML files in, API objects out; whatever is wrong is said with file, line, field, value and what would be right.

Only what every object needs is checked here. The rest (limits, words of fields) is the API server's to say, so
that the same file gets the same answer from `upwell apply` and from kubectl.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from upwell.api.legacy import LegacyError, modernise
from upwell.api.objects import Object
from upwell.api.resources import BY_KIND, SERVICE, Resource
from upwell.cli.errors import CommandError

__all__ = ["Document", "load_files"]


@dataclass(frozen=True, slots=True)
class Document:
    """One object of a file, and where it stands."""

    obj: Object
    resource: Resource
    where: str
    notes: tuple[str, ...] = ()
    """What was written as in 2019, and what it is today."""


def load_files(paths: list[Path], namespace: str = "default") -> list[Document]:
    """Read all objects of the files; raise CommandError for the first that cannot be used."""
    documents = [document for path in paths for document in _load_file(path, namespace)]
    if not documents:
        raise CommandError(f"{', '.join(map(str, paths))}: no objects in it", "write a serving.knative.dev/v1 Service")
    return documents


def _load_file(path: Path, namespace: str) -> list[Document]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        hint = "name a file, or run the command in the folder that holds service.yaml"
        raise CommandError(f"{path}: no such file", hint) from None
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        nodes = [node for node in yaml.compose_all(text, Loader=yaml.SafeLoader) if node is not None]
        values = [value for value in yaml.safe_load_all(text) if value is not None]
    except yaml.YAMLError as error:
        raise CommandError(_yaml_message(path, error), "check the indentation and quotes there") from error
    except RecursionError:
        raise CommandError(f"{path}: nested too deeply to be an object", "is it the right file?") from None
    return [
        _document(item, where, path, namespace)
        for node, value in zip(nodes, values, strict=True)
        for item, where in _items(value, f"{path}:{node.start_mark.line + 1}")
    ]


def _items(value: Any, where: str) -> list[tuple[Any, str]]:
    """The objects of a List, which `get -o yaml` and `service export --with-revisions` print; else what is there."""
    if not isinstance(value, dict) or (value.get("apiVersion"), value.get("kind")) != ("v1", "List"):
        return [(value, where)]
    items = value.get("items")
    if not isinstance(items, list):
        raise CommandError(f"{where}: items: {items!r:.60} is not a list", "give the List's objects below `items:`")
    return [(item, f"{where}: items[{index}]") for index, item in enumerate(items)]


def _yaml_message(path: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
    return f"{where}: not YAML: {getattr(error, 'problem', None) or error}"


def _document(value: Any, where: str, path: Path, namespace: str) -> Document:
    if not isinstance(value, dict):
        raise CommandError(f"{where}: {value!r:.60} is not an object", "start with `apiVersion:` and `kind:`")
    try:
        value, notes = modernise(value)
    except LegacyError as error:
        raise CommandError(f"{where}: {error}") from error
    resource = _resource(value, where)
    metadata = value.get("metadata")
    if not isinstance(metadata, dict):
        raise CommandError(f"{where}: metadata: missing", "add `metadata:` with a `name:`")
    name = metadata.get("name")
    if not isinstance(name, str) or not name:
        given = "missing" if name is None else f"{name!r} is not text"
        raise CommandError(f"{where}: metadata.name: {given}", "give it a name, such as hello")
    if resource.namespaced:
        metadata.setdefault("namespace", namespace)
    if resource is SERVICE:
        _set_working_directory(value, path.resolve().parent)
    return Document(value, resource, where, tuple(notes))


def _resource(value: dict[str, Any], where: str) -> Resource:
    for field in ("apiVersion", "kind"):
        if not isinstance(value.get(field), str):
            given = "missing" if field not in value else f"{value[field]!r} is not text"
            right = SERVICE.api_version if field == "apiVersion" else SERVICE.kind
            raise CommandError(f"{where}: {field}: {given}", f"a Service has `{field}: {right}`")
    resource = BY_KIND.get((value["apiVersion"], value["kind"]))
    if resource is None:
        same = [known for known in BY_KIND.values() if known.kind == value["kind"]]
        known = ", ".join(sorted(f"{r.api_version} {r.kind}" for r in (same or BY_KIND.values())))
        raise CommandError(f"{where}: kind: unknown: {value['apiVersion']} {value['kind']}", f"known here: {known}")
    return resource


def _set_working_directory(service: dict[str, Any], folder: Path) -> None:
    """Let `command: [python3, app.py]` mean the app beside the file; malformed parts are left for the server."""
    spec: Any = service
    for field in ("spec", "template", "spec"):
        spec = spec.get(field) if isinstance(spec, dict) else None
    containers = spec.get("containers") if isinstance(spec, dict) else None
    for container in containers if isinstance(containers, list) else ():
        if isinstance(container, dict) and container.get("command"):
            container.setdefault("workingDir", str(folder))
