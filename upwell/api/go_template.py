"""The part of Go's text templates that domain, tag and container name templates use.

    {{.Name}}.{{.Namespace}}.{{.Domain}}
    {{.Name}}-{{index .Annotations "sub"}}.{{.Domain}}
    {{if index .Labels "team"}}{{.Labels.team}}{{else}}all{{end}}

Texts, fields (`.A.b`), `index`, `if`/`else`/`end`, and the trim marks `{{-` and `-}}`. A field of a map that is not
there is empty text; a field that the template's values do not have at all is an error, as in Go.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

__all__ = ["Template", "TemplateError"]

_ACTION: Final = re.compile(
    r"\s*\{\{-\s(.*?)\s-\}\}\s*|\s*\{\{-\s(.*?)\}\}|\{\{(.*?)\s-\}\}\s*|\{\{(.*?)\}\}", re.DOTALL
)
_FIELD: Final = re.compile(r"\.[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_INDEX: Final = re.compile(r'index\s+(\.[\w.]+)\s+"((?:[^"\\]|\\.)*)"')
_IF: Final = re.compile(r"if\s+(.+)")


class TemplateError(ValueError):
    """The template cannot be used; the text says where and why."""


class _If(NamedTuple):
    condition: str
    then: Sequence["_Part"]
    otherwise: Sequence["_Part"]


class _Value(NamedTuple):
    expression: str


_Part = str | _Value | _If


class Template:
    """A parsed template; `str()` of it is its source."""

    def __init__(self, source: str) -> None:
        """Raise TemplateError when `source` is no template of this kind."""
        self._source = source
        tokens = _tokens(source)
        self._parts, rest = _parse(tokens, nested=False)
        assert not rest

    def __str__(self) -> str:
        return self._source

    def render(self, values: Mapping[str, Any]) -> str:
        """The text for these values; raise TemplateError for a field that they do not have."""
        return "".join(_render(self._parts, values))


def _tokens(source: str) -> list[str | _Value]:
    tokens: list[str | _Value] = []
    at = 0
    for match in _ACTION.finditer(source):
        tokens.append(source[at : match.start()])
        action = next(group for group in match.groups() if group is not None)
        tokens.append(_Value(action.strip()))
        at = match.end()
    tokens.append(source[at:])
    if "{{" in source[at:]:
        raise TemplateError(f'template "{source}": "{{{{" without "}}}}"')
    return [token for token in tokens if token != ""]


def _parse(tokens: Sequence[str | _Value], *, nested: bool) -> tuple[list[_Part], Sequence[str | _Value]]:
    parts: list[_Part] = []
    while tokens:
        token, tokens = tokens[0], tokens[1:]
        if isinstance(token, str):
            parts.append(token)
        elif token.expression in ("end", "else"):
            if not nested:
                raise TemplateError(f'"{{{{{token.expression}}}}}" without an if')
            return parts, [token, *tokens]
        elif condition := _IF.fullmatch(token.expression):
            block, tokens = _parse_if(condition.group(1), tokens)
            parts.append(block)
        else:
            _check(token.expression)
            parts.append(token)
    if nested:
        raise TemplateError('an "if" without "{{end}}"')
    return parts, ()


def _parse_if(condition: str, tokens: Sequence[str | _Value]) -> tuple[_If, Sequence[str | _Value]]:
    _check(condition)
    otherwise: list[_Part] = []
    then, tokens = _parse(tokens, nested=True)
    if tokens[0] == _Value("else"):
        otherwise, tokens = _parse(tokens[1:], nested=True)
    return _If(condition, then, otherwise), tokens[1:]


def _check(expression: str) -> None:
    if not (_FIELD.fullmatch(expression) or _INDEX.fullmatch(expression)):
        raise TemplateError(
            f'"{{{{{expression}}}}}" is not supported; use a field such as {{{{.Name}}}}, {{{{index .Labels "key"}}}}, '
            "or {{if …}}…{{else}}…{{end}}"
        )


def _render(parts: Sequence[_Part], values: Mapping[str, Any]) -> list[str]:
    texts: list[str] = []
    for part in parts:
        if isinstance(part, _If):
            texts += _render(part.then if _evaluate(part.condition, values) else part.otherwise, values)
        else:
            texts.append(part if isinstance(part, str) else str(_evaluate(part.expression, values)))
    return texts


def _evaluate(expression: str, values: Mapping[str, Any]) -> Any:
    if index := _INDEX.fullmatch(expression):
        return _field(index.group(1), values).get(index.group(2).replace('\\"', '"'), "")
    return _field(expression, values)


def _field(path: str, values: Mapping[str, Any]) -> Any:
    first, *rest = path[1:].split(".")
    if first not in values:
        raise TemplateError(f'"{{{{{path}}}}}": there is no field {first}; there are {", ".join(sorted(values))}')
    found = values[first]
    for name in rest:
        if not isinstance(found, Mapping):
            raise TemplateError(f'"{{{{{path}}}}}": {first} has no fields')
        found = found.get(name, "")
    return found
