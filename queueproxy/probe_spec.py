"""The readiness probes of the pod's containers, as the controller hands them over.

SERVING_READINESS_PROBE holds a Kubernetes probe as JSON, or a list of them when ENABLE_MULTI_CONTAINER_PROBES is on
(contract: queue-proxy.md 4). Only what the sidecar acts upon is kept. `periodSeconds` 0 (or absent) asks for the
eager mode: try again and again until the app is ready; otherwise one attempt answers, and the kubelet counts.
"""

import json
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, NamedTuple

from upwell.ports import ConfigError, PortMap

__all__ = ["ProbeKind", "ProbeSpec", "parse_probes"]

VARIABLE: Final = "SERVING_READINESS_PROBE"


class ProbeKind(Enum):
    """How the app is asked."""

    HTTP = "httpGet"
    TCP = "tcpSocket"
    GRPC = "grpc"
    EXEC = "exec"
    NONE = ""


class ProbeSpec(NamedTuple):
    """One probe."""

    kind: ProbeKind
    host: str = "127.0.0.1"
    port: int = 0
    """The port that is really used, after the port map."""
    path: str = "/"
    https: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    detects_http2: bool = False
    """An HTTP probe asks over HTTP/2 first."""
    grpc_service: str = ""
    timeout: float = 1.0
    """Seconds for one attempt; the eager mode has its own."""
    success_threshold: int = 1
    eager: bool = False


def parse_probes(text: str, multiple: bool, ports: PortMap, *, detects_http2: bool = False) -> tuple[ProbeSpec, ...]:
    """Read the variable; raise ConfigError naming what is wrong with it. `detects_http2` is for HTTP probes."""
    if not text:
        return ()
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ConfigError(f'{VARIABLE}="{text[:200]}": not JSON ({error})') from error
    entries = value if multiple else [value]
    if not (isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)):
        example = '{"tcpSocket": {"port": 8080}}'
        wanted = f"a list of probes, for example [{example}]" if multiple else f"a probe, for example {example}"
        raise ConfigError(f'{VARIABLE}="{text[:200]}": not {wanted}')
    return tuple(_parse_probe(entry, ports, detects_http2) for entry in entries)


def _parse_probe(entry: Mapping[str, Any], ports: PortMap, detects_http2: bool) -> ProbeSpec:
    kind = next((kind for kind in ProbeKind if kind.value and entry.get(kind.value) is not None), ProbeKind.NONE)
    action = entry.get(kind.value) or {}
    if not isinstance(action, dict):
        raise ConfigError(f'{VARIABLE}: {kind.value} is "{action}", not an object')
    period = _whole(entry, "periodSeconds", 0)
    return ProbeSpec(
        kind=kind,
        host=str(action.get("host") or "127.0.0.1"),
        port=_port(kind, action, ports),
        path=_path(str(action.get("path") or "")),
        https=str(action.get("scheme") or "HTTP").upper() == "HTTPS",
        headers=_headers(action),
        detects_http2=detects_http2 and kind is ProbeKind.HTTP,
        grpc_service=str(action.get("service") or ""),
        timeout=max(1, _whole(entry, "timeoutSeconds", 1)),
        success_threshold=max(1, _whole(entry, "successThreshold", 1)),
        eager=period == 0,
    )


def _port(kind: ProbeKind, action: Mapping[str, Any], ports: PortMap) -> int:
    if kind in (ProbeKind.NONE, ProbeKind.EXEC):
        return 0
    value = action.get("port")
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or not 0 < value <= 65535:
        raise ConfigError(f'{VARIABLE}: {kind.value}.port is "{value}"; give a number from 1 to 65535')
    return ports.actual(value)


def _path(text: str) -> str:
    """With a leading slash, and with what may not stand in a request line escaped."""
    visible = range(0x21, 0x7F)
    return "/" + "".join(chr(byte) if byte in visible else f"%{byte:02X}" for byte in text.encode()).removeprefix("/")


def _whole(entry: Mapping[str, Any], key: str, default: int) -> int:
    value = entry.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f'{VARIABLE}: {key} is "{value}", not a whole number')
    return value


def _headers(action: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    entries = action.get("httpHeaders") or []
    try:
        headers = tuple((str(entry["name"]), str(entry.get("value", ""))) for entry in entries)
    except (TypeError, KeyError, AttributeError):
        headers = (("", ""),)
    for name, value in headers:
        if not name or any(character in name + value for character in "\r\n\0"):
            raise ConfigError(
                f'{VARIABLE}: httpGet.httpHeaders is "{entries}"; give a list of {{"name": "X-A", "value": "b"}}'
            )
    return headers
