"""The annotation that has a client keep to its part of a traffic split: what it may say, for who checks and who acts.

serving.upwell.dev/stickiness: client-address | header=NAME | cookie=NAME
"""

import re
from typing import Final

from upwell.api.field_errors import FieldErrors
from upwell.api.names import ANNOTATION_STICKINESS
from upwell.api.objects import Object, annotations_of

__all__ = ["ADDRESS", "COOKIE", "HEADER", "parse_stickiness", "validate_stickiness"]

ADDRESS: Final = "client-address"
HEADER: Final = "header"
COOKIE: Final = "cookie"
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


def parse_stickiness(text: str) -> tuple[str, str]:
    """By what a client is told, and the name of the header or cookie; raise ValueError saying what would be right."""
    kind, _, name = text.strip().partition("=")
    if (kind == ADDRESS and not name) or (kind in (HEADER, COOKIE) and _TOKEN.fullmatch(name)):
        return kind, name
    raise ValueError(f'"{text}" must be client-address, header=NAME or cookie=NAME')


def validate_stickiness(obj: Object, errors: FieldErrors) -> None:
    text = annotations_of(obj).get(ANNOTATION_STICKINESS)
    if text is None:
        return
    try:
        parse_stickiness(text)
    except ValueError as error:
        errors.invalid(text, f"metadata.annotations.{ANNOTATION_STICKINESS}", details=str(error))
