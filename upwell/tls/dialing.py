"""Connections to whoever has the right name, certified by an authority that is trusted now.

The authorities may change while connections are opened: each new one is held against those that are current. The
name that is asked for (SNI) is common to all, so what tells one from another is a second name in the certificate.
"""

import asyncio
import ssl
from typing import Any, Final

from upwell.http.dial import DialError
from upwell.http.errors import FailureKind

__all__ = ["Authorities", "NamedDialer"]

NOTHING_TRUSTED: Final = "no authority is known that could have signed its certificate"


class Authorities:
    """Whose signatures count; the system's own do not."""

    def __init__(self) -> None:
        self._pem = ""
        self._context: ssl.SSLContext | None = None

    @property
    def context(self) -> ssl.SSLContext | None:
        """What to connect with; None while nobody is trusted."""
        return self._context

    def trust(self, pem: str) -> None:
        """From now on trust these certificates alone; raise ValueError when they cannot be read."""
        if pem == self._pem:
            return
        context: ssl.SSLContext | None = None
        if pem:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            try:
                context.load_verify_locations(cadata=pem)
            except ssl.SSLError as error:
                raise ValueError(f"not certificates in PEM: {error}") from error
        self._pem = pem
        self._context = context


class NamedDialer:
    """Opens TLS connections for the engine (`upwell.http.dial.SecureDialer`)."""

    def __init__(self, authorities: Authorities, server_name: str, *also: str) -> None:
        """The certificate has to be for `server_name`, which is asked for, and for one of `also`, which are not."""
        self._authorities = authorities
        self._server_name = server_name
        self._also = also

    async def connect(self, protocol: asyncio.Protocol, host: str, port: int) -> asyncio.Transport:
        """Connect `protocol`; raise OSError where there is no connection, DialError where it is the wrong one."""
        context = self._authorities.context
        if context is None:
            raise DialError(FailureKind.TLS, f"tls: {host}:{port}: {NOTHING_TRUSTED}")
        try:
            transport, _ = await asyncio.get_running_loop().create_connection(
                lambda: protocol, host, port, ssl=context, server_hostname=self._server_name
            )
        except ssl.SSLError as error:
            why = getattr(error, "verify_message", "") or error.reason or str(error)
            raise DialError(FailureKind.TLS, f"tls: {host}:{port}: {why}") from error
        names = _dns_names(transport.get_extra_info("peercert"))
        if not set(self._also) & set(names):
            transport.abort()
            wanted = '" or "'.join(self._also)
            raise DialError(
                FailureKind.TLS, f'tls: san "{wanted}" does not have a matching name in [{" ".join(names)}]'
            )
        return transport


def _dns_names(certificate: dict[str, Any] | None) -> list[str]:
    return [value for kind, value in (certificate or {}).get("subjectAltName", ()) if kind == "DNS"]
