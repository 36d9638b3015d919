"""From flags to a Service: what `upwell service create`, `update` and `apply` send.

Nothing here talks to an API server; a Service goes in, or the lack of one, and a Service comes out.
"""

import random
import re
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from upwell.api import names
from upwell.api.objects import Object, mutable, name_of, new_object
from upwell.api.resources import SERVICE
from upwell.cli.container_edit import edit_container
from upwell.cli.errors import CommandError
from upwell.cli.pairs import parse_changes, set_or_drop
from upwell.cli.traffic_split import split_traffic
from upwell.cli.volume_edit import edit_mounts, edit_volumes

__all__ = ["USER_IMAGE", "edited", "made"]

USER_IMAGE: Final = "client.knative.dev/user-image"
"""The image as its user wrote it, on a template whose image is locked to a digest."""
_CONSONANTS: Final = "bcdfghjklmnpqrstvwxyz"
_PLACEHOLDER: Final = re.compile(r"\{\{\s*\.(Service|Generation|Random)(?:\s+(\d+))?\s*\}\}")
_SCALE: Final = (
    ("scale_min", "min-scale"),
    ("scale_max", "max-scale"),
    ("scale_init", "initial-scale"),
    ("scale_activation", "activation-scale"),
    ("scale_target", "target"),
    ("scale_metric", "metric"),
    ("scale_utilization", "target-utilization-percentage"),
    ("scale_window", "window"),
)
_NO_REVISION: Final = frozenset({"traffic", "tag", "untag", "label_service", "annotation_service", "cluster_local"})


def made(name: str, namespace: str, options: Namespace, base: Object | None = None) -> Object:
    """A new Service, of `base` (a file's) where there is one; raise CommandError."""
    service = (
        mutable(base) if base is not None else new_object(SERVICE, namespace, name, spec={"template": {"spec": {}}})
    )
    if base is None and not options.image:
        raise CommandError(
            f"service {name}: nothing says what to run", "--image IMAGE (on a laptop any), or -f FILE", 2
        )
    if options.security_context is None and base is None:
        options.security_context = "strict"
    _edit_service(service, options, generation=1)
    _set_traffic(service, options)
    return service


def edited(current: Object, options: Namespace, latest_revision: Object | None = None) -> Object:
    """`current` with what the flags change; `latest_revision` is where a locked image's digest is read."""
    service = mutable(current)
    _edit_service(service, options, generation=int(current["metadata"].get("generation") or 0) + 1)
    template = service["spec"]["template"]
    if template != current["spec"].get("template"):
        if options.lock_to_digest and options.image is None and latest_revision is not None:
            _lock_image(template, latest_revision)
        if not options.revision_name:
            # A revision cannot change, so the name of this one is not the next one's.
            template.get("metadata", {}).pop("name", None)
    _set_traffic(service, options)
    return service


def _edit_service(service: Object, options: Namespace, generation: int) -> None:
    """Do what the flags say about everything but traffic, in place."""
    template: dict[str, Any] = service["spec"].setdefault("template", {})
    metadata: dict[str, Any] = template.setdefault("metadata", {})
    spec: dict[str, Any] = template.setdefault("spec", {})
    container = _app_container(spec)
    edit_container(container, options)
    _edit_local_command(container, options)
    edit_volumes(spec, options.volume)
    edit_mounts(spec, container, options.mount)
    if options.containers is not None:
        spec["containers"] = [container, *_more_containers(options.containers)]
    _edit_pod(spec, options)
    _edit_annotations(service, metadata, options)
    _edit_labels(service, metadata, options)
    if options.revision_name:
        metadata["name"] = _revision_name(options.revision_name, name_of(service), generation)
    set_or_drop(template, "metadata", metadata)


def _app_container(spec: dict[str, Any]) -> dict[str, Any]:
    """The container that requests go to: the one with a port, or the only one."""
    containers: list[dict[str, Any]] = spec.setdefault("containers", [])
    if not containers:
        containers.append({})
    return next((container for container in containers if container.get("ports")), containers[0])


def _edit_local_command(container: dict[str, Any], options: Namespace) -> None:
    """A command that is given here runs here on a laptop, as one in a file runs in the file's folder."""
    if options.cmd and options.local and not container.get("workingDir"):
        container["workingDir"] = str(Path.cwd())


