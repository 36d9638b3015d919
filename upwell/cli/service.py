"""`upwell service …`: create, change, apply, export, wait for; the other verbs are the same for all kinds."""

import json
import sys
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from upwell.api import names
from upwell.api.objects import Object, annotations_of, labels_of, name_of
from upwell.api.resources import REVISION, SERVICE
from upwell.cli.apply import apply_document
from upwell.cli.documents import Document, load_files
from upwell.cli.errors import CommandError, api_errors
from upwell.cli.output import yaml_text
from upwell.cli.service_edit import edited, made
from upwell.cli.session import Session
from upwell.cli.waiting import wait_ready
from upwell.cluster.errors import AlreadyExists, Conflict, NotFound

__all__ = ["apply_service", "create", "export", "update", "wait", "write_target"]

_ATTEMPTS: Final = 5
_WRITTEN_BY_US: Final = (names.ANNOTATION_CREATOR, names.ANNOTATION_LAST_MODIFIER, names.ANNOTATION_LAST_APPLIED)


async def create(session: Session, options: Namespace) -> None:
    """Create a Service; with --force, replace one that is there."""
    service = _wanted(options)
    what = f"create service {options.name}"
    with api_errors(what, session.kubeconfig):
        try:
            stored, verb = await session.client.create(SERVICE, service), "created"
        except AlreadyExists:
            if not options.force:
                hint = f"upwell service update {options.name}, or --force to replace it"
                raise CommandError(f"{what}: it exists in namespace {options.namespace}", hint) from None
            stored, verb = await _replaced(session, service), "replaced"
        await _finish(session, options, stored, verb)


async def update(session: Session, options: Namespace) -> None:
    """Change what the flags speak of; what is read and written again when somebody else was in between."""
    with api_errors(f"update service {options.name}", session.kubeconfig):
        for _ in range(_ATTEMPTS):
            current = await session.client.get(SERVICE, options.name, options.namespace)
            service = edited(current, options, await _latest_revision(session, current))
            if service == current:
                await _finish(session, options, current, "unchanged")
                return
            await _check_revisions(session, current, service)
            try:
                stored = await session.client.update(SERVICE, service)
            except Conflict:
                continue
            await _finish(session, options, stored, "updated")
            return
    raise CommandError(f"update service {options.name}: somebody else keeps changing it", "try again")


async def _check_revisions(session: Session, current: Object, service: Object) -> None:
    """Raise CommandError where traffic is newly sent to a revision that is not there: most likely a misspelt name."""
    before = {target.get("revisionName") for target in current["spec"].get("traffic") or ()}
    after = {target.get("revisionName") for target in service["spec"].get("traffic") or ()}
    for name in sorted(filter(None, after - before)):
        try:
            await session.client.get(REVISION, name, service["metadata"]["namespace"])
        except NotFound:
            hint = f"a tag, @latest, or one of `upwell revision list -s {name_of(service)}`"
            raise CommandError(f"update service {name_of(service)}: there is no revision or tag {name}", hint) from None


async def apply_service(session: Session, options: Namespace) -> None:
    """Create or replace a Service, so that it is as the flags and the file say."""
    document = Document(_wanted(options), SERVICE, f"apply service {options.name}")
    with api_errors(document.where, session.kubeconfig):
        verb = await apply_document(session.client, document)
        stored = await session.client.get(SERVICE, options.name, options.namespace)
        await _finish(session, options, stored, verb)


async def wait(session: Session, options: Namespace) -> None:
    with api_errors(f"wait for service {options.name}", session.kubeconfig):
        stored = await session.client.get(SERVICE, options.name, options.namespace)
        await _finish(session, options, stored, "")


def write_target(options: Namespace) -> None:
    """`--target`: the Service as a file and in no cluster. `-` is stdout; a folder gets NAMESPACE/ksvc/NAME.yaml."""
    service = _wanted(options)
    if options.target == "-":
        print(yaml_text(service), end="")
        return
    path = Path(options.target)
    if path.suffix not in (".yaml", ".yml", ".json"):
        path = path / options.namespace / "ksvc" / f"{options.name}.yaml"
    text = json.dumps(service, indent=2) + "\n" if path.suffix == ".json" else yaml_text(service)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"--target {options.target}: cannot be written: {error}") from error
    print(f"service {options.name} written to {path}")


