"""Bodies in Kubernetes' protobuf: what `kubectl create configmap` and its likes send.

kubectl writes some built-in kinds in protobuf, whatever the server prefers, and only accepts answers in JSON. So this
reads, and only the kinds that `kubectl create` has words for: field numbers as in the `generated.proto` files of the
Kubernetes API. A field that is not listed here is an error, not a loss: the message says to send a manifest instead.
Go's encoder writes empty values of plain fields too; those are left out, except where absent and empty differ.
"""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from upwell.api.objects import Object, timestamp

__all__ = ["ProtobufError", "decode_object"]

_MAGIC: Final = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

Type = Literal["text", "bytes", "number", "bool", "message", "time", "int-or-text", "quantity"]


class ProtobufError(ValueError):
    """A body that is not an object in protobuf, or one with fields that are not known here."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its JSON name, its type, and how often it occurs."""

    name: str
    type: Type = "text"
    message: "Mapping[int, Field] | None" = None
    repeated: bool = False
    map: bool = False
    keep_empty: bool = False


def _texts(name: str) -> Field:
    return Field(name, repeated=True)


def _text_map(name: str) -> Field:
    return Field(name, map=True)


def _of(name: str, message: Mapping[int, Field], *, repeated: bool = False) -> Field:
    return Field(name, "message", message, repeated)


_OWNER: Final = {
    1: Field("kind"),
    3: Field("name"),
    4: Field("uid"),
    5: Field("apiVersion"),
    6: Field("controller", "bool", keep_empty=True),
    7: Field("blockOwnerDeletion", "bool", keep_empty=True),
}
_METADATA: Final = {
    1: Field("name"),
    2: Field("generateName"),
    3: Field("namespace"),
    4: Field("selfLink"),
    5: Field("uid"),
    6: Field("resourceVersion"),
    7: Field("generation", "number"),
    8: Field("creationTimestamp", "time"),
    9: Field("deletionTimestamp", "time"),
    10: Field("deletionGracePeriodSeconds", "number"),
    11: _text_map("labels"),
    12: _text_map("annotations"),
    13: _of("ownerReferences", _OWNER, repeated=True),
    14: _texts("finalizers"),
}
_META: Final = _of("metadata", _METADATA)
_NAMED: Final = {1: Field("name")}
_REFERENCE: Final = {1: Field("kind"), 2: Field("namespace"), 3: Field("name"), 4: Field("uid"), 5: Field("apiVersion")}
_RESOURCES: Final = {1: Field("limits", "quantity", map=True), 2: Field("requests", "quantity", map=True)}
_CONTAINER_PORT: Final = {
    1: Field("name"),
    2: Field("hostPort", "number"),
    3: Field("containerPort", "number"),
    4: Field("protocol"),
    5: Field("hostIP"),
}
_CONTAINER: Final = {
    1: Field("name"),
    2: Field("image"),
    3: _texts("command"),
    4: _texts("args"),
    5: Field("workingDir"),
    6: _of("ports", _CONTAINER_PORT, repeated=True),
    7: _of("env", {1: Field("name"), 2: Field("value")}, repeated=True),
    8: _of("resources", _RESOURCES),
    13: Field("terminationMessagePath"),
    14: Field("imagePullPolicy"),
    16: Field("stdin", "bool"),
    17: Field("stdinOnce", "bool"),
    18: Field("tty", "bool"),
    20: Field("terminationMessagePolicy"),
}
_POD_SPEC: Final = {
    2: _of("containers", _CONTAINER, repeated=True),
    3: Field("restartPolicy"),
    4: Field("terminationGracePeriodSeconds", "number", keep_empty=True),
    6: Field("dnsPolicy"),
    7: _text_map("nodeSelector"),
    8: Field("serviceAccountName"),
    9: Field("serviceAccount"),
    10: Field("nodeName"),
    11: Field("hostNetwork", "bool"),
    12: Field("hostPID", "bool"),
    13: Field("hostIPC", "bool"),
    16: Field("hostname"),
    17: Field("subdomain"),
    19: Field("schedulerName"),
    24: Field("priorityClassName"),
}
_REQUIREMENT: Final = {1: Field("key"), 2: Field("operator"), 3: _texts("values")}
_SELECTOR: Final = {1: _text_map("matchLabels"), 2: _of("matchExpressions", _REQUIREMENT, repeated=True)}
_ROLLING: Final = {1: Field("maxUnavailable", "int-or-text"), 2: Field("maxSurge", "int-or-text")}
_DEPLOYMENT_SPEC: Final = {
    1: Field("replicas", "number", keep_empty=True),
    2: _of("selector", _SELECTOR),
    3: _of("template", {1: _META, 2: _of("spec", _POD_SPEC)}),
    4: _of("strategy", {1: Field("type"), 2: _of("rollingUpdate", _ROLLING)}),
    5: Field("minReadySeconds", "number"),
    6: Field("revisionHistoryLimit", "number", keep_empty=True),
    7: Field("paused", "bool"),
    9: Field("progressDeadlineSeconds", "number", keep_empty=True),
}
_DEPLOYMENT_STATUS: Final = {
    number: Field(name, "number")
    for number, name in enumerate(
        ("observedGeneration", "replicas", "updatedReplicas", "availableReplicas", "unavailableReplicas"), 1
    )
} | {7: Field("readyReplicas", "number")}
_SERVICE_PORT: Final = {
    1: Field("name"),
    2: Field("protocol"),
    3: Field("port", "number"),
    4: Field("targetPort", "int-or-text"),
    5: Field("nodePort", "number"),
    6: Field("appProtocol"),
}
_SERVICE_SPEC: Final = {
    1: _of("ports", _SERVICE_PORT, repeated=True),
    2: _text_map("selector"),
    3: Field("clusterIP"),
    4: Field("type"),
    5: _texts("externalIPs"),
    7: Field("sessionAffinity"),
    8: Field("loadBalancerIP"),
    9: _texts("loadBalancerSourceRanges"),
    10: Field("externalName"),
    11: Field("externalTrafficPolicy"),
    12: Field("healthCheckNodePort", "number"),
    13: Field("publishNotReadyAddresses", "bool"),
    17: Field("ipFamilyPolicy"),
    18: _texts("clusterIPs"),
    19: _texts("ipFamilies"),
    22: Field("internalTrafficPolicy"),
}
_KINDS: Final[Mapping[tuple[str, str], Mapping[int, Field]]] = {
    ("v1", "Namespace"): {1: _META, 2: _of("spec", {1: _texts("finalizers")}), 3: _of("status", {1: Field("phase")})},
    ("v1", "ConfigMap"): {
        1: _META,
        2: _text_map("data"),
        3: Field("binaryData", "bytes", map=True),
        4: Field("immutable", "bool", keep_empty=True),
    },
    ("v1", "Secret"): {
        1: _META,
        2: Field("data", "bytes", map=True),
        3: Field("type"),
        4: _text_map("stringData"),
        5: Field("immutable", "bool", keep_empty=True),
    },
    ("v1", "ServiceAccount"): {
        1: _META,
        2: _of("secrets", _REFERENCE, repeated=True),
        3: _of("imagePullSecrets", _NAMED, repeated=True),
        4: Field("automountServiceAccountToken", "bool", keep_empty=True),
    },
    ("v1", "Service"): {1: _META, 2: _of("spec", _SERVICE_SPEC), 3: _of("status", {1: _of("loadBalancer", {})})},
    ("apps/v1", "Deployment"): {1: _META, 2: _of("spec", _DEPLOYMENT_SPEC), 3: _of("status", _DEPLOYMENT_STATUS)},
}
_ENVELOPE: Final = {
    1: _of("type", {1: Field("apiVersion"), 2: Field("kind")}),
    2: Field("raw", "bytes"),
    3: Field("contentEncoding"),
    4: Field("contentType"),
}


