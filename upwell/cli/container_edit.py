"""Flags about the container: image, command, environment, port, resources, probes, user.

Every function changes a container in place and leaves alone what no flag is about. Probes are written as
`http:HOST:PORT:PATH`, `https:…`, `tcp:HOST:PORT` or `exec:CMD,ARG,…`, with HOST mostly empty.
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from upwell.cli.errors import CommandError
from upwell.cli.pairs import comma_parts, parse_changes, set_or_drop

__all__ = ["edit_container"]

Container = dict[str, Any]
_PROBE_OPTIONS: Final = {
    name.lower(): name
    for name in ("initialDelaySeconds", "failureThreshold", "successThreshold", "periodSeconds", "timeoutSeconds")
}
_STRICT: Final = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_PULL_POLICIES: Final = {name.lower(): name for name in ("Always", "Never", "IfNotPresent")}


def edit_container(container: Container, options: Namespace) -> None:
    """Do what the flags say; raise CommandError for the first that cannot be done."""
    if options.image is not None:
        container["image"] = options.image
    if options.cmd is not None:
        container["command"] = list(options.cmd)
    if options.arg is not None:
        container["args"] = list(options.arg)
    if options.workdir is not None:
        container["workingDir"] = options.workdir
    if options.pull_policy is not None:
        container["imagePullPolicy"] = _pull_policy(options.pull_policy)
    _edit_environment(container, options)
    if options.port is not None:
        container["ports"] = [_port(options.port)]
    _edit_resources(container, "requests", "--request", options.request)
    _edit_resources(container, "limits", "--limit", options.limit)
    for kind in ("liveness", "readiness"):
        _edit_probe(container, kind, getattr(options, f"probe_{kind}"), getattr(options, f"probe_{kind}_opts"))
    _edit_security(container, options)


def _pull_policy(text: str) -> str:
    found = _PULL_POLICIES.get(text.lower())
    if found is None:
        raise CommandError(f"--pull-policy {text}: there is no such policy", "Always, Never or IfNotPresent", 2)
    return found


def _edit_environment(container: Container, options: Namespace) -> None:
    env: dict[str, Any] = {entry["name"]: entry for entry in container.get("env") or ()}
    if options.env_file is not None:
        env |= {name: {"name": name, "value": value} for name, value in _env_file(options.env_file).items()}
    changes = parse_changes("--env", options.env)
    env |= {name: {"name": name, "value": value} for name, value in changes.set.items()}
    taken = parse_changes("--env-value-from", options.env_value_from)
    env |= {name: {"name": name, "valueFrom": _value_from(source)} for name, source in taken.set.items()}
    for name in (*changes.removed, *taken.removed):
        env.pop(name, None)
    set_or_drop(container, "env", list(env.values()))
    sources = list(container.get("envFrom") or ())
    for word in options.env_from or ():
        source = _env_from(word.removesuffix("-"))
        sources = [known for known in sources if known != source]
        if not word.endswith("-"):
            sources.append(source)
    set_or_drop(container, "envFrom", sources)


def _env_file(path: str) -> dict[str, str]:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"--env-file {path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    words = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return parse_changes(f"--env-file {path}:", words).set


def _reference(flag: str, word: str) -> tuple[str, str]:
    """What `cm:NAME` and `secret:NAME` refer to: `configMap` or `secret`, and the rest."""
    prefix, colon, rest = word.partition(":")
    kind = {"cm": "configMap", "config-map": "configMap", "secret": "secret", "sc": "secret"}.get(prefix)
    if kind is None or not colon or not rest:
        raise CommandError(f"{flag} {word}: refers to nothing", "cm:NAME for a ConfigMap, secret:NAME for a Secret", 2)
    return kind, rest


def _env_from(word: str) -> dict[str, Any]:
    kind, name = _reference("--env-from", word)
    return {f"{kind}Ref": {"name": name}}


def _value_from(word: str) -> dict[str, Any]:
    kind, rest = _reference("--env-value-from", word)
    name, colon, key = rest.partition(":")
    if not colon or not key:
        raise CommandError(f"--env-value-from {word}: names no key", "NAME=cm:CONFIGMAP:KEY", 2)
    return {f"{kind}KeyRef": {"name": name, "key": key}}


def _port(text: str) -> dict[str, Any]:
    name, _, number = text.rpartition(":")
    if not (number.isascii() and number.isdigit() and 0 < int(number) <= 65535):
        raise CommandError(f"--port {text}: is no port", "8080, or NAME:PORT such as h2c:8080", 2)
    return {**({"name": name} if name else {}), "containerPort": int(number)}


def _edit_resources(container: Container, kind: str, flag: str, words: Sequence[str] | None) -> None:
    if not words:
        return
    resources = dict(container.get("resources") or {})
    set_or_drop(resources, kind, parse_changes(flag, comma_parts(words)).apply_to(resources.get(kind)))
    set_or_drop(container, "resources", resources)


def _edit_probe(container: Container, kind: str, text: str | None, options: str | None) -> None:
    field = f"{kind}Probe"
    if text is not None:
        common = {
            name: value for name, value in (container.get(field) or {}).items() if name in _PROBE_OPTIONS.values()
        }
        container[field] = {**common, **_probe(f"--probe-{kind}", text)}
    if options is not None:
        container[field] = {**(container.get(field) or {}), **_probe_options(f"--probe-{kind}-opts", options)}


def _probe(flag: str, text: str) -> dict[str, Any]:
    kind, _, rest = text.partition(":")
    parts = rest.split(":")
    match kind.lower():
        case "exec" if rest:
            return {"exec": {"command": rest.split(",")}}
        case "tcp" if len(parts) == 2:
            return {"tcpSocket": _target(flag, parts[0], parts[1])}
        case "http" | "https" if len(parts) >= 2:
            scheme = {"scheme": "HTTPS"} if kind.lower() == "https" else {}
            path = {"path": ":".join(parts[2:])} if parts[2:] else {}
            return {"httpGet": {**_target(flag, parts[0], parts[1]), **path, **scheme}}
    raise CommandError(f"{flag} {text}: is no probe", "http:HOST:PORT:PATH, tcp:HOST:PORT or exec:CMD,ARG", 2)


def _target(flag: str, host: str, port: str) -> dict[str, Any]:
    """Where a probe goes; a port that is left out is the app's."""
    if port and not (port.isascii() and port.isdigit()):
        raise CommandError(f"{flag}: {port} is no port", "a number, or nothing for the app's own", 2)
    return {**({"host": host} if host else {}), "port": int(port or 0)}


def _probe_options(flag: str, text: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, value in parse_changes(flag, text.split(",")).set.items():
        known = _PROBE_OPTIONS.get(name.lower())
        if known is None or not value.isdigit():
            right = ", ".join(f"{option}=NUMBER" for option in _PROBE_OPTIONS.values())
            raise CommandError(f"{flag} {name}={value}: cannot be used", right, 2)
        found[known] = int(value)
    return found


def _edit_security(container: Container, options: Namespace) -> None:
    context = dict(container.get("securityContext") or {})
    if options.security_context is not None:
        user = {name: value for name, value in context.items() if name == "runAsUser"}
        context = {**user, **(_STRICT if options.security_context == "strict" else {})}
    if options.user is not None:
        context["runAsUser"] = options.user
    set_or_drop(container, "securityContext", context)
