"""Failures as Kubernetes tells them: a `Status` object with a code, a reason and a message.

    StatusError                      anything that ends a request with a Status body
      made by: bad_request, not_found, unknown_resource, already_exists, conflict, invalid, expired,
               forbidden, method_not_allowed, unsupported_media_type, unavailable, internal

Clients decide by `code` and `reason`, people read `message`; both are the real server's own words.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from upwell.api.objects import Object
from upwell.api.resources import Resource

__all__ = [
    "Cause",
    "StatusError",
    "already_exists",
    "bad_request",
    "cannot_be_handled",
    "conflict",
    "expired",
    "forbidden",
    "internal",
    "invalid",
    "method_not_allowed",
    "not_found",
    "qualified",
    "success",
    "unavailable",
    "unknown_resource",
    "unsupported_media_type",
]


class Cause(NamedTuple):
    """One wrong field: a reason such as `FieldValueInvalid`, its path, and what is wrong with it."""

    reason: str
    field: str
    message: str


class StatusError(Exception):
    """Ends a request with this code and a Status body."""

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    def status(self) -> Object:
        """The Status object that clients get."""
        body: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details is not None:
            body["details"] = self.details
        body["code"] = self.code
        return body


def success(resource: Resource, name: str, uid: str) -> Object:
    """The Status that answers a delete which is complete."""
    details = {"name": name, **_group(resource), "kind": resource.plural, "uid": uid}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def qualified(resource: Resource) -> str:
    """The resource as messages name it: `services.serving.knative.dev`, `pods`."""
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def cannot_be_handled(resource: Resource, why: str) -> StatusError:
    """A body that does not fit the types of its kind."""
    kind = resource.kind
    return bad_request(f'{kind} in version "{resource.version}" cannot be handled as a {kind}: {why}')


def not_found(resource: Resource, name: str) -> StatusError:
    return StatusError(404, "NotFound", f'{qualified(resource)} "{name}" not found', _named(resource, name))


def unknown_resource() -> StatusError:
    return StatusError(404, "NotFound", "the server could not find the requested resource", {})


def method_not_allowed() -> StatusError:
    message = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", message, {})


def already_exists(resource: Resource, name: str) -> StatusError:
    return StatusError(409, "AlreadyExists", f'{qualified(resource)} "{name}" already exists', _named(resource, name))


def conflict(resource: Resource, name: str, why: str = "") -> StatusError:
    """A lost race; `why` defaults to the words for a stale resourceVersion."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {qualified(resource)} "{name}": {why}'
    return StatusError(409, "Conflict", message, _named(resource, name))


def expired(message: str) -> StatusError:
    return StatusError(410, "Expired", message)


def unsupported_media_type(message: str) -> StatusError:
    return StatusError(415, "UnsupportedMediaType", message)


def forbidden(resource: Resource | None, name: str, why: str) -> StatusError:
    if resource is None:
        return StatusError(403, "Forbidden", why)
    return StatusError(403, "Forbidden", f'{qualified(resource)} "{name}" is forbidden: {why}', _named(resource, name))


def invalid(resource: Resource, name: str, causes: Sequence[Cause]) -> StatusError:
    """Fields that cannot be accepted, each with its path."""
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    details: dict[str, Any] = {"name": name, **_group(resource), "kind": resource.kind, "causes": _causes(causes)}
    return StatusError(422, "Invalid", f'{kind} "{name}" is invalid: {_told(causes)}', details)


def unavailable(message: str) -> StatusError:
    return StatusError(503, "ServiceUnavailable", message)


def internal(message: str) -> StatusError:
    return StatusError(500, "InternalError", f"Internal error occurred: {message}")


def _named(resource: Resource, name: str) -> dict[str, Any]:
    return {"name": name, **_group(resource), "kind": resource.plural}


def _group(resource: Resource) -> dict[str, str]:
    return {"group": resource.group} if resource.group else {}


def _causes(causes: Iterable[Cause]) -> list[dict[str, str]]:
    return [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes]


def _told(causes: Sequence[Cause]) -> str:
    texts = [f"{cause.field}: {cause.message}" for cause in causes]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
