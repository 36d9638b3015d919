"""Asking a registry which digest a tag stands for: its HTTP API v2.

    HEAD /v2/NAME/manifests/TAG ── 200 ──> Docker-Content-Digest (else GET, and the hash of what comes)
              └─ 401 ─> WWW-Authenticate: Basic: again with name and password
                                          Bearer: a token from the realm, and again with that

Encryption is checked against the machine's authorities and the cluster's own. A registry on this machine or in a
private network may speak plain HTTP, as with other clients; a password goes only where the request for it came
encrypted, or not at all.
"""

import asyncio
import hashlib
import ipaddress
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from controller.images.credentials import Credentials
from upwell.api.image_reference import DEFAULT_REGISTRY, ImageReference

__all__ = ["Registry", "RegistryError", "trusted_authorities"]

CLUSTER_AUTHORITY: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")
MANIFEST_MOST: Final = 4 << 20
"""The longest manifest that is read to compute its digest, as registries limit them."""
_ACCEPTED: Final = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_PARAMETER: Final = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_UNAUTHORIZED: Final = 401


class RegistryError(Exception):
    """The registry did not say; the text is for users."""

    def __init__(self, text: str, retry_after: float = 0.0) -> None:
        super().__init__(text)
        self.retry_after = retry_after
        """Seconds that the registry asks us to wait."""


class Registry:
    """Registries, over one set of connections; an asynchronous context manager."""

    def __init__(self, authorities: ssl.SSLContext | None = None) -> None:
        self._authorities = authorities
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Registry":
        context = self._authorities or trusted_authorities()
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context), trust_env=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def digest(self, image: ImageReference, credentials: Credentials, agent: str, timeout: float) -> str:
        """`sha256:…` of what the tag stands for now, within `timeout` seconds; raise RegistryError."""
        try:
            async with asyncio.timeout(timeout):
                return await self._over_any_scheme(image, credentials, agent)
        except TimeoutError:
            raise RegistryError(f"{image.registry} did not answer within {timeout:g}s") from None

    async def _over_any_scheme(self, image: ImageReference, credentials: Credentials, agent: str) -> str:
        host = "registry-1.docker.io" if image.registry == DEFAULT_REGISTRY else image.registry
        try:
            return await self._ask(f"https://{host}", image, credentials, agent)
        except aiohttp.ClientError as error:
            if not _may_be_plain(host):
                raise RegistryError(_words(error, host)) from error
        try:
            return await self._ask(f"http://{host}", image, credentials, agent)
        except aiohttp.ClientError as error:
            raise RegistryError(_words(error, host)) from error

    async def _ask(self, base: str, image: ImageReference, credentials: Credentials, agent: str) -> str:
        url = f"{base}/v2/{image.repository}/manifests/{image.tag}"
        headers = {"Accept": _ACCEPTED, "User-Agent": agent}
        if credentials.registry_token:
            headers["Authorization"] = f"Bearer {credentials.registry_token}"
        answer = await self._head(url, headers)
        if answer.status == _UNAUTHORIZED and "Authorization" not in headers:
            headers["Authorization"] = await self._authorization(answer, image, credentials, agent)
            answer = await self._head(url, headers)
        return await self._judge(answer, url, headers)

    async def _head(self, url: str, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        assert self._session is not None, "to be used as a context manager"
        async with self._session.head(url, headers=headers, allow_redirects=True) as answer:
            return answer

    async def _judge(self, answer: aiohttp.ClientResponse, url: str, headers: Mapping[str, str]) -> str:
        digest = answer.headers.get("Docker-Content-Digest", "")
        if answer.status == 200 and _DIGEST.fullmatch(digest):
            return digest
        if answer.status in (200, 405):  # registries that have no digest to tell, or do not know the verb
            return await self._digest_of_content(url, headers)
        raise _refusal("HEAD", url, answer)

    async def _digest_of_content(self, url: str, headers: Mapping[str, str]) -> str:
        assert self._session is not None, "to be used as a context manager"
        async with self._session.get(url, headers=headers) as answer:
            if answer.status != 200:
                raise _refusal("GET", url, answer)
            content = await answer.content.read(MANIFEST_MOST + 1)
            while len(content) <= MANIFEST_MOST and (more := await answer.content.read(MANIFEST_MOST)):
                content += more
        if len(content) > MANIFEST_MOST:
            raise RegistryError(f"GET {url}: a manifest of more than {MANIFEST_MOST} bytes")
        return f"sha256:{hashlib.sha256(content).hexdigest()}"

    async def _authorization(
        self, answer: aiohttp.ClientResponse, image: ImageReference, credentials: Credentials, agent: str
    ) -> str:
        """What to send after a 401."""
        challenge = _challenge(answer.headers.getall("WWW-Authenticate", []))
        if "realm" not in challenge or challenge["scheme"] == "basic":
            if not credentials.basic:
                raise RegistryError(f"{image.registry} asks for a name and a password, and no pull secret has them")
            return credentials.basic
        realm = urlsplit(challenge["realm"])
        if realm.scheme != "https" and not (answer.url.scheme == "http" and realm.scheme == "http"):
            raise RegistryError(
                f"{image.registry} asks for credentials over an unsafe connection: {challenge['realm']}"
            )
        query = {"scope": challenge.get("scope") or f"repository:{image.repository}:pull"}
        if challenge.get("service"):
            query["service"] = challenge["service"]
        return f"Bearer {await self._token(challenge['realm'], query, credentials, agent)}"

    async def _token(self, realm: str, query: Mapping[str, str], credentials: Credentials, agent: str) -> str:
        assert self._session is not None, "to be used as a context manager"
        headers = {"User-Agent": agent}
        if credentials.identity_token:
            form = {**query, "grant_type": "refresh_token", "client_id": "upwell"}
            form["refresh_token"] = credentials.identity_token
            request = self._session.post(realm, data=form, headers=headers, allow_redirects=False)
        else:
            if credentials.basic:
                headers["Authorization"] = credentials.basic
            request = self._session.get(realm, params=query, headers=headers)
        async with request as answer:
            if answer.status != 200:
                raise _refusal("GET", realm, answer)
            try:
                content: Any = await answer.json(content_type=None)
                return str(content.get("token") or content["access_token"])
            except (ValueError, KeyError, AttributeError):
                raise RegistryError(f"GET {realm}: the answer has no token") from None


def trusted_authorities(cluster: Path = CLUSTER_AUTHORITY) -> ssl.SSLContext:
    """The machine's, and the cluster's own where there is one."""
    context = ssl.create_default_context()
    if cluster.is_file():
        context.load_verify_locations(cafile=str(cluster))
    return context


def _challenge(values: list[str]) -> dict[str, str]:
    """The parameters of the first challenge that we know, and its scheme; empty when there is none."""
    for value in values:
        scheme, _, rest = value.strip().partition(" ")
        if scheme.lower() in ("bearer", "basic"):
            found = {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(rest)}
            return {**found, "scheme": scheme.lower()}
    return {}


def _refusal(verb: str, url: str, answer: aiohttp.ClientResponse) -> RegistryError:
    after = answer.headers.get("Retry-After", "")
    text = f"{verb} {url}: unexpected status code {answer.status} {answer.reason or ''}".rstrip()
    return RegistryError(text, float(after) if after.isascii() and after.isdecimal() else 0.0)


def _may_be_plain(host: str) -> bool:
    name = (urlsplit(f"//{host}").hostname or "").lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".local")
    return address.is_private or address.is_loopback


def _words(error: aiohttp.ClientError, host: str) -> str:
    return f"cannot reach {host}: {' '.join(str(error).split()) or type(error).__name__}"