def decode_object(data: bytes) -> Object:
    """The object in a protobuf body; raise ProtobufError."""
    if not data.startswith(_MAGIC):
        raise ProtobufError("it does not start as Kubernetes' protobuf does")
    envelope = _read(data[len(_MAGIC) :], _ENVELOPE, "")
    kind = envelope.get("type", {})
    api_version, name = kind.get("apiVersion", ""), kind.get("kind", "")
    message = _KINDS.get((api_version, name))
    if message is None:
        raise ProtobufError(f"{api_version} {name} is not among the kinds that are read from it")
    raw = base64.b64decode(envelope.get("raw", ""))
    return {"apiVersion": api_version, "kind": name, **_read(raw, message, "")}


def _read(data: bytes, message: Mapping[int, Field], path: str) -> Object:
    result: Object = {}
    for number, value in _fields(data):
        field = message.get(number)
        if field is None:
            raise ProtobufError(f"field number {number} of {path or 'the object'} is not known")
        where = f"{path}.{field.name}" if path else field.name
        if field.map:
            entry = dict(_fields(_as_bytes(value, where)))
            key = _text(entry.get(1, b""), where)
            result.setdefault(field.name, {})[key] = _value(entry.get(2, b""), field, where)
        elif field.repeated:
            result.setdefault(field.name, []).append(_value(value, field, where))
        else:
            read = _value(value, field, where)
            if field.keep_empty or read not in (None, "", 0, False, {}):
                result[field.name] = read
    return result


def _value(value: int | bytes, field: Field, where: str) -> Any:
    if field.type in ("number", "bool"):
        if not isinstance(value, int):
            raise ProtobufError(f"{where} is not a number")
        signed = value - (1 << 64) if value >= 1 << 63 else value
        return bool(signed) if field.type == "bool" else signed
    data = _as_bytes(value, where)
    match field.type:
        case "text":
            return _text(data, where)
        case "bytes":
            return base64.b64encode(data).decode()
        case "message":
            return _read(data, field.message or {}, where)
    parts = dict(_fields(data))
    match field.type:
        case "time":
            return timestamp(int(parts[1])) if parts else None
        case "quantity":
            return _text(parts.get(1, b""), where)
    return _text(parts.get(3, b""), where) if parts.get(1) else int(parts.get(2, 0))


def _as_bytes(value: int | bytes, where: str) -> bytes:
    if isinstance(value, int):
        raise ProtobufError(f"{where} is a number where bytes belong")
    return value


def _text(value: int | bytes, where: str) -> str:
    try:
        return _as_bytes(value, where).decode()
    except UnicodeDecodeError as error:
        raise ProtobufError(f"{where} is not text") from error


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The (field number, value) pairs of a message."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        wire = tag & 7
        if wire == _VARINT:
            number, position = _varint(data, position)
            yield tag >> 3, number
            continue
        if wire == _BYTES:
            size, position = _varint(data, position)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ProtobufError(f"wire type {wire} is not used")
        if position + size > len(data):
            raise ProtobufError("it ends in the middle of a field")
        yield tag >> 3, data[position : position + size]
        position += size


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise ProtobufError("it ends in the middle of a number")
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
        shift += 7
