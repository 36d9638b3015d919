"""From credentials to requests: the part of the client that leans on kubernetes-asyncio.

kubernetes-asyncio finds and reads the kubeconfig or the service account, renews tokens, sets up TLS and holds the
connections. Its generated model classes are not used: objects stay the JSON that the server sent, so fields that
we do not know survive an update. Nothing here opens a connection before the first request, therefore a component
starts as well while the API server is away.
"""

import ipaddress
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from kubernetes_asyncio import config
from kubernetes_asyncio.client import ApiClient, Configuration

from upwell.cluster.errors import ApiError, Unavailable, error_for
from upwell.ports import ConfigError

__all__ = ["Connection", "connect"]

USER_AGENT: Final = "upwell"
ORDINARY: Final = aiohttp.ClientTimeout(total=30, sock_connect=5)
STREAMING: Final = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=120)
"""Servers send a bookmark about once a minute; two silent minutes mean that the connection is dead."""
ENDLESS: Final = aiohttp.ClientTimeout(total=None, sock_connect=5)
"""For a log that may say nothing for hours."""
_VERBS: Final[Mapping[str, str]] = {
    "GET": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}


class Connection:
    """One API server and our credentials for it."""

    def __init__(self, api: ApiClient, loader: Any = None) -> None:
        """`loader` is what read the kubeconfig; it is asked again when the server says 401."""
        self._api = api
        self._loader = loader
        self.on_answer: Callable[[str, str, int], None] = lambda verb, resource, status: None
        """Told of every answer: what was asked as roles name it (a list or watch is a `get`), and the status."""

    @property
    def host(self) -> str:
        """The server's base URL."""
        return str(self._api.configuration.host)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send one request and return its parsed answer (text where it is not JSON); raise ApiError."""
        try:
            async with await self._send(method, path, query, body, headers, ORDINARY) as response:
                data = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self.unreachable(error) from error
        return _parsed(response, data)

    async def stream(
        self, path: str, query: Sequence[tuple[str, str]], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        """Open a stream and return its response, which the caller closes; raise ApiError."""
        try:
            response = await self._send("GET", path, query, None, None, timeout)
            if response.status == 200:
                return response
            async with response:
                data = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self.unreachable(error) from error
        _parsed(response, data)
        raise Unavailable(
            response.status, "NotAStream", f"GET {path} answered {response.status} where a stream was due"
        )

    async def close(self) -> None:
        await self._api.close()

    def unreachable(self, error: BaseException) -> Unavailable:
        """What a failure below HTTP means to callers."""
        cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
        why = (cause.strerror if isinstance(cause, OSError) else "") or str(cause) or type(cause).__name__
        return Unavailable(0, "NoConnection", f"{self.host}: {why}")

    async def _send(
        self,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]],
        body: Any,
        headers: Mapping[str, str] | None,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        for attempt in range(2):
            sent = {"Accept": "application/json", "User-Agent": USER_AGENT, **(headers or {})}
            await self._api.update_params_for_auth(sent, [], ["BearerToken"])
            response: aiohttp.ClientResponse = await self._api.rest_client.request(
                method,
                self.host + path,
                query_params=query,  # type: ignore[arg-type] # it takes pairs; its stub says dict only
                headers=sent,
                body=body,
                _preload_content=False,
                _request_timeout=timeout,
            )
            self.on_answer(_VERBS.get(method, method), _resource_of(path), response.status)
            if response.status != 401 or attempt or self._loader is None:
                break
            # Tokens of exec and OIDC providers end without notice: ask the provider again, once.
            response.release()
            await self._loader.load_and_set(self._api.configuration)
        return response


async def connect(kubeconfig: str | None = None, context: str | None = None) -> Connection:
    """Find the cluster: `kubeconfig`, else $KUBECONFIG, else the pod's service account, else ~/.kube/config.

    `context` names one of the file's, in place of its current one.

    Raise ConfigError when none can be used.
    """
    named, origin = (kubeconfig, "kubeconfig") if kubeconfig else (os.environ.get("KUBECONFIG", ""), "KUBECONFIG")
    configuration = Configuration()
    loader = None
    if named:
        loader = await _load_file(named, origin, configuration, context)
    elif os.environ.get("KUBERNETES_SERVICE_HOST"):
        _load_service_account(configuration)
    elif (default := Path.home() / ".kube" / "config").exists():
        loader = await _load_file(str(default), "kubeconfig", configuration, context)
    else:
        raise ConfigError(
            "no cluster to talk to: set KUBECONFIG to a kubeconfig file (`upwell up` writes .upwell/kubeconfig)"
        )
    return Connection(_api_client(configuration), loader)


async def _load_file(path: str, origin: str, configuration: Configuration, context: str | None) -> Any:
    if not any(os.path.isfile(os.path.expanduser(part)) for part in path.split(os.pathsep)):  # noqa: ASYNC240 - at start
        raise ConfigError(f'{origin}="{path}": there is no such file; it has to be a kubeconfig')
    try:
        return await config.load_kube_config(
            config_file=path, context=context, client_configuration=configuration, persist_config=False
        )
    except Exception as error:
        # Depending on what is wrong with the file, kubernetes-asyncio lets out nearly any kind of exception.
        raise ConfigError(
            f'{origin}="{path}" cannot be used as a kubeconfig: {" ".join(str(error).split())}'
        ) from error


def _load_service_account(configuration: Configuration) -> None:
    try:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (config.ConfigException, OSError) as error:
        raise ConfigError(f"the pod's service account cannot be used: {error}") from error


def _api_client(configuration: Configuration) -> ApiClient:
    api = ApiClient(configuration)
    if _is_loopback(str(configuration.host)):
        # A proxy from the environment cannot reach this machine's own addresses; kubectl passes it by as well.
        shared = api.rest_client.pool_manager
        api.rest_client.pool_manager = aiohttp.ClientSession(connector=shared.connector, read_bufsize=2**18)
        shared.detach()
    return api


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _resource_of(path: str) -> str:
    """`/apis/GROUP/VERSION/namespaces/NAMESPACE/RESOURCE/NAME/SUBRESOURCE` without what names the one object."""
    parts = path.strip("/").split("/")
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    if len(rest) > 2 and rest[0] == "namespaces":
        rest = rest[2:]
    return "/".join((*rest[:1], *rest[2:3]))


def _parsed(response: aiohttp.ClientResponse, data: bytes) -> Any:
    kind = response.headers.get("Content-Type", "")
    try:
        content = json.loads(data) if "json" in kind else data.decode(errors="replace")
    except ValueError:
        raise Unavailable(response.status, "NotJSON", "the API server's answer was cut short") from None
    if response.status < 400:
        return content
    status = content if isinstance(content, dict) else {"message": str(content).strip()[:500]}
    raise _with_retry_after(error_for(response.status, status), response)


def _with_retry_after(error: ApiError, response: aiohttp.ClientResponse) -> ApiError:
    after = response.headers.get("Retry-After", "")
    if after.isascii() and after.isdigit():
        error.retry_after = float(after)
    return error
