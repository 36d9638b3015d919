"""A proxy in front of an API server that lets each component do what the chart's roles allow it, and nothing else.

A component is known by its bearer token, which is its name. What is refused is answered as Kubernetes does, 403, and
remembered; what is allowed is remembered with the rule that allowed it, so that rules nobody needs can be told.
"""

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import yaml
from aiohttp import web

from tests.unit.chart.rendering import rules_of

Rules = Sequence[tuple[str, Mapping[str, Any]]]
"""(namespace, or nothing for every one; rule)."""


class Access(NamedTuple):
    """What is asked for, or what a rule allows."""

    verb: str
    group: str
    resource: str
    """With its subresource: `deployments/scale`."""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}" + (f".{self.group}" if self.group else "")


class Asked(NamedTuple):
    access: Access
    namespace: str
    name: str


class RbacProxy:
    """Serve with `start`; `refused` and `used` are by component."""

    def __init__(self, rules: Mapping[str, Rules]) -> None:
        self.rules = rules
        self.refused: list[str] = []
        self.used: dict[str, set[tuple[Access, str]]] = {name: set() for name in rules}
        """(access, namespace of the rule that allowed it)."""
        self.upstream = ""
        self.port = 0

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(total=None))
        self._runner = web.ServerRunner(web.Server(self._handle, handler_cancellation=True), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self._runner.cleanup()
        await self._session.close()

    def allowed(self, component: str) -> set[tuple[Access, str]]:
        """Everything that the component's rules allow."""
        return {
            (Access(verb, group, resource), namespace)
            for namespace, rule in self.rules[component]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        component = request.headers.get("Authorization", "").removeprefix("Bearer ")
        body = await request.read()
        for asked in _asked(request, body):
            if not self._permit(component, asked):
                self.refused.append(f"{component}: {asked.access} {asked.namespace}/{asked.name}")
                return web.json_response(_status(component, asked), status=403)
        headers = {name: value for name, value in request.headers.items() if name not in ("Authorization", "Host")}
        url = self.upstream + str(request.rel_url)
        async with self._session.request(request.method, url, headers=headers, data=body or None) as answer:
            kept = ("Content-Type", "Retry-After", "Content-Encoding")
            response = web.StreamResponse(
                status=answer.status, headers={name: answer.headers[name] for name in kept if name in answer.headers}
            )
            await response.prepare(request)
            try:
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
            except (ConnectionError, aiohttp.ClientError):
                pass  # whoever watched has gone, or the server has
            return response

    def _permit(self, component: str, asked: Asked) -> bool:
        for namespace, rule in self.rules.get(component, ()):
            access = asked.access
            names = rule.get("resourceNames")
            if (
                namespace in ("", asked.namespace)
                and access.group in rule["apiGroups"]
                and access.resource in rule["resources"]
                and access.verb in rule["verbs"]
                and (names is None or asked.name in names)
            ):
                self.used[component].add((access, namespace))
                return True
        return False


@asynccontextmanager
async def without(
    resource: str, component: str, kubeconfig: Path, folder: Path
) -> AsyncIterator[tuple[RbacProxy, Path]]:
    """What the chart allows a component, but nothing with `resource`; the proxy, and a kubeconfig to use it with."""
    rules = [
        (namespace, {**rule, "resources": [one for one in rule["resources"] if one != resource]})
        for namespace, rule in rules_of(component)
    ]
    proxy = RbacProxy({component: rules})
    await proxy.start()
    path = _redirect(kubeconfig, folder, proxy, component)
    try:
        yield proxy, path
    finally:
        await proxy.stop()


def _redirect(kubeconfig: Path, folder: Path, proxy: RbacProxy, component: str) -> Path:
    """Put `proxy` between the component and the server of `kubeconfig`."""
    content = yaml.safe_load(kubeconfig.read_text())
    cluster = content["clusters"][0]["cluster"]
    proxy.upstream, cluster["server"] = cluster["server"], f"http://127.0.0.1:{proxy.port}"
    content["users"][0]["user"] = {"token": component}
    path = folder / "narrow"
    path.write_text(yaml.safe_dump(content))
    return path


def _asked(request: web.BaseRequest, body: bytes) -> Iterator[Asked]:
    """What the request asks for; nothing where it is no resource."""
    group, namespace, rest = _split(request.path.strip("/").split("/"))
    if not rest:
        return
    name = rest[1] if len(rest) > 1 else ""
    yield Asked(Access(_verb(request, name), group, "/".join((rest[0], *rest[2:]))), namespace, name or _field(request))
    if request.method == "POST":
        # The admission plugin OwnerReferencesPermissionEnforcement, which OpenShift has on.
        for owner in (json.loads(body).get("metadata") or {}).get("ownerReferences") or ():
            if owner.get("blockOwnerDeletion"):
                owners = f"{owner['kind'].lower()}s/finalizers"
                yield Asked(Access("update", owner["apiVersion"].rpartition("/")[0], owners), namespace, owner["name"])


def _split(parts: list[str]) -> tuple[str, str, list[str]]:
    """Group, namespace, and what follows: resource, name, subresource."""
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1] if len(parts) > 1 else "", parts[3:])
    if len(rest) > 2 and rest[0] == "namespaces":
        return group, rest[1], rest[2:]
    return group, "", rest


def _verb(request: web.BaseRequest, name: str) -> str:
    if request.method == "GET" and not name:
        return "watch" if request.query.get("watch") else "list"
    verbs = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch"}
    return verbs.get(request.method) or ("delete" if name else "deletecollection")


def _field(request: web.BaseRequest) -> str:
    """A list of one object by its name counts as that object, as with Kubernetes."""
    field, _, value = request.query.get("fieldSelector", "").partition("=")
    return value.removeprefix("=") if field == "metadata.name" else ""


def _status(component: str, asked: Asked) -> dict[str, Any]:
    access = asked.access
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": "Forbidden",
        "code": 403,
        "message": f'{access.resource} is forbidden: User "{component}" cannot {access.verb} resource '
        f'"{access.resource}" in API group "{access.group}" in the namespace "{asked.namespace}"',
    }
