"""`upwell get`, `upwell logs`, `upwell delete`: look at what runs, and take it away."""

import asyncio
import json
import sys

import yaml

from upwell.api import names
from upwell.api.objects import Object, name_of, namespace_of
from upwell.api.resources import POD, RESOURCES, SERVICE, Resource
from upwell.cli.errors import CommandError, api_errors
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


async def get(session: Session, word: str, name: str, namespace: str, output: str) -> None:
    """Print a table as the API server makes it, or the objects as JSON or YAML."""
    resource = find_resource(word)
    path = resource.path(namespace, name)
    with api_errors(f"get {word}", session.kubeconfig):
        if output:
            found = await session.client.raw("GET", path)
            print(json.dumps(found, indent=2) if output == "json" else yaml.safe_dump(found, sort_keys=False), end="")
            return
        table = await session.client.raw("GET", path, headers={"Accept": _TABLE})
    rows = _table_rows(table, with_namespace=not namespace and resource.namespaced)
    if len(rows) == 1:
        where = f"namespace {namespace}" if namespace else "any namespace"
        print(f"no {resource.plural} in {where}", file=sys.stderr)
        return
    print_columns(rows)


def _table_rows(table: Object, *, with_namespace: bool) -> list[list[str]]:
    shown = [index for index, column in enumerate(table["columnDefinitions"]) if not column.get("priority")]
    rows = [[str(table["columnDefinitions"][index]["name"]).upper() for index in shown]]
    for row in table.get("rows") or ():
        cells = ["" if row["cells"][index] is None else str(row["cells"][index]) for index in shown]
        rows.append([namespace_of(row["object"]), *cells] if with_namespace else cells)
    if with_namespace:
        rows[0].insert(0, "NAMESPACE")
    return rows


def print_columns(rows: list[list[str]]) -> None:
    """Print rows with aligned columns, as kubectl does."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    for row in rows:
        print("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


async def delete(session: Session, words: list[str], namespace: str) -> None:
    """`delete NAME` deletes the Service of that name, `delete KIND NAME` any object."""
    resource = SERVICE if len(words) == 1 else find_resource(words[0])
    with api_errors(f"delete {' '.join(words)}", session.kubeconfig):
        await session.client.delete(resource, words[-1], namespace)
    print(f"{resource.kind.lower()} {words[-1]} deleted")


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
