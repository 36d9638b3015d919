"""Everything around the controller as the records show it: the API server is real, the others are played.

`World` carries out a case's steps, gives Deployments, PodAutoscalers and Ingresses the status that they had on the
recorded cluster (the autoscaler's, the kubelet's and the ingress' part), and tells in which respects the objects that
the controller made differ from the recorded ones.
"""

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from upwell.api.objects import Object, labels_of, name_of, new_object
from upwell.api.resources import (
    BY_KIND,
    CONFIG_MAP,
    CONFIGURATION,
    CORE_SERVICE,
    DEPLOYMENT,
    DOMAIN_MAPPING,
    EVENT,
    IMAGE,
    INGRESS,
    NAMESPACE,
    POD,
    POD_AUTOSCALER,
    REVISION,
    ROUTE,
    SERVICE,
    Resource,
)
from upwell.cluster.client import Client, PatchType
from upwell.cluster.errors import AlreadyExists, Conflict, NotFound

SERVING = (SERVICE, CONFIGURATION, REVISION, ROUTE, DOMAIN_MAPPING)
JUDGED = (*SERVING, POD_AUTOSCALER, DEPLOYMENT, INGRESS, CORE_SERVICE, IMAGE)
PLAYED = (DEPLOYMENT, POD_AUTOSCALER, INGRESS)
ROUTE_LABEL = "serving.knative.dev/route"
FAILING_PODS: Mapping[str, Object] = {
    "exits 3": {
        "containerStatuses": [
            {
                "name": "user-container",
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
                "lastState": {"terminated": {"exitCode": 3, "message": "cannot start: bad setting\n"}},
            }
        ]
    },
    "bad image second": {
        "containerStatuses": [{"name": "user-container", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]
    },
    "unschedulable": {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]},
}
"""What pods said in the cases where they failed; the messages are taken from the recorded revision."""

Kept = dict[tuple[str, str], Object]


