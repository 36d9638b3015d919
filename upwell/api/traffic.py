"""Traffic targets, as a Service and a Route have them: defaults and validation (contract: control-plane.md 6.1)."""

from collections.abc import Mapping, Sequence
from typing import Any

from upwell.api.field_errors import FieldErrors, at, at_index
from upwell.api.metadata import dns_label_problem
from upwell.api.name_rules import qualified_name_problems

__all__ = ["default_traffic", "validate_traffic"]

Target = dict[str, Any]


def default_traffic(targets: Sequence[Target]) -> None:
    """Fill in what follows from the rest, in place."""
    for target in targets:
        target.setdefault("latestRevision", not target.get("revisionName"))
        target.setdefault("percent", 0)


def validate_traffic(targets: Sequence[Target], path: str, errors: FieldErrors, *, in_service: bool) -> None:
    """`in_service`: the configuration is the Service's own and must not be named."""
    total = 0
    seen: dict[str, int] = {}
    for index, target in enumerate(targets):
        where = at_index(path, index)
        _validate_target(target, where, errors, in_service=in_service)
        percent = target.get("percent") or 0
        if not 0 <= percent <= 100:
            errors.out_of_bounds(percent, 0, 100, at(where, "percent"))
        total += percent
        _validate_tag(target, index, seen, path, errors)
    if total != 100:
        errors.add(f"Traffic targets sum to {total}, want 100", path)


def _validate_tag(target: Target, index: int, seen: dict[str, int], path: str, errors: FieldErrors) -> None:
    tag = target.get("tag") or ""
    if not tag:
        return
    if problem := dns_label_problem(tag):
        errors.invalid(f"not a DNS 1035 label: [{problem}]", at_index(at(path, "tag"), index))
    if tag in seen:
        paths = (at(at_index(path, where), "tag") for where in (seen[tag], index))
        errors.add(f'Multiple definitions for "{tag}"', *paths)
    else:
        seen[tag] = index


def _validate_target(target: Mapping[str, Any], path: str, errors: FieldErrors, *, in_service: bool) -> None:
    revision, configuration = target.get("revisionName") or "", target.get("configurationName") or ""
    latest = target.get("latestRevision")
    if in_service and configuration:
        errors.disallowed(at(path, "configurationName"))
    elif revision and configuration:
        errors.multiple_one_of(at(path, "revisionName"), at(path, "configurationName"))
    elif revision or configuration:
        _validate_reference(target, path, errors)
    elif in_service:
        pass  # the Service's own configuration
    elif latest is not None and not latest and not revision and not configuration:
        pass  # said below, in better words
    else:
        errors.missing_one_of(at(path, "revisionName"), at(path, "configurationName"))
    if latest is not None and latest == bool(revision):
        named = "true" if latest else "false"
        message = f'may not set revisionName "{revision}" when latestRevision is {named}'
        errors.add(message, at(path, "latestRevision"))
    if target.get("url"):
        errors.disallowed(at(path, "url"))


def _validate_reference(target: Mapping[str, Any], path: str, errors: FieldErrors) -> None:
    for field in ("revisionName", "configurationName"):
        name = target.get(field) or ""
        if name and (problems := qualified_name_problems(name)):
            errors.invalid_key(name, at(path, field), details=", ".join(problems))
