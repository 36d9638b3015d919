"""AdmissionReviews and ConversionReviews, answered by the code that the embedded API server runs too.

    /defaulting           what the author left out comes back as a JSON patch; wrong types are refused
    /resource-validation  an object with its defaults, held against the contract's rules
    /config-validation    a config map, read as the components read it
    /resource-conversion  shapes of 2019, made today's

Answers depend on the request and the settings alone, so that any replica may give them.
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from upwell.api import admission
from upwell.api.cautions import WARNED, warnings_of
from upwell.api.config_features import parse_features
from upwell.api.configs import ConfigSource
from upwell.api.legacy import LegacyError, convert, modernise
from upwell.api.objects import Object
from upwell.api.resources import CONFIG_MAP, KNATIVE_RESOURCES, REVISION, Resource

__all__ = ["ReviewError", "Reviews"]

Answer = dict[str, Any]
_KINDS: Final[Mapping[tuple[str, str], Resource]] = {
    (resource.group, resource.plural): resource for resource in (*KNATIVE_RESOURCES, CONFIG_MAP)
}
_ALLOWED: Final = {"allowed": True}
_OPERATIONS: Final = ("CREATE", "UPDATE")


class ReviewError(ValueError):
    """What came is no review."""


@dataclass(frozen=True, slots=True)
class Reviews:
    """The answers, by the settings that `config` gives."""

    config: ConfigSource
    cluster_domain: str

    def default(self, review: Any) -> Answer:
        return self._answer(review, self._default)

    def validate(self, review: Any) -> Answer:
        return self._answer(review, self._validate)

    def convert(self, review: Any) -> Answer:
        """The answer to a ConversionReview; raise ReviewError."""
        request = _request(review)
        wanted = str(request.get("desiredAPIVersion"))
        try:
            converted = [convert(obj, wanted) for obj in request.get("objects") or ()]
        except LegacyError as error:
            return _reply(review, {"result": {"status": "Failure", "message": str(error)}})
        return _reply(review, {"result": {"status": "Success"}, "convertedObjects": converted})

    def _answer(self, review: Any, decide: Callable[[Resource, Mapping[str, Any]], Answer]) -> Answer:
        """Raise ReviewError."""
        request = _request(review)
        kind = request.get("resource") or {}
        resource = _KINDS.get((str(kind.get("group", "")), str(kind.get("resource", ""))))
        ours = resource is not None and request.get("operation") in _OPERATIONS and not request.get("subResource")
        if resource is None or not ours or not isinstance(request.get("object"), dict):
            return _reply(review, _ALLOWED)
        return _reply(review, decide(resource, request))

    def _default(self, resource: Resource, request: Mapping[str, Any]) -> Answer:
        obj, user = request["object"], str((request.get("userInfo") or {}).get("username") or "")
        try:
            wanted, old = _today(obj), _today(request.get("oldObject"))
            admitted = admission.mutate(
                resource, wanted, old, self.config, user=user, cluster_domain=self.cluster_domain
            )
        except (admission.Denied, LegacyError) as denied:
            return _denied(f"mutation failed: {denied}")
        patch = _patch(obj, admitted)
        if not patch:
            return _ALLOWED
        return {
            "allowed": True,
            "patchType": "JSONPatch",
            "patch": base64.b64encode(json.dumps(patch).encode()).decode(),
        }

    def _validate(self, resource: Resource, request: Mapping[str, Any]) -> Answer:
        try:
            obj = admission.read(resource, _today(request["object"]))
            admission.validate(
                resource, obj, _today(request.get("oldObject")), self.config, cluster_domain=self.cluster_domain
            )
            cautions = self._cautions(resource, obj, request)
        except (admission.Denied, LegacyError) as denied:
            return _denied(f"validation failed: {denied}")
        return {"allowed": True, "warnings": cautions} if cautions else _ALLOWED

    def _cautions(self, resource: Resource, obj: Object, request: Mapping[str, Any]) -> list[str]:
        """Warnings for who asked; about a Revision, which never changes, when it is made."""
        if resource not in WARNED or (resource is REVISION and request["operation"] == "UPDATE"):
            return []
        return warnings_of(resource, obj, parse_features(self.config("config-features")))


def _today(obj: Any) -> Any:
    """An object in a version of 2019 as today's, which that version had room for; raise LegacyError."""
    return modernise(obj)[0] if isinstance(obj, dict) else None


def _request(review: Any) -> Mapping[str, Any]:
    request = review.get("request") if isinstance(review, dict) else None
    if not isinstance(request, dict) or not isinstance(request.get("uid"), str):
        raise ReviewError("there is no request with a uid in it")
    return request


def _reply(review: Mapping[str, Any], response: Mapping[str, Any]) -> Answer:
    uid = review["request"]["uid"]
    return {"apiVersion": review.get("apiVersion"), "kind": review.get("kind"), "response": {"uid": uid, **response}}


def _denied(message: str) -> Answer:
    return {"allowed": False, "status": {"code": 400, "reason": "BadRequest", "message": message}}


def _patch(obj: Object, admitted: Object) -> list[Mapping[str, Any]]:
    """What leads from one to the other; nothing but the spec and annotations is ever filled in."""
    patch: list[Mapping[str, Any]] = []
    if admitted.get("spec") != obj.get("spec"):
        patch.append({"op": "add", "path": "/spec", "value": admitted["spec"]})
    annotations = admitted["metadata"].get("annotations")
    if annotations and annotations != obj["metadata"].get("annotations"):
        patch.append({"op": "add", "path": "/metadata/annotations", "value": annotations})
    return patch
