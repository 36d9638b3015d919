"""`upwell get`, `upwell logs`, `upwell delete`: look at what runs, and take it away."""

import asyncio
import sys

from upwell.api import names
from upwell.api.objects import Key, Object, labels_of, name_of, namespace_of
from upwell.api.resources import POD, RESOURCES, REVISION, ROUTE, SERVICE, Resource
from upwell.cli.errors import CommandError, api_errors
from upwell.cli.output import Split, columns_of, print_columns, print_objects, print_table
from upwell.cli.session import Session
from upwell.cluster.errors import NotFound

__all__ = ["delete", "find_resource", "get", "logs"]

_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def find_resource(word: str) -> Resource:
    """The resource that a user means by `services`, `ksvc` or `rev`; Knative's own come before core ones."""
    wanted = word.lower()
    ordered = sorted(RESOURCES, key=lambda resource: not resource.group.endswith("knative.dev"))
    for resource in ordered:
        if wanted in (resource.plural, resource.kind.lower(), *resource.short_names):
            return resource
    known = ", ".join(resource.plural for resource in ordered if resource.group.endswith("knative.dev"))
    raise CommandError(f"{word}: no such kind of object", f"one of {known}, pods, deployments", code=2)


async def get(
    session: Session, resource: Resource, words: list[str], namespace: str, output: str, labels: str = ""
) -> None:
    """Print a table of all objects (with `words`: of those names), or the objects themselves.

    An empty namespace means all of them. One name and `-o json` is the object, everything else a list.
    """
    with api_errors(f"get {resource.plural}", session.kubeconfig):
        if output in ("", "wide") and columns_of(resource, {}) is None:
            await _print_server_table(session, resource, words, namespace, wide=bool(output))
            return
        if words:
            objects = [await session.client.get(resource, name, namespace) for name in words]
        else:
            objects, _ = await session.client.list(resource, namespace, labels=labels)
        split = await _split(session, namespace) if resource is REVISION and output in ("", "wide") else {}
    columns = columns_of(resource, split, wide=output == "wide")
    if output in ("", "wide") and columns is not None:
        if objects:
            print_table(columns, _newest_first(resource, objects), with_namespace=not namespace)
        else:
            _say_none(resource, namespace)
    else:
        print_objects(resource, objects, output, single=len(words) == 1)


def _newest_first(resource: Resource, objects: list[Object]) -> list[Object]:
    """Revisions by Service, the newest first; everything else by name, as the server has it."""
    if resource is not REVISION:
        return objects

    def rank(obj: Object) -> tuple[str, str, int]:
        labels = labels_of(obj)
        generation = labels.get(names.LABEL_CONFIGURATION_GENERATION, "0")
        return namespace_of(obj), labels.get(names.LABEL_CONFIGURATION, ""), -int(generation or 0)

    return sorted(objects, key=rank)


def _say_none(resource: Resource, namespace: str) -> None:
    where = f"namespace {namespace}" if namespace else "any namespace"
    print(f"no {resource.plural} in {where}", file=sys.stderr)


async def _split(session: Session, namespace: str) -> Split:
    """What each revision gets of the traffic, over all its targets."""
    shares: dict[Key, int] = {}
    tags: dict[Key, list[str]] = {}
    routes, _ = await session.client.list(ROUTE, namespace)
    for route in routes:
        for target in (route.get("status") or {}).get("traffic") or ():
            key = Key(namespace_of(route), str(target.get("revisionName") or ""))
            shares[key] = shares.get(key, 0) + int(target.get("percent") or 0)
            tags.setdefault(key, []).extend(filter(None, [target.get("tag")]))
    return {key: (f"{share}%" if share else "", ",".join(tags[key])) for key, share in shares.items()}


async def _print_server_table(
    session: Session, resource: Resource, words: list[str], namespace: str, *, wide: bool
) -> None:
    tables = [
        await session.client.raw("GET", resource.path(namespace, name), headers={"Accept": _TABLE})
        for name in words or [""]
    ]
    rows = [row for table in tables for row in table.get("rows") or ()]
    if rows:
        print_columns(_table_rows({**tables[0], "rows": rows}, not namespace and resource.namespaced, wide=wide))
    else:
        _say_none(resource, namespace)


def _table_rows(table: Object, with_namespace: bool, *, wide: bool) -> list[list[str]]:
    shown = [index for index, column in enumerate(table["columnDefinitions"]) if wide or not column.get("priority")]
    rows = [[str(table["columnDefinitions"][index]["name"]).upper() for index in shown]]
    for row in table.get("rows") or ():
        cells = ["" if row["cells"][index] is None else str(row["cells"][index]) for index in shown]
        rows.append([namespace_of(row["object"]), *cells] if with_namespace else cells)
    if with_namespace:
        rows[0].insert(0, "NAMESPACE")
    return rows


async def delete(session: Session, resource: Resource, words: list[str], namespace: str) -> None:
    """Delete the objects of those names, in order; the first that cannot be deleted ends it."""
    for name in words:
        with api_errors(f"delete {resource.kind.lower()} {name}", session.kubeconfig):
            await session.client.delete(resource, name, namespace)
        print(f"{resource.kind.lower()} {name} deleted")


async def logs(session: Session, name: str, namespace: str, container: str, tail: int, *, follow: bool) -> None:
    """Print what the pods of a Service, Revision or the pod of that name wrote, each line under its pod's name."""
    with api_errors(f"logs {name}", session.kubeconfig):
        pods = await _pods_named(session, name, namespace)
        if not pods:
            hint = "a service at zero has none; send it a request" if await _exists(session, name, namespace) else ""
            raise CommandError(f"{name}: no pods in namespace {namespace}", hint or "see `upwell get services`")
        prefix = len(pods) > 1
        async with asyncio.TaskGroup() as group:
            for pod in pods:
                group.create_task(_print_log(session, pod, container, tail, follow=follow, prefix=prefix))


async def _pods_named(session: Session, name: str, namespace: str) -> list[Object]:
    for label in (names.LABEL_SERVICE, names.LABEL_REVISION, "app"):
        pods, _ = await session.client.list(POD, namespace, labels=f"{label}={name}")
        if pods:
            return pods
    try:
        return [await session.client.get(POD, name, namespace)]
    except NotFound:
        return []


async def _exists(session: Session, name: str, namespace: str) -> bool:
    try:
        await session.client.get(SERVICE, name, namespace)
    except NotFound:
        return False
    return True


async def _print_log(session: Session, pod: Object, container: str, tail: int, *, follow: bool, prefix: bool) -> None:
    query = [("tailLines", str(tail)), ("follow", str(follow).lower())]
    if container:
        query.append(("container", container))
    path = POD.path(namespace_of(pod), name_of(pod), "log")
    head = f"{name_of(pod)}  " if prefix else ""
    async for line in session.client.lines(path, query):
        print(f"{head}{line}", flush=follow)
