"""Bodies in, answers out: content types, JSON and YAML, and the shape in which a client wants its objects."""

import re
from typing import Any, Final, NamedTuple

import yaml
from aiohttp import web

from upwell.local.apiserver import errors
from upwell.local.apiserver.encoding import decode, encode
from upwell.local.apiserver.errors import StatusError
from upwell.local.apiserver.protobuf import ProtobufError, decode_object

__all__ = ["MAX_BODY", "Shape", "answer", "failure", "read_body", "shape_of"]

MAX_BODY: Final = 3 * 2**20
"""What the real server takes at most in one request, in bytes."""
_JSON: Final = "application/json"
_YAML: Final = ("application/yaml", "text/yaml", "application/x-yaml", "application/apply-patch+yaml")
_PROTOBUF: Final = "application/vnd.kubernetes.protobuf"
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Shape(NamedTuple):
    """How objects are wanted: as themselves, as a Table, or their metadata alone."""

    kind: str = ""
    version: str = ""


_PARAMETERS: Final = re.compile(r";\s*(as|g|v)=([^;,\s]+)")


def shape_of(accept: str) -> Shape:
    """The first shape in an Accept header that can be made."""
    if ";" not in accept:
        return Shape()
    for part in accept.split(","):
        parameters = dict(_PARAMETERS.findall(part))
        if not part.strip().startswith((_JSON, "*/*")):
            continue
        if not parameters.get("as"):
            return Shape()
        if parameters.get("g") == "meta.k8s.io" and parameters.get("v") in ("v1", "v1beta1"):
            name = parameters["as"].removesuffix("List")
            if name in ("Table", "PartialObjectMetadata"):
                return Shape(name, f"meta.k8s.io/{parameters['v']}")
    return Shape()


async def read_body(request: web.BaseRequest) -> tuple[str, Any]:
    """The content type and the decoded body (None when empty); raise StatusError (400, 413, 415)."""
    content_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower() or _JSON
    try:
        data = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        message = f"Request entity too large: limit is {MAX_BODY}"
        raise StatusError(413, "RequestEntityTooLarge", message) from error
    if content_type in _YAML:
        return content_type, _decode_yaml(data)
    if content_type == _JSON or content_type.endswith("+json"):
        return content_type, _decode_json(data)
    if content_type == _PROTOBUF:
        return content_type, _decode_protobuf(data)
    raise errors.unsupported_media_type(
        "the body of the request was in an unknown format - accepted media types include:"
        f" application/json, application/yaml, application/vnd.kubernetes.protobuf (got {content_type})"
    )


def _decode_json(data: bytes) -> Any:
    if not data.strip():
        return None
    try:
        return decode(data)
    except (ValueError, RecursionError) as error:
        raise errors.bad_request(f"the body of the request is not valid JSON: {error}") from error


def _decode_yaml(data: bytes) -> Any:
    try:
        # Through JSON, so that what YAML knows beyond it (dates, other keys) becomes an error here, not later.
        return decode(encode(yaml.load(data, Loader=_LOADER)))
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise errors.bad_request(f"the body of the request is not valid YAML: {reason}") from error


def _decode_protobuf(data: bytes) -> Any:
    try:
        return decode_object(data) if data else None
    except ProtobufError as error:
        what = "the body of the request was in a format that is read in part only: protobuf"
        raise errors.unsupported_media_type(f"{what}: {error}; send a manifest (kubectl apply -f) instead") from error


def answer(body: Any, status: int = 200, content_type: str = _JSON) -> web.Response:
    """A JSON answer; bytes are taken as encoded already."""
    data = body if isinstance(body, bytes) else encode(body)
    return web.Response(body=data, status=status, headers={"Content-Type": content_type})


def failure(error: StatusError) -> web.Response:
    return answer(error.status(), error.code)
