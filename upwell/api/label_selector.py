"""Label selectors as objects and settings have them: labels to match, and expressions about labels."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["LabelSelector", "parse_selector"]

_OPERATORS: Final[Mapping[str, Callable[[str | None, frozenset[str]], bool]]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, values: value is not None,
    "DoesNotExist": lambda value, values: value is None,
}


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """Everything in it has to hold; an empty one selects everything."""

    labels: Mapping[str, str] = field(default_factory=dict)
    expressions: tuple[tuple[str, str, frozenset[str]], ...] = ()
    """Key, operator, values."""

    def matches(self, labels: Mapping[str, str]) -> bool:
        return self.labels.items() <= labels.items() and all(
            _OPERATORS[operator](labels.get(key), values) for key, operator, values in self.expressions
        )


def parse_selector(content: Any) -> LabelSelector:
    """Read `{matchLabels: …, matchExpressions: […]}`; raise ValueError."""
    if not isinstance(content, dict) or content.keys() - {"matchLabels", "matchExpressions"}:
        raise ValueError("it has matchLabels and matchExpressions, and nothing else")
    try:
        labels = {str(key): str(value) for key, value in (content.get("matchLabels") or {}).items()}
        expressions = tuple(_expression(one) for one in content.get("matchExpressions") or ())
    except (AttributeError, KeyError, TypeError):
        raise ValueError("an expression has a key, an operator and values") from None
    return LabelSelector(labels, expressions)


def _expression(content: Any) -> tuple[str, str, frozenset[str]]:
    operator = str(content["operator"])
    if operator not in _OPERATORS:
        raise ValueError(f'operator "{operator}" is none of {", ".join(_OPERATORS)}')
    return str(content["key"]), operator, frozenset(str(value) for value in content.get("values") or ())
