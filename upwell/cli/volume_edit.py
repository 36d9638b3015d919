"""`--mount` and `--volume`: files from ConfigMaps, Secrets, empty directories and claims.

    --volume settings=cm:app-settings          a volume, to be mounted by name
    --volume scratch=ed:size=1Gi,type=Memory
    --mount /etc/app=settings                  an existing volume
    --mount /etc/app=cm:app-settings/sub/path  a volume made for it, one for each ConfigMap or Secret
    --mount /data=pvc:claim:readOnly=true
    --mount /etc/app-                          taken away, with a volume that was made for it

What was made for a mount is told by its name, which starts with `mount-`.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

from upwell.cli.errors import CommandError
from upwell.cli.pairs import set_or_drop

__all__ = ["edit_mounts", "edit_volumes"]

PodSpec = dict[str, Any]
_MADE: Final = "mount-"
_CONFIG_MAP, _SECRET, _EMPTY, _CLAIM = "configMap", "secret", "emptyDir", "persistentVolumeClaim"
_KINDS: Final = {
    "cm": _CONFIG_MAP,
    "config-map": _CONFIG_MAP,
    "secret": _SECRET,
    "sc": _SECRET,
    "ed": _EMPTY,
    "emptydir": _EMPTY,
    "pvc": _CLAIM,
    "persistentvolumeclaim": _CLAIM,
}
_RIGHT: Final = "cm:NAME, secret:NAME, ed:NAME or pvc:NAME"


def edit_volumes(spec: PodSpec, words: Sequence[str] | None) -> None:
    """Add and take away volumes; raise CommandError."""
    volumes: dict[str, Any] = {volume["name"]: volume for volume in spec.get("volumes") or ()}
    for word in words or ():
        name, equals, source = word.partition("=")
        if not equals and word.endswith("-") and len(word) > 1:
            if volumes.pop(word[:-1], None) is None:
                raise CommandError(f"--volume {word}: there is no such volume", "see `upwell service describe -o yaml`")
            continue
        prefix, colon, rest = word.partition(":")
        if colon and _KINDS.get(prefix.lower()) == _EMPTY:  # emptyDir:NAME[:OPTIONS]
            name, _, rest = rest.partition(":")
            source = f"{prefix}:{rest}"
        elif not (name and equals and source):
            raise CommandError(f"--volume {word}: is no volume", f"NAME= and {_RIGHT}", 2)
        volumes[name] = {"name": name, **_source("--volume", word, source)}
    set_or_drop(spec, "volumes", list(volumes.values()))


def edit_mounts(spec: PodSpec, container: dict[str, Any], words: Sequence[str] | None) -> None:
    """Add and take away mounts, and the volumes that are only for them; raise CommandError."""
    mounts: dict[str, Any] = {mount["mountPath"]: mount for mount in container.get("volumeMounts") or ()}
    for word in words or ():
        path, equals, source = word.partition("=")
        if not equals and word.endswith("-"):
            if mounts.pop(word[:-1], None) is None:
                raise CommandError(f"--mount {word}: nothing is mounted there", "see `upwell service describe -o yaml`")
        elif path.startswith("/") and source:
            mounts[path] = _mount(spec, path, source, word)
        else:
            raise CommandError(f"--mount {word}: is no mount", f"/PATH= and a volume's name, {_RIGHT}", 2)
    set_or_drop(container, "volumeMounts", list(mounts.values()))
    used = {mount["name"] for mount in mounts.values()}
    volumes = spec.get("volumes") or ()
    set_or_drop(spec, "volumes", [v for v in volumes if v["name"] in used or not v["name"].startswith(_MADE)])


def _mount(spec: PodSpec, path: str, source: str, word: str) -> dict[str, Any]:
    """The mount of `source`, whose volume is made where there is none yet."""
    prefix, colon, rest = source.partition(":")
    read_only = rest.endswith(":readOnly=true")
    for suffix in (":readOnly=true", ":readOnly=false"):
        rest = rest.removesuffix(suffix)
    name, _, sub_path = (rest if colon else source).partition("/")
    if colon:
        name = _volume_for(spec, prefix, name, word)
    elif name not in {volume["name"] for volume in spec.get("volumes") or ()}:
        raise CommandError(f"--mount {word}: there is no volume {name}", f"add --volume {name}=…, or mount {_RIGHT}")
    return {
        "name": name,
        "mountPath": path,
        **({"subPath": sub_path} if sub_path else {}),
        **({"readOnly": True} if read_only else {}),
    }


def _volume_for(spec: PodSpec, prefix: str, name: str, word: str) -> str:
    """The name of the volume with that source, which is added where there is none."""
    kind = _KINDS.get(prefix.lower())
    if kind is None or not name:
        raise CommandError(f"--mount {word}: is no mount", f"/PATH= and a volume's name, {_RIGHT}", 2)
    volumes = spec.setdefault("volumes", [])
    if kind == _EMPTY:
        if name not in {volume["name"] for volume in volumes}:
            volumes.append({"name": name, _EMPTY: {}})
        return name
    wanted = _source("--mount", word, f"{prefix}:{name}")
    for volume in volumes:
        if {field: value for field, value in volume.items() if field != "name"} == wanted:
            return str(volume["name"])
    made = _MADE + hashlib.sha256(f"{kind}/{name}".encode()).hexdigest()[:10]
    volumes.append({"name": made, **wanted})
    return made


def _source(flag: str, word: str, source: str) -> dict[str, Any]:
    prefix, _, rest = source.partition(":")
    kind = _KINDS.get(prefix.lower())
    if kind == _EMPTY:
        return {_EMPTY: _empty_dir(flag, word, rest)}
    name, _, option = rest.partition(":")
    if kind is None or not name:
        raise CommandError(f"{flag} {word}: is no volume", _RIGHT, 2)
    if kind == _CLAIM:
        return {_CLAIM: {"claimName": name, **({"readOnly": True} if option == "readOnly=true" else {})}}
    return {kind: {"secretName" if kind == _SECRET else "name": name}}


def _empty_dir(flag: str, word: str, options: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for option in filter(None, options.split(",")):
        name, _, value = option.partition("=")
        field = {"size": "sizeLimit", "type": "medium"}.get(name)
        if field is None or not value:
            raise CommandError(f"{flag} {word}: {option} is no option", "size=1Gi, type=Memory", 2)
        found[field] = value
    return found
