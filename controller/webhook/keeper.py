"""Keeps the webhook's certificates: in their Secret, in use here, and known to those who call.

Every replica does the same, without a leader. It looks once a minute: takes the next step in the Secret where one is
due (a conflict means that another replica took it), serves with what is there, and writes the authorities into the
webhook configurations, which is where the API server reads whom to trust.
"""

import base64
import binascii
import random
from collections.abc import Mapping, Sequence
from typing import Any, Final

from controller.webhook.certificates import AUTHORITIES, CERTIFICATE, KEY, next_data
from upwell.api.legacy import LEGACY
from upwell.api.objects import Object, mutable, new_object
from upwell.api.resources import SECRET, Resource
from upwell.clock import Clock
from upwell.cluster.backoff import Backoff
from upwell.cluster.client import Client
from upwell.cluster.errors import AlreadyExists, ApiError, Conflict, NotFound
from upwell.telemetry import log
from upwell.tls.memory import as_files
from upwell.tls.serving import ServingContext

__all__ = ["CONFIGURATIONS", "DEFINITION", "SECRET_NAME", "SERVICE_NAME", "Keeper", "dns_names"]

LOG: Final = log.get("webhook")
SECRET_NAME: Final = "webhook-certs"
SERVICE_NAME: Final = "webhook"
LOOK_SECONDS: Final = 60.0
_REGISTRATION: Final = "admissionregistration.k8s.io"
_MUTATING: Final = Resource(
    _REGISTRATION, "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", False, has_status=False
)
_VALIDATING: Final = Resource(
    _REGISTRATION, "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", False, has_status=False
)
DEFINITION: Final = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False
)
CONVERTED: Final = tuple(dict.fromkeys(f"{resource.plural}.{resource.group}" for resource in LEGACY.values()))
"""The definitions that may serve versions of 2019, by our conversion."""
CONFIGURATIONS: Final = (
    (_MUTATING, "webhook.serving.knative.dev"),
    (_VALIDATING, "validation.webhook.serving.knative.dev"),
    (_VALIDATING, "config.webhook.serving.knative.dev"),
)


def dns_names(namespace: str, cluster_domain: str) -> Sequence[str]:
    """What the API server may call the webhook."""
    service = f"{SERVICE_NAME}.{namespace}"
    return (f"{service}.svc", f"{service}.svc.{cluster_domain}", service, SERVICE_NAME)


class Keeper:
    """See the module."""

    def __init__(
        self,
        client: Client,
        serving: ServingContext,
        namespace: str,
        cluster_domain: str,
        clock: Clock,
        *,
        conversion: bool,
    ) -> None:
        """`conversion`: look after definitions that lead to the webhook, too."""
        self._client = client
        self._serving = serving
        self._namespace = namespace
        self._names = dns_names(namespace, cluster_domain)
        self._clock = clock
        self._converted = CONVERTED if conversion else ()
        self._in_use: tuple[bytes, bytes] = (b"", b"")

    async def run(self) -> None:
        """Keep at it until cancelled; what fails is logged and tried again."""
        backoff = Backoff(1.0, LOOK_SECONDS)
        while True:
            try:
                await self.look()
            except Conflict:
                pass  # another replica was first; see at once what it wrote
            except (ApiError, OSError, ValueError) as error:
                LOG.warning("certificates of the webhook", error=str(error))
                await self._clock.sleep(backoff.next())
            else:
                backoff.reset()
                await self._clock.sleep(LOOK_SECONDS * random.uniform(0.8, 1.2))

    async def look(self) -> None:
        """One look, and everything that is due by then; raise ApiError, Conflict when another was quicker."""
        secret = await self._secret()
        data = _decoded(secret)
        configurations = await self._configurations()
        while step := next_data(
            data, self._names, self._clock.now(), published=_all_trust(configurations, data.get(AUTHORITIES, b""))
        ):
            secret = await self._client.update(SECRET, {**secret, "data": _encoded(step)})
            data = _decoded(secret)
            LOG.info("certificates of the webhook renewed")
        self._use(data)
        for resource, configuration in configurations:
            if not _trusts(configuration, data[AUTHORITIES]):
                await self._client.update(resource, _trusting(configuration, data[AUTHORITIES]))

    async def _secret(self) -> Object:
        try:
            return await self._client.get(SECRET, SECRET_NAME, self._namespace)
        except NotFound:
            pass
        try:
            return await self._client.create(SECRET, new_object(SECRET, self._namespace, SECRET_NAME, data={}))
        except AlreadyExists:
            return await self._client.get(SECRET, SECRET_NAME, self._namespace)

    async def _configurations(self) -> list[tuple[Resource, Object]]:
        """Those that exist: an install may have switched some of them off."""
        found = []
        for resource, name in CONFIGURATIONS:
            try:
                found.append((resource, await self._client.get(resource, name)))
            except NotFound:
                continue
        for name in self._converted:
            try:
                definition = await self._client.get(DEFINITION, name)
            except NotFound:
                continue
            if _conversion_client(definition, self._namespace) is not None:
                found.append((DEFINITION, definition))
        return found

    def _use(self, data: Mapping[str, bytes]) -> None:
        pair = (data[CERTIFICATE], data[KEY])
        if pair != self._in_use:
            with as_files(*pair) as (certificate, key):
                self._serving.use(certificate, key)
            self._in_use = pair


def _decoded(secret: Object) -> dict[str, bytes]:
    found = {}
    for name, text in (secret.get("data") or {}).items():
        try:
            found[name] = base64.b64decode(text, validate=True)
        except (binascii.Error, TypeError, ValueError):
            continue  # replaced with the next step
    return found


def _encoded(data: Mapping[str, bytes]) -> dict[str, str]:
    return {name: base64.b64encode(content).decode() for name, content in data.items()}


def _clients(configuration: Object) -> list[dict[str, Any]]:
    """What an API server reads of whom to call, in a webhook configuration or a definition."""
    if configuration["kind"] == DEFINITION.kind:
        client: dict[str, Any] = configuration["spec"]["conversion"]["webhook"]["clientConfig"]
        return [client]
    return [webhook["clientConfig"] for webhook in configuration.get("webhooks") or ()]


def _conversion_client(definition: Object, namespace: str) -> Mapping[str, Any] | None:
    """Whom the API server has objects converted by, if that is us."""
    conversion = definition["spec"].get("conversion") or {}
    client: Mapping[str, Any] = (conversion.get("webhook") or {}).get("clientConfig") or {}
    service = client.get("service") or {}
    return client if (service.get("name"), service.get("namespace")) == (SERVICE_NAME, namespace) else None


def _trusts(configuration: Object, authorities: bytes) -> bool:
    wanted = base64.b64encode(authorities).decode()
    return all(client.get("caBundle") == wanted for client in _clients(configuration))


def _all_trust(configurations: Sequence[tuple[Resource, Object]], authorities: bytes) -> bool:
    return all(_trusts(configuration, authorities) for _, configuration in configurations)


def _trusting(configuration: Object, authorities: bytes) -> Object:
    changed = mutable(configuration)
    for client in _clients(changed):
        client["caBundle"] = base64.b64encode(authorities).decode()
    return changed
