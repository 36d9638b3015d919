"""Kubernetes' rules for names, each with the words by which Kubernetes says what is wrong.

Every function returns the problems of a text, none when it is fine.
"""

import re
from typing import Final

__all__ = [
    "identifier_problems",
    "label_problems",
    "label_value_problems",
    "qualified_name_problems",
    "subdomain_problems",
]

_LABEL_MAX: Final = 63
_SUBDOMAIN_MAX: Final = 253
_LABEL: Final = re.compile("[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_IDENTIFIER: Final = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_NAME_PART: Final = re.compile("([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_NOT_A_LABEL: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_NOT_A_SUBDOMAIN: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_NOT_AN_IDENTIFIER: Final = (
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric "
    "characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is "
    "'[A-Za-z_][A-Za-z0-9_]*')"
)
_NOT_A_NAME_PART: Final = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_NOT_A_LABEL_VALUE: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_OPTIONAL_PREFIX: Final = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"


def label_problems(text: str) -> list[str]:
    """Of a DNS-1123 label."""
    return _problems(text, _LABEL, _NOT_A_LABEL, _LABEL_MAX)


def label_value_problems(text: str) -> list[str]:
    """Of the value of a label, which may be empty."""
    return _problems(text, _NAME_PART, _NOT_A_LABEL_VALUE, _LABEL_MAX) if text else []


def subdomain_problems(text: str) -> list[str]:
    """Of a DNS-1123 subdomain: labels with dots between them."""
    return _problems(text, _SUBDOMAIN, _NOT_A_SUBDOMAIN, _SUBDOMAIN_MAX)


def identifier_problems(text: str) -> list[str]:
    """Of a name as the language C has them."""
    return [] if _IDENTIFIER.fullmatch(text) else [_NOT_AN_IDENTIFIER]


def qualified_name_problems(text: str) -> list[str]:
    """Of a name that may have a domain and a slash in front of it."""
    prefix, slash, name = text.rpartition("/")
    if "/" in prefix:
        return [f"a qualified name {_NOT_A_NAME_PART} {_OPTIONAL_PREFIX}"]
    problems = []
    if slash:
        found = subdomain_problems(prefix) if prefix else ["must be non-empty"]
        problems += [f"prefix part {problem}" for problem in found]
    found = _problems(name, _NAME_PART, _NOT_A_NAME_PART, _LABEL_MAX)
    return problems + [f"name part {problem}" for problem in (found if name else ["must be non-empty", *found])]


def _problems(text: str, pattern: re.Pattern[str], words: str, most: int) -> list[str]:
    problems = [f"must be no more than {most} characters"] if len(text) > most else []
    return problems if pattern.fullmatch(text) else [*problems, words]
