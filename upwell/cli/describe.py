"""`upwell service describe` and its kin: one object in words, as kn tells it.

    Name:       hello
    Namespace:  default
    Age:        2m
    URL:        http://hello.default.localhost:8080

    Revisions:
       90%  @latest (hello-00002) #canary
            http://canary-hello.default.localhost:8080
       10%  hello-00001

    Conditions:
      OK  TYPE                 AGE  REASON
      ++  Ready                 2m

`++` holds, `!!` does not, `??` is not known yet.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from upwell.api import names
from upwell.api.objects import Object, annotations_of, labels_of, name_of, namespace_of
from upwell.api.resources import DOMAIN_MAPPING, REVISION, ROUTE, SERVICE, Resource
from upwell.cli.output import age_of, image_of
from upwell.local.apiserver.columns import age

__all__ = ["described"]

_MARKS: Final = {"True": "++", "False": "!!"}


def described(resource: Resource, obj: Object, revisions: Sequence[Object], *, verbose: bool) -> str:
    """The page of one object; `revisions` are those that its traffic may name."""
    parts = [_facts(resource, obj)]
    if verbose or resource is REVISION:
        parts.append(_maps(obj))
    if resource in (SERVICE, ROUTE):
        parts.append(_traffic(obj, {name_of(revision): revision for revision in revisions}, verbose=verbose))
    parts.append(_conditions(obj))
    return "\n\n".join(filter(None, parts))


def _facts(resource: Resource, obj: Object) -> str:
    status: dict[str, Any] = obj.get("status") or {}
    facts = [("Name", name_of(obj)), ("Namespace", namespace_of(obj)), ("Age", age_of(obj))]
    facts.append(("URL", str(status.get("url") or "")))
    if resource is SERVICE:
        cluster = str((status.get("address") or {}).get("url") or "")
        facts.append(("Cluster", cluster if cluster != status.get("url") else ""))
    if resource is REVISION:
        facts += _revision_facts(obj, status)
    if resource is ROUTE:
        facts.append(("Service", labels_of(obj).get(names.LABEL_SERVICE, "")))
    if resource is DOMAIN_MAPPING:
        reference = obj["spec"].get("ref") or {}
        facts.append(("Reference", f"{reference.get('kind')} {reference.get('name')} ({reference.get('apiVersion')})"))
    width = max(len(name) for name, value in facts if value) + 2
    return "\n".join(f"{name + ':':<{width}} {value}" for name, value in facts if value)


def _revision_facts(obj: Object, status: dict[str, Any]) -> list[tuple[str, str]]:
    spec: dict[str, Any] = obj["spec"]
    container: dict[str, Any] = (spec.get("containers") or ({},))[0]
    resources = container.get("resources") or {}
    ports = [f"{port.get('name') or ''}:{port['containerPort']}".lstrip(":") for port in container.get("ports") or ()]
    return [
        ("Service", labels_of(obj).get(names.LABEL_SERVICE, "")),
        ("Image", image_of(obj)),
        ("Command", " ".join([*(container.get("command") or ()), *(container.get("args") or ())])),
        ("Port", ", ".join(ports)),
        ("Env", ", ".join(str(entry["name"]) for entry in container.get("env") or ())),
        ("Requests", _pairs(resources.get("requests"))),
        ("Limits", _pairs(resources.get("limits"))),
        ("Concurrency", str(spec.get("containerConcurrency") or "not limited")),
        ("Timeout", f"{spec.get('timeoutSeconds')} s" if spec.get("timeoutSeconds") else ""),
        ("Pods", f"{status.get('actualReplicas') or 0} of {status.get('desiredReplicas') or 0}"),
    ]


def _pairs(values: Any) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted((values or {}).items()))


def _maps(obj: Object) -> str:
    """Labels and annotations without those that only controllers write and read."""
    lines: list[str] = []
    for title, values in (("Labels", labels_of(obj)), ("Annotations", annotations_of(obj))):
        shown = {name: value for name, value in values.items() if name != names.ANNOTATION_LAST_APPLIED}
        if shown:
            lines += [f"{title}:", *(f"  {name}={value}" for name, value in sorted(shown.items()))]
    return "\n".join(lines)


def _traffic(obj: Object, revisions: dict[str, Object], *, verbose: bool) -> str:
    lines = ["Revisions:"]
    for target in (obj.get("status") or {}).get("traffic") or ():
        name = str(target.get("revisionName") or "")
        called = f"@latest ({name})" if target.get("latestRevision") else name
        tag = f" #{target['tag']}" if target.get("tag") else ""
        lines.append(f"  {int(target.get('percent') or 0):>4}%  {called}{tag}")
        if target.get("url"):
            lines.append(f"         {target['url']}")
        if revision := revisions.get(name):
            lines += _revision_lines(revision, verbose=verbose)
    return "\n".join(lines) if len(lines) > 1 else ""


def _revision_lines(revision: Object, *, verbose: bool) -> Iterable[str]:
    status = revision.get("status") or {}
    yield f"         Image: {image_of(revision)}"
    yield f"         Pods:  {status.get('actualReplicas') or 0} of {status.get('desiredReplicas') or 0}"
    if verbose:
        scaling = {k: v for k, v in annotations_of(revision).items() if k.startswith(names.AUTOSCALING)}
        yield from (f"         {name.removeprefix(names.AUTOSCALING)}: {value}" for name, value in scaling.items())


def _conditions(obj: Object) -> str:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    if not conditions:
        return "Conditions: none yet"
    ordered = sorted(conditions, key=lambda one: (one["type"] != "Ready", one["type"]))
    width = max(len(one["type"]) for one in ordered)
    lines = ["Conditions:", f"  OK  {'TYPE':<{width}}   AGE  REASON"]
    for one in ordered:
        why = ": ".join(filter(None, (one.get("reason"), one.get("message")))) if one["status"] != "True" else ""
        since = age(one.get("lastTransitionTime")) if one.get("lastTransitionTime") else ""
        lines.append(f"  {_MARKS.get(one['status'], '??')}  {one['type']:<{width}}  {since:>4}  {why}".rstrip())
    return "\n".join(lines)
