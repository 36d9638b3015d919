"""Asking gateways whether they serve a version of an Ingress yet.

    for every Service in front of a gateway, every ready address behind it, and a host of every rule
        GET http://ADDRESS:PORT/healthz  Host: HOST, K-Network-Hash: override ──> 200 with the version's hash

The request takes the way of any other: the gateway puts the hash in, and the activator or the sidecar at the other end
answers with what it got. One address that answers otherwise is an obstacle, as its clients would see the old version.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import aiohttp

from controller.ingress.translation import PROBED, Gateways, Obstacle, is_local
from upwell.api.names import HEADER_HASH, LABEL_SLICE_SERVICE
from upwell.api.objects import Key, Object
from upwell.api.resources import CORE_SERVICE, ENDPOINT_SLICE
from upwell.cluster.client import Client
from upwell.cluster.errors import NotFound

__all__ = ["Prober"]

AT_ONCE: Final = 32
SECONDS: Final = 2.0
PATH: Final = "/healthz"
CHALLENGES: Final = "/.well-known/acme-challenge/"
"""Whose answers come from solvers of certificate authorities, which know nothing of probes."""
_FIELDS: Final = {"K-Network-Probe": "probe", HEADER_HASH: PROBED, "User-Agent": "Knative-Ingress-Probe"}
_HTTP_NAMES: Final = ("http2", "http")
_REDIRECTS: Final = (301, 302, 307, 308)


class Target(NamedTuple):
    """Whom to ask, and for which host."""

    address: str
    port: int
    host: str
    path: str


class Prober:
    """Asks over connections of its own, which are there while `running` lasts."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._session: aiohttp.ClientSession | None = None
        self._limit = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """Keep the connections until cancelled."""
        async with self._connections():
            await asyncio.get_running_loop().create_future()

    @asynccontextmanager
    async def _connections(self) -> AsyncIterator[None]:
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            self._session = session
            try:
                yield
            finally:
                self._session = None

    async def ask(self, ingress: Object, gateways: Gateways, version: str) -> Obstacle | None:
        """What is in the way of every gateway serving this version; raise ApiError when they cannot be found."""
        targets: set[Target] = set()
        for local, services in ((False, gateways.external), (True, gateways.local)):
            rules = [rule for rule in ingress["spec"].get("rules") or () if is_local(rule) is local]
            asked = [(rule["hosts"][0], path) for rule in rules if (path := _path(rule)) is not None]
            for service in services if asked else ():
                addresses = await self._addresses(service)
                if not addresses:
                    return Obstacle("NoGateway", f"no ready address behind Service {service}")
                targets |= {Target(*address, *question) for address in addresses for question in asked}
        redirected = ingress["spec"].get("httpOption") == "Redirected"
        answers = await asyncio.gather(*(self._get(target, version, redirected) for target in sorted(targets)))
        return next((answer for answer in answers if answer is not None), None)

    async def _addresses(self, service: Key) -> list[tuple[str, int]]:
        """The ready addresses behind a Service, with the port on which plain HTTP is served."""
        try:
            found = await self._client.get(CORE_SERVICE, service.name, service.namespace)
        except NotFound:
            return []
        name = _http_port(found["spec"].get("ports") or ())
        slices, _ = await self._client.list(
            ENDPOINT_SLICE, service.namespace, labels=f"{LABEL_SLICE_SERVICE}={service.name}"
        )
        return sorted(set(_ready(slices, name)))

    async def _get(self, target: Target, version: str, redirected: bool) -> Obstacle | None:
        where = f"gateway {target.address}:{target.port} for {target.host}"
        session = self._session
        if session is None:
            return Obstacle("NotProbed", f"{where} was not asked yet")
        address = f"[{target.address}]" if ":" in target.address else target.address
        try:
            async with (
                self._limit,
                session.get(
                    f"http://{address}:{target.port}{target.path}",
                    headers={**_FIELDS, "Host": target.host},
                    allow_redirects=False,
                ) as response,
            ):
                status, served = response.status, response.headers.get(HEADER_HASH)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Obstacle("ProbeFailed", f"{where} does not answer: {error or 'timed out'}")
        if status == 200 and served == version:
            return None
        if redirected and status in _REDIRECTS:
            return None
        return Obstacle("NotServedYet", f"{where} does not serve this version yet (status {status})")


def _path(rule: Mapping[str, Any]) -> str | None:
    """What to ask for that the rule's first path leads to; None when nothing there would answer a probe."""
    paths = [str(path.get("path") or "") for path in rule["http"]["paths"]]
    first = next((path for path in paths if not path.startswith(CHALLENGES)), None)
    return None if first is None else first.rstrip("/") + PATH


def _http_port(ports: Iterable[Any]) -> str:
    """The name of the Service's port for plain HTTP."""
    known = list(ports)
    by_number = [port for port in known if port.get("port") == 80]
    by_name = [port for name in _HTTP_NAMES for port in known if port.get("name") == name]
    return next((str(port.get("name") or "") for port in (*by_number, *by_name, *known)), "")


def _ready(slices: Iterable[Object], port_name: str) -> Iterable[tuple[str, int]]:
    for found in slices:
        numbers = [port["port"] for port in found.get("ports") or () if str(port.get("name") or "") == port_name]
        for endpoint in found.get("endpoints") or () if numbers else ():
            if (endpoint.get("conditions") or {}).get("ready") is not False:
                yield str(endpoint["addresses"][0]), int(numbers[0])
