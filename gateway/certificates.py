"""Which certificate a client is shown: that of the host it asks for, as the Ingress that has the host says.

    greeting, with a host ──> the table's Ingress ──> its Secret ──> a context, made at the first greeting and kept
                                └── none, or none that can be used ──> the default, or the connection ends

The Secrets of type `kubernetes.io/tls` are followed, so a renewed certificate is shown from the next connection on,
and connections that exist keep theirs. One that cannot be used, or was deleted, leaves the last good one in its place.
Clients that name no host, or one without a certificate, are refused before anything else is said: a certificate for
another host would only teach them to look away. A Secret that is missing or broken is told when that begins, not with
every client; those that were there at the start are read when somebody asks for them.
"""

import base64
import binascii
import ssl
from collections import Counter
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, Protocol

from gateway.table import Table, normal_host
from upwell.api.objects import Key, Object, key_of
from upwell.api.resources import SECRET
from upwell.cluster.informer import Informer, Source
from upwell.telemetry import log
from upwell.telemetry.metrics import Registry
from upwell.tls.memory import as_files
from upwell.tls.serving import PROTOCOLS, load_context
from upwell.tls.settings import TlsOptions
from upwell.tls.signing import key_pem, new_authority, new_leaf, pem, read_certificates

__all__ = ["Certificates", "TableSource", "tls_secret"]

LOG: Final = log.get("tls")
_NEVER_SHOWN: Final = "gateway.invalid"
_KEPT: Final = ("name", "namespace", "uid", "resourceVersion")


NO_NAME: Final = "no-name"
NO_CERTIFICATE: Final = "no-certificate"
SECRET_MISSING: Final = "secret-missing"
SECRET_UNUSABLE: Final = "secret-unusable"
REASONS: Final = (NO_NAME, NO_CERTIFICATE, SECRET_MISSING, SECRET_UNUSABLE)
"""Why a client is refused: it names no host, the host has no certificate, or its Secret is not there or no good."""
_NOTHING: Final[frozenset[Key]] = frozenset()


class TableSource(Protocol):
    """Who holds the current table."""

    table: Table

    def on_change(self, callback: Callable[[Collection[Key]], None]) -> None: ...


class _Shown(NamedTuple):
    context: ssl.SSLContext
    expires: float
    """Unix time."""


def tls_secret(secret: Object) -> Object:
    """What to keep of a Secret."""
    data = {name: value for name, value in (secret.get("data") or {}).items() if name in ("tls.crt", "tls.key")}
    metadata = {name: secret["metadata"][name] for name in _KEPT if name in secret["metadata"]}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}


