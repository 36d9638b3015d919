"""The environment of a container's process: the declared variables and nothing of ours by accident.

It starts from a handful of variables that programs cannot do without (PATH, HOME …), adds envFrom and env in the
order given, expanding $(NAME) from what came before, and ends with what the local platform adds: the port map, the
address to listen on, and in PORT the number that was really given to the container.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from upwell.api.objects import Object, annotations_of, labels_of
from upwell.local.runtime.images import python_path
from upwell.local.runtime.ports import format_ports
from upwell.local.runtime.spec import ContainerSpec, PodSpec, Problem

__all__ = ["Reference", "VariableError", "build_environment", "expand", "needs_uid", "references"]

INHERITED: Final = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")
HOST: Final = "127.0.0.1"
DRAIN_QUIET: Final = "UPWELL_DRAIN_QUIET_SECONDS"
_VARIABLE: Final = re.compile(r"\$\$|\$\(([A-Za-z_.\-][A-Za-z0-9_.\-]*)\)")
_KEYED: Final = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


class VariableError(Exception):
    """A variable's value cannot be had; carries what the container's status shall say."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.problem = Problem("CreateContainerConfigError", message)


@dataclass(frozen=True, slots=True)
class Reference:
    """A ConfigMap or Secret that a container's environment takes values from."""

    kind: str
    name: str


def references(container: ContainerSpec) -> set[Reference]:
    """What has to be fetched before `build_environment` can work."""
    found = set()
    for item in container.env:
        source = item.get("valueFrom") or {}
        for kind, key in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
            if key in source:
                found.add(Reference(kind, str(source[key].get("name") or "")))
    for item in container.env_from:
        for kind, key in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if key in item:
                found.add(Reference(kind, str(item[key].get("name") or "")))
    return found


def needs_uid(container: ContainerSpec) -> bool:
    """Whether the environment holds the pod's uid, which is known only when the API server has stored the pod."""
    return any(_field_path(item) == "metadata.uid" for item in container.env)


def build_environment(
    container: ContainerSpec,
    pod: Object,
    spec: PodSpec,
    *,
    inherited: Mapping[str, str],
    data: Mapping[Reference, Mapping[str, str]],
    listen_fds: Mapping[int, int],
) -> dict[str, str]:
    """All variables of the container's process; raise VariableError.

    `inherited` is the runtime's own environment, `data` the contents of the ConfigMaps and Secrets that exist,
    `listen_fds` the descriptors handed over, by declared port.
    """
    env = {name: inherited[name] for name in INHERITED if name in inherited}
    if container.built_in:
        env["PYTHONPATH"] = python_path()
    env.update(_from_sources(container.env_from, data))
    has_port = bool(container.first_port) and not container.built_in
    if has_port:
        env["PORT"] = str(container.first_port)
    for item in container.env:
        name = str(item["name"])
        value = _value(item, pod, data, env)
        if value is not None:
            env[name] = _actual_port(value, spec) if name == "PORT" and has_port else value
    env["UPWELL_PORT_MAP"] = format_ports(spec.ports)
    env["UPWELL_BIND_HOST"] = HOST
    if listen_fds:
        env["UPWELL_LISTEN_FDS"] = format_ports(listen_fds)
    if container.queue_proxy:
        # The contract waits 30 s without requests before a sidecar ends. Here no load balancer has to notice first.
        env.setdefault(DRAIN_QUIET, "1")
    return env


def expand(text: str, env: Mapping[str, str]) -> str:
    """Replace $(NAME) by its value; $$ stands for $, and an unknown name stays as it is written."""

    def replace(match: "re.Match[str]") -> str:
        name = match.group(1)
        return "$" if name is None else env.get(name, match.group(0))

    return _VARIABLE.sub(replace, text)


def _from_sources(sources: Sequence[Object], data: Mapping[Reference, Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    for item in sources:
        for kind, key in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if key not in item:
                continue
            reference = Reference(kind, str(item[key].get("name") or ""))
            if reference not in data and not item[key].get("optional"):
                raise VariableError(f'{kind} "{reference.name}", named in envFrom, does not exist: create it')
            prefix = str(item.get("prefix") or "")
            yield from ((prefix + name, value) for name, value in data.get(reference, {}).items())


def _value(
    item: Object, pod: Object, data: Mapping[Reference, Mapping[str, str]], env: Mapping[str, str]
) -> str | None:
    source: Mapping[str, Any] | None = item.get("valueFrom")
    if not source:
        return expand(str(item.get("value") or ""), env)
    for kind, key in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
        if key in source:
            return _from_key(item, kind, source[key], data)
    if "fieldRef" in source:
        return _from_field(item, pod)
    raise VariableError(f"env {item['name']}: valueFrom {', '.join(source)} cannot be resolved locally: set a value")


def _from_key(item: Object, kind: str, selector: Object, data: Mapping[Reference, Mapping[str, str]]) -> str | None:
    reference, key = Reference(kind, str(selector.get("name") or "")), str(selector.get("key") or "")
    if key in data.get(reference, {}):
        return data[reference][key]
    if selector.get("optional"):
        return None
    missing = f'has no key "{key}"' if reference in data else "does not exist"
    raise VariableError(f'env {item["name"]}: {kind} "{reference.name}" {missing}: add it')


def _from_field(item: Object, pod: Object) -> str:
    path = _field_path(item)
    metadata, spec = pod["metadata"], pod["spec"]
    known = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata.get("namespace") or "",
        "metadata.uid": metadata.get("uid") or "",
        "metadata.labels": _pairs(labels_of(pod)),
        "metadata.annotations": _pairs(annotations_of(pod)),
        "spec.nodeName": spec.get("nodeName") or "",
        "spec.serviceAccountName": spec.get("serviceAccountName") or "default",
        "status.hostIP": HOST,
        "status.hostIPs": HOST,
        "status.podIP": HOST,
        "status.podIPs": HOST,
    }
    if path in known:
        return str(known[path])
    if keyed := _KEYED.fullmatch(path):
        return str((metadata.get(keyed.group(1)) or {}).get(keyed.group(2), ""))
    raise VariableError(f'env {item["name"]}: fieldRef "{path}" is not known; use one of {", ".join(known)}')


def _field_path(item: Object) -> str:
    return str(((item.get("valueFrom") or {}).get("fieldRef") or {}).get("fieldPath") or "")


def _pairs(values: Mapping[str, str]) -> str:
    return "\n".join(f'{name}="{value}"' for name, value in sorted(values.items()))


def _actual_port(value: str, spec: PodSpec) -> str:
    return str(spec.ports.get(int(value), value)) if value.isascii() and value.isdigit() else value
