"""Rules in CEL, by the engine of the package common-expression-language, loaded when the first rule is asked.

The package's own `__init__` brings its command line along, which takes a third of a second; so the extension in it is
loaded by itself. Of Kubernetes' functions beyond the standard those are added that our rules use.
"""

import importlib.machinery
import importlib.util
from collections.abc import Callable, Mapping
from functools import cache
from types import ModuleType
from typing import Any, Final

__all__ = ["Rule", "Values", "compile_rule"]

_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {"sum": sum}


@cache
def _engine() -> ModuleType:
    package = importlib.util.find_spec("cel")
    assert package is not None
    extension = importlib.machinery.PathFinder.find_spec("cel", package.submodule_search_locations)
    assert extension is not None
    assert extension.loader is not None
    module = importlib.util.module_from_spec(extension)
    extension.loader.exec_module(module)
    return module


def compile_rule(expression: str) -> Any:
    """The program; raise ValueError when it is no expression."""
    return _engine().compile(expression)


class Rule:
    """One entry of `x-kubernetes-validations`."""

    def __init__(self, rule: Mapping[str, str]) -> None:
        self.field = rule.get("fieldPath", "")
        self._rule = rule["rule"]
        self._message = rule.get("message") or f"failed rule: {self._rule}"
        self._expression = rule.get("messageExpression", "")
        self._is_transition = "oldSelf" in self._rule

    def problem(self, values: "Values") -> str:
        """What to say when the rule is broken; empty when it holds, or is about a change of what was not there."""
        if self._is_transition and values.old is None:
            return ""
        try:
            if _program(self._rule).execute(values.context):
                return ""
            return str(_program(self._expression).execute(values.context)) if self._expression else self._message
        except (RuntimeError, ValueError, TypeError, KeyError) as error:
            # As on a cluster, what cannot be evaluated does not hold.
            return f"{self._message} (rule evaluation error: {error})"


class Values:
    """What the rules of one place are asked about, handed over to the engine once."""

    __slots__ = ("context", "old")

    def __init__(self, value: Any, old: Any) -> None:
        self.old = old
        """None when there was nothing before."""
        self.context = _engine().Context({"self": value, "oldSelf": old}, dict(_FUNCTIONS))


@cache
def _program(expression: str) -> Any:
    return compile_rule(expression)