class World:
    """One case in a namespace of its own."""

    def __init__(self, client: Client, case: Mapping[str, Any]) -> None:
        self._client = client
        self._case = case
        self.namespace = str(case["namespace"])
        self._wanted: Kept = {}

    async def prepare(self, baseline: Mapping[str, Mapping[str, str]]) -> None:
        for name, data in {**baseline, **(self._case.get("config") or {})}.items():
            await self._apply_config(name, data)
        await self._client.create(NAMESPACE, new_object(NAMESPACE, "", self.namespace))

    async def restore(self) -> None:
        for name in self._case.get("config") or {}:
            await self._client.delete(CONFIG_MAP, name, "knative-serving")

    async def _apply_config(self, name: str, data: Mapping[str, str]) -> None:
        try:
            await self._client.create(CONFIG_MAP, new_object(CONFIG_MAP, "knative-serving", name, data=dict(data)))
        except AlreadyExists:
            await self._client.patch(CONFIG_MAP, name, "knative-serving", {"data": dict(data)})

    async def take(self, step: Mapping[str, Any]) -> None:
        """Do what was done in a step, and know what came of it."""
        if "create" in step:
            obj = deepcopy(step["create"])
            resource = BY_KIND[obj["apiVersion"], obj["kind"]]
            if resource.namespaced:
                obj["metadata"]["namespace"] = self.namespace
            await self._client.create(resource, obj)
        elif "patch" in step:
            patch = step["patch"]
            await self._client.patch(
                _resource(patch["kind"]), patch["name"], self.namespace, patch["merge"], PatchType.MERGE
            )
        else:
            await self._client.delete(_resource(step["delete"]["kind"]), step["delete"]["name"], self.namespace)
        for identity in (step.get("want") or {}).get("gone") or ():
            self._wanted.pop(_identity(identity), None)
        for obj in (step.get("want") or {}).get("objects") or ():
            self._wanted[(f"{obj['apiVersion']} {obj['kind']}", name_of(obj))] = obj

    async def play(self) -> None:
        """Give what others write the state that it had."""
        for resource in PLAYED:
            for obj in await self._listed(resource):
                wanted = self._wanted.get((f"{resource.api_version} {resource.kind}", name_of(obj)))
                if wanted is not None and wanted.get("status"):
                    await self._play_one(resource, obj, wanted)
        await self._play_pods()

    async def _play_one(self, resource: Resource, obj: Object, wanted: Object) -> None:
        status = {**wanted["status"], "observedGeneration": obj["metadata"].get("generation")}
        try:
            if resource is DEPLOYMENT and obj["spec"].get("replicas") != wanted["spec"].get("replicas"):
                replicas = {"spec": {"replicas": wanted["spec"].get("replicas")}}
                await self._client.patch(resource, name_of(obj), self.namespace, replicas)
            elif obj.get("status") != status:
                await self._client.update_status(resource, {**obj, "status": status})
        except (Conflict, NotFound):
            pass  # it changed meanwhile, and is looked at again

    async def _play_pods(self) -> None:
        told = FAILING_PODS.get(self._case["name"])
        if told is None:
            return
        for revision in await self._listed(REVISION):
            wanted = self._wanted.get(("serving.knative.dev/v1 Revision", name_of(revision)), {})
            conditions = {found["type"]: found for found in (wanted.get("status") or {}).get("conditions") or ()}
            if conditions.get("Ready", {}).get("status") != "False":
                continue
            pod = new_object(
                POD,
                self.namespace,
                f"{name_of(revision)}-pod",
                metadata={"labels": {"serving.knative.dev/revision": name_of(revision)}},
                spec={"containers": [{"name": "user-container", "image": "x"}]},
            )
            status = deepcopy(dict(told))
            for found in status.get("conditions") or ():
                found["message"] = conditions["ResourcesAvailable"].get("message", "")
            for container in status.get("containerStatuses") or ():
                waiting = container["state"]["waiting"]
                waiting.setdefault("message", conditions["ResourcesAvailable"].get("message", ""))
            try:
                await self._client.create(POD, pod)
                stored = await self._client.get(POD, name_of(pod), self.namespace)
                await self._client.update_status(POD, {**stored, "status": status})
            except (AlreadyExists, Conflict):
                pass

    async def _listed(self, resource: Resource) -> list[Object]:
        return (await self._client.list(resource, self.namespace))[0]

    async def differences(self, want: Mapping[str, Any]) -> list[str]:
        """How what there is differs from what was recorded; empty when it does not."""
        ours = await self._ours()
        theirs = {key: normal(obj, {}) for key, obj in self._wanted.items() if _is_judged(obj)}
        found = [f"{kind}/{name} is missing" for kind, name in sorted(theirs.keys() - ours.keys())]
        found += [f"{kind}/{name} is too much" for kind, name in sorted(ours.keys() - theirs.keys())]
        for kind, name in sorted(ours.keys() & theirs.keys()):
            found += [f"{kind}/{name}{line}" for line in compare(ours[kind, name], theirs[kind, name])]
        return found + await self._event_differences(want)

    async def _ours(self) -> Kept:
        listed = [(resource, obj) for resource in JUDGED for obj in await self._listed(resource)]
        uids = {obj["metadata"]["uid"]: f"<uid:{resource.kind}/{name_of(obj)}>" for resource, obj in listed}
        return {
            (f"{resource.api_version} {resource.kind}", name_of(obj)): normal(obj, uids)
            for resource, obj in listed
            if _is_judged(obj)
        }

    async def _event_differences(self, want: Mapping[str, Any]) -> list[str]:
        kinds = {resource.kind for resource in SERVING}
        wanted = {
            (event["kind"], event["reason"])
            for event in want.get("events") or ()
            # Warnings came from races between controllers as often as from what they warn of.
            if event["kind"] in kinds and event["type"] == "Normal"
        }
        told = {(event["involvedObject"]["kind"], event["reason"]) for event in await self._listed(EVENT)}
        return [f"event {one} is missing" for one in sorted(wanted - told)]


def _resource(kind: str) -> Resource:
    if kind == "K8sService":
        return CORE_SERVICE
    return next(one for one in (*SERVING, INGRESS, DEPLOYMENT) if one.kind == kind)


