"""Names that a template gives its revision, and what changing a template without changing that name means."""

from typing import Any, Final

from upwell.api.field_errors import FieldErrors, at
from upwell.api.metadata import dns_label_prefix_problem, dns_label_problem
from upwell.api.objects import Object

__all__ = ["keeps_explicit_name", "template_of", "validate_template_name", "validate_template_name_change"]

_PATH: Final = "spec.template.metadata"


def template_of(obj: Object) -> dict[str, Any]:
    """The revision template of a Service or a Configuration."""
    template: dict[str, Any] = (obj.get("spec") or {}).get("template") or {}
    return template


def explicit_name(obj: Object | None) -> str:
    return "" if obj is None else str((template_of(obj).get("metadata") or {}).get("name") or "")


def keeps_explicit_name(obj: Object, old: Object | None) -> bool:
    """Whether the template goes by the name that it went by before, so that it must not have changed at all."""
    name = explicit_name(obj)
    return bool(name) and name == explicit_name(old)


def validate_template_name(obj: Object, errors: FieldErrors) -> None:
    """An explicit name is a name, and begins with the parent's; the first thing that is wrong is told."""
    metadata = template_of(obj).get("metadata") or {}
    name, prefix = metadata.get("name") or "", metadata.get("generateName") or ""
    if prefix and (problem := dns_label_prefix_problem(prefix)):
        errors.invalid(f"not a DNS 1035 label prefix: [{problem}]", at(_PATH, "generateName"))
        return
    if not name:
        return
    parent = obj["metadata"].get("name") or ""
    if problem := dns_label_problem(name):
        errors.invalid(f"not a DNS 1035 label: [{problem}]", at(_PATH, "name"))
    elif not parent:
        errors.disallowed(at(_PATH, "name"))
    elif not name.startswith(f"{parent}-"):
        errors.invalid(f'"{name}" must have prefix "{parent}-"', at(_PATH, "name"))


def validate_template_name_change(obj: Object, old: Object, errors: FieldErrors) -> None:
    """A revision never changes, so another template needs another name."""
    if keeps_explicit_name(obj, old) and template_of(obj) != template_of(old):
        errors.add(
            "Saw the following changes without a name change (-old +new)",
            at(_PATH, "name"),
            details=describe_difference(template_of(old), template_of(obj), "spec.template"),
        )


def describe_difference(old: Any, new: Any, path: str) -> str:
    """What differs, one path a line, each with its value before and after."""
    return "\n".join(_differences(old, new, path))


def _differences(old: Any, new: Any, path: str) -> list[str]:
    if old == new:
        return []
    if isinstance(old, dict) and isinstance(new, dict):
        names = sorted({*old, *new})
        return [line for name in names for line in _differences(old.get(name), new.get(name), at(path, name))]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [line for index, (one, two) in pairs for line in _differences(one, two, f"{path}[{index}]")]
    return [f"{path}:", f"\t-: {_short(old)}", f"\t+: {_short(new)}"]


def _short(value: Any) -> str:
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 200 else text[:197] + "..."
