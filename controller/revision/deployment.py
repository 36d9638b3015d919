"""The Deployment of a revision, and when one that exists is replaced.

`deployment-hash` stands for everything that we decide about it. While that is what it was, the Deployment is left
alone, whatever defaults the API server filled in and whoever scaled it (contract: control-plane.md 5.5).
"""

import hashlib
import json
from typing import Any, Final

from controller.revision.metadata import child_labels, deployment_annotations, deployment_name, with_foreign
from controller.revision.pod import make_pod_spec
from controller.revision.settings import RevisionSettings
from upwell.api.names import ANNOTATION_PROGRESS_DEADLINE, LABEL_DEPLOYMENT_HASH, LABEL_REVISION_UID
from upwell.api.objects import (
    Object,
    annotations_of,
    controller_reference,
    labels_of,
    mutable,
    namespace_of,
    new_object,
    uid_of,
)
from upwell.api.resources import DEPLOYMENT
from upwell.api.revision_defaults import serving_container
from upwell.policy.durations import parse_duration, seconds
from upwell.policy.resolution import initial_scale

__all__ = ["is_current", "make_deployment", "updated_deployment"]

_DEFAULT_CONTAINER: Final = "kubectl.kubernetes.io/default-container"


def make_deployment(revision: Object, settings: RevisionSettings) -> Object:
    """The Deployment as it is created."""
    labels, annotations = child_labels(revision), deployment_annotations(revision)
    app = serving_container(revision["spec"]) or {}
    spec = {
        "replicas": initial_scale(settings.autoscaler, annotations_of(revision)),
        "selector": {"matchLabels": {LABEL_REVISION_UID: uid_of(revision)}},
        "progressDeadlineSeconds": _progress_deadline(revision, settings),
        "revisionHistoryLimit": 0,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0}},
        "template": {
            "metadata": {
                "labels": labels,
                "annotations": {**annotations, _DEFAULT_CONTAINER: app.get("name", "")},
            },
            "spec": make_pod_spec(revision, settings),
        },
    }
    return new_object(
        DEPLOYMENT,
        namespace_of(revision),
        deployment_name(revision),
        metadata={
            "labels": {**labels, LABEL_DEPLOYMENT_HASH: _hash(spec, labels, annotations)},
            "annotations": annotations,
            "ownerReferences": [controller_reference(revision)],
        },
        spec=spec,
    )


def is_current(existing: Object, wanted: Object) -> bool:
    return labels_of(existing).get(LABEL_DEPLOYMENT_HASH) == labels_of(wanted)[LABEL_DEPLOYMENT_HASH]


def updated_deployment(existing: Object, wanted: Object) -> Object:
    """`existing` brought to what is wanted, as many pods as it has now, and with what others put on it."""
    result, spec = mutable(existing), mutable(wanted["spec"])
    before = existing["spec"]
    spec["replicas"], spec["selector"] = before.get("replicas"), before["selector"]
    template, earlier = spec["template"]["metadata"], before["template"].get("metadata") or {}
    for target, old, new in (
        (template, earlier, template),
        (result["metadata"], existing["metadata"], wanted["metadata"]),
    ):
        for field in ("labels", "annotations"):
            target[field] = with_foreign(new.get(field) or {}, old.get(field))
    result["spec"] = spec
    return result


def _progress_deadline(revision: Object, settings: RevisionSettings) -> int:
    text = annotations_of(revision).get(ANNOTATION_PROGRESS_DEADLINE, "")
    try:
        return int(seconds(parse_duration(text)))
    except ValueError:
        return settings.deployment.progress_deadline


def _hash(spec: dict[str, Any], labels: dict[str, str], annotations: dict[str, str]) -> str:
    """Opaque: only ever compared with our own next one. The number of pods is the autoscaler's."""
    decided = {name: value for name, value in spec.items() if name != "replicas"}
    text = json.dumps([decided, labels, annotations], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]
