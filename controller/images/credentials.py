"""Who we are to a registry: pull secrets of a revision and of its service account, as the kubelet reads them.

Both shapes of Docker's configuration are known: `kubernetes.io/dockerconfigjson` and the older
`kubernetes.io/dockercfg`. An entry's key may be a host, a URL, have a path, or a `*` in each label of its host; of
several that match the one with the longest path counts. What cannot be read is passed over: other secrets may do.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from upwell.api.image_reference import DEFAULT_REGISTRY, ImageReference
from upwell.api.objects import Object

__all__ = ["ANONYMOUS", "Credentials", "find_credentials"]

_KEYS: Final = {"kubernetes.io/dockerconfigjson": ".dockerconfigjson", "kubernetes.io/dockercfg": ".dockercfg"}
_DOCKER_HUB: Final = frozenset({DEFAULT_REGISTRY, "docker.io", "registry-1.docker.io"})


@dataclass(frozen=True, slots=True)
class Credentials:
    """A name and a password, or a token that stands for both."""

    user: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    """To be exchanged for tokens, where the registry gives such."""
    registry_token: str = field(default="", repr=False)
    """To be sent as it is."""

    @property
    def basic(self) -> str:
        """The value of an Authorization header; empty for nobody."""
        if not self.user:
            return ""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


ANONYMOUS: Final = Credentials()


def find_credentials(image: ImageReference, secrets: Iterable[Object]) -> Credentials:
    """The credentials for the image's repository in `secrets`, or nobody's."""
    best, best_length = ANONYMOUS, -1
    for secret in secrets:
        for key, entry in _entries(secret).items():
            length = _match(key, image)
            if length > best_length and (found := _credentials(entry)) is not None:
                best, best_length = found, length
    return best


def _entries(secret: Object) -> Mapping[str, Any]:
    """By registry, what the secret has for it."""
    key = _KEYS.get(str(secret.get("type") or ""), "")
    try:
        content = json.loads(base64.b64decode((secret.get("data") or {})[key]))
        found = content.get("auths") or {} if key == ".dockerconfigjson" else content
    except (KeyError, ValueError, AttributeError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _match(key: str, image: ImageReference) -> int:
    """How long a part of the repository's path `key` asks for; -1 when it is about another registry or path."""
    host, _, path = key.removeprefix("https://").removeprefix("http://").partition("/")
    path = path.rstrip("/")
    if path in ("v1", "v2"):  # Docker's own key for its hub is the URL of an API
        path = ""
    wanted = _DOCKER_HUB if image.registry in _DOCKER_HUB else {image.registry}
    if not any(_same_host(host, one) for one in wanted):
        return -1
    if path and not f"{image.repository}/".startswith(f"{path}/"):
        return -1
    return len(path)


def _same_host(pattern: str, host: str) -> bool:
    labels, wanted = host.split("."), pattern.split(".")
    return len(labels) == len(wanted) and all(map(fnmatchcase, labels, wanted))


def _credentials(entry: Any) -> Credentials | None:
    if not isinstance(entry, dict):
        return None
    user, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        try:
            user, _, password = base64.b64decode(str(entry["auth"])).decode().partition(":")
        except ValueError:
            return None
    return Credentials(
        user,
        password.rstrip("\0"),
        str(entry.get("identitytoken") or ""),
        str(entry.get("registrytoken") or ""),
    )
