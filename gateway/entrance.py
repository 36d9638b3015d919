"""By which listener a request comes in, and whom it sends to another one.

`httpOption: Redirected` sends clients that came without TLS to the same place with TLS: 301 for GET and HEAD, as
browsers and caches know it, and 308 for other methods, which a 301 would turn into GET. Whoever proves to a
certificate authority that the host is theirs has to do so without TLS (RFC 8555, 8.3), so where the Ingress has a
path for that it stays.
"""

from typing import Final, NamedTuple

from gateway.ingress import HostRoutes, Route
from gateway.table import normal_host
from upwell.http import RequestHead

__all__ = ["Entrance", "redirection"]

CHALLENGES: Final = b"/.well-known/acme-challenge/"
_KEEPS_METHOD: Final = frozenset((b"GET", b"HEAD"))
_USUAL_PORT: Final = 443


class Entrance(NamedTuple):
    """What is particular to one listener."""

    scheme: bytes = b"http"
    """http or https."""
    public_only: bool = False
    """Whether hosts of visibility ClusterLocal do not exist here."""
    https_port: int = 0
    """Where clients are sent that should come with TLS; 0 where nobody is."""


def redirection(
    entrance: Entrance, entry: HostRoutes, route: Route | None, request: RequestHead
) -> tuple[int, bytes] | None:
    """The status and the Location to answer with; None where the request is to be served here."""
    if not entrance.https_port or not entry.redirects or request.target == b"*":
        return None
    if route is not None and route.path.startswith(CHALLENGES):
        return None
    port = b"" if entrance.https_port == _USUAL_PORT else b":%d" % entrance.https_port
    status = 301 if request.method in _KEEPS_METHOD else 308
    return status, b"https://%b%b%b" % (normal_host(request.host), port, request.target)
