"""What a revision's images are by their content, and the objects by which a cluster may keep them near its nodes.

The status has an entry for each container, in order; its digest is empty where the tag stands for itself. An Image is
made for each and never changed. Source: contract, control-plane.md 5.5, 5.7.
"""

from collections.abc import Mapping
from typing import Any, Final

from controller.revision.metadata import child_labels, deployment_annotations
from upwell.api.names import child_name
from upwell.api.objects import Object, controller_reference, name_of, namespace_of, new_object
from upwell.api.resources import IMAGE

__all__ = ["digests_by_container", "images_are_known", "known_digests", "make_images", "note_digests"]

_FIELDS: Final = (("containerStatuses", "containers"), ("initContainerStatuses", "initContainers"))


def images_are_known(revision: Object) -> bool:
    """Whether the status has an entry for every container."""
    status, spec = revision.get("status") or {}, revision["spec"]
    known = sum(len(status.get(field) or ()) for field, _ in _FIELDS)
    return bool(known == sum(len(spec.get(containers) or ()) for _, containers in _FIELDS))


def note_digests(revision: Object, digests: Mapping[str, str]) -> None:
    """Write the entries into the status; `digests` is by image."""
    for field, containers in _FIELDS:
        found = [_entry(container, digests) for container in revision["spec"].get(containers) or ()]
        if found:
            revision["status"][field] = found


def digests_by_container(revision: Object) -> dict[str, str]:
    """By container, the image to run; empty where it is the tag."""
    status = revision.get("status") or {}
    return {entry["name"]: entry.get("imageDigest", "") for field, _ in _FIELDS for entry in status.get(field) or ()}


def known_digests(status: Mapping[str, Any]) -> list[Any]:
    """What registries have said; it must not be asked twice, as the answer changes when a tag is moved."""
    return [entry for field, _ in _FIELDS for entry in status.get(field) or () if entry.get("imageDigest")]


def make_images(revision: Object) -> list[Object]:
    """One for each container, also those that run first."""
    pull = {
        name: revision["spec"][name]
        for name in ("serviceAccountName", "imagePullSecrets")
        if revision["spec"].get(name)
    }
    return [
        new_object(
            IMAGE,
            namespace_of(revision),
            child_name(child_name(name_of(revision), "-cache"), f"-{container}"),
            metadata={
                "labels": child_labels(revision),
                "annotations": deployment_annotations(revision),
                "ownerReferences": [controller_reference(revision)],
            },
            spec={"image": digest, **pull},
        )
        for container, digest in digests_by_container(revision).items()
    ]


def _entry(container: Mapping[str, Any], digests: Mapping[str, str]) -> dict[str, str]:
    digest = digests.get(str(container.get("image") or ""), "")
    return {"name": container["name"], **({"imageDigest": digest} if digest else {})}