async def export(session: Session, options: Namespace) -> None:
    """Print a Service without what the cluster adds; with revisions, as a List that makes them again in order."""
    with api_errors(f"export service {options.name}", session.kubeconfig):
        service = await session.client.get(SERVICE, options.name, options.namespace)
        revisions, _ = await session.client.list(
            REVISION, options.namespace, labels=f"{names.LABEL_SERVICE}={options.name}"
        )
    exported = _portable(service)
    if options.with_revisions:
        routed = {target.get("revisionName") for target in service["spec"].get("traffic") or ()}
        earlier = [
            revision for revision in revisions if name_of(revision) in routed and not _is_latest(revision, service)
        ]
        earlier.sort(key=_generation)
        if not exported["spec"]["template"].get("metadata", {}).get("name"):
            latest = str((service.get("status") or {}).get("latestCreatedRevisionName") or "")
            exported["spec"]["template"].setdefault("metadata", {})["name"] = latest
        items = [*(_replay(exported, revision) for revision in earlier), exported]
        exported = {"apiVersion": "v1", "kind": "List", "items": items}
    if options.output == "json":
        print(json.dumps(exported, indent=2))
    else:
        print(yaml_text(exported), end="")


def _wanted(options: Namespace) -> Object:
    base = None
    if options.filename is not None:
        documents = load_files([Path(options.filename)], options.namespace)
        found = [document.obj for document in documents if document.resource is SERVICE]
        if len(found) != 1:
            raise CommandError(f"{options.filename}: holds {len(found)} Services", "a file with exactly one", 2)
        base = found[0]
        name = options.name or name_of(base)
        if name != name_of(base):
            raise CommandError(f"{options.filename}: is about {name_of(base)}, not {name}", "leave the name out", 2)
        options.name, options.namespace = name, base["metadata"]["namespace"]
    if not options.name:
        raise CommandError(f"service {options.verb}: nothing says its name", f"upwell service {options.verb} NAME", 2)
    return made(options.name, options.namespace, options, base)


async def _replaced(session: Session, service: Object) -> Object:
    for _ in range(_ATTEMPTS):
        current = await session.client.get(SERVICE, name_of(service), service["metadata"]["namespace"])
        service["metadata"]["resourceVersion"] = current["metadata"]["resourceVersion"]
        kept = {name: value for name, value in annotations_of(current).items() if name in _WRITTEN_BY_US[:2]}
        if kept:
            service["metadata"]["annotations"] = {**annotations_of(service), **kept}
        try:
            return await session.client.update(SERVICE, service)
        except Conflict:
            continue
    raise CommandError(f"create service {name_of(service)}: somebody else keeps changing it", "try again")


async def _latest_revision(session: Session, service: Object) -> Object | None:
    name = (service.get("status") or {}).get("latestCreatedRevisionName")
    if not name:
        return None
    try:
        return await session.client.get(REVISION, str(name), service["metadata"]["namespace"])
    except NotFound:
        return None


async def _finish(session: Session, options: Namespace, stored: Object, verb: str) -> None:
    """Wait where that is asked for, and say how to call it."""
    if not options.wait:
        print(f"service {name_of(stored)} {verb}")
        return
    print(f"service {name_of(stored)} {verb or 'is waited for'} …", file=sys.stderr, flush=True)
    ready = await wait_ready(session.client, SERVICE, stored, options.wait_timeout, options.wait_window)
    status: dict[str, Any] = ready.get("status") or {}
    latest = status.get("latestReadyRevisionName")
    print(f"service {name_of(stored)} {verb or 'ready'}, latest revision {latest}\n{status.get('url')}")


def _portable(service: Object) -> Object:
    """Spec, name, labels and the author's own annotations: what another cluster can be given."""
    metadata = service["metadata"]
    kept: dict[str, Any] = {"name": metadata["name"], "namespace": metadata.get("namespace")}
    if labels_of(service):
        kept["labels"] = dict(labels_of(service))
    annotations = {name: value for name, value in annotations_of(service).items() if name not in _WRITTEN_BY_US}
    if annotations:
        kept["annotations"] = annotations
    return {"apiVersion": service["apiVersion"], "kind": service["kind"], "metadata": kept, "spec": service["spec"]}


def _is_latest(revision: Object, service: Object) -> bool:
    return name_of(revision) == (service.get("status") or {}).get("latestCreatedRevisionName")


def _generation(revision: Object) -> int:
    return int(labels_of(revision).get(names.LABEL_CONFIGURATION_GENERATION) or 0)


def _replay(service: Object, revision: Object) -> Object:
    """The Service as it was when it made `revision`, under the revision's own name."""
    own = _without(annotations_of(revision), ("serving.knative.dev/",))
    metadata: dict[str, Any] = {"name": name_of(revision)}
    if own:
        metadata["annotations"] = own
    labels = _without(labels_of(revision), ("serving.knative.dev/",))
    if labels:
        metadata["labels"] = labels
    spec = {"template": {"metadata": metadata, "spec": revision["spec"]}}
    return {**service, "spec": spec}


def _without(values: Any, prefixes: Iterable[str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if not name.startswith(tuple(prefixes))}