def _more_containers(file: str) -> list[dict[str, Any]]:
    try:
        read = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CommandError(
            f"--containers {file}: cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from error
    containers = read.get("containers") if isinstance(read, dict) else None
    if not isinstance(containers, list):
        raise CommandError(f"--containers {file}: there are none in it", "`containers:` and a list below it")
    return containers


def _edit_pod(spec: dict[str, Any], options: Namespace) -> None:
    if options.service_account is not None:
        set_or_drop(spec, "serviceAccountName", options.service_account)
    if options.pull_secret is not None:
        set_or_drop(spec, "imagePullSecrets", [{"name": options.pull_secret}] if options.pull_secret else [])
    if options.concurrency_limit is not None:
        spec["containerConcurrency"] = options.concurrency_limit
    if options.timeout is not None:
        spec["timeoutSeconds"] = options.timeout


def _edit_annotations(service: Object, metadata: dict[str, Any], options: Namespace) -> None:
    both = parse_changes("--annotation", options.annotation, single=True)
    own = parse_changes("--annotation-service", options.annotation_service, single=True)
    revision = parse_changes("--annotation-revision", options.annotation_revision, single=True)
    # What scales is read from the revision; on the Service itself it would be refused.
    plain = both._replace(set={k: v for k, v in both.set.items() if not k.startswith(names.AUTOSCALING)})
    of_service = own.apply_to(plain.apply_to(service["metadata"].get("annotations")))
    of_revision = revision.apply_to(both.apply_to(metadata.get("annotations")))
    of_revision |= _scale_annotations(options)
    if options.image is not None and options.lock_to_digest:
        of_revision[USER_IMAGE] = options.image
    elif not options.lock_to_digest:
        of_revision.pop(USER_IMAGE, None)
    set_or_drop(service["metadata"], "annotations", of_service)
    set_or_drop(metadata, "annotations", of_revision)


def _scale_annotations(options: Namespace) -> dict[str, str]:
    found = {
        names.AUTOSCALING + key: str(getattr(options, option))
        for option, key in _SCALE
        if getattr(options, option) is not None
    }
    if options.scale is None:
        return found
    if options.scale_min is not None or options.scale_max is not None:
        raise CommandError("--scale: is given with --scale-min or --scale-max", "either the one or the others", 2)
    lowest, dots, highest = options.scale.partition("..")
    bounds = {"min-scale": lowest, "max-scale": highest if dots else lowest}
    if not any(bounds.values()) or not all(value.isdigit() for value in bounds.values() if value):
        raise CommandError(f"--scale {options.scale}: is no scale", "5, 1..5, 1.. or ..5", 2)
    return found | {names.AUTOSCALING + key: value for key, value in bounds.items() if value}


def _edit_labels(service: Object, metadata: dict[str, Any], options: Namespace) -> None:
    both = parse_changes("--label", options.label, single=True)
    own = parse_changes("--label-service", options.label_service, single=True)
    revision = parse_changes("--label-revision", options.label_revision, single=True)
    of_service = own.apply_to(both.apply_to(service["metadata"].get("labels")))
    if options.cluster_local is not None:
        of_service.pop(names.LABEL_VISIBILITY, None)
        if options.cluster_local:
            of_service[names.LABEL_VISIBILITY] = "cluster-local"
    set_or_drop(service["metadata"], "labels", of_service)
    set_or_drop(metadata, "labels", revision.apply_to(both.apply_to(metadata.get("labels"))))


def _revision_name(template: str, service: str, generation: int) -> str:
    def value(found: re.Match[str]) -> str:
        word, count = found[1], int(found[2] or 5)
        random_part = "".join(random.choices(_CONSONANTS, k=count))
        return {"Service": service, "Generation": str(generation), "Random": random_part}[word]

    name = _PLACEHOLDER.sub(value, template)
    if "{{" in name:
        right = "{{.Service}}, {{.Generation}} and {{.Random 5}} are known"
        raise CommandError(f"--revision-name {template}: cannot be filled in", right, 2)
    return name if name.startswith(f"{service}-") else f"{service}-{name}"


def _set_traffic(service: Object, options: Namespace) -> None:
    traffic, untag = getattr(options, "traffic", None), getattr(options, "untag", None)
    if traffic or options.tag or untag:
        current: Sequence[dict[str, Any]] = service["spec"].get("traffic") or ()
        service["spec"]["traffic"] = split_traffic(current, traffic, options.tag, untag)


def _lock_image(template: dict[str, Any], revision: Object) -> None:
    """Let the template keep the digest that the latest revision runs, so that a new setting is no new image."""
    container = _app_container(template["spec"])
    statuses = (revision.get("status") or {}).get("containerStatuses") or ()
    digest = next((one.get("imageDigest") for one in statuses if one.get("name") == container.get("name")), None)
    if digest and container.get("image"):
        annotations = template.setdefault("metadata", {}).setdefault("annotations", {})
        annotations.setdefault(USER_IMAGE, container["image"])
        container["image"] = digest
