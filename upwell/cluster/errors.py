"""What can go wrong between us and the Kubernetes API, by what the caller does about it.

ApiError
├── NotFound        404: the object, or its namespace, is not there
├── AlreadyExists   409 on create: somebody was first
├── Conflict        409 on update: read again and decide again
├── Gone            410: the watch position is too old; list again
├── Invalid         400, 422: the object is refused as it stands
├── Forbidden       401, 403: credentials or RBAC
└── Unavailable     no connection, time-out, 429, 5xx: the same request may succeed later
"""

from collections.abc import Mapping
from typing import Any, Final

__all__ = [
    "AlreadyExists",
    "ApiError",
    "Conflict",
    "Forbidden",
    "Gone",
    "Invalid",
    "NotFound",
    "Unavailable",
    "error_for",
]


class ApiError(Exception):
    """The API server answered with something else than success, or not at all (`status` 0)."""

    def __init__(self, status: int, reason: str, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        """The machine-readable reason of the Status object, such as `AlreadyExists`."""
        self.message = message
        self.retry_after = retry_after
        """Seconds that the server asked to wait; 0 when it did not."""

    def __str__(self) -> str:
        return f"{self.message} ({self.status} {self.reason})" if self.status else f"{self.message} ({self.reason})"


class NotFound(ApiError):  # noqa: N818 - the condition's own name reads best where it is caught
    """There is no such object."""


class AlreadyExists(ApiError):  # noqa: N818
    """An object of that name exists."""


class Conflict(ApiError):  # noqa: N818
    """The object changed since it was read."""


class Gone(ApiError):  # noqa: N818
    """The resourceVersion is too old to watch from."""


class Invalid(ApiError):  # noqa: N818
    """The server refuses the object or the request."""


class Forbidden(ApiError):  # noqa: N818
    """We may not do that."""


class Unavailable(ApiError):  # noqa: N818
    """The server cannot be reached, or cannot answer now."""


_BY_STATUS: Final[Mapping[int, type[ApiError]]] = {
    400: Invalid,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: Unavailable,
}


def error_for(status: int, body: Mapping[str, Any], *, retry_after: float = 0.0) -> ApiError:
    """The error that a Status object (or whatever else came with `status`) stands for."""
    reason = str(body.get("reason") or "")
    message = str(body.get("message") or "the API server gave no message")
    if reason == "AlreadyExists":
        kind: type[ApiError] = AlreadyExists
    elif status >= 500:
        kind = Unavailable
    else:
        kind = _BY_STATUS.get(status, ApiError)
    return kind(status, reason or kind.__name__, message, retry_after=retry_after)