def _identity(text: str) -> tuple[str, str]:
    api_version, _, rest = text.partition(" ")
    kind, _, name = rest.partition("/")
    return f"{api_version} {kind}", name


def _is_judged(obj: Object) -> bool:
    """Whether the controller answers for it: of core Services only the placeholders, of Deployments its own."""
    kinds = {(one.api_version, one.kind) for one in JUDGED}
    if (obj["apiVersion"], obj["kind"]) not in kinds:
        return False
    if obj["kind"] == "Deployment":
        return bool(obj["metadata"].get("ownerReferences"))
    return obj["apiVersion"] != "v1" or ROUTE_LABEL in labels_of(obj)


def normal(obj: Object, uids: Mapping[str, str]) -> Object:
    """The object as the records write it, without what the README says not to compare."""
    text = json.dumps(obj)
    for uid, name in uids.items():
        text = text.replace(uid, name)
    result: Object = json.loads(text.replace("kubernetes-admin", "<user>"))
    metadata = result["metadata"]
    internal = obj["apiVersion"].split("/")[0] != "serving.knative.dev"
    for field in ("uid", "resourceVersion", "namespace", "creationTimestamp", "managedFields", "deletionTimestamp"):
        metadata.pop(field, None)
    for field in ("labels", "annotations"):
        if not metadata.get(field):
            metadata.pop(field, None)
    if internal:
        metadata.pop("generation", None)
        result.pop("status", None)
    for reference in metadata.get("ownerReferences") or ():
        reference["uid"] = f"<uid:{reference['kind']}/{reference['name']}>"
    if "serving.knative.dev/routingStateModified" in (metadata.get("annotations") or {}):
        metadata["annotations"]["serving.knative.dev/routingStateModified"] = "<time>"
    if "serving.knative.dev/deployment-hash" in (metadata.get("labels") or {}):
        metadata["labels"]["serving.knative.dev/deployment-hash"] = "<hash>"
    for condition in (result.get("status") or {}).get("conditions") or ():
        condition.pop("lastTransitionTime", None)
    if obj["kind"] == "Deployment":
        result["spec"] = meaning(result["spec"])
    if obj["apiVersion"] == "v1":
        placeholder = result["spec"]
        result["spec"] = {name: placeholder.get(name) for name in ("type", "externalName", "ports", "sessionAffinity")}
    return result


_POD_DEFAULTS: Mapping[str, Any] = {
    "restartPolicy": "Always",
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
    "terminationMessagePath": "/dev/termination-log",
    "imagePullPolicy": "IfNotPresent",
    "protocol": "TCP",
    "scheme": "HTTP",
    "path": "/",
    "periodSeconds": 10,
    "timeoutSeconds": 1,
    "successThreshold": 1,
    "failureThreshold": 3,
    "defaultMode": 420,
    "apiVersion": "v1",
    "creationTimestamp": None,
    "type": "RollingUpdate",
    "maxSurge": "25%",
    "divisor": "0",
}


def meaning(value: Any) -> Any:
    """A Deployment's spec without defaults, its lists of named things by name, and its JSON texts read."""
    if isinstance(value, dict):
        kept = {name: meaning(part) for name, part in value.items()}
        return {
            name: part
            for name, part in kept.items()
            if not (name in _POD_DEFAULTS and part == _POD_DEFAULTS[name]) and part not in ({}, [])
        }
    if isinstance(value, list):
        if all(isinstance(part, dict) and "name" in part for part in value):
            return {part["name"]: meaning(part) for part in value}
        return [meaning(part) for part in value]
    if isinstance(value, str) and value[:1] in ("{", "["):
        return json.loads(value)
    return value


def compare(ours: Any, theirs: Any, path: str = "") -> Iterator[str]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in sorted({*ours, *theirs}):
            yield from compare(ours.get(name), theirs.get(name), f"{path}.{name}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from compare(one, other, f"{path}[{index}]")
    elif ours != theirs:
        yield f"{path} is {ours!r}, want {theirs!r}"
