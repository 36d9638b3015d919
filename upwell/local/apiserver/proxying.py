"""`pods/proxy`: a request handed on to a port of a pod, as `kubectl get --raw` and `upwell explain` send it.

    /api/v1/namespaces/NS/pods/[SCHEME:]NAME[:PORT]/proxy/PATH?QUERY

Without a port it is the first one that a container declares. A number stands for what the process runtime made of it
(`local.upwell.dev/ports`), since pods share this machine. Bodies pass in both directions as they come; a connection
cannot be upgraded.
"""

from typing import Final, NamedTuple

import aiohttp
from aiohttp import web
from yarl import URL

from upwell.api.objects import Object, annotations_of
from upwell.local.apiserver import errors
from upwell.local.runtime.ports import ANNOTATION_PORTS
from upwell.ports import ConfigError, parse_pairs

__all__ = ["PodPort", "pass_on", "pod_port"]

_CHUNK: Final = 64 * 1024
_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=5)
_HOP_BY_HOP: Final = frozenset(
    ("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding")
)
_UNSENT: Final = _HOP_BY_HOP | {"host", "authorization", "content-length"}


class PodPort(NamedTuple):
    """What a name in front of `/proxy` says."""

    scheme: str
    pod: str
    port: int | None


def pod_port(name: str) -> PodPort:
    """Read `[SCHEME:]NAME[:PORT]`; raise StatusError (400)."""
    parts = name.split(":")
    scheme = parts.pop(0) if len(parts) == 3 else "http"
    pod, port = (*parts, "")[:2]
    is_port = port.isascii() and port.isdigit() and 0 < int(port) <= 65535
    if len(parts) > 2 or scheme not in ("", "http", "https") or not pod or (port and not is_port):
        raise errors.bad_request(f'invalid pod request "{name}"')
    return PodPort(scheme or "http", pod, int(port) if port else None)


async def pass_on(request: web.BaseRequest, pod: Object, wanted: PodPort) -> web.StreamResponse:
    """Answer with what the pod answers; raise StatusError (503) when it does not."""
    if "Upgrade" in request.headers:
        raise errors.bad_request("connections to pods cannot be upgraded here")
    url = URL(f"{wanted.scheme}://{_address(pod, wanted.port)}/{_below(request)}", encoded=True)
    headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _UNSENT]
    body = request.content.iter_chunked(_CHUNK) if request.body_exists else None
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, auto_decompress=False) as session,
            session.request(
                request.method, url, headers=headers, data=body, allow_redirects=False, ssl=False
            ) as answered,
        ):
            return await _answer(request, answered)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise errors.unavailable(f"error trying to reach service: {error}") from error


async def _answer(request: web.BaseRequest, answered: aiohttp.ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(status=answered.status, reason=answered.reason)
    for name, value in answered.headers.items():
        if name.lower() not in _HOP_BY_HOP:
            response.headers.add(name, value)
    await response.prepare(request)
    if request.method != "HEAD":
        async for data in answered.content.iter_any():
            await response.write(data)
    await response.write_eof()
    return response


def _below(request: web.BaseRequest) -> str:
    """What follows `/proxy/` in the request, with its query, as it was written."""
    return request.raw_path.split("/", 8)[8] if request.raw_path.count("/") > 7 else ""


def _address(pod: Object, port: int | None) -> str:
    host = (pod.get("status") or {}).get("podIP")
    declared = [one["containerPort"] for each in pod["spec"]["containers"] for one in each.get("ports") or ()]
    try:
        actual = parse_pairs(ANNOTATION_PORTS, annotations_of(pod).get(ANNOTATION_PORTS, ""), 65535)
    except ConfigError as error:
        raise errors.bad_request(str(error)) from error
    # What containers declare are the actual ports already.
    number = actual.get(port, port) if port is not None else next(iter(declared), None)
    if not host or number is None:
        raise errors.unavailable(f'pod "{pod["metadata"]["name"]}" has no {"port" if host else "address"} yet')
    return f"[{host}]:{number}" if ":" in host else f"{host}:{number}"
