"""Requests in versions of 2018 and 2019: stored as today's, with a warning for each thing that has another shape.

On a cluster a CRD with these versions and the webhook's `/resource-conversion` do the same. One object is answered in
the version that was asked for, which had room for today's fields too; lists and watches show what is stored.
"""

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from upwell.api.legacy import LegacyError, convert, modernise
from upwell.api.objects import Object
from upwell.local.apiserver import errors
from upwell.local.apiserver.patch import Patcher
from upwell.local.apiserver.routes import Target

__all__ = ["as_asked", "patched_today", "today", "warned"]


def today(target: Target, body: Any) -> tuple[Any, list[str]]:
    """The body in the version that is stored, and what was changed; raise StatusError (400)."""
    if not target.old_version or not isinstance(body, dict) or body.get("apiVersion") != target.old_version:
        return body, []
    try:
        return modernise(body)
    except LegacyError as error:
        raise errors.bad_request(f"{target.old_version} {target.resource.kind}: {error}") from error


def patched_today(target: Target, patch: Patcher, notes: list[str]) -> Patcher:
    """The patch, for objects as its sender knows them; `notes` gets what was changed."""
    if not target.old_version:
        return patch

    def apply(document: Any) -> Any:
        changed, found = today(target, patch({**document, "apiVersion": target.old_version}))
        notes.extend(found)
        return changed

    return apply


def as_asked(target: Target, obj: Object) -> Object:
    """A stored object in the version that the client speaks."""
    return convert(obj, target.old_version)


def warned(response: web.StreamResponse, notes: Sequence[str]) -> web.StreamResponse:
    """The response with a warning for each note, which kubectl prints."""
    for note in notes:
        text = note.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{text}"')
    return response
