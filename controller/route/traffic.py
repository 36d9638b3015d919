"""From the traffic that a Route asks for to the revisions that get it (contract: control-plane.md 6.2).

`resolve` looks every target up. Either all can be served, and the answer is a `Traffic`, or the answer is the
`Unroutable` that says which one cannot and why; then nothing of what serves now is touched.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from controller.revision.metadata import configuration_name
from controller.revision.sidecar import serving_protocol
from upwell.api.conditions import FALSE, READY, TRUE, status_of
from upwell.api.names import LABEL_SERVICE
from upwell.api.objects import Object, labels_of, name_of

__all__ = ["DEFAULT", "Lookup", "Target", "Traffic", "Unroutable", "resolve"]

DEFAULT: Final = ""
"""The group of targets behind the route's own host; the others are tags."""

Lookup = Callable[[str], Object | None]


@dataclass(frozen=True, slots=True)
class Target:
    """A share of traffic for one revision."""

    revision: str
    configuration: str
    """The configuration that the revision is of; empty for one that stands by itself."""
    latest: bool
    """Whether it is the configuration's latest, whichever that is."""
    percent: int
    tag: str
    protocol: str
    """`http1` or `h2c`."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """All targets can be served."""

    targets: tuple[Target, ...]
    """As asked for, those that are equal but for their share merged."""
    groups: Mapping[str, tuple[Target, ...]]
    """By tag, "" for the route's own host: one target for each revision."""


@dataclass(frozen=True, slots=True)
class Unroutable:
    """A target cannot be served: what AllTrafficAssigned says of it."""

    status: Literal["False", "Unknown"]
    reason: str
    message: str


def resolve(
    route: Object, configuration: Lookup, revision: Lookup, instead: Callable[[Object], str] = lambda revision: ""
) -> Traffic | Unroutable:
    """`configuration` and `revision` find objects of the route's namespace by name.

    `instead` names the revision to take in the place of a latest one, where that is not to be used.
    """
    found: list[Target] = []
    problem: Unroutable | None = None
    for target in route["spec"].get("traffic") or ():
        outcome = _resolve_target(route, target, configuration, revision, instead)
        if isinstance(outcome, Target):
            found.append(outcome)
        elif problem is None or (problem.status != FALSE and outcome.status == FALSE):
            problem = outcome  # what failed for good is the better thing to say
    return problem or Traffic(_merged(found), _grouped(found))


def _resolve_target(
    route: Object,
    target: Mapping[str, Any],
    configuration: Lookup,
    revision: Lookup,
    instead: Callable[[Object], str],
) -> Target | Unroutable:
    named = target.get("revisionName") or ""
    if named:
        found = _find_revision(route, named, revision)
        latest = False
    else:
        name = _latest_ready(target.get("configurationName") or "", configuration)
        if isinstance(name, Unroutable):
            return name
        found = _find_revision(route, name, revision)
        if not isinstance(found, Unroutable) and instead(found):
            other = _find_revision(route, instead(found), revision)
            found = found if isinstance(other, Unroutable) else other
        latest = True
    if isinstance(found, Unroutable):
        return found
    return Target(
        revision=name_of(found),
        configuration=configuration_name(found),
        latest=latest,
        percent=target.get("percent") or 0,
        tag=target.get("tag") or "",
        protocol=serving_protocol(found),
    )


def _latest_ready(name: str, configuration: Lookup) -> str | Unroutable:
    found = configuration(name)
    if found is None:
        return _missing("Configuration", name)
    latest = (found.get("status") or {}).get("latestReadyRevisionName")
    if latest:
        return str(latest)
    if status_of(found.get("status"), READY) == FALSE:
        return Unroutable("False", "RevisionMissing", f'Configuration "{name}" does not have any ready Revision.')
    message = f'Configuration "{name}" is waiting for a Revision to become ready.'
    return Unroutable("Unknown", "RevisionMissing", message)


def _find_revision(route: Object, name: str, revision: Lookup) -> Object | Unroutable:
    found = revision(name)
    if found is None:
        return _missing("Revision", name)
    service = labels_of(route).get(LABEL_SERVICE)
    if service is not None and labels_of(found).get(LABEL_SERVICE) != service:
        message = f'Revision "{name}" is not owned by Service "{service}"'
        return Unroutable("False", "RevisionNotOwned", message)
    ready = status_of(found.get("status"), READY)
    if ready == TRUE:
        return found
    if ready == FALSE:
        return Unroutable("False", "RevisionMissing", f'Revision "{name}" failed to become ready.')
    return Unroutable("Unknown", "RevisionMissing", f'Revision "{name}" is not yet ready.')


def _missing(kind: str, name: str) -> Unroutable:
    return Unroutable("False", f"{kind}Missing", f'{kind} "{name}" referenced in traffic not found.')


def _merged(targets: Iterable[Target]) -> tuple[Target, ...]:
    merged: dict[tuple[Any, ...], Target] = {}
    for target in targets:
        key = (target.tag, target.revision, target.latest)
        known = merged.get(key)
        merged[key] = target if known is None else replace(known, percent=known.percent + target.percent)
    return tuple(merged.values())


def _grouped(targets: Iterable[Target]) -> dict[str, tuple[Target, ...]]:
    groups: dict[str, dict[str, Target]] = {DEFAULT: {}}
    for target in targets:
        for tag in {DEFAULT, target.tag}:
            group = groups.setdefault(tag, {})
            known = group.get(target.revision)
            percent = target.percent + (known.percent if known is not None else 0)
            group[target.revision] = replace(target if known is None else known, percent=percent)
    return {tag: _whole(tuple(group.values())) for tag, group in groups.items()}


def _whole(group: tuple[Target, ...]) -> tuple[Target, ...]:
    """A revision that is alone behind a host gets everything."""
    return (replace(group[0], percent=100),) if len(group) == 1 else group