class Certificates:
    """Follows the Secrets, and has the context that listeners listen with."""

    def __init__(
        self, client: Source, routes: TableSource, options: TlsOptions, default: Key | None, registry: Registry
    ) -> None:
        """`default` is the Secret for clients that name no host, or one that has no certificate."""
        self.secrets = Informer(client, SECRET, fields="type=kubernetes.io/tls", trim=tls_secret)
        self._routes = routes
        self._options = options
        self._default = default
        self._shown: dict[Key, _Shown] = {}
        self._unusable: dict[Key, str] = {}
        """By Secret: the version that cannot be used."""
        self._following = False
        self._missing: set[Key] = set()
        """Secrets that are asked for and do not exist."""
        self._by_ingress: dict[Key, frozenset[Key]] = {}
        self._wanted = Counter([default] if default is not None else ())
        """By Secret: how many ask for it."""
        self._refused = registry.counter(
            "upwell_gateway_tls_refused",
            "TLS connections refused: no certificate for the host that was asked for.",
            ("reason",),
        )
        for reason in REASONS:
            self._refused.labels(reason)
        registry.gauge_from(
            "upwell_gateway_certificates_unusable",
            "Secrets that hosts have their certificates in and that are missing or cannot be used.",
            lambda: len(self._missing | self._unusable.keys()),
        )
        self._expiry = registry.gauge(
            "upwell_gateway_certificate_expiry_seconds",
            "When a certificate that is in use ends, in Unix time.",
            ("namespace", "secret"),
        )
        self.context = self._listening()
        """To listen with."""
        self.secrets.add_handler(self._secret_changed)
        routes.on_change(self._routes_changed)

    def follow(self) -> None:
        """The first table is complete, and all Secrets known: tell what is missing, and what is amiss from now on."""
        self._following = True
        for key in self._wanted:
            self._look_for(key)

    def _listening(self) -> ssl.SSLContext:
        """A context that hands each client over to another; its certificate is for OpenSSL alone."""
        now = datetime.now(UTC)
        life = timedelta(days=1)
        certificate, key = new_leaf([_NEVER_SHOWN], new_authority(_NEVER_SHOWN, now, life), now, life)
        with as_files(pem([certificate]), key_pem(key)) as files:
            context = load_context(self._options, PROTOCOLS, *files)
        context.sni_callback = self._greeted
        return context

    # What clients are shown.

    def _greeted(self, connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> int | None:
        key = self._secret_for(name)
        shown = (self._use(key) if key else None) or (self._use(self._default) if self._default else None)
        if shown is None:
            self._refused.labels(self._reason(name, key)).inc()
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        connection.context = shown.context
        return None

    def _secret_for(self, name: str | None) -> Key | None:
        if not name:
            return None
        host = normal_host(name.encode("ascii", "replace"))
        table = self._routes.table
        entry = table.hosts.get(host)
        ingress = table.ingresses.get(entry.ingress) if entry is not None else None
        return ingress.secret(host) if ingress is not None else None

    def _reason(self, name: str | None, key: Key | None) -> str:
        if key is None:
            return NO_CERTIFICATE if name else NO_NAME
        return SECRET_UNUSABLE if key in self._unusable else SECRET_MISSING

    def _use(self, key: Key) -> _Shown | None:
        shown = self._shown.get(key)
        if shown is None:
            secret = self.secrets.get(key.namespace, key.name)
            if secret is not None:
                self._load(key, secret)
                shown = self._shown.get(key)
        return shown

    # What changes.

    def _routes_changed(self, ingresses: Collection[Key]) -> None:
        for key in ingresses:
            routes = self._routes.table.ingresses.get(key)
            wanted = frozenset(routes.secrets.values()) if routes is not None else _NOTHING
            before = self._by_ingress.pop(key, _NOTHING)
            if wanted:
                self._by_ingress[key] = wanted
            for secret in wanted - before:
                self._wanted[secret] += 1
                if self._following and secret not in self._shown:
                    self._look_for(secret)
                    self._use(secret)
            for secret in before - wanted:
                self._let_go(secret)

    def _look_for(self, key: Key) -> None:
        if self.secrets.get(*key) is None and key not in self._missing:
            self._missing.add(key)
            LOG.warning("the Secret of a certificate is missing", secret=str(key), shown=key in self._shown)

    def _let_go(self, key: Key) -> None:
        self._wanted[key] -= 1
        if self._wanted[key]:
            return
        del self._wanted[key]
        self._missing.discard(key)
        self._unusable.pop(key, None)
        if self._shown.pop(key, None) is not None:
            self._expiry.remove(*key)

    def _secret_changed(self, old: Object | None, new: Object | None) -> None:
        changed = new if new is not None else old
        assert changed is not None, "a change is of something"
        key = key_of(changed)
        if key not in self._wanted:
            return
        if new is None:
            self._look_for(key)
            return
        self._missing.discard(key)
        if self._following or key in self._shown:
            self._load(key, new)

    def _load(self, key: Key, secret: Object) -> None:
        version = str(secret["metadata"].get("resourceVersion"))
        if self._unusable.get(key) == version:
            return
        try:
            certificate = _entry(secret, "tls.crt")
            with as_files(certificate, _entry(secret, "tls.key")) as files:
                context = load_context(self._options, PROTOCOLS, *files)
            expires = read_certificates(certificate)[0].not_valid_after_utc.timestamp()
        except (OSError, ValueError, IndexError) as error:
            self._unusable[key] = version
            LOG.warning("a certificate cannot be used", secret=str(key), error=str(error) or type(error).__name__)
            return
        self._unusable.pop(key, None)
        self._shown[key] = _Shown(context, expires)
        self._expiry.labels(key.namespace, key.name).set(expires)
        LOG.info("certificate loaded", secret=str(key))


def _entry(secret: Object, name: str) -> bytes:
    """Raise ValueError where it is missing or no base64."""
    try:
        return base64.b64decode(str(secret["data"][name]), validate=True)
    except KeyError:
        raise ValueError(f"{name} is missing") from None
    except binascii.Error as error:
        raise ValueError(f"{name} is not in base64") from error
