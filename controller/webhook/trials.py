"""Trying a pod on dry runs: `kubectl apply --dry-run=server` tells what the API server would say to the pods.

The webhook knows the contract's rules, and the API server those of pods, with quotas, policies and others' webhooks
on top. On a dry run of a Service or a Configuration a pod is made from its template, and the API server is asked what
it would say to that, again as a dry run. The pod has the user's containers alone, so that paths in the answer are
those of the template. What is applied in earnest is not tried. Source: contract, control-plane.md 2.
"""

from collections.abc import Mapping
from typing import Any, Final

from controller.revision.pod import make_pod_spec
from controller.revision.settings import revision_settings
from controller.revision.sidecar import SIDECAR_NAME
from controller.settings import Settings
from upwell.api.admission import apply_defaults
from upwell.api.legacy import modernise
from upwell.api.names import LABEL_SERVICE
from upwell.api.objects import Object, labels_of, new_object
from upwell.api.resources import CONFIGURATION, POD, REVISION, SERVICE
from upwell.cluster.client import Client
from upwell.cluster.errors import ApiError
from upwell.ports import ConfigError

__all__ = ["PodTrials"]

NAME: Final = "dry-run-validation"
_TRIED: Final = {(resource.group, resource.plural): resource for resource in (SERVICE, CONFIGURATION)}
_CANNOT_BE_TRIED: Final = "does not support dry run"
"""What the API server says when a webhook on pods has side effects; no fault of the template."""

Answer = dict[str, Any]


class PodTrials:
    """See the module."""

    def __init__(self, client: Client, settings: Settings, system_namespace: str) -> None:
        self._client = client
        self._settings = settings
        self._system_namespace = system_namespace

    async def judge(self, review: Any, answer: Answer) -> Answer:
        """`answer`, or a refusal of what it allows when the API server refuses its pods."""
        if not answer["response"]["allowed"]:
            return answer
        owner = _tried(review["request"])
        if owner is None:
            return answer
        try:
            await self._client.try_create(POD, self._pod(owner, str(review["request"].get("namespace") or "")))
        except ConfigError as error:
            return _with_warning(answer, f"no pod was tried: {error}")
        except ApiError as error:
            if _CANNOT_BE_TRIED in error.message:
                return _with_warning(answer, f"no pod was tried: {error.message}")
            return _refused(answer, error.message)
        return answer

    def _pod(self, owner: Object, namespace: str) -> Object:
        """Raise ConfigError where settings that pods depend on cannot be read."""
        template = owner["spec"]["template"]
        metadata = {name: (template.get("metadata") or {}).get(name) or {} for name in ("labels", "annotations")}
        revision = new_object(REVISION, namespace, NAME, metadata={"uid": "", **metadata}, spec=template["spec"])
        revision["status"] = {}
        settings = revision_settings(self._settings, self._system_namespace)
        spec = make_pod_spec(apply_defaults(REVISION, revision, self._settings.kinds), settings)
        spec["containers"] = [container for container in spec["containers"] if container["name"] != SIDECAR_NAME]
        pod = new_object(POD, namespace, "", spec=spec)
        pod["metadata"] = {"generateName": NAME, "namespace": namespace}
        return pod


def _tried(request: Mapping[str, Any]) -> Object | None:
    """What is about to be stored, where its pods are to be tried: a Service's Configuration is tried as the Service."""
    kind = request.get("resource") or {}
    resource = _TRIED.get((str(kind.get("group", "")), str(kind.get("resource", ""))))
    if resource is None or not request.get("dryRun") or request.get("subResource"):
        return None
    if request.get("operation") not in ("CREATE", "UPDATE") or not isinstance(request.get("object"), dict):
        return None
    obj = modernise(request["object"])[0]
    return None if resource is CONFIGURATION and labels_of(obj).get(LABEL_SERVICE) else obj


def _refused(answer: Answer, message: str) -> Answer:
    told = f"validation callback failed: dry run failed with {message}: spec.template"
    status = {"code": 400, "reason": "BadRequest", "message": told}
    return {**answer, "response": {"uid": answer["response"]["uid"], "allowed": False, "status": status}}


def _with_warning(answer: Answer, warning: str) -> Answer:
    response = answer["response"]
    return {**answer, "response": {**response, "warnings": [*response.get("warnings", ()), warning]}}
