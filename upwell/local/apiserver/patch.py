"""The patch formats, chosen by content type: each turns a document into the patched one.

Server-side apply is refused with a line that says what to do instead: it needs managed fields, which this server
does not keep.
"""

from collections.abc import Callable
from typing import Any, Final

import jsonpatch

from upwell.api.resources import Resource
from upwell.local.apiserver import errors
from upwell.local.apiserver.catalog import has_strategic_patch
from upwell.local.apiserver.errors import StatusError
from upwell.local.apiserver.strategic import PatchError, strategic_merge

__all__ = ["Patcher", "merge_patch", "patcher"]

Patcher = Callable[[Any], Any]
"""Takes a document of its own, which it may change, and returns the patched one; raises StatusError (422)."""

JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
APPLY_PATCHES: Final = ("application/apply-patch+yaml", "application/apply-patch+cbor")
MAX_JSON_PATCH_OPERATIONS: Final = 10_000


def patcher(resource: Resource, content_type: str, patch: Any) -> Patcher:
    """What applies `patch`; raise StatusError (415, 400) for a format or a body that cannot be used."""
    if content_type in APPLY_PATCHES:
        raise errors.unsupported_media_type(
            "server-side apply is not supported by this API server; use client-side apply (kubectl apply without"
            " --server-side) or a merge patch"
        )
    if content_type == JSON_PATCH:
        return _json_patcher(patch)
    if content_type == MERGE_PATCH:
        return lambda document: merge_patch(document, _object(patch))
    if content_type == STRATEGIC_PATCH and has_strategic_patch(resource):
        return lambda document: _strategic(document, _object(patch))
    accepted = [JSON_PATCH, MERGE_PATCH, *([STRATEGIC_PATCH] if has_strategic_patch(resource) else [])]
    raise errors.unsupported_media_type(
        "the body of the request was in an unknown format - accepted media types include: " + ", ".join(accepted)
    )


def _object(patch: Any) -> dict[str, Any]:
    if not isinstance(patch, dict):
        raise errors.bad_request(f"a merge patch must be an object, not a {type(patch).__name__}")
    return patch


def merge_patch(document: Any, patch: Any) -> Any:
    """RFC 7386: null removes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    result = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def _strategic(document: Any, patch: dict[str, Any]) -> Any:
    try:
        return strategic_merge(document, patch)
    except PatchError as error:
        raise _rejected(str(error)) from error


def _json_patcher(patch: Any) -> Patcher:
    if not isinstance(patch, list) or not all(isinstance(operation, dict) for operation in patch):
        raise errors.bad_request("a JSON patch must be a list of operations")
    if len(patch) > MAX_JSON_PATCH_OPERATIONS:
        raise StatusError(
            413, "RequestEntityTooLarge", f"a JSON patch may have at most {MAX_JSON_PATCH_OPERATIONS} operations"
        )
    try:
        operations = jsonpatch.JsonPatch(patch)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        raise errors.bad_request(f"invalid JSON patch: {error}") from error

    def apply(document: Any) -> Any:
        try:
            return operations.apply(document, in_place=True)
        except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError) as error:
            raise _rejected(str(error)) from error

    return apply


def _rejected(why: str) -> StatusError:
    message = f"the server rejected our request due to an error in our request: {why}"
    return StatusError(422, "Invalid", message, {"causes": [{"reason": "UnexpectedServerResponse", "message": why}]})
