"""`upwell apply`: create what is not there, replace what differs, and say which it was.

A file is written by hand, so the API server is asked, as kubectl asks it, to refuse a field that the kind does not
know: a misspelt `comand` would otherwise be dropped in silence.
"""

import asyncio
from itertools import pairwise
from typing import Any, Final

from upwell.api.objects import Object, mutable, name_of, namespace_of
from upwell.api.resources import SERVICE
from upwell.cli.documents import Document
from upwell.cli.errors import CommandError
from upwell.cluster.client import Client
from upwell.cluster.errors import ApiError, Conflict, NotFound

__all__ = ["apply_document", "apply_documents"]

_ATTEMPTS = 5
_LOOKS: Final = 200
_LOOK_SECONDS: Final = 0.05


async def apply_documents(client: Client, documents: list[Document]) -> list[str]:
    """Apply all; a line for each. The first that is refused ends it, with file and line.

    Of a Service that comes more than once, as `service export --with-revisions` prints it, each state has made its
    revision before the next is written.
    """
    lines: list[str] = []
    replayed = {id(one) for one, after in pairwise(documents) if one.resource is SERVICE and _same(one, after)}
    for document in documents:
        try:
            verb = await apply_document(client, document)
            if id(document) in replayed:
                await _revision_made(client, document)
        except ApiError as error:
            raise CommandError(f"{document.where}: {error.message}") from error
        lines += [f"{document.where}: {note}" for note in document.notes]
        lines.append(f"{document.resource.kind.lower()} {name_of(document.obj)} {verb}")
    return lines


async def apply_document(client: Client, document: Document) -> str:
    """Make the API server hold this object; returns created, configured or unchanged."""
    resource, wanted = document.resource, document.obj
    for _ in range(_ATTEMPTS):
        try:
            current = await client.get(resource, name_of(wanted), namespace_of(wanted))
        except NotFound:
            await client.create(resource, wanted, strict=True)
            return "created"
        try:
            stored = await client.update(resource, _merged(current, wanted), strict=True)
        except Conflict:
            continue
        same = stored["metadata"]["resourceVersion"] == current["metadata"]["resourceVersion"]
        return "unchanged" if same else "configured"
    raise CommandError(f"{document.where}: somebody else keeps changing {name_of(wanted)}", "apply it again")


def _same(one: Document, other: Document) -> bool:
    return other.resource is SERVICE and (name_of(one.obj), namespace_of(one.obj)) == (
        name_of(other.obj),
        namespace_of(other.obj),
    )


async def _revision_made(client: Client, document: Document) -> None:
    """Return when the Service that was just written has its revision; raise CommandError where none comes."""
    wanted = document.obj
    for _ in range(_LOOKS):
        found = await client.get(SERVICE, name_of(wanted), namespace_of(wanted))
        template = found["spec"]["template"].get("metadata") or {}
        latest = (found.get("status") or {}).get("latestCreatedRevisionName")
        if latest and template.get("name") in (None, latest):
            return
        await asyncio.sleep(_LOOK_SECONDS)
    raise CommandError(
        f"{document.where}: no revision of {name_of(wanted)} has come into being", "see `upwell get ksvc`"
    )


def _merged(current: Object, wanted: Object) -> Object:
    """The file's object, with what the API server and the controllers keep in the metadata."""
    merged = mutable(wanted)
    metadata: dict[str, Any] = merged["metadata"]
    for field in ("labels", "annotations"):
        both = {**(current["metadata"].get(field) or {}), **(metadata.get(field) or {})}
        if both:
            metadata[field] = both
    for field in ("resourceVersion", "uid", "finalizers", "ownerReferences"):
        if field in current["metadata"]:
            metadata[field] = current["metadata"][field]
    if "status" in current:
        merged["status"] = current["status"]
    return merged
